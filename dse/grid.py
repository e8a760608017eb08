"""Grid sweeps: every combination of evenly spaced values, to an exact front.

A grid factorises: cycles and bytes depend on structure and memories, voltage and clock only
scale them. `dse.factoring` splits the straight-line program accordingly; what is left for every
design, a quarter of it, runs as one kernel for each outer point over all inner ones.

The factorised program rounds differently from the flat one, so it only discards: designs that
miss a limit or are beaten by more than `TOLERANCE`. The rest run through `Costing.table`, the one
program that costs designs, so a grid's front is bit for bit that of its designs evaluated flat,
whatever the block size.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from dse.archive import Archive
from dse.costing import CHUNK, Costing, costing, no_archive
from dse.evaluating import Options, evaluator
from dse.factoring import Factored, factored
from dse.kernel import OPTIONS, loop, strengthened
from dse.program import Builder, Program, pruned, unroll
from dse.space import Space
from dse.sweeping import (
    EXPLAINED,
    WORKERS,
    Census,
    Progress,
    Sweep,
    filtering,
    gather,
    in_flight,
    keep_survivors,
    refreshes,
    survivors_table,
)
from hwmodels import InputError
from hwmodels.errors import check_choice
from hwmodels.workloads.workload import Workload

BLOCK = 2**20  # designs a call
FILTER = 12  # archive points compared in the kernel: more cost more than they drop
TOLERANCE = 1e-5  # relative; the two programs differ by rounding, below 1e-6
LIMIT = 100_000_000_000  # designs: some minutes on two cores

Axes = Mapping[str, np.ndarray]


def grid_sweep(
    space: Space | Sequence[Space],
    workload: Workload,
    *,
    points: int | Mapping[str, int] = 4,
    options: Options | None = None,
    limit: int = LIMIT,
    block: int = BLOCK,
    progress: Progress | None = None,
) -> Sweep:
    """Evaluate every combination of `points` values of each parameter, for every structure.

    Args:
      points: values of an axis, at most (discrete parameters may have fewer), ends included; a
        mapping by parameter name gives others than the default, 4.
      limit: the largest number of designs accepted.
      block: designs evaluated at once; the result does not depend on it.
      progress: `progress(done, held)` is called after every block.

    Designs are numbered row-major over `space.numeric`, structure after structure.

    Raises:
      InputError: fewer than 2 points, an unknown parameter, more designs than `limit`, or no
        design meets the limits (as `sweep`).
    """
    spaces = [space] if isinstance(space, Space) else list(space)
    if not spaces:
        raise InputError("space", "none", "at least one space")
    if block < 1:
        raise InputError("block", block, "allowed: >= 1")
    counts = _counts(spaces, points)
    axes = [
        {p.name: p.spread(counts.get(p.name, _DEFAULT)).astype(np.float32) for p in s.numeric}
        for s in spaces
    ]
    cases = [(s, a, static) for s, a in zip(spaces, axes, strict=True) for static in s.structures()]
    workers = max(WORKERS // len(cases), 1)
    sizes = [math.prod(map(len, a.values())) for _, a, _ in cases]
    if sum(sizes) > limit:
        raise InputError("points", f"{sum(sizes):,} designs", f"allowed: at most {limit:,}")
    begin, options = time.perf_counter(), options or Options()
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    done, held = [0] * len(cases), [0] * len(cases)

    def run(i: int) -> tuple[pd.DataFrame, Census]:
        s, values, static = cases[i]
        costs = costing(evaluator(s, static, workload.training, options), workload)

        def report(count: int, survivors: int) -> None:
            done[i], held[i] = count, survivors
            if progress is not None:
                progress(sum(done), sum(held))

        return _run_structure(costs, values, int(starts[i]), block, workers, report)

    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(run, range(len(cases))))
    if not any(census.feasible for _, census in results):
        for (s, values, static), (_, census) in zip(cases, results, strict=True):
            costs = costing(evaluator(s, static, workload.training, options), workload)
            _explain(costs, values, census)
    return gather([s.variant for s, _, _ in cases], results, options, begin)


_DEFAULT = 4


def _counts(spaces: list[Space], points: int | Mapping[str, int]) -> dict[str, int]:
    names = {p.name for s in spaces for p in s.numeric}
    given = dict(points) if isinstance(points, Mapping) else dict.fromkeys(names, points)
    for name, count in given.items():
        check_choice("points", name, sorted(names))
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 2:
            raise InputError(f"points.{name}", count, "allowed: whole numbers >= 2")
    return given


def _run_structure(
    costs: Costing, axes: Axes, first: int, block: int, workers: int, report: Progress
) -> tuple[pd.DataFrame, Census]:
    engine, dimensions = costs.engine, len(costs.engine.objectives)
    grid = Factorised(costs, axes, block)
    archive, census = Archive(dimensions), Census(designs=grid.designs)
    waiting = np.empty(0, np.int64)

    def cost(numbers: np.ndarray) -> None:
        padded = np.resize(numbers, CHUNK)
        costed = costs.table(grid.values(padded), len(numbers), no_archive(dimensions))
        keep_survivors(archive, engine, costed, padded + first)

    # A spread of the whole grid fills the filter before the first block.
    cost(np.unique(np.linspace(0, grid.designs - 1, CHUNK).astype(np.int64)))
    subset = filtering(archive, dimensions, FILTER)

    def job(number: int) -> Callable[[], tuple[np.ndarray, int, int]]:
        filter_points = subset
        return lambda: grid.screen(number, filter_points)

    jobs = (job(number) for number in range(grid.blocks))
    done = 0
    for number, (kept, feasible, size) in enumerate(in_flight(workers, jobs)):
        census.feasible += feasible
        waiting = np.concatenate([waiting, kept])
        while len(waiting) >= CHUNK:
            cost(waiting[:CHUNK])
            waiting = waiting[CHUNK:]
        if refreshes(number):
            subset = filtering(archive, dimensions, FILTER)
        done += size
        report(done, archive.size)
    if len(waiting):
        cost(waiting)
    return survivors_table(engine, archive), census


def _explain(costs: Costing, axes: Axes, census: Census) -> None:
    """Count the limits of a spread of a grid none of whose designs meets all."""
    designs = math.prod(map(len, axes.values()))
    spread = np.unique(np.linspace(0, designs - 1, min(EXPLAINED, designs)).astype(np.int64))
    for offset in range(0, len(spread), CHUNK):
        numbers = spread[offset : offset + CHUNK]
        margins = costs.margins(values_at(axes, np.resize(numbers, CHUNK)))
        census.explain({name: margin[: len(numbers)] for name, margin in margins.items()})


def values_at(axes: Axes, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Values of the designs `numbers`, row-major over `axes`."""
    places = np.unravel_index(numbers, tuple(map(len, axes.values())))
    return {name: axis[i] for (name, axis), i in zip(axes.items(), places, strict=True)}


class Factorised:
    """The grid of `axes` in blocks: some outer points, each with all inner ones."""

    def __init__(self, costs: Costing, axes: Axes, block: int):
        self.axes, self.designs = axes, math.prod(map(len, axes.values()))
        dimensions = len(costs.engine.objectives)
        program = strengthened(
            costs.program._replace(outputs=costs.program.outputs[-dimensions - 1 :])
        )
        lengths = [len(axis) for axis in axes.values()]
        self.parts = parts = factored(pruned(program), lengths)
        strides = np.cumprod([1, *lengths[:0:-1]])[::-1].astype(np.int64)
        inner, self._inner_numbers = _points(axes, parts.inner, strides)
        self._outer, self._outer_numbers = _points(axes, parts.outer, strides)
        points, others = len(self._inner_numbers), len(self._outer_numbers)
        self._rows = min(max(block // points, 1), others)
        self.blocks = -(-others // self._rows)
        self._inside = _compiled(parts.inside, points)(*inner)
        self._outside = _compiled(parts.outside, self._rows)
        self._screen = _screening(costs, parts, points, dimensions)

    def values(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Values of the designs `numbers`."""
        return values_at(self.axes, numbers)

    def screen(self, block: int, archive: np.ndarray) -> tuple[np.ndarray, int, int]:
        """Numbers of the designs of a block that may be on the front, how many meet all limits, and
        how many there are."""
        begin = block * self._rows
        count = min(self._rows, len(self._outer_numbers) - begin)
        rows = [np.resize(axis[begin : begin + count], self._rows) for axis in self._outer]
        outside = jnp.stack(self._outside(*rows), axis=1) if rows else jnp.zeros((1, 0))
        keep, feasible = map(np.asarray, self._screen(self._inside, outside, archive))
        place, point = np.divmod(np.flatnonzero(keep[:count]), keep.shape[1])
        numbers = self._outer_numbers[begin + place] + self._inner_numbers[point]
        return numbers, int(np.count_nonzero(feasible[:count])), count * keep.shape[1]


def _points(
    axes: Axes, chosen: tuple[int, ...], strides: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """All combinations of some axes: a column for each, and their part of a design's number."""
    values = [axis for i, axis in enumerate(axes.values()) if i in chosen]
    columns = [column.ravel() for column in np.meshgrid(*values, indexing="ij")]
    places = np.meshgrid(*[np.arange(len(axis)) for axis in values], indexing="ij")
    numbers = sum(
        (place.ravel() * strides[i] for i, place in zip(chosen, places, strict=True)),
        np.zeros(1, np.int64),
    )
    return columns, numbers


def _compiled(program: Program, size: int) -> Callable[..., list[Any]]:
    return jax.jit(lambda *columns: loop(program, size, columns), compiler_options=OPTIONS)


def _screening(
    costs: Costing, parts: Factored, points: int, dimensions: int
) -> Callable[..., tuple[Any, Any]]:
    """Compiled: (inner columns, outer rows, archive) -> masks (rows, points): may be on the front,
    meets all limits."""
    given, count = parts.mixed.inputs, FILTER * dimensions
    builder = Builder(given + count)
    *objectives, worst = builder.inline(parts.mixed, builder.given[:given])
    masks = unroll(_masks(dimensions), *[jnp.float32(1.0)] * (dimensions + 1 + count))
    program = builder.build(builder.inline(masks, [*objectives, worst, *builder.given[given:]]))

    def screen(inside: Sequence[Any], outside: Any, archive: Any) -> tuple[Any, Any]:
        beaters = [archive[i, j] for i in range(FILTER) for j in range(dimensions)]

        def row(outer: Any) -> tuple[Any, Any]:
            scalars = [outer[i] for i in range(outside.shape[1])]
            keep, feasible = loop(program, points, [*inside, *scalars, *beaters])
            return keep, feasible

        return jax.lax.map(row, outside)

    return jax.jit(screen, compiler_options=OPTIONS)


def _masks(dimensions: int) -> Callable[..., list[Any]]:
    """(objectives, worst margin, archive points) -> may be on the front, meets all limits.

    Beaten is what some archive point betters by more than `TOLERANCE` everywhere.
    """

    def masks(*values: Any) -> list[Any]:
        objectives, worst, rows = values[:dimensions], values[dimensions], values[dimensions + 1 :]
        eased = [axis - TOLERANCE * jnp.abs(axis) for axis in objectives]
        beaten = jnp.bool_(False)
        for i in range(FILTER):
            row = rows[i * dimensions : (i + 1) * dimensions]
            better = [a < b for a, b in zip(row, eased, strict=True)]
            beaten = beaten | functools.reduce(jnp.logical_and, better)
        return [(worst >= -TOLERANCE) & ~beaten, worst >= 0]

    return masks
