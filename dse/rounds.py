"""The gradient search of one structure: its archive, and the rounds that add to it.

A round takes preferences spread over the objectives, starts each at the best design known for it,
and descends all together (`dse.descent`). The best points of each path are rounded to buildable
designs and costed exactly; each start's best then settles: what is discrete holds still while the
continuous numbers descend again. Neighbours of the front (`dse.polishing`) use up the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import qmc

from dse.archive import Archive
from dse.costing import costing
from dse.descent import KEPT, Starts, descent
from dse.evaluating import Evaluator
from dse.parameter import Parameter
from dse.polishing import neighbours
from dse.prices import Nearest, nearest
from dse.survivors import VALUE, keep
from hwmodels.workloads.workload import Workload

STARTS = 16  # side by side, in each round
POLISHED, POLISHES = 0.6, 8  # share of a round, and in how many steps
LEAST = 4 * STARTS * KEPT  # evaluations of a round: two paths, and their points
TRIED, APPROACH = 8, 64  # relaxed designs near limits that no sample meets, and steps from there
SNAP = 0.02  # of a range, from where a path is taken to its end
PARENTS = 64  # preferences whose best designs are polished
LEAST_SHARE = 0.02  # of a preference, so that no objective is forgotten altogether

Observe = Callable[[np.ndarray, int], None]


class Known(NamedTuple):
    """Designs: `values` (r, P) and log-objectives (r, m), minimised."""

    values: np.ndarray
    logs: np.ndarray

    @property
    def ideal(self) -> np.ndarray:
        """The best of each objective (m,)."""
        return self.logs.min(axis=0)

    @property
    def extent(self) -> np.ndarray:
        """From there to the worst (m,)."""
        return np.maximum(np.ptp(self.logs, axis=0), 1e-3)

    def best(self, weights: np.ndarray) -> np.ndarray:
        """The design nearest to the ideal by each of `weights` (s, m): (s, P)."""
        far = np.max(weights[:, None] * (self.logs - self.ideal), axis=2)
        return self.values[np.argmin(far, axis=1)]


class StructureSearch:
    """The search of one structure of a space."""

    def __init__(self, engine: Evaluator, workload: Workload, seed: int, observe: Observe | None,
                 optimizer: str, learning_rate: float):  # fmt: skip
        self.engine, self.costs = engine, costing(engine, workload)
        self.parameters = engine.space.numeric
        self.archive = Archive(len(engine.objectives))
        self.rng = np.random.default_rng(seed)
        self.descent = descent(self.costs, optimizer, learning_rate)
        self.observe = observe
        self.gradients = self.candidates = 0

    @property
    def evaluations(self) -> int:
        """Designs evaluated so far."""
        return self.gradients + self.candidates

    def points(self, count: int) -> np.ndarray:
        """Designs (n, P) of Sobol's sequence."""
        sampler = qmc.Sobol(len(self.parameters), rng=self.rng)
        u = sampler.random_base2(int(np.ceil(np.log2(max(count, 2)))))[:count]
        columns = [np.asarray(p.value(u[:, i])) for i, p in enumerate(self.parameters)]
        return np.stack(columns, axis=1)

    def adopt(self, columns: dict[str, np.ndarray]) -> None:
        """Designs found before, columns by name."""
        self.cost(np.stack([columns[p.name] for p in self.parameters], axis=1))

    def cost(self, values: np.ndarray) -> np.ndarray:
        """Cost buildable designs (n, P) exactly; log-objectives (n, m), infinite if infeasible."""
        columns = {p.name: values[:, i].astype(np.float32) for i, p in enumerate(self.parameters)}
        costed = self.costs.table(columns)
        numbers = self.candidates + np.arange(len(values))
        keep(self.archive, self.costs, costed, numbers)
        self.candidates += len(values)
        points = np.stack(self.engine.points(costed.readings), axis=1)
        logs = np.sign(points) * np.log(np.abs(points))
        if self.observe is not None:
            self.observe(points[costed.feasible], len(values))
        return np.where(costed.feasible[:, None], logs, np.inf)

    def known(self) -> Known:
        """The front so far."""
        _, points, payload = self.archive.finish()
        values = np.stack([payload[f"{VALUE}{p.name}"] for p in self.parameters], axis=1)
        return Known(values, np.sign(points) * np.log(np.abs(points)))

    def round(self, evaluations: int, known: Known) -> None:
        """Descend, settle and polish, with at most `evaluations` (>= `LEAST`) altogether, from
        what is `known` of the variant: another structure's designs may be good in this one too."""
        polished = min(int(POLISHED * evaluations), evaluations - LEAST)
        paths = (evaluations - polished) // (STARTS * KEPT) - 2
        steps = (paths - paths // 3) * KEPT, paths // 3 * KEPT
        weights = self.preferences(STARTS) / known.extent
        begin = known.best(weights)
        held = np.zeros(begin.shape, bool)
        best = self.descend(Starts(begin, held, weights, known.ideal), steps[0])
        held[:] = [p.steps is not None for p in self.parameters]
        if not held.all():
            self.descend(Starts(best, held, weights, known.ideal), steps[1], settled=True)
        for _ in range(POLISHES):
            count = polished // POLISHES
            parents = self.parents(known)
            self.cost(neighbours(self.parameters, parents, count, self.rng))

    def approach(self, evaluations: int) -> Nearest:
        """Towards the limits from designs that miss them: relaxed designs that miss them least,
        each rounded in many ways, descend until one is inside or `evaluations` are spent."""
        found, m = nearest(self.costs, self.points(TRIED)), len(self.engine.objectives)
        held = np.tile([p.steps is not None for p in self.parameters], (STARTS, 1))
        end = self.evaluations + evaluations
        while not self.archive.size and self.evaluations + STARTS * (APPROACH + KEPT) <= end:
            values = found.values[self.rng.integers(TRIED, size=STARTS)]
            for i, p in enumerate(self.parameters):
                if p.steps is not None and p.kind != "choice":
                    u = p.coordinate(values[:, i]) + self.rng.uniform(-1, 1, STARTS) / p.steps
                    values[:, i] = p.buildable(np.asarray(p.relaxed(np.clip(u, 0.0, 1.0))))
            weights = np.full((STARTS, m), 1e-3)
            self.descend(Starts(values, held, weights, np.zeros(m)), APPROACH, settled=True)
        return found

    def preferences(self, count: int) -> np.ndarray:
        """`count` weights (s, m): corners, and points spread over the simplex between."""
        m = len(self.engine.objectives)
        shares = self.rng.dirichlet(np.ones(m), count)
        shares[:m] = np.eye(m)
        weights = 1.0 / np.maximum(shares, LEAST_SHARE)
        return weights / weights.sum(axis=1, keepdims=True)

    def descend(self, starts: Starts, steps: int, settled: bool = False) -> np.ndarray:
        """Cost what the paths pass, rounded; each start's best design (s, P)."""
        path = self.descent.run(starts, steps, settled)
        self.gradients += len(starts.values) * (-(-steps // KEPT) * KEPT)
        if self.observe is not None:
            none = np.empty((0, starts.weights.shape[1]))
            self.observe(none, len(starts.values) * (-(-steps // KEPT) * KEPT))
        rounded = np.stack([
            path[..., i] if p.kind == "choice" else p.buildable(_snapped(p, path[..., i]))
            for i, p in enumerate(self.parameters)
        ], axis=-1)  # fmt: skip
        logs = self.cost(rounded.reshape(-1, rounded.shape[-1])).reshape(*rounded.shape[:2], -1)
        far = np.max(starts.weights * (logs - starts.ideal), axis=2)
        chosen = np.argmin(far, axis=0)
        own = np.arange(rounded.shape[1])
        feasible = np.isfinite(far[chosen, own])[:, None]
        return np.where(feasible, rounded[chosen, own], starts.values)

    def parents(self, known: Known) -> np.ndarray:
        """Designs to polish: the best of preferences all over the variant's front and over this
        structure's, and as many of this one's at random."""
        own, weights = self.known(), self.preferences(PARENTS)
        chosen = np.unique(own.best(weights / own.extent), axis=0)
        lent = np.unique(known.best(weights / known.extent), axis=0)
        drawn = own.values[self.rng.integers(len(own.values), size=len(chosen))]
        return self.rng.permutation(np.concatenate([chosen, lent, drawn]))


def _snapped(parameter: Parameter, values: np.ndarray) -> np.ndarray:
    """A sigmoid comes near to a bound, never there; optima often lie on one."""
    u = parameter.coordinate(values)
    values = np.where(u < SNAP, parameter.low, values)
    return np.where(u > 1.0 - SNAP, parameter.high, values)
