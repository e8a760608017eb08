"""Gradient search for a whole front: descend, round, settle, polish, again from what was found.

Every number of the result is exact; gradients only propose (`dse.rounds`). Structures are searched
side by side; those whose designs have all left their variant's front get no further rounds, and a
search ends early when rounds stop paying.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd

from dse.evaluating import Options, evaluator
from dse.front import Front, non_dominated
from dse.gathering import Sweep, fronts_of
from dse.rounds import LEAST, Known, Observe, StructureSearch
from dse.sampling import Table
from dse.space import Space
from dse.survivors import as_table
from dse.sweeping import WORKERS
from hwmodels import InputError
from hwmodels.workloads.workload import Workload

ROUNDS = 6  # about, with
ROUND = (2400, 9600)  # evaluations, at least and at most, of each structure
SAMPLED = 0.1  # of the evaluations, where nothing is known to begin with
APPROACHING = 0.4  # at most, where no sample meets the limits
ROUNDED = 1e-3  # a miss that is none
PATIENCE, TOLERANCE = 6, 1e-5  # rounds that together must add this much to the fronts' volume


class Keeper(Protocol):
    """What `dse.checkpoint.Checkpoint` does."""

    def restore(
        self, cases: Sequence[StructureSearch], volumes: list[float], boxes: dict[str, Known]
    ) -> bool:
        """Put a search where it stood; False if there is nothing."""

    def write(
        self, cases: Sequence[StructureSearch], volumes: list[float], boxes: dict[str, Known]
    ) -> None:
        """Note where it stands."""


@dataclass(frozen=True, repr=False)
class Search:
    """The result of `search`.

    `front`: the joint front; `variant_fronts`: each variant's own. `gradients`: gradient
    evaluations; `candidates`: buildable designs costed exactly; `evaluations`: both.
    """

    front: Front
    variant_fronts: dict[str, Front]
    gradients: int
    candidates: int
    wall_s: float

    def __repr__(self) -> str:
        return (
            f"Search({self.evaluations:,} evaluations, {len(self.front):,} on the front, "
            f"{self.wall_s:.1f} s)"
        )

    @property
    def evaluations(self) -> int:
        """Designs evaluated, with or without a gradient."""
        return self.gradients + self.candidates


def search(
    space: Space | Sequence[Space],
    workload: Workload,
    *,
    evaluations: int = 20_000,
    start: Sweep | pd.DataFrame | None = None,
    seed: int = 0,
    optimizer: str = "adam",
    learning_rate: float = 0.3,
    options: Options | None = None,
    observe: Observe | None = None,
    progress: Callable[[int, int], None] | None = None,
    checkpoint: Keeper | None = None,
) -> Search:
    """Search spaces for their fronts by gradient, at most `evaluations` in all.

    With `start`, designs in a table or the fronts of a sweep of the same spaces, these are
    improved: only structures that hold some of them are searched, and none is lost to a worse.
    `observe(points, evaluations)` is told of every batch: objectives (minimised) of its designs
    that meet all limits, and how many were evaluated; `progress(done, total)` counts evaluations;
    `checkpoint` (`dse.checkpoint`) is written after every round, and gone on from if it exists.

    Raises:
      InputError: too few evaluations for a round of every structure, an unknown optimiser, a
        learning rate that is not positive, no design that meets the limits.
    """
    spaces = [space] if isinstance(space, Space) else list(space)
    options, begin = options or Options(), time.perf_counter()
    structures = [(s, static) for s in spaces for static in s.structures()]
    given, first = _given(start), start.designs if isinstance(start, Sweep) else 0
    if given is not None:
        given.sizes(structures)
        structures = [pair for pair in structures if len(given.rows(*pair))]
    if evaluations < fewest(len(structures)):
        least = f"allowed: >= {fewest(len(structures))}, {fewest(1)} for each structure"
        raise InputError("evaluations", evaluations, least)
    share = evaluations // len(structures)

    told = None if observe is None else _one_at_a_time(observe)

    def make(i: int) -> StructureSearch:
        space, static = structures[i]
        engine = evaluator(space, static, workload.training, options)
        return StructureSearch(engine, workload, seed + 1000 * i, told, optimizer, learning_rate)

    def begin_with(i: int) -> None:
        if given is None:
            cases[i].cost(cases[i].points(int(SAMPLED * share)))
        else:
            cases[i].adopt(given.columns(*structures[i]))

    with ThreadPoolExecutor(WORKERS) as pool:  # what compiles
        cases = list(pool.map(make, range(len(structures))))
        boxes: dict[str, Known] = {}
        volumes: list[float] = []
        if checkpoint is None or not checkpoint.restore(cases, volumes, boxes):
            list(pool.map(begin_with, range(len(structures))))
        if not any(case.archive.size for case in cases):
            _approach(cases, int(APPROACHING * share))
        while True:
            left = evaluations - sum(case.evaluations for case in cases)
            alive = _alive(cases)
            if progress is not None:
                progress(evaluations - left, evaluations)
            volumes.append(sum(_volume(group, boxes) for group in alive))
            flat = len(volumes) > PATIENCE and volumes[-1] < volumes[-1 - PATIENCE] + TOLERANCE
            count = sum(map(len, alive))
            if flat or left < LEAST * count:
                break
            size = int(np.clip(evaluations // (ROUNDS * count), *ROUND))
            _round(alive, left // max(left // (size * count), 1) // count, pool)
            if checkpoint is not None:
                checkpoint.write(cases, volumes, boxes)
    return _result(cases, options, first, begin)


def _round(alive: list[list[StructureSearch]], each: int, pool: ThreadPoolExecutor) -> None:
    """A round of all structures, `each` evaluations in every one. They meet at each stage."""
    stages = [[case.stages(each) for case in group] for group in alive]
    for stage in range(max(len(steps) for group in stages for steps in group)):
        due = [
            partial(steps[stage], known)
            for group, known in zip(stages, map(_joint, alive), strict=True)
            for steps in group
            if stage < len(steps)
        ]
        if stage:
            for step in due:
                step()
        else:  # the longest, and the first time it compiles
            list(pool.map(lambda step: step(), due))


def _one_at_a_time(observe: Observe) -> Observe:
    lock = threading.Lock()

    def told(points: np.ndarray, evaluations: int) -> None:
        with lock:
            observe(points, evaluations)

    return told


def fewest(structures: int) -> int:
    """Evaluations with which `structures` can each have a round."""
    return 2 * LEAST * structures


def _given(start: Sweep | pd.DataFrame | None) -> Table | None:
    """The designs to begin with, checked when they are read."""
    if isinstance(start, Sweep):
        fronts = [front.table for front in start.variant_fronts.values()]
        return Table(pd.concat(fronts, ignore_index=True))
    return None if start is None else Table(start)


def _approach(cases: Sequence[StructureSearch], evaluations: int) -> None:
    """Where no sample meets the limits, go there from outside; `InputError` if none arrives."""
    near = [case.approach(evaluations) for case in cases]
    if not any(case.archive.size for case in cases):
        best = min(near, key=lambda found: found.miss)
        missed = f"the nearest misses by {max(best.miss, 0.0):.2%}"
        if best.miss < ROUNDED:
            missed = "they were met only by numbers that need not be whole"
        raise InputError(
            "limits", f"no design that meets all: {missed}, held by {best.held_by}",
            f"allowed: limits that some design meets; the nearest is {best.design}",
        )  # fmt: skip


def _alive(cases: Sequence[StructureSearch]) -> list[list[StructureSearch]]:
    """By variant, the cases with designs on its front."""
    variants: dict[str, list[StructureSearch]] = {}
    for case in cases:
        if case.archive.size:
            variants.setdefault(case.engine.space.variant, []).append(case)
    alive = []
    for group in variants.values():
        points = [case.archive.finish().points for case in group]
        mask = non_dominated(np.concatenate(points))
        cuts = np.cumsum([len(p) for p in points])[:-1]
        alive.append([c for c, on in zip(group, np.split(mask, cuts), strict=True) if on.any()])
    return alive


def _joint(group: Sequence[StructureSearch]) -> Known:
    """A variant's front so far."""
    parts = [case.known() for case in group]
    values, logs = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    kept = non_dominated(logs)
    return Known(values[kept], logs[kept])


def _volume(group: Sequence[StructureSearch], boxes: dict[str, Known]) -> float:
    """What a variant's front dominates of the box that its first front spanned, in logarithms."""
    now = _joint(group)
    box = boxes.setdefault(group[0].engine.space.variant, now)
    return now.volume(box)


def _result(cases: Sequence[StructureSearch], options: Options, first: int, begin: float) -> Search:
    tables: dict[str, list[pd.DataFrame]] = {}
    for case in cases:
        table = as_table(case.engine.space, case.engine.static, case.archive.finish(), "gradient")
        if len(table):
            table["design"] += first
            tables.setdefault(case.engine.space.variant, []).append(table)
        first += case.candidates
    own = {variant: pd.concat(parts, ignore_index=True) for variant, parts in tables.items()}
    joint, variant_fronts = fronts_of(own, options.objectives)
    return Search(
        front=joint,
        variant_fronts=variant_fronts,
        gradients=sum(case.gradients for case in cases),
        candidates=sum(case.candidates for case in cases),
        wall_s=time.perf_counter() - begin,
    )
