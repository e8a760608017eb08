"""Grid sweeps: every combination of evenly spaced values, to an exact front.

A grid factorises: under nested `vmap`s a sub-expression is computed only over the axes it depends
on. Measured (systolic, reference trace, blocks of 2^18): one flat axis 282 ns of one core a
design, one `vmap` for every axis 44, a variant's own axes (rows, columns, ...) flattened into
one innermost `vmap` and each shared axis (voltage, clock, memories, links) outside 28. Hence the
rule of `Block`: own axes innermost and flat, which is where the costly contraction terms live and
gives the compiler a long contiguous loop to vectorise; shared axes one `vmap` each. A block of
more than 2^18 designs leaves the cache (2^20: 72 ns), so what does not fit is looped over on the
host, the last shared axes first.

The factorised program rounds differently from the flat one, so it only discards: designs that
miss a limit or are beaten by more than `TOLERANCE`. The rest run through `Evaluator.table`, the one
program that costs designs, so a grid's front is bit for bit that of its designs evaluated flat,
whatever the block size.
"""

from __future__ import annotations

import functools
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from dse.archive import Archive
from dse.blocks import Block
from dse.costing import CHUNK, Costing, costing, no_archive
from dse.evaluating import Evaluator, Options, evaluator
from dse.space import Space
from dse.sweeping import (
    EXPLAINED,
    WORKERS,
    Census,
    Progress,
    Sweep,
    gather,
    keep_survivors,
    survivors_table,
)
from hwmodels import InputError
from hwmodels.errors import check_choice
from hwmodels.workloads.workload import Workload

BLOCK = 2**18  # designs a call
FILTER = 96  # archive points compared on the device: survivors cost a second evaluation
TOLERANCE = 1e-5  # relative; the two programs differ by rounding, below 1e-6
REFRESH = 16  # blocks between updates of those points, once the first few have passed
LIMIT = 10_000_000_000  # designs: some minutes on two cores


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
    counts = _points(spaces, points)
    axes = [
        {p.name: p.spread(counts.get(p.name, _DEFAULT)).astype(np.float32) for p in s.numeric}
        for s in spaces
    ]
    cases = [(s, a, static) for s, a in zip(spaces, axes, strict=True) for static in s.structures()]
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

        return _run_structure(costs, workload, Block(values, block), int(starts[i]), report)

    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(run, range(len(cases))))
    if not any(census.feasible for _, census in results):
        for (s, values, static), (_, census) in zip(cases, results, strict=True):
            costs = costing(evaluator(s, static, workload.training, options), workload)
            _explain(costs, Block(values, block), census)
    return gather([s.variant for s, _, _ in cases], results, options, begin)


_DEFAULT = 4


def _points(spaces: list[Space], points: int | Mapping[str, int]) -> dict[str, int]:
    names = {p.name for s in spaces for p in s.numeric}
    given = dict(points) if isinstance(points, Mapping) else dict.fromkeys(names, points)
    for name, count in given.items():
        check_choice("points", name, sorted(names))
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 2:
            raise InputError(f"points.{name}", count, "allowed: whole numbers >= 2")
    return given


def _run_structure(
    costs: Costing, workload: Workload, blocks: Block, first: int, report: Progress
) -> tuple[pd.DataFrame, Census]:
    engine = costs.engine
    trace = jax.tree.map(jnp.asarray, engine.trace(workload))
    screen, dimensions = screening(engine, blocks), len(engine.objectives)
    archive, census = Archive(dimensions), Census(designs=blocks.designs)
    waiting = np.empty(0, np.int64)

    def cost(numbers: np.ndarray) -> None:
        padded = np.resize(numbers, CHUNK)
        values = blocks.values(padded)
        costed = costs.table(values, len(numbers), no_archive(dimensions))
        keep_survivors(archive, engine, costed, padded + first)

    def collect(slices: dict[str, slice], result: Any, least: int) -> None:
        nonlocal waiting
        keep, feasible = result
        census.feasible += int(feasible)
        positions = np.flatnonzero(np.asarray(keep))
        waiting = np.concatenate([waiting, blocks.indices(positions, slices)])
        while len(waiting) >= least:
            cost(waiting[:CHUNK])
            waiting = waiting[CHUNK:]

    # A spread of the whole grid fills the filter before the first block.
    cost(np.unique(np.linspace(0, blocks.designs - 1, CHUNK).astype(np.int64)))
    subset = no_archive(dimensions)
    pending: tuple[dict[str, slice], Any] | None = None
    for number, (slices, levels, scalars) in enumerate(blocks):
        if number % REFRESH == 0 or number in (1, 2, 4, 8):
            points = archive.filter_points(FILTER)
            subset = np.full((FILTER, dimensions), np.inf, np.float32)
            subset[: len(points)] = points
        # Dispatched before the last block is collected: the host merges while the device works.
        result = screen(levels, scalars, trace, subset)
        if pending is not None:
            collect(*pending, least=CHUNK)
        pending = (slices, result)
        report((number + 1) * blocks.size, archive.size)
    if pending is not None:
        collect(*pending, least=1)
    return survivors_table(engine, archive), census


def _explain(costs: Costing, blocks: Block, census: Census) -> None:
    """Count the limits of a spread of a grid none of whose designs meets all."""
    spread = np.unique(np.linspace(0, blocks.designs - 1, EXPLAINED).astype(np.int64))
    for offset in range(0, len(spread), CHUNK):
        numbers = spread[offset : offset + CHUNK]
        margins = costs.margins(blocks.values(np.resize(numbers, CHUNK)))
        census.explain({name: margin[: len(numbers)] for name, margin in margins.items()})


def screening(engine: Evaluator, blocks: Block) -> Callable[..., tuple[Any, Any]]:
    """Compiled: (values by level, scalars, trace, archive) -> (may be on the front,
    designs that meet all limits)."""
    return _program(engine, blocks, _screen)


def _program(engine: Evaluator, blocks: Block, reduce: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled: (values by level, scalars, trace, ...) ->
    `reduce(points, worst margin, margins, ...)`.

    Points (a tuple, minimised) and margins have one axis for each level.
    """
    key = (reduce, tuple(map(tuple, blocks.levels)))

    def program(levels: Any, scalars: Any, trace: Any, *rest: Any) -> Any:
        def one(*parts: dict[str, Any]) -> tuple[Any, Any, Any]:
            values = functools.reduce(operator.or_, parts, scalars)
            readings, margins = engine.one(values, trace)
            limits = tuple(margins[name] for name in sorted(margins))  # as `labels` orders them
            # The minimum is taken in here, so that it too factorises.
            return engine.points(readings), functools.reduce(jnp.minimum, limits), limits

        for level in reversed(range(len(levels))):
            one = jax.vmap(one, in_axes=[0 if i == level else None for i in range(len(levels))])
        return reduce(*one(*levels), *rest)

    return engine.programs.setdefault(key, jax.jit(program))


def _screen(points: Any, worst: Any, _: Any, archive: Any) -> tuple[Any, Any]:
    """Which designs may be on the front, and how many meet all limits."""
    keep = (worst >= -TOLERANCE) & ~_beaten(points, archive)
    return keep.reshape(-1), jnp.sum(worst >= 0)


def _beaten(points: tuple[Any, ...], archive: Any) -> Any:
    """Mask of the points that some archive row betters by more than `TOLERANCE` everywhere."""
    eased = [axis - TOLERANCE * jnp.abs(axis) for axis in points]

    def beat(beaten: Any, row: Any) -> tuple[Any, None]:
        better = [row[i] < axis for i, axis in enumerate(eased)]
        return beaten | functools.reduce(jnp.logical_and, better), None

    return jax.lax.scan(beat, jnp.zeros(points[0].shape, bool), archive, unroll=16)[0]
