"""Compiled evaluation of many designs of one space and structure.

`Evaluator.table` is the one program that costs designs: values in, readings, margins and a
"may be on the front" mask out. Random sweeps, the search's rounded answers and spot checks all
run through it, so that every number shown comes from the same exact model.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dse.front import OBJECTIVES, POWER, THROUGHPUT, Objective
from dse.readings import read
from dse.scalability import S80, STRONG, Scalability
from dse.space import Space
from hwmodels import VARIANTS
from hwmodels.evaluate import model
from hwmodels.fleet.strong import Shares, shares, strong_throughput
from hwmodels.quantity import structure
from hwmodels.relax import EXACT, Relax
from hwmodels.workloads.numeric import Operations
from hwmodels.workloads.workload import Workload

CHUNK = 16384  # designs a call: intermediates stay in the second-level cache
FILTER_POINTS = 32  # archive points compared on the device; more cost more than they drop


@dataclass(frozen=True)
class Options:
    """How a sweep or search evaluates: launch cost and residency, as in `hwmodels.evaluate`, and
    what the third axis of its fronts measures."""

    runtime: str = "graph"
    residency: str = "warm"
    scalability: Scalability = S80

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The front's axes."""
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
        self.table = jax.jit(self._table)
        self.sample = jax.jit(self._sample, static_argnames="count")
        self.programs: dict[Any, Any] = {}  # further compiled programs, by their settings

    def trace(self, workload: Workload) -> Trace:
        """The workload's arrays at this structure's number formats."""
        cls = VARIANTS[self.space.variant]
        settings = {**dict(self.space.fixed), **self.static}
        chip = cls().replace(**{k: v for k, v in settings.items() if k in structure(cls)})
        strong = self.objectives[-1].column == STRONG
        parts = shares(chip, workload, self._options.residency) if strong else None
        return Trace(workload.at_format(chip.widths), parts)

    def one(
        self,
        values: dict[str, Any],
        trace: Trace,
        relax: Relax = EXACT,
        stacked: bool = False,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Readings and margins (limits of physics, then budgets) of one design."""
        chip, fleet = self.space.build(values, self.static)
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

    def _table(
        self, values: dict[str, Any], valid: Any, trace: Trace, archive: Any
    ) -> dict[str, Any]:
        """Designs of `values` (each of shape (n,)); `valid` masks padding; `archive` (k, 3)."""
        readings, margins = jax.vmap(lambda v: self.one(v, trace))(values)
        points = jnp.stack(self.points(readings), axis=-1)
        # Padding must neither survive nor count.
        stacked = jnp.where(valid, jnp.stack(list(margins.values())), -jnp.inf)
        worst = stacked.min(axis=0)
        return {
            "readings": readings,
            "points": points,
            "keep": (worst >= 0) & ~dominated(points, archive),
            "feasible": jnp.sum(worst >= 0),
            "met": jnp.sum(stacked >= 0, axis=1),
            "best": stacked.max(axis=1),
            "nearest": stacked[:, jnp.argmax(worst)],
        }

    def _sample(self, start: Any, seed: Any, count: int) -> dict[str, Any]:
        """Values of the designs `start` to `start + count`, whatever the chunking.

        Counter-based: each coordinate is a hash of (seed, design, axis), murmur3's finaliser
        (Appleby, 2011), so a design's values depend on its index only.
        """
        index = _mix(jnp.arange(count, dtype=jnp.uint32) + start ^ _mix(seed))
        columns = [
            (_mix(index + jnp.uint32((axis + 1) * 0x9E3779B9 % 2**32)) >> 8) * jnp.float32(2**-24)
            for axis in range(len(self.space.numeric))
        ]
        return self.space.values(jnp.stack(columns, axis=-1))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The front's axes."""
        return self._options.objectives

    def points(self, readings: dict[str, Any]) -> tuple[Any, ...]:
        """The objectives of readings, minimised."""
        return tuple(readings[o.column] * (-1.0 if o.maximise else 1.0) for o in self.objectives)

    def labels(self, trace: Trace) -> tuple[str, ...]:
        """Names of the margins, in the order of `met`, `best` and `nearest`."""
        if "labels" not in self.programs:
            one = {p.name: jnp.float32(1.0) for p in self.space.numeric}
            self.programs["labels"] = tuple(jax.eval_shape(self.one, one, trace)[1])
        return self.programs["labels"]


@functools.lru_cache(maxsize=64)
def _cached(
    space: Space, static: tuple[tuple[str, str], ...], training: bool, options: Options
) -> Evaluator:
    return Evaluator(space, dict(static), training, options)


def evaluator(space: Space, static: dict[str, str], training: bool, options: Options) -> Evaluator:
    """The evaluator of a structure; compiled programs are reused across calls and workloads."""
    return _cached(space, tuple(static.items()), training, options)


def dominated(points: Any, archive: Any) -> Any:
    """Mask of the points that some archive point beats; equal points pass (see `Archive`)."""

    def beat(beaten: Any, row: Any) -> tuple[Any, None]:
        no_worse = (row <= points).all(axis=1)
        return beaten | (no_worse & (row < points).any(axis=1)), None

    return jax.lax.scan(beat, jnp.zeros(points.shape[0], bool), archive)[0]


def no_archive(dimensions: int = len(OBJECTIVES)) -> np.ndarray:
    """An archive subset that drops nothing."""
    return np.full((FILTER_POINTS, dimensions), np.inf, np.float32)


def _mix(x: Any) -> Any:
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
