"""Random sweeps: millions of designs to an exact front, in chunks, over every structure."""

from __future__ import annotations

import collections
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from dse.archive import Archive
from dse.costing import CHUNK, FILTER_POINTS, Costed, Costing, costing, no_archive
from dse.evaluating import Evaluator, Options, evaluator
from dse.front import Front, Objective
from dse.space import Space
from hwmodels import InputError
from hwmodels.workloads.workload import Workload

Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # designs done, survivors held
REFRESH = 512  # chunks between choices of the points that filter, once the first are past
EXPLAINED = 1_000_000  # designs whose limits are counted one by one when none is feasible
WORKERS = 2  # structures in flight: one compiles or merges while the other computes


@dataclass
class Census:
    """How many designs there were and met every limit; where none did, `met`: how many met each
    limit, `best`: the best margin of each, `nearest`: all margins of the design that is nearest."""

    designs: int = 0
    feasible: int = 0
    met: dict[str, int] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    nearest: dict[str, float] = field(default_factory=dict)

    def explain(self, margins: dict[str, np.ndarray]) -> None:
        """Count the limits of a chunk without a feasible design."""
        worst = functools.reduce(np.minimum, margins.values())
        nearest = {name: float(margin[worst.argmax()]) for name, margin in margins.items()}
        self._keep_nearest(nearest)
        for name, margin in margins.items():
            self.met[name] = self.met.get(name, 0) + int((margin >= 0).sum())
            self.best[name] = max(self.best.get(name, -np.inf), float(margin.max()))

    def merge(self, other: Census) -> None:
        """Add another structure's or variant's counts."""
        self.designs += other.designs
        self.feasible += other.feasible
        for name, count in other.met.items():
            self.met[name] = self.met.get(name, 0) + count
            self.best[name] = max(self.best.get(name, -np.inf), other.best[name])
        if other.nearest:
            self._keep_nearest(other.nearest)

    def _keep_nearest(self, other: dict[str, float]) -> None:
        if not self.nearest or min(other.values()) > min(self.nearest.values()):
            self.nearest = other

    def check(self) -> None:
        """Raise `InputError` if no design was feasible: what eliminates all, and by how much."""
        if self.feasible or not self.designs:
            return
        alone = {label: self.best[label] for label, count in self.met.items() if count == 0}
        if alone:
            label = min(alone, key=lambda name: alone[name])
            raise InputError(
                f"budget {label}",
                f"0 of {self.designs:,} designs meet it",
                f"the best misses it by {-alone[label]:.1%}: loosen it or widen the space",
            )
        missed = {label: m for label, m in self.nearest.items() if m < 0}
        misses = ", ".join(f"{label} by {-m:.1%}" for label, m in sorted(missed.items()))
        raise InputError(
            "budgets together",
            f"0 of {self.designs:,} designs meet all (each alone is met by some)",
            f"the nearest misses {misses}: loosen one",
        )


@dataclass(frozen=True)
class Sweep:
    """The result of `sweep`.

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
    options: Options | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> Sweep:
    """Evaluate `designs` random designs, split evenly over spaces and their structures.

    The result depends on the spaces, the workload, `designs` and `seed` only, not on `chunk` or
    on the number of processors. `progress(done, held)` is called after every chunk.

    Raises:
      InputError: nothing to evaluate, or no design meets the limits (which one eliminates all,
        and by how much the best misses it).
    """
    spaces = [space] if isinstance(space, Space) else list(space)
    if not spaces:
        raise InputError("space", "none", "at least one space")
    cases = [(s, static) for s in spaces for static in s.structures()]
    for name, value, low in (("designs", designs, len(cases)), ("chunk", chunk, 1)):
        if value < low:
            raise InputError(name, value, f"allowed: >= {low}")
    if not 0 <= seed < 2**32:
        raise InputError("seed", seed, "allowed: 0 to 4294967295")
    if designs > 2**32:
        raise InputError("designs", designs, "allowed: at most 4294967296, the sampler's range")
    begin, options = time.perf_counter(), options or Options()
    shares = np.diff(np.linspace(0, designs, len(cases) + 1).astype(np.int64))
    starts = np.concatenate([[0], np.cumsum(shares)[:-1]])
    workers = max(WORKERS // len(cases), 1)
    done = [0] * len(cases)
    held = [0] * len(cases)

    def run(i: int) -> tuple[pd.DataFrame, Census]:
        s, static = cases[i]
        costs = costing(evaluator(s, static, workload.training, options), workload)

        def report(count: int, survivors: int) -> None:
            done[i], held[i] = count, survivors
            if progress is not None:
                progress(sum(done), sum(held))

        return _run_structure(costs, int(starts[i]), int(shares[i]), seed, chunk, workers, report)

    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(run, range(len(cases))))
    if not any(census.feasible for _, census in results):
        for (s, static), start, share, (_, census) in zip(
            cases, starts, shares, results, strict=True
        ):
            costs = costing(evaluator(s, static, workload.training, options), workload)
            _explain(costs, int(start), int(share), seed, chunk, census)
    return gather([s.variant for s, _ in cases], results, options, begin)


def gather(
    variants: Sequence[str],
    results: Sequence[tuple[pd.DataFrame, Census]],
    options: Options,
    begin: float,
) -> Sweep:
    """One result of the tables and censuses of structures; `begin`: when the sweep did.

    Raises `InputError` if no design meets the limits.
    """
    census = Census()
    tables: dict[str, list[pd.DataFrame]] = {}
    for variant, (table, counts) in zip(variants, results, strict=True):
        census.merge(counts)
        tables.setdefault(variant, []).append(table)
    census.check()
    own = {variant: pd.concat(parts, ignore_index=True) for variant, parts in tables.items()}
    return Sweep(
        front=joint_front(own, options.objectives),
        variant_fronts={
            variant: Front.from_table(table, options.objectives)
            for variant, table in own.items()
            if len(table)
        },
        census=census,
        wall_s=time.perf_counter() - begin,
    )


def joint_front(tables: dict[str, pd.DataFrame], objectives: tuple[Objective, ...]) -> Front:
    """The front of several variants' tables together; ties to the smallest design index."""
    filled = [table for table in tables.values() if len(table)]
    everything = pd.concat(filled, ignore_index=True)
    ordered = everything.sort_values("design", kind="stable", ignore_index=True)
    return Front.from_table(ordered, objectives)


def _run_structure(
    costs: Costing, first: int, count: int, seed: int, chunk: int, workers: int, report: Progress
) -> tuple[pd.DataFrame, Census]:
    dimensions = len(costs.engine.objectives)
    archive, census, subset = Archive(dimensions), Census(count), no_archive(dimensions)

    def job(offset: int) -> Callable[[], Costed]:
        size, filter_points = min(chunk, count - offset), subset
        return lambda: costs.random(first + offset, seed, size, filter_points, chunk)

    offsets = range(0, count, chunk)
    for number, costed in enumerate(in_flight(workers, (job(offset) for offset in offsets))):
        offset = offsets[number]
        census.feasible += int(np.count_nonzero(costed.feasible))
        keep_survivors(archive, costs.engine, costed, np.arange(chunk) + first + offset)
        if refreshes(number):
            subset = filtering(archive, dimensions, FILTER_POINTS)
        report(min(offset + chunk, count), archive.size)
    return survivors_table(costs.engine, archive), census


def in_flight(workers: int, jobs: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """Results of `jobs` in their order, `workers` at work; a job is taken when it starts."""
    if workers == 1:
        for job in jobs:
            yield job()
        return
    with ThreadPoolExecutor(workers) as pool:
        pending: collections.deque[Future[Result]] = collections.deque()
        for job in jobs:
            pending.append(pool.submit(job))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def refreshes(number: int) -> bool:
    """Whether the points that filter are chosen again after chunk `number`: often at first."""
    done = number + 1
    return done & (done - 1) == 0 or done % REFRESH == 0


def _explain(costs: Costing, first: int, count: int, seed: int, chunk: int, census: Census) -> None:
    nothing = no_archive(len(costs.engine.objectives))
    for offset in range(0, min(count, EXPLAINED), chunk):
        size = min(chunk, count - offset)
        costed = costs.random(first + offset, seed, size, nothing, chunk)
        margins = costs.margins(costed.parameters)
        census.explain({name: margin[:size] for name, margin in margins.items()})


def filtering(archive: Archive, dimensions: int, most: int) -> np.ndarray:
    """`most` archive points that a kernel compares with."""
    subset = np.full((most, dimensions), np.inf, np.float32)
    points = archive.filter_points(most)
    subset[: len(points)] = points
    return subset


def keep_survivors(
    archive: Archive, engine: Evaluator, costed: Costed, numbers: np.ndarray
) -> None:
    """Add what a kernel kept of the designs `numbers` to the archive."""
    rows = np.flatnonzero(costed.keep)
    payload = {f"value {k}": v[rows] for k, v in costed.parameters.items()}
    payload |= {f"metric {k}": v[rows] for k, v in costed.readings.items()}
    points = engine.points({name: column[rows] for name, column in costed.readings.items()})
    archive.add(np.stack(points, axis=-1), numbers[rows], payload)


def survivors_table(engine: Evaluator, archive: Archive) -> pd.DataFrame:
    """The archive's designs as a table: variant, structure, parameters, metrics, design index."""
    indices, _, payload = archive.finish()
    values = {k[6:]: v for k, v in payload.items() if k.startswith("value ")}
    if not len(indices):
        return pd.DataFrame()
    columns: dict[str, Any] = {
        "variant": engine.space.variant,
        "design": indices,
        "source": "sweep",
    }
    columns |= engine.space.readable(values, engine.static)
    columns |= {k[7:]: v.astype(float) for k, v in payload.items() if k.startswith("metric ")}
    return pd.DataFrame(columns)
