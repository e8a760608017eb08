"""The gradient search of one structure: its archive, and the rounds that add to it.

A round takes preferences spread over the objectives, starts each at the best design known for it,
and descends all together (`dse.descent`). The best points of each path are rounded to buildable
designs and costed exactly; each start's best then settles: what is discrete holds still while the
continuous numbers descend again. Neighbours of the front (`dse.polishing`) use up the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import qmc

from dse.archive import Archive
from dse.costing import costing
from dse.descent import KEPT, Starts, descent
from dse.evaluating import Evaluator
from dse.polishing import neighbours
from dse.prices import Nearest, nearest
from dse.survivors import VALUE, keep
from hwmodels.workloads.workload import Workload

STARTS = 16  # side by side, in each round
POLISHED, POLISHES = 0.6, 4  # share of a round, and in how many steps
LEAST = 4 * STARTS * KEPT  # evaluations of a round: two paths, and their points
TRIED, APPROACH = 8, 64  # relaxed designs near limits that no sample meets, and steps from there
LEAST_SHARE = 0.02  # of a preference, so that no objective is forgotten altogether

Observe = Callable[[np.ndarray, int], None]


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

    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Values (r, P) and log-objectives (r, m) of the front so far."""
        _, points, payload = self.archive.finish()
        values = np.stack([payload[f"{VALUE}{p.name}"] for p in self.parameters], axis=1)
        return values, np.sign(points) * np.log(np.abs(points))

    def round(self, evaluations: int, ideal: np.ndarray, extent: np.ndarray) -> None:
        """Descend, settle and polish, with at most `evaluations` (>= `LEAST`) altogether."""
        polished = min(int(POLISHED * evaluations), evaluations - LEAST)
        paths = (evaluations - polished) // (STARTS * KEPT) - 2
        steps = (paths - paths // 3) * KEPT, paths // 3 * KEPT
        weights = self.preferences() / extent
        values, logs = self.known()
        far = np.max(weights[:, None] * (logs - ideal), axis=2)
        begin = values[np.argmin(far, axis=1)]
        held = np.zeros(begin.shape, bool)
        best = self.descend(Starts(begin, held, weights, ideal), steps[0])
        held[:] = [p.steps is not None for p in self.parameters]
        if not held.all():
            self.descend(Starts(best, held, weights, ideal), steps[1], settled=True)
        for _ in range(POLISHES):
            designs = self.spread()
            self.cost(neighbours(self.parameters, designs, polished // POLISHES, self.rng))

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

    def preferences(self) -> np.ndarray:
        """`STARTS` weights (s, m): corners, and points spread over the simplex between."""
        m = len(self.engine.objectives)
        shares = self.rng.dirichlet(np.ones(m), STARTS)
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
            path[..., i] if p.kind == "choice" else p.buildable(path[..., i])
            for i, p in enumerate(self.parameters)
        ], axis=-1)  # fmt: skip
        logs = self.cost(rounded.reshape(-1, rounded.shape[-1])).reshape(*rounded.shape[:2], -1)
        far = np.max(starts.weights * (logs - starts.ideal), axis=2)
        chosen = np.argmin(far, axis=0)
        own = np.arange(rounded.shape[1])
        feasible = np.isfinite(far[chosen, own])[:, None]
        return np.where(feasible, rounded[chosen, own], starts.values)

    def spread(self) -> np.ndarray:
        """The front's designs in random order, those that lead on an axis first."""
        values, logs = self.known()
        first = np.unique(np.argmin(logs, axis=0))
        rest = np.setdiff1d(np.arange(len(values)), first)
        return values[np.concatenate([first, self.rng.permutation(rest)])]
