"""Numbers as a person reads them: four digits and the unit with the SI prefix that suits."""

from __future__ import annotations

from collections.abc import Sequence

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"),
            (1e-9, "n"), (1e-12, "p"))  # fmt: skip
UNPREFIXED = ("mm2",)


def amounts(values: Sequence[float], unit: str, sign: str = "") -> tuple[list[str], str]:
    """Four digits each, and the unit with the prefix that suits the largest; `sign`: "+" to write
    that of positive ones too."""
    largest = max(abs(value) for value in values)
    fits = ((factor, prefix) for factor, prefix in PREFIXES if largest >= factor * 0.99995)
    plain = unit in UNPREFIXED or not largest
    scale, prefix = (1.0, "") if plain else next(fits, PREFIXES[-1])
    numbers = [float(f"{value / scale:.4g}") for value in values]
    said = [f"{number:{sign},.0f}" if abs(number) >= 1000 else f"{number:{sign}g}"
            for number in numbers]  # fmt: skip
    return said, f"{prefix}{unit}"


def amount(value: float, unit: str) -> str:
    """One number with its unit."""
    (number,), found = amounts([value], unit)
    return f"{number} {found}"
