"""Declared numbers: every leaf of an accelerator states its unit, physical range and meaning.

Inside, leaves are SI floats. At every boundary that a person reads or writes, a leaf is named
`<path>_<unit>` and given in that unit: `clock` (Hz inside) is `clock_GHz` outside, the leaf
`capacity` of the part `sram` is `sram_capacity_MiB`. This module is the only place that converts.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from hwmodels.errors import InputError, check_choice

# A bound, read back from SI or through float32, may come out this much (relative) outside.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Quantity:
    """One declared number: boundary name, path, SI value of one unit, range in units."""

    name: str
    path: tuple[str, ...]
    unit: str
    scale: float
    low: float
    high: float
    default: float
    doc: str

    def check(self, value: object, field: str | None = None) -> float:
        """Return `value` (in units) as a float, or raise `InputError` naming the range."""
        allowed = f"allowed: {self.low:g} to {self.high:g} {self.unit}".rstrip()
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(field or self.name, value, f"{allowed}, a number")
        low = self.low - abs(self.low) * ROUNDING
        high = self.high + abs(self.high) * ROUNDING
        if not math.isfinite(value) or not low <= value <= high:
            raise InputError(field or self.name, value, allowed)
        return float(value)


def quantity(
    default: float, unit: str = "", scale: float = 1.0, *, low: float, high: float, doc: str
) -> Any:
    """A dataclass field: default, range in `unit`, with `scale` the SI value of one unit."""
    metadata = {"unit": unit, "scale": scale, "low": low, "high": high, "doc": doc}
    return dataclasses.field(default=default * scale, metadata=metadata)


def static(default: Any, *, choices: tuple[str, ...], doc: str) -> Any:
    """A dataclass field that is structure, not a number: one compilation for each value."""
    return dataclasses.field(
        default=default, metadata={"static": True, "choices": choices, "doc": doc}
    )


def quantities(cls: type) -> dict[str, Quantity]:
    """All declared numbers of a part or accelerator class, nested parts included, by name."""
    return {q.name: q for q in _walk(cls, ())}


def structure(cls: type) -> dict[str, tuple[str, ...]]:
    """The static fields of an accelerator class and their choices."""
    return {
        f.name: f.metadata["choices"] for f in dataclasses.fields(cls) if f.metadata.get("static")
    }


def replace_quantities(instance: Any, values: dict[str, Any]) -> Any:
    """A copy of `instance` with numbers set by boundary name and unit, static fields by name.

    Values may be arrays or traced; only plain numbers are checked. Raises `InputError` on an
    unknown name or a number outside its range.
    """
    known, choices = quantities(type(instance)), structure(type(instance))
    tree: dict[str, Any] = {}
    for name, value in values.items():
        if name in choices:
            check_choice(name, value, choices[name])
            tree[name] = value
            continue
        check_choice("parameter", name, [*known, *choices])
        number = known[name]
        if isinstance(value, (int, float)) or not hasattr(value, "dtype"):
            value = number.check(value)
        branch = tree
        for part in number.path[:-1]:
            branch = branch.setdefault(part, {})
        branch[number.path[-1]] = value * number.scale
    return _replace(instance, tree)


def check_quantities(instance: Any, prefix: str = "") -> None:
    """Raise `InputError` if a static field of `instance` is no choice, or a plain number of it
    is outside its range; arrays and traced numbers pass."""
    for name, choices in structure(type(instance)).items():
        check_choice(f"{prefix}{name}", getattr(instance, name), choices)
    numbers = quantities(type(instance))
    for name, value in read_quantities(instance).items():
        if isinstance(value, (int, float)):
            numbers[name].check(value, f"{prefix}{name}")


def read_quantities(instance: Any) -> dict[str, Any]:
    """The numbers of `instance` by boundary name, each in its unit."""
    result = {}
    for name, number in quantities(type(instance)).items():
        leaf = instance
        for part in number.path:
            leaf = getattr(leaf, part)
        result[name] = leaf / number.scale
    return result


def multiplied(instance: Any, factors: dict[str, Any]) -> Any:
    """A copy of `instance` with numbers multiplied by `factors`, by boundary name."""
    values = read_quantities(instance)
    return replace_quantities(instance, {name: values[name] * f for name, f in factors.items()})


def _replace(instance: Any, tree: dict[str, Any]) -> Any:
    changes = {
        key: _replace(getattr(instance, key), value) if isinstance(value, dict) else value
        for key, value in tree.items()
    }
    return dataclasses.replace(instance, **changes)


def _walk(cls: type, path: tuple[str, ...]) -> list[Quantity]:
    found: list[Quantity] = []
    for field in dataclasses.fields(cls):
        here = (*path, field.name)
        if "unit" in field.metadata:
            meta = field.metadata
            stem = "_".join(here).removeprefix("technology_")
            name = f"{stem}_{meta['unit']}" if meta["unit"] else stem
            default = field.default / meta["scale"]
            found.append(
                Quantity(
                    name,
                    here,
                    meta["unit"],
                    meta["scale"],
                    meta["low"],
                    meta["high"],
                    default,
                    meta["doc"],
                )
            )
        elif "part" in field.metadata:
            found.extend(_walk(field.metadata["part"], here))
    return found


def part(cls: type) -> Any:
    """A dataclass field that holds a nested part with its own numbers."""
    return dataclasses.field(default_factory=cls, metadata={"part": cls})
