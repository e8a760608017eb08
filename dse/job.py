"""A sweep as data: which designs, on what; and the units of work that it falls into.

A `Job` can be sent to another process: it builds what it needs there. Its units are independent,
so they may be done in any order, by any machine, twice or again after a crash; `Job.run` does one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
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
KEPT_UNIT = 2**18  # where all are kept: some 30 MB
PLAIN = 2**20  # designs of a structure that are costed sooner than a screen is compiled
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
    """What a unit adds: its designs that the known ones do not beat, how many met all limits, how
    many there were, and all of them where they are kept."""

    survivors: Survivors
    feasible: int
    designs: int
    everything: pd.DataFrame | None = None


@dataclass(frozen=True)
class Job:
    """Spaces (each structure by itself) on a workload, under `sampling`.

    chunk: designs a call of the screens; filter_points: archive points in them; by default what
    the source thinks best. They change the speed, never the result. keep_all: return every design,
    not only the front's. epsilon: of an approximate front, see `Archive`.
    """

    spaces: tuple[Space, ...]
    workload: Workload
    sampling: Sampling
    options: Options = Options()
    chunk: int | None = None
    filter_points: int | None = None
    keep_all: bool = False
    epsilon: float = 0.0

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
            parts = max(-(-case.designs // (KEPT_UNIT if self.keep_all else UNIT)), least)
            if case.designs <= PLAIN and not self.keep_all:
                parts = 1
            made += [Unit(number, part, parts) for part in range(parts) if case.designs]
        return made

    def costing(self, number: int) -> Costing:
        """The programs of a case."""
        case = self.cases[number]
        engine = evaluator(case.space, case.static, self.workload.training, self.options)
        return costing(engine, self.workload)

    @functools.cached_property
    def _sources(self) -> dict[Any, Source]:
        return {}

    def source(self, number: int) -> Source:
        """The designs of a case, on the device that is used by default."""
        costs, key = self.costing(number), (number, str(jnp.zeros(()).device))
        with costs.lock:
            if key not in self._sources:
                self._sources[key] = self._source(costs, number)
            return self._sources[key]

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
        if self.keep_all:
            return self._run_all(unit, report)
        case, costs, source = self.cases[unit.case], self.costing(unit.case), self.source(unit.case)
        archive = Archive(len(self.options.objectives), self.epsilon)
        plain = unit.parts == 1 and case.designs <= PLAIN
        sieve: np.ndarray | None = None

        def cost(designs: np.ndarray) -> int:
            # Padded: one compilation.
            padded = np.resize(designs, CHUNK)
            costed = costs.table(source.values(padded))
            costed.feasible[len(designs) :] = False
            keep(archive, costs, costed, self.labels(unit.case, padded), sieve, foreign=False)
            return int(np.count_nonzero(costed.feasible))

        def blocks() -> Iterator[tuple[int, int]]:
            """Designs that meet the limits, and designs, of one block after the other."""
            if plain:
                for begin in range(0, case.designs, CHUNK):
                    size = min(CHUNK, case.designs - begin)
                    yield cost(np.arange(begin, begin + size)), size
                return
            waiting = np.empty(0, np.int64)
            begin, end = (source.blocks * p // unit.parts for p in (unit.part, unit.part + 1))
            for block in range(begin, end):
                assert sieve is not None
                numbers, feasible, size = source.screen(block, sieve[:most])
                waiting = np.concatenate([waiting, numbers])
                while len(waiting) >= CHUNK:
                    cost(waiting[:CHUNK])
                    waiting = waiting[CHUNK:]
                yield feasible, size
            if len(waiting):
                cost(waiting)

        if not plain:
            most = self.filter_points or source.filter_points
            with costs.lock:
                compile_both(costs, source, most)
            # A spread of all designs fills the filters before the first block.
            cost(np.unique(np.linspace(0, source.designs - 1, CHUNK).astype(np.int64)))
        if known is not None:
            archive.add(known.points, known.indices, _foreign(costs, len(known.indices)))
        feasible = done = 0
        sieve = filtering(archive, SIEVE_POINTS)
        for count, (met, size) in enumerate(blocks(), 1):
            feasible, done = feasible + met, done + size
            if refreshes(count):
                sieve = filtering(archive, SIEVE_POINTS)
            if report is not None:
                report(done, archive.size)
        indices, points, payload = archive.finish()
        own = ~payload.pop("foreign") if payload else np.zeros(0, bool)
        kept = {name: column[own] for name, column in payload.items()}
        return Found(Survivors(indices[own], points[own], kept), feasible, done)

    def _run_all(self, unit: Unit, report: Callable[[int, int], None] | None) -> Found:
        """Cost every design of a unit, contiguous in number."""
        case, costs, source = self.cases[unit.case], self.costing(unit.case), self.source(unit.case)
        begin, end = (case.designs * part // unit.parts for part in (unit.part, unit.part + 1))
        designs = np.arange(begin, end)
        archive = Archive(len(self.options.objectives), self.epsilon)
        costed, labels = costs.table(source.values(designs)), self.labels(unit.case, designs)
        keep(archive, costs, costed, labels)
        columns: dict[str, Any] = {"variant": case.space.variant, "design": labels}
        columns |= case.space.readable(costed.parameters, case.static)
        columns |= costed.readings | {"feasible": costed.feasible}
        if report is not None:
            report(len(designs), archive.size)
        feasible = int(np.count_nonzero(costed.feasible))
        return Found(archive.finish(), feasible, len(designs), pd.DataFrame(columns))

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
