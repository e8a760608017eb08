"""A fact of a catalog file: a number or an option with its source and confidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hwmodels.errors import InputError, check_choice
from hwmodels.quantity import Quantity

# verified: read in the source. partly: read in a secondary one. memory: from memory of the source.
# derived: computed from facts of the source. assumed: nobody states it. fitted: set by calibration.
CONFIDENCES = ("verified", "partly", "memory", "derived", "assumed", "fitted")
BOUNDS = ("value", "at_most", "about")
_FACT_KEYS = (*BOUNDS, "source", "confidence")


def _published(unit: str, low: float, high: float, doc: str) -> Quantity:
    return Quantity("", (), unit, 1.0, low, high, low, doc)


# What publications say and predictions are compared with. Only `tdp_W` is read by a model.
PUBLISHED: dict[str, Quantity] = {
    "die_area_mm2": _published("mm2", 0.01, 1e5, "die area, all dies of the package"),
    "core_area_mm2": _published("mm2", 0.01, 1e5, "area of the block, without pads"),
    "transistors_B": _published("B", 1e-4, 1e5, "transistors, billions"),
    "tdp_W": _published("W", 1e-3, 1e5, "power cap or design power"),
    "peak_power_W": _published("W", 1e-3, 1e5, "largest measured or estimated power"),
    "typical_power_W": _published("W", 1e-3, 1e5, "power at a typical load"),
    "idle_power_W": _published("W", 1e-3, 1e5, "power without load"),
    "base_clock_GHz": _published("GHz", 0.01, 10, "guaranteed clock"),
    "sustained_clock_GHz": _published("GHz", 0.01, 10, "measured clock of a GEMM at the cap"),
    "peak_TFLOPs": _published("TFLOP/s", 1e-3, 1e6, "peak in the number format of [chip]"),
    "peak_TOPS_int8": _published("TOP/s", 1e-3, 1e6, "peak in int8"),
    "peak_TFLOPs_fp8": _published("TFLOP/s", 1e-3, 1e6, "peak in fp8"),
    "peak_TFLOPs_fp32": _published("TFLOP/s", 1e-3, 1e6, "peak of fp32 lanes"),
    "dram_bandwidth_GBps": _published("GB/s", 1e-3, 1e6, "off-chip memory bandwidth"),
    "dram_capacity_GB": _published("GB", 1e-3, 1e6, "off-chip memory"),
}


@dataclass(frozen=True)
class Fact:
    """A value in the unit of its name; bound: "" (exact), "at_most" or "about"."""

    value: float | str
    source: str
    confidence: str
    bound: str = ""
    note: str = ""

    @property
    def number(self) -> float:
        """The value of a fact that is a number."""
        return float(self.value)

    def text(self) -> str:
        """The value with its bound, for a person."""
        sign = {"": "", "at_most": "<= ", "about": "~ "}[self.bound]
        return f"{sign}{self.value:g}" if isinstance(self.value, float) else self.value


def read_fact(
    field: str,
    key: str,
    content: Any,
    known: Mapping[str, Quantity],
    options: Mapping[str, tuple[str, ...]],
    defaults: Mapping[str, str],
) -> Fact:
    """Check one field of a section against the names, units and ranges that it may have."""
    check_number_name(field, key, known, options)
    table = content if isinstance(content, dict) else {"value": content}
    for name in table:
        check_choice(field, name, _FACT_KEYS)
    given = [name for name in BOUNDS if name in table]
    if len(given) != 1:
        needed = f"needed: one of {', '.join(BOUNDS)}"
        raise InputError(field, ", ".join(table) or "nothing", needed)
    bound, value = given[0], table[given[0]]
    if bound != "value" and not field.split(", ")[-1].startswith("published."):
        raise InputError(field, bound, "allowed: value; bounds are for [published]")
    if key in options:
        check_choice(field, value, options[key])
    else:
        value = known[key].check(value, field)
        if is_count(known[key]) and value % 1:
            raise InputError(field, value, "allowed: a whole number")
    cited = {name: table.get(name, defaults.get(name)) for name in ("source", "confidence")}
    for name, text in cited.items():
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{field}, {name}", text, "needed: a text, here or for the whole file")
    check_choice(f"{field}, confidence", cited["confidence"], CONFIDENCES)
    return Fact(
        value, str(cited["source"]), str(cited["confidence"]), "" if bound == "value" else bound
    )


def is_count(number: Quantity) -> bool:
    """True if a number of an accelerator is whole: those without a unit, but for shares."""
    return not number.unit and number.path[:1] not in ((), ("tuning",))


def read_text(content: Mapping[str, Any], key: str, where: str) -> str:
    """A text that is not empty."""
    value = content[key]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}, {key}", value, "allowed: a text")
    return value


def check_number_name(
    field: str, key: str, known: Mapping[str, Quantity], options: Iterable[str] = ()
) -> None:
    """Raise `InputError` for an unknown name; one in a wrong unit is told the right one."""
    if key in known or key in options:
        return
    for name, number in known.items():
        stem = name.removesuffix(f"_{number.unit}")
        if not number.unit:
            continue
        if key == stem or key.startswith(f"{stem}_"):
            longer = [n for n in known if n != name and key.startswith(n)]
            if not longer:
                allowed = f"allowed: {name}, in {number.unit}"
                raise InputError(field, "a wrong or missing unit", allowed)
    check_choice(field.rpartition(".")[0], key, [*known, *options])
