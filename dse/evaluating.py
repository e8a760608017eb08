"""One structure of a space: from a design's values to readings, margins and objectives.

`Evaluator.one` is the scalar function that everything else batches: kernels (`dse.costing`), grids,
the gradient search and the NumPy baseline.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

from dse.front import POWER, THROUGHPUT, Objective
from dse.readings import metric_named, objective, read
from dse.scalability import S80, STRONG, Scalability
from dse.space import Space
from hwmodels import VARIANTS, InputError
from hwmodels.evaluate import model
from hwmodels.fleet.strong import Shares, shares, strong_throughput
from hwmodels.quantity import multiplied, structure
from hwmodels.relax import EXACT, Relax
from hwmodels.workloads.numeric import Operations
from hwmodels.workloads.workload import Workload


@dataclass(frozen=True)
class Options:
    """How a sweep or search evaluates: launch cost and residency, as in `hwmodels.evaluate`, and
    what the axes of its fronts measure: throughput, power and `scalability`, or the `metrics`
    named, two to five of `dse.readings.NAMES`."""

    runtime: str = "graph"
    residency: str = "warm"
    scalability: Scalability = S80
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        metrics = tuple(metric_named("objective", name) for name in self.metrics)
        if metrics and not 2 <= len(set(metrics)) == len(metrics) <= 5:
            raise InputError("objectives", ", ".join(metrics), "allowed: 2 to 5 metrics")
        object.__setattr__(self, "metrics", metrics)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The front's axes."""
        if self.metrics:
            return tuple(map(objective, self.metrics))
        return THROUGHPUT, POWER, self.scalability.objective


class Trace(NamedTuple):
    """What an evaluator reads of a workload; `parts` where an axis asks for strong scaling."""

    operations: Operations
    parts: Shares | None


class Evaluator:
    """The compiled programs of one space and one structure; get it from `evaluator`."""

    def __init__(self, space: Space, static: dict[str, str], training: bool, options: Options):
        self.space, self.static = space, static
        self._training, self._options = training, options
        self.programs: dict[Any, Any] = {}  # further compiled programs, by their settings

    def trace(self, workload: Workload) -> Trace:
        """The workload's arrays at this structure's number formats."""
        cls = VARIANTS[self.space.variant]
        settings = {**dict(self.space.fixed), **self.static}
        chip = cls().replace(**{k: v for k, v in settings.items() if k in structure(cls)})
        strong = self._options.scalability.objective.column == STRONG
        parts = shares(chip, workload, self._options.residency) if strong else None
        return Trace(workload.at_format(chip.widths), parts)

    def one(
        self,
        values: dict[str, Any],
        trace: Trace,
        relax: Relax = EXACT,
        stacked: bool = False,
        factors: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Readings and margins (limits of physics, then budgets) of one design; with `factors` on
        numbers of its chip, by name."""
        chip, fleet = self.space.build(values, self.static)
        if factors:
            chip = multiplied(chip, factors)
        settings: dict[str, Any] = {
            "training": self._training, "runtime": self._options.runtime,
            "residency": self._options.residency, "stacked": stacked,
        }  # fmt: skip
        metrics = model(chip, trace.operations, fleet, relax, **settings)
        readings, axis = read(metrics), self._options.scalability
        if axis.chips:
            readings[axis.objective.column] = metrics.scaling.efficiency(float(axis.chips), relax)
        if trace.parts is not None:
            readings[STRONG] = strong_throughput(chip, trace.parts, fleet, relax, **settings)
        budgets = {str(c): c.margin(readings) for c in self.space.constraints}
        return readings, {**metrics.margins, **budgets}

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The front's axes."""
        return self._options.objectives

    def points(self, readings: dict[str, Any]) -> tuple[Any, ...]:
        """The objectives of readings, minimised."""
        return tuple(readings[o.column] * (-1.0 if o.maximise else 1.0) for o in self.objectives)


@functools.lru_cache(maxsize=64)
def _cached(
    space: Space, static: tuple[tuple[str, str], ...], training: bool, options: Options
) -> Evaluator:
    return Evaluator(space, dict(static), training, options)


def evaluator(space: Space, static: dict[str, str], training: bool, options: Options) -> Evaluator:
    """The evaluator of a structure; compiled programs are reused across calls and workloads."""
    return _cached(space, tuple(static.items()), training, options)
