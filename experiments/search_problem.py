"""A space as every search method of `experiments.search_comparison` sees it, and what it found.

All methods share `Problem`: genes in [0, 1]^P, one for each parameter of the space, structure
among them, decoded to buildable designs and evaluated exactly by the program that sweeps use.
All report to a `Recorder`; hypervolumes are computed afterwards, off the clock.
"""

from __future__ import annotations

import math
import time
from typing import Any

import jax
import moocore
import numpy as np

import dse
from dse.costing import costing
from dse.evaluating import Options, evaluator
from dse.front import Front, non_dominated
from dse.kernel import compiled, loop, strengthened
from dse.space import Space
from hwmodels.workloads.workload import Workload

SIZE = 1024  # designs a call: takes as long as one design, and a twentieth of a sweep's chunk
EXHAUSTIBLE = 4_000_000  # designs; larger spaces, and continuous ones, are sampled instead
BEYOND = 0.1  # the reference point lies so far behind the worst of the front, in its extents


class Problem:
    """Designs of a space on a workload, by genes; all programs are compiled on construction.

    `parameters`: of the space, a gene each, in its order. Of a discrete parameter with k values
    each takes 1 / k of the gene's range.
    """

    def __init__(self, space: Space, workload: Workload):
        self.space, self.workload = space, workload
        self.parameters, self.objectives = space.parameters, Options().objectives
        self.structures = space.structures()
        names = [p.name for p in space.parameters]
        self._numeric = [names.index(p.name) for p in space.numeric]
        self._static = [i for i, name in enumerate(names) if name in self.structures[0]]
        self._programs = [self._compiled(static) for static in self.structures]

    def _compiled(self, static: dict[str, str]) -> Any:
        costs = costing(
            evaluator(self.space, static, self.workload.training, Options()), self.workload
        )
        program = strengthened(costs.program._replace(outputs=costs.objectives()))
        parameters = self.space.numeric

        def run(genes: Any) -> list[Any]:
            values = [p.value(genes[i]) for i, p in enumerate(parameters)]
            return loop(program, SIZE, values)

        made = compiled(run)
        jax.block_until_ready(made(np.full((len(parameters), SIZE), 0.5, np.float32)))
        return made

    def structure(self, genes: np.ndarray) -> np.ndarray:
        """The number, among `structures`, of each design (n,) of `genes` (n, P)."""
        number = np.zeros(len(genes), int)
        for i in self._static:
            steps = len(self.parameters[i].choices)
            number = number * steps + np.clip(genes[:, i] * steps, 0, steps - 1).astype(int)
        return number

    def numeric(self, genes: np.ndarray) -> np.ndarray:
        """The genes (n, p) of `space.numeric`, as its `values` takes them."""
        return np.asarray(genes, np.float32)[:, self._numeric]

    def evaluate(self, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objectives (n, m), minimised, and the worst margin (n,), of `genes` (n, P).

        A design is feasible where the margin is at least 0; one without a finite result has the
        margin -1e6 and the objectives of nothing at all.
        """
        found = np.empty((len(genes), len(self.objectives) + 1), np.float32)
        inner, which = self.numeric(genes), self.structure(genes)
        for number in np.unique(which):
            rows = np.flatnonzero(which == number)
            for begin in range(0, len(rows), SIZE):
                some = rows[begin : begin + SIZE]
                # Always of one shape: one compilation.
                padded = inner[np.resize(some, SIZE)].T
                columns = self._programs[number](padded)
                found[some] = np.stack([np.asarray(c)[: len(some)] for c in columns], axis=1)
        points, margin = found[:, :-1].astype(float), found[:, -1].astype(float)
        broken = ~(np.isfinite(points) & (points != 0)).all(axis=1) | ~np.isfinite(margin)
        worst = [-1e-30 if o.maximise else 1e30 for o in self.objectives]
        points[broken], margin[broken] = worst, -1e6
        return points, margin


class Recorder:
    """What a method found and when; its clock starts on construction.

    `batches`: (seconds, evaluations so far, feasible points (n, m) minimised). A batch that ends
    beyond the budget does not count.
    """

    def __init__(self, budget: int, seconds: float = math.inf):
        self.budget, self.seconds = budget, seconds
        self.evaluations = 0
        self.batches: list[tuple[float, int, np.ndarray]] = []
        self._begin = time.perf_counter()

    def observe(self, points: np.ndarray, evaluations: int) -> None:
        """Note the feasible `points` (n, m) of a batch that took so many evaluations."""
        if self.evaluations + evaluations > self.budget:
            self.evaluations = self.budget
            return
        self.evaluations += evaluations
        self.batches.append(
            (time.perf_counter() - self._begin, self.evaluations, np.array(points, float))
        )

    @property
    def done(self) -> float:
        """The share of the budget or of the seconds that is spent: 1 ends a search."""
        spent = (time.perf_counter() - self._begin) / self.seconds
        return min(max(self.evaluations / self.budget, spent), 1.0)


def evaluated(problem: Problem, recorder: Recorder, genes: np.ndarray) -> tuple[Any, Any]:
    """`problem.evaluate`, with as many of the designs noted as the budget has left."""
    points, margin = problem.evaluate(genes)
    left = min(recorder.budget - recorder.evaluations, len(genes))
    if left:
        recorder.observe(points[:left][margin[:left] >= 0], left)
    return points, margin


def logs(points: np.ndarray) -> np.ndarray:
    """Minimised objectives as logarithms: of -x, where x is to be large, minus that of x."""
    return np.sign(points) * np.log10(np.abs(points))


def front(points: np.ndarray) -> np.ndarray:
    """Those of `points` (n, m), minimised, that no other dominates."""
    return points[non_dominated(points)] if len(points) else points


def hypervolume(points: np.ndarray, corner: np.ndarray) -> float:
    """What the logarithms `points` (n, m), minimised, dominate up to `corner` (m,)."""
    inside = points[(points < corner).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=corner)) if len(inside) else 0.0


def corner_of(points: np.ndarray) -> np.ndarray:
    """The reference point (m,) of a front of logarithms: somewhat behind its worst values."""
    return points.max(axis=0) + BEYOND * np.ptp(points, axis=0)


def running(recorder: Recorder, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hypervolume (b,) after each batch, and the logarithms (n, m) of the final front."""
    held, volumes = np.empty((0, len(corner))), []
    for _, _, points in recorder.batches:
        if len(points):
            held = front(np.concatenate([held, logs(points)]))
        volumes.append(hypervolume(held, corner))
    return np.asarray(volumes), held


def reference(space: Space, workload: Workload, designs: int) -> tuple[np.ndarray, bool]:
    """A front to measure by, logarithms (n, m), and whether it is exact.

    Of every design, where all parameters are discrete and there are few enough; otherwise of
    `designs` random ones.
    """
    steps = [p.steps for p in space.parameters]
    exact = None not in steps and math.prod(steps) <= EXHAUSTIBLE
    if exact:
        result = dse.grid_sweep(space, workload, points=max(2, *steps))
    else:
        result = dse.sweep(space, workload, designs=designs, seed=2**31)
    return logs(_minimised(result.front)), exact


def _minimised(found: Front) -> np.ndarray:
    return np.stack(
        [
            found.table[o.column].to_numpy() * (-1.0 if o.maximise else 1.0)
            for o in found.objectives
        ],
        axis=1,
    )
