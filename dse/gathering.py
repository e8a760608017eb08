"""Putting the results of units together: archives of all structures, and the fronts they make."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dse.archive import Archive, Survivors
from dse.census import Census
from dse.front import Front, Objective
from dse.job import Found, Job, Unit, known_points

EXPLAINED = 2**18  # designs of a structure whose limits are counted when no design meets all


@dataclass(frozen=True, repr=False)
class Sweep:
    """The result of a sweep.

    `front`: the joint exact front; `variant_fronts`: each variant's own front (tables);
    `census`: counts; `designs`, `wall_s`, `designs_per_s` (compilation included).
    """

    front: Front
    variant_fronts: dict[str, Front]
    census: Census
    wall_s: float

    def __repr__(self) -> str:
        return (
            f"Sweep({self.designs:,} designs, {self.census.feasible:,} feasible, "
            f"{len(self.front):,} on the front, {self.wall_s:.1f} s)"
        )

    @property
    def designs(self) -> int:
        """Designs evaluated."""
        return self.census.designs

    @property
    def designs_per_s(self) -> float:
        """Designs per second of wall time."""
        return self.designs / self.wall_s


class Gathering:
    """What the units of a job have found so far."""

    def __init__(self, job: Job):
        self.job = job
        dimensions = len(job.options.objectives)
        self._archives = [Archive(dimensions, job.epsilon) for _ in job.cases]
        self.census = Census()

    def add(self, unit: Unit, found: Found) -> None:
        """The result of a unit, each once, in any order."""
        survivors = found.survivors
        self._archives[unit.case].add(survivors.points, survivors.indices, survivors.payload)
        self.census.merge(Census(found.designs, found.feasible))

    def known(self, case: int) -> Survivors | None:
        """What the next unit of a case is to know; None at first."""
        archive = self._archives[case]
        return known_points(archive) if archive.size else None

    @property
    def size(self) -> int:
        """Designs on the fronts of all structures, or waiting to be merged."""
        return sum(archive.size for archive in self._archives)

    def finish(self, seconds: float) -> Sweep:
        """The fronts. Raises `InputError` if no design meets the limits."""
        job, census = self.job, self.census
        if not census.feasible:
            for number in range(len(job.cases)):
                explain(job, number, census)
            census.check()
        tables: dict[str, list[pd.DataFrame]] = {}
        for number, (case, archive) in enumerate(zip(job.cases, self._archives, strict=True)):
            table = job.table(number, archive.finish())
            tables.setdefault(case.space.variant, []).append(table)
        own = {variant: pd.concat(parts, ignore_index=True) for variant, parts in tables.items()}
        joint, variant_fronts = fronts_of(own, job.options.objectives)
        return Sweep(joint, variant_fronts, census, seconds)


def fronts_of(
    tables: dict[str, pd.DataFrame], objectives: tuple[Objective, ...]
) -> tuple[Front, dict[str, Front]]:
    """The joint front of several variants' tables, ties to the smallest design index, and the
    variants' own."""
    filled = {variant: table for variant, table in tables.items() if len(table)}
    everything = pd.concat(filled.values(), ignore_index=True)
    ordered = everything.sort_values("design", kind="stable", ignore_index=True)
    own = {variant: Front.from_table(table, objectives) for variant, table in filled.items()}
    joint = Front.from_table(ordered, objectives)
    return dataclasses.replace(joint, own={v: front.table for v, front in own.items()}), own


def explain(job: Job, number: int, census: Census) -> None:
    """Count the limits of a spread of a case, none of whose designs meets all."""
    source, costs = job.source(number), job.costing(number)
    spread = np.unique(
        np.linspace(0, source.designs - 1, min(EXPLAINED, source.designs)).astype(np.int64)
    )
    for begin in range(0, len(spread), EXPLAINED // 8):
        designs = spread[begin : begin + EXPLAINED // 8]
        margins = costs.margins(source.values(np.resize(designs, EXPLAINED // 8)))
        census.explain({name: margin[: len(designs)] for name, margin in margins.items()})
