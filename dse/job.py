"""A sweep as data: which designs, on what; and the units of work that it falls into.

A `Job` can be sent to another process: it builds what it needs there. Its units are independent,
so they may be done in any order, by any machine, twice or again after a crash; `Job.run` does one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dse.archive import Archive, Survivors
from dse.costing import CHUNK, Costing, costing
from dse.evaluating import Options, evaluator
from dse.factorised import BLOCK, Factorised
from dse.sampling import Grid, Sampling, Table
from dse.screening import SIEVE_POINTS, filtering
from dse.sources import CHUNK as SCREENED
from dse.sources import Given, Sequence, Source, compile_both
from dse.space import Space
from dse.survivors import as_table, columns_of, keep
from hwmodels.workloads.workload import Workload

UNIT = 2**25  # designs of a unit: about a second
KNOWN = 4096  # points of the front that a unit is told of


class Case(NamedTuple):
    """One structure of one space: its designs are `first` to `first + designs` of the job."""

    space: Space
    static: dict[str, str]
    first: int
    designs: int


class Unit(NamedTuple):
    """Part `part` of `parts` of a case."""

    case: int
    part: int
    parts: int


class Found(NamedTuple):
    """What a unit adds: its designs that the known ones do not beat, how many met all limits, and
    how many there were."""

    survivors: Survivors
    feasible: int
    designs: int


@dataclass(frozen=True)
class Job:
    """Spaces (each structure by itself) on a workload, under `sampling`.

    chunk: designs a call of the screens; filter_points: archive points in them; by default what
    the source thinks best. They change the speed, never the result.
    """

    spaces: tuple[Space, ...]
    workload: Workload
    sampling: Sampling
    options: Options = Options()
    chunk: int | None = None
    filter_points: int | None = None

    @functools.cached_property
    def cases(self) -> tuple[Case, ...]:
        """Every structure of every space, in order."""
        both = [(space, static) for space in self.spaces for static in space.structures()]
        sizes = self.sampling.sizes(both)
        starts = np.cumsum([0, *sizes])
        return tuple(
            Case(space, static, int(start), size)
            for (space, static), start, size in zip(both, starts, sizes, strict=False)
        )

    @property
    def designs(self) -> int:
        """Designs of all cases."""
        return sum(case.designs for case in self.cases)

    def units(self, workers: int) -> list[Unit]:
        """The units of work, at least as many as `workers` where they are worth it."""
        made = []
        for number, case in enumerate(self.cases):
            least = -(-workers // len(self.cases)) if case.designs > 2 * BLOCK else 1
            parts = max(-(-case.designs // UNIT), least)
            made += [Unit(number, part, parts) for part in range(parts) if case.designs]
        return made

    def costing(self, number: int) -> Costing:
        """The programs of a case."""
        case = self.cases[number]
        engine = evaluator(case.space, case.static, self.workload.training, self.options)
        return costing(engine, self.workload)

    @functools.cached_property
    def _sources(self) -> dict[int, Source]:
        return {}

    def source(self, number: int) -> Source:
        """The designs of a case."""
        costs = self.costing(number)
        with costs.lock:
            if number not in self._sources:
                made = self._source(costs, number)
                compile_both(costs, made, self.filter_points or made.filter_points)
                self._sources[number] = made
            return self._sources[number]

    def _source(self, costs: Costing, number: int) -> Source:
        case, sampling = self.cases[number], self.sampling
        if isinstance(sampling, Grid):
            return Factorised(costs, sampling.axes(case.space), self.chunk or BLOCK)
        if isinstance(sampling, Table):
            return Given(costs, sampling.columns(case.space, case.static), self.chunk or SCREENED)
        return Sequence(
            costs, sampling.sampler, sampling.seed + number, case.designs, self.chunk or SCREENED
        )

    def labels(self, number: int, designs: np.ndarray) -> np.ndarray:
        """Numbers in the job of the designs of a case; in a table, its rows."""
        case = self.cases[number]
        if isinstance(self.sampling, Table):
            return self.sampling.rows(case.space, case.static)[designs]
        return case.first + designs

    def run(
        self,
        unit: Unit,
        known: Survivors | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> Found:
        """Do one unit. `known`: designs of the case found before; `report(designs done, held)`."""
        costs, source = self.costing(unit.case), self.source(unit.case)
        archive = Archive(len(self.options.objectives))
        waiting, sieve = np.empty(0, np.int64), None
        most = self.filter_points or source.filter_points

        def cost(designs: np.ndarray) -> None:
            # Padded: one compilation.
            costed = costs.table(source.values(np.resize(designs, CHUNK)))
            costed.feasible[len(designs) :] = False
            labels = self.labels(unit.case, np.resize(designs, CHUNK))
            keep(archive, costs, costed, labels, sieve, foreign=False)

        # A spread of all designs fills the filters before the first block.
        cost(np.unique(np.linspace(0, source.designs - 1, CHUNK).astype(np.int64)))
        if known is not None:
            archive.add(known.points, known.indices, _foreign(costs, len(known.indices)))
        sieve = filtering(archive, SIEVE_POINTS)
        subset = sieve[:most]
        begin = unit.part * source.blocks // unit.parts
        blocks = range(begin, (unit.part + 1) * source.blocks // unit.parts)
        feasible = done = 0
        for count, block in enumerate(blocks, 1):
            screened = source.screen(block, subset)
            feasible, done = feasible + screened.feasible, done + screened.designs
            waiting = np.concatenate([waiting, screened.numbers])
            while len(waiting) >= CHUNK:
                cost(waiting[:CHUNK])
                waiting = waiting[CHUNK:]
            if refreshes(count) and count < len(blocks):
                sieve = filtering(archive, SIEVE_POINTS)
                subset = sieve[:most]
            if report is not None:
                report(done, archive.size)
        if len(waiting):
            cost(waiting)
        indices, points, payload = archive.finish()
        own = ~payload.pop("foreign") if payload else np.zeros(0, bool)
        kept = {name: column[own] for name, column in payload.items()}
        return Found(Survivors(indices[own], points[own], kept), feasible, done)

    def table(self, number: int, survivors: Survivors) -> pd.DataFrame:
        """Designs of a case as a table: variant, number, parameters, metrics."""
        case = self.cases[number]
        return as_table(case.space, case.static, survivors, "sweep")

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}


def _foreign(costs: Costing, count: int) -> dict[str, np.ndarray]:
    blank = {name: np.zeros(count, np.float32) for name in columns_of(costs)}
    return {**blank, "foreign": np.ones(count, bool)}


def refreshes(blocks: int) -> bool:
    """Whether the points that filter are chosen again after so many blocks: 1, 4, 16, ..."""
    return blocks & (blocks - 1) == 0 and blocks.bit_length() % 2 == 1


def known_points(archive: Archive) -> Survivors:
    """What a unit is told of an archive: at most `KNOWN` of its designs, without the payload."""
    indices, points, _ = archive.finish()
    spread = np.unique(np.linspace(0, len(indices) - 1, min(KNOWN, len(indices))).astype(int))
    return Survivors(indices[spread], points[spread], {})
