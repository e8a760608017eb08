"""Sweeps in one process: millions of designs to an exact front, over every structure.

`sweep` draws designs, `grid_sweep` takes every combination, `table_sweep` those of a table. All
three run the units of a `Job`, two at a time: one compiles or merges while the other computes.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import jax
import pandas as pd

from dse.archive import Survivors
from dse.evaluating import Options
from dse.gathering import Gathering, Sweep
from dse.job import Found, Job, Unit
from dse.sampling import GRID_LIMIT, Grid, Sampled, Sampling, Table
from dse.space import Space
from hwmodels import InputError
from hwmodels.workloads.workload import Workload

Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # designs done, survivors held
WORKERS = 2  # units in flight on a device


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
        # Naming the only device would compile again what was compiled without.
        named = jax.default_device(device) if len(devices) > 1 else contextlib.nullcontext()

        def do() -> tuple[Unit, Found]:
            with named:
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
