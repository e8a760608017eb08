"""Sweeps in one process: millions of designs to an exact front, over every structure.

`sweep` draws designs, `grid_sweep` takes every combination, `table_sweep` those of a table. All
three run the units of a `Job`, two at a time: one compiles or merges while the other computes.
"""

from __future__ import annotations

import collections
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import jax
import numpy as np
import pandas as pd

from dse.archive import Archive, Survivors
from dse.census import Census
from dse.evaluating import Options
from dse.front import Front, Objective
from dse.job import Found, Job, Unit, known_points
from dse.sampling import GRID_LIMIT, Grid, Sampled, Sampling, Table
from dse.space import Space
from hwmodels import InputError
from hwmodels.workloads.workload import Workload

Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # designs done, survivors held
EXPLAINED = 2**18  # designs of a structure whose limits are counted when no design meets all
WORKERS = 2  # units in flight on a device


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep.

    `front`: the joint exact front; `variant_fronts`: each variant's own front (tables);
    `census`: counts; `designs`, `wall_s`, `designs_per_s` (compilation included).
    """

    front: Front
    variant_fronts: dict[str, Front]
    census: Census
    wall_s: float

    @property
    def designs(self) -> int:
        """Designs evaluated."""
        return self.census.designs

    @property
    def designs_per_s(self) -> float:
        """Designs per second of wall time."""
        return self.designs / self.wall_s


def sweep(
    space: Space | Sequence[Space],
    workload: Workload,
    *,
    designs: int = 1_000_000,
    seed: int = 0,
    sampler: str = "random",
    options: Options | None = None,
    chunk: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Evaluate `designs` designs drawn at random, split evenly over spaces and their structures.

    sampler: "random", "latin" (Latin hypercubes) or "sobol". The result depends on the spaces, the
    workload, `designs`, `seed` and `sampler` only, not on `chunk` or on the number of processors.
    `progress(done, held)` is called after every chunk.

    Raises:
      InputError: nothing to evaluate, or no design meets the limits (which one eliminates all,
        and by how much the best misses it).
    """
    return _run(space, workload, Sampled(sampler, designs, seed), options, chunk, progress)


def grid_sweep(
    space: Space | Sequence[Space],
    workload: Workload,
    *,
    points: int | Mapping[str, int] = 4,
    options: Options | None = None,
    limit: int = GRID_LIMIT,
    block: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Evaluate every combination of `points` values of each parameter, for every structure.

    Args:
      points: values of an axis, at most (discrete parameters may have fewer), ends included; a
        mapping by parameter name gives others than the default, 4.
      limit: the largest number of designs accepted.
      block: designs evaluated at once; the result does not depend on it.

    Designs are numbered row-major over `space.numeric`, structure after structure.

    Raises:
      InputError: fewer than 2 points, an unknown parameter, more designs than `limit`, or no
        design meets the limits (as `sweep`).
    """
    if isinstance(points, Mapping):
        grid = Grid(tuple(points.items()), limit=limit)
    else:
        grid = Grid(others=points, limit=limit)
    return _run(space, workload, grid, options, block, progress)


def table_sweep(
    space: Space | Sequence[Space],
    workload: Workload,
    table: pd.DataFrame,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Evaluate given designs, a row each: see `dse.sampling.Table`. Numbers are rows from 0."""
    return _run(space, workload, Table(table), options, None, progress)


def _run(
    space: Space | Sequence[Space],
    workload: Workload,
    sampling: Sampling,
    options: Options | None,
    chunk: int | None,
    progress: Progress | None,
) -> Sweep:
    spaces = (space,) if isinstance(space, Space) else tuple(space)
    return run(Job(spaces, workload, sampling, options or Options(), chunk), progress)


Known = Callable[[int], Survivors | None]
Report = Callable[[Unit, int, int], None]
# Does units, in any order, and hands over each as it ends.
Execute = Callable[[Job, Sequence[Unit], Known, Report], Iterator[tuple[Unit, Found]]]


def run(
    job: Job,
    progress: Progress | None = None,
    *,
    execute: Execute | None = None,
    done: Iterable[tuple[Unit, Found]] = (),
    finished: Callable[[Unit, Found], None] | None = None,
) -> Sweep:
    """All units of a job. Raises `InputError` as `sweep` does.

    execute: who does them, by default this process; done: results of an earlier run, not done
    again; finished: called with each new result.
    """
    check(job)
    begin = time.perf_counter()
    gathering = Gathering(job)
    counts: dict[Unit, int] = {}

    def report(unit: Unit, count: int, held: int) -> None:
        counts[unit] = count
        if progress is not None:
            progress(sum(counts.values()), max(gathering.size, held))

    for unit, found in done:
        gathering.add(unit, found)
        report(unit, found.designs, 0)
    left = [unit for unit in job.units(WORKERS) if unit not in counts]
    for unit, found in (execute or in_threads)(job, left, gathering.known, report):
        gathering.add(unit, found)
        report(unit, found.designs, 0)
        if finished is not None:
            finished(unit, found)
    return gathering.finish(time.perf_counter() - begin)


def in_threads(
    job: Job, units: Sequence[Unit], known: Known, report: Report
) -> Iterator[tuple[Unit, Found]]:
    """`WORKERS` units at a time on every local device."""
    devices = jax.local_devices()

    def work(number: int, unit: Unit) -> Callable[[], tuple[Unit, Found]]:
        told, device = known(unit.case), devices[number % len(devices)]

        def do() -> tuple[Unit, Found]:
            with jax.default_device(device):
                return unit, job.run(unit, told, functools.partial(report, unit))

        return do

    yield from in_flight(WORKERS * len(devices), itertools.starmap(work, enumerate(units)))


def check(job: Job) -> None:
    """Raise `InputError` for a job with nothing to do."""
    if not job.spaces:
        raise InputError("space", "none", "at least one space")
    if job.chunk is not None and job.chunk < 1:
        raise InputError("chunk", job.chunk, "allowed: >= 1")
    _ = job.cases


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
        return Sweep(
            front=joint_front(own, job.options.objectives),
            variant_fronts={
                variant: Front.from_table(table, job.options.objectives)
                for variant, table in own.items()
                if len(table)
            },
            census=census,
            wall_s=seconds,
        )


def joint_front(tables: dict[str, pd.DataFrame], objectives: tuple[Objective, ...]) -> Front:
    """The front of several variants' tables together; ties to the smallest design index."""
    filled = [table for table in tables.values() if len(table)]
    everything = pd.concat(filled, ignore_index=True)
    ordered = everything.sort_values("design", kind="stable", ignore_index=True)
    return Front.from_table(ordered, objectives)


def in_flight(workers: int, jobs: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Results of `jobs` in their order, `workers` at work; a job is taken when it starts."""
    with ThreadPoolExecutor(workers) as pool:
        pending: collections.deque[Future[Result]] = collections.deque()
        for job in jobs:
            pending.append(pool.submit(job))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


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
