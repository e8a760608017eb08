"""Metrics as a person reads them: named with their units; and budgets on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dse.front import OBJECTIVES, Objective
from hwmodels import InputError, Metrics
from hwmodels.errors import check_choice

_READINGS: dict[str, Callable[[Metrics], Any]] = {
    "throughput_per_s": lambda m: m.throughput,
    "power_W": lambda m: m.power,
    "scalability_per_s": lambda m: m.scalability,
    "area_mm2": lambda m: m.area * 1e6,
    "peak_power_W": lambda m: m.peak_power,
    "cost_USD": lambda m: m.cost,
    "time_us": lambda m: m.time * 1e6,
    "energy_mJ": lambda m: m.energy * 1e3,
    "utilization": lambda m: m.utilization,
    "chips_80": lambda m: m.chips_80,
    "actual_clock_GHz": lambda m: m.clock * 1e-9,
    # Launches add to one chip's step and overlap nothing, so without them it is this fast.
    "throughput_without_launch_per_s": lambda m: (
        m.throughput * m.time / (m.time - m.time_terms["launch"])
    ),
}
NAMES = tuple(_READINGS)
_SMALLER = ("power_W", "area_mm2", "peak_power_W", "cost_USD", "time_us", "energy_mJ")
_UNITS = {"_per_s": "/s", "_W": " W", "_mm2": " mm²", "_USD": " USD", "_us": " µs", "_mJ": " mJ",
          "_GHz": " GHz", "": ""}  # fmt: skip


def read(metrics: Metrics) -> dict[str, Any]:
    """The metrics of one design (or a batch) by name, in the unit of the name."""
    return {name: get(metrics) for name, get in _READINGS.items()}


def metric_named(field: str, name: str) -> str:
    """A metric by its name, or by its name without the unit; `InputError` names `field`."""
    found = next((n for n in NAMES if _split(n)[0].replace(" ", "_") == name), name)
    check_choice(field, found, NAMES)
    return found


def objective(name: str) -> Objective:
    """The axis of a front that the metric `name` makes; `InputError` for an unknown one."""
    name = metric_named("objective", name)
    known = {o.column: o for o in OBJECTIVES}
    if name in known:
        return known[name]
    stem, unit = _split(name)
    return Objective(
        name, stem.capitalize(), unit.strip().replace("/s", "samples/s"), name not in _SMALLER
    )


def _split(name: str) -> tuple[str, str]:
    """A metric's words and its unit."""
    suffix = next(suffix for suffix in _UNITS if name.endswith(suffix))
    return name.removesuffix(suffix).replace("_", " "), _UNITS[suffix]


@dataclass(frozen=True)
class Constraint:
    """A budget: `metric` at most, or at least, `limit` (in the unit of the metric's name, without
    which it may be named)."""

    metric: str
    limit: float
    at_most: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", metric_named("constraint", self.metric))
        bad = isinstance(self.limit, bool) or not isinstance(self.limit, (int, float))
        if bad or not math.isfinite(self.limit) or self.limit <= 0:
            raise InputError(self.metric, self.limit, "a budget is a finite number > 0")

    @classmethod
    def parse(cls, metric: str, bound: str, limit: object) -> Constraint:
        """From a file or command line: `bound` is "at_most" or "at_least"."""
        metric = metric_named("constraint", metric)
        check_choice(f"{metric} bound", bound, ("at_most", "at_least"))
        try:
            number = limit if isinstance(limit, (int, float)) else float(str(limit))
        except ValueError:
            raise InputError(metric, limit, "a budget is a finite number > 0") from None
        return cls(metric, number, bound == "at_most")

    def margin(self, readings: dict[str, Any]) -> Any:
        """Relative room: >= 0 where met."""
        ratio = readings[self.metric] / self.limit
        return 1.0 - ratio if self.at_most else ratio - 1.0

    @property
    def unit(self) -> str:
        """The metric's unit, as people write it."""
        return _split(self.metric)[1].strip()

    @property
    def text(self) -> str:
        """For people: "area ≤ 400 mm²"."""
        stem, unit = _split(self.metric)
        return f"{stem} {'≤' if self.at_most else '≥'} {self.limit:g}{unit}"

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.at_most else '>='} {self.limit:g}"


def check_budgets(budgets: Sequence[Constraint]) -> None:
    """Raise `InputError` for a metric that is asked to be above what it may be at most."""
    most = {b.metric: b.limit for b in budgets if b.at_most}
    for budget in budgets:
        if not budget.at_most and budget.limit > most.get(budget.metric, math.inf):
            allowed = f"allowed: at most {most[budget.metric]:g}, its other budget"
            raise InputError(f"{budget.metric} at_least", budget.limit, allowed)
