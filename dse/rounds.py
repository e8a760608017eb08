"""The gradient search of one structure: its archive, and the rounds that add to it.

A round explores: it takes preferences spread over the objectives, starts each at the best design
known for it, and descends all together (`dse.descent`); points of each path are rounded to
buildable designs and costed exactly. It polishes: neighbours of the front (`dse.polishing`) are
costed. And it settles: designs of the front descend with all that is discrete held still.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

import moocore
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

NAMED = 8  # bytes of a design's hash
BATCH = 1024  # designs a call of the costing's program
STARTS = 16  # side by side, in each descent
STRANGERS = 4  # of those that explore: they start anywhere
EXPLORED, POLISHES = 0.15, 8  # share of a round that explores, and how many steps polish
DISCRETE = 0.05, 4  # likewise where nothing is continuous: neighbours find more there than slopes
LOOKED = 2  # points of a settling path that are costed
LENT, OWN = 48, 16  # parents of a step's neighbours: of the variant's front, and of the structure's
LEAST = 4 * STARTS * KEPT  # evaluations of a round: exploring and settling, at their shortest
TRIED, APPROACH = 8, 64  # relaxed designs near limits that no sample meets, and steps from there
SNAP = 0.02  # of a range, from where a path is taken to its end
LEAST_SHARE = 0.02  # of a preference, so that no objective is forgotten altogether
CROWD = {4: 128, 5: 64}  # designs, by objectives, that are compared by hypervolume: 2 ms
DIRECTIONS = 4096  # of an estimated hypervolume
BEYOND = 1.1  # the reference point of hypervolumes, in the front's extents from its ideal

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

    def drawn(self, count: int, rng: np.random.Generator) -> Known:
        """`count` of the designs, each as likely as it alone adds to the hypervolume: where the
        front ends or has gaps, there is most to find. Of more than three objectives, whose
        hypervolumes take long, among some of the designs."""
        m = self.logs.shape[1]
        among = np.arange(len(self.logs))
        if m > 3 and len(among) > CROWD[m]:
            among = rng.choice(among, CROWD[m], replace=False)
        scaled = (self.logs[among] - self.ideal) / self.extent
        alone = moocore.hv_contributions(scaled, ref=np.full(m, BEYOND))
        share = np.maximum(alone, 0.0) + 1e-12
        rows = among[rng.choice(len(share), count, p=share / share.sum())]
        return Known(self.values[rows], self.logs[rows])

    def volume(self, box: Known) -> float:
        """What the designs dominate of the box that `box` spans; of more than three objectives
        an estimate, that never falls as designs are added."""
        scaled = (self.logs - box.ideal) / box.extent
        corner = np.full(scaled.shape[1], BEYOND)
        if scaled.shape[1] > 3:
            return float(moocore.hv_approx(scaled, ref=corner, nsamples=DIRECTIONS))
        return float(moocore.hypervolume(scaled, ref=corner))


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
        self.discrete = np.array([p.steps is not None for p in self.parameters])
        self.settles = not self.discrete.all()
        self.seen: set[bytes] = set()  # hashes of the designs costed so far
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

    def drawn(self, count: int) -> np.ndarray:
        """Uniform random designs (n, P)."""
        u = self.rng.random((count, len(self.parameters)))
        columns = [np.asarray(p.value(u[:, i])) for i, p in enumerate(self.parameters)]
        return np.stack(columns, axis=1)

    def adopt(self, columns: dict[str, np.ndarray]) -> None:
        """Designs found before, columns by name."""
        self.cost(np.stack([columns[p.name] for p in self.parameters], axis=1))

    def cost(self, values: np.ndarray) -> None:
        """Cost those of buildable designs (n, P) exactly that are new."""
        values = values.astype(np.float32)
        new = []
        for i, row in enumerate(values):
            name = blake2b(row, digest_size=NAMED).digest()
            if name not in self.seen:
                self.seen.add(name)
                new.append(i)
        if not new:
            return
        values = values[new]
        columns = {p.name: values[:, i] for i, p in enumerate(self.parameters)}
        costed = self.costs.table(columns, BATCH)
        keep(self.archive, self.costs, costed, self.candidates + np.arange(len(values)))
        self.candidates += len(values)
        if self.observe is not None:
            points = np.stack(self.engine.points(costed.readings), axis=1)
            self.observe(points[costed.feasible], len(values))

    def known(self) -> Known:
        """The front so far."""
        _, points, payload = self.archive.finish()
        values = np.stack([payload[f"{VALUE}{p.name}"] for p in self.parameters], axis=1)
        return Known(values, np.sign(points) * np.log(np.abs(points)))

    def stages(self, evaluations: int) -> list[Callable[[Known], None]]:
        """A round of at most `evaluations` (>= `LEAST`), in steps that each take what is then known
        of the variant: another structure's designs may be good in this one too."""
        explored, polishes = (EXPLORED, POLISHES) if self.settles else DISCRETE
        steps = max(int(explored * evaluations) // STARTS - KEPT, KEPT) // KEPT * KEPT
        left = evaluations - STARTS * (steps + KEPT)
        count = (left - self.settles * STARTS * (KEPT + LOOKED)) // polishes
        half = [partial(self.polish, count)] * (polishes // 2)
        return [partial(self.explore, steps), *half, *[self.settle] * self.settles, *half]

    def explore(self, steps: int, known: Known) -> None:
        """Descend with all numbers free, by preferences spread over the objectives; most start at
        the best design known for theirs, some anywhere, as a front may have parts not seen yet."""
        weights = self.preferences(STARTS) / known.extent
        begin = known.best(weights)
        strange = self.rng.permutation(STARTS)[:STRANGERS]
        begin[strange] = self.drawn(STRANGERS)
        self.descend(Starts(begin, np.zeros(begin.shape, bool), weights, known.ideal), steps)

    def settle(self, known: Known) -> None:
        """Descend from designs of the front towards the ideal, what is discrete held."""
        values, logs = self.known().drawn(STARTS, self.rng)
        weights = 1.0 / np.maximum(logs - known.ideal, LEAST_SHARE * known.extent)
        weights /= (weights * known.extent).sum(axis=1, keepdims=True)
        held = np.tile(self.discrete, (STARTS, 1))
        self.descend(Starts(values, held, weights, known.ideal), KEPT, LOOKED)

    def polish(self, count: int, known: Known) -> None:
        """Cost neighbours of the variant's front, and of this structure's own."""
        parents = [f.drawn(n, self.rng).values for f, n in ((known, LENT), (self.known(), OWN))]
        rows = self.rng.permutation(np.concatenate(parents))
        self.cost(neighbours(self.parameters, rows, count, self.rng))

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
            self.descend(Starts(values, held, weights, np.zeros(m)), APPROACH)
        return found

    def preferences(self, count: int) -> np.ndarray:
        """`count` weights (s, m): corners, and points of the simplex, most of them near its rim."""
        m = len(self.engine.objectives)
        shares = self.rng.dirichlet(np.full(m, 0.5), count)
        shares[:m] = np.eye(m)
        weights = 1.0 / np.maximum(shares, LEAST_SHARE)
        return weights / weights.sum(axis=1, keepdims=True)

    def descend(self, starts: Starts, steps: int, looked: int = KEPT) -> None:
        """Cost what the paths pass, rounded: `looked` points of each; all of them where the path
        explores, fewer where it settles."""
        path = self.descent.run(starts, steps)
        path = path[KEPT // looked - 1 :: KEPT // looked]
        self.gradients += len(starts.values) * steps
        if self.observe is not None:
            none = np.empty((0, starts.weights.shape[1]))
            self.observe(none, len(starts.values) * steps)
        rounded = np.stack([
            path[..., i] if p.kind == "choice" else p.buildable(_snapped(p, path[..., i]))
            for i, p in enumerate(self.parameters)
        ], axis=-1)  # fmt: skip
        self.cost(rounded.reshape(-1, rounded.shape[-1]))


def _snapped(parameter: Parameter, values: np.ndarray) -> np.ndarray:
    """A sigmoid comes near to a bound, never there; optima often lie on one."""
    u = parameter.coordinate(values)
    values = np.where(u < SNAP, parameter.low, values)
    return np.where(u > 1.0 - SNAP, parameter.high, values)
