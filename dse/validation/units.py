"""Units of published tables: a number in one unit as a number in another of the same dimension."""

from __future__ import annotations

from hwmodels.errors import InputError

# By dimension; what a unit is in the first's.
_DIMENSIONS: tuple[dict[str, float], ...] = (
    {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9},
    {"w": 1.0, "mw": 1e-3, "uw": 1e-6, "kw": 1e3},
    {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9},
    {"m": 1e6, "g": 1e9, "mmacs": 1e6, "gmacs": 1e9, "macs": 1.0},
    {"mm2": 1.0, "mm^2": 1.0, "mm²": 1.0, "um2": 1e-6, "um^2": 1e-6, "µm²": 1e-6, "cm2": 1e2},
    {"1/s": 1.0, "fps": 1.0, "frames/s": 1.0, "hz": 1.0, "images/s": 1.0, "samples/s": 1.0},
    {
        f"{prefix}{name}": size
        for prefix, size in (("g", 1e9), ("t", 1e12), ("p", 1e15))
        for name in ("ops", "op/s", "ops/s", "flops", "flop/s", "flops/s")
    },
)


def rescale(value: float, unit: str, wanted: str) -> float:
    """`value` of `unit` in the unit `wanted`; capitals do not count, "" wants no other unit.

    Raises:
      InputError: `wanted` is unknown or of another dimension.
    """
    given, asked = unit.lower(), wanted.strip().lower()
    if asked in ("", "-", given):
        return value
    for units in _DIMENSIONS:
        if given in units and asked in units:
            return value * units[given] / units[asked]
    raise InputError("unit", wanted, f"needed: {unit or 'none'}")
