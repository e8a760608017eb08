"""Metrics and units as published tables write them: "Peak power (mW)" is `peak_power` in mW."""

from __future__ import annotations

import re
from collections.abc import Iterable

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


def plain(text: str) -> str:
    """Its letters and digits alone, in lower case."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def read_metric(text: str, known: Iterable[str]) -> tuple[str, str]:
    """One of the `known` names and the unit behind it, if any; the text itself, if it is none."""
    names = {plain(name): name for name in known}
    if whole := names.get(plain(text)):
        return whole, ""
    parts = re.fullmatch(r"(.+?)[ _([]+([^ _()[\]]+)[)\]]?", text)
    name = names.get(plain(parts[1])) if parts else None
    return (name, parts[2]) if parts and name else (text, "")


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
