"""Columns of a table as the page takes them: packed numbers, labels, titles with units."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dse.front import Objective
from dse.plots.style import variant_style

IDENTIFIERS = ("design", "workload", "source")  # not an axis of the parallel coordinates
_FEW = 256  # distinct numbers that one byte tells apart
_WHOLE = 2**24  # float32 holds every whole number up to it
_UNITS = {
    "B_per_cycle": "B/cycle", "per_s": "1/s", "GBps": "GB/s", "mm2": "mm²", "us": "µs",
} | {unit: unit for unit in (
    "V", "kHz", "MHz", "GHz", "B", "KiB", "MiB", "GiB", "W", "J", "mJ", "uJ", "s", "ms", "ns",
    "USD", "nm",
)}  # fmt: skip
_WORDS = {
    "sram": "SRAM", "dram": "DRAM", "pe": "PE", "sm": "SM", "sms": "SMs", "macs": "MACs",
}  # fmt: skip
_TITLES = {"chips_80": "Chips at 80% efficiency"}


def column(name: str, values: pd.Series, objective: Objective | None) -> dict[str, Any] | None:
    """A column as the page takes it, or None where it says nothing."""
    common = {
        "name": name,
        "title": _with_unit(objective.label, objective.unit) if objective else title(name),
        "objective": objective is not None,
        "maximise": bool(objective.maximise) if objective else False,
        "axis": name not in IDENTIFIERS,
    }
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        counted = pd.api.types.is_integer_dtype(values)
        largest = np.nanmax(np.abs(numbers), initial=0)
        if np.isnan(numbers).all():
            return None
        if not (counted and largest > 2**53):  # beyond, only as text every digit is kept
            present = numbers[~np.isnan(numbers)]
            # Measurements are whole by chance where float32 is coarse: only counts are exact.
            small = largest <= _WHOLE and objective is None
            whole = bool((present % 1 == 0).all()) and (counted or small or name in IDENTIFIERS)
            return common | {"labels": None, "whole": whole, "data": _packed(numbers, whole)}
    codes, labels = pd.factorize(values.astype(str).where(values.notna()), sort=True)
    if not len(labels):
        return None
    numbers = np.where(codes < 0, np.nan, codes)
    texts = {"labels": [str(label) for label in labels], "data": _packed(numbers, False)}
    if name == "variant":
        looks = [variant_style(label) for label in texts["labels"]]
        texts |= {"colours": [look.colour for look in looks], "texts": [k.label for k in looks]}
    return common | texts


def title(name: str) -> str:
    """`sram_capacity_MiB` -> SRAM capacity (MiB)."""
    if name in _TITLES:
        return _TITLES[name]
    unit = max((u for u in _UNITS if name.endswith(f"_{u}")), key=len, default="")
    words = name.removesuffix(f"_{unit}").split("_") if unit else name.split("_")
    text = " ".join(_WORDS.get(word, word) for word in words)
    return _with_unit(text[:1].upper() + text[1:], unit)


def _with_unit(words: str, unit: str) -> str:
    return f"{words} ({_UNITS.get(unit, unit)})" if unit else words


def _packed(numbers: NDArray[np.float64], exact: bool) -> dict[str, Any]:
    """A byte a number where few differ; else float32, or float64 where that would change it."""
    table, codes = np.unique(numbers, return_inverse=True)
    if len(table) <= _FEW:
        known = [None if np.isnan(value) else float(value) for value in table]
        return {"table": known, "bytes": _text(codes.astype("u1"))}
    with np.errstate(over="ignore", under="ignore"):
        single = numbers.astype("<f4")
    kept = exact and (np.isnan(numbers) | (single == numbers)).all()
    in_range = (np.isfinite(single) == np.isfinite(numbers)).all()
    if kept or (in_range and not exact):
        return {"bits": 32, "bytes": _text(single)}
    return {"bits": 64, "bytes": _text(numbers.astype("<f8"))}


def _text(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
