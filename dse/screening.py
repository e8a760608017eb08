"""Screens: kernels that make designs, cost them and keep those that may be on the front.

A screen writes two bits a design and nothing else: with all its results it would spend more time
on memory than on arithmetic. It rounds differently from the program that costs designs
(`Costing.table`), so it only discards: designs that miss a limit, or that an archive point beats by
more than `TOLERANCE` on every axis. The rest are costed, so a front is bit for bit that of its
designs given as a table, whatever the chunk and the archive.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dse.archive import Archive
from dse.costing import Costing
from dse.kernel import compiled, loop, strengthened
from dse.program import Builder, Program, pruned, unroll

TOLERANCE = 1e-5  # relative; the programs differ by rounding, below 1e-6
SIEVE_POINTS = 512  # archive points compared with what a kernel kept, before it is merged

Screen = Callable[[Sequence[Any], np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def screen(costs: Costing, key: Hashable, draw: Callable[[], Program]) -> Screen:
    """Compiled: (what `draw` reads, archive points, designs) -> may be on the front, meets all
    limits.

    `draw`: the program from columns or shared scalars to the parameters; made once for a `key`.
    """
    with costs.lock:
        if key not in costs.screens:
            costs.screens[key] = _compiled(costs, draw())
        return costs.screens[key]


def _compiled(costs: Costing, draw: Program) -> Screen:
    outputs = costs.objectives()
    model = pruned(costs.program._replace(outputs=outputs))
    dimensions = len(outputs) - 1

    @functools.lru_cache(maxsize=8)
    def program(points: int) -> Program:
        builder = Builder(draw.inputs + points * dimensions)
        given, archive = builder.given[: draw.inputs], builder.given[draw.inputs :]
        made = builder.inline(model, builder.inline(draw, given))
        masks = masking(dimensions, points)
        return strengthened(builder.build(builder.inline(masks, [*made, *archive])))

    def run(given: Sequence[Any], archive: Any, size: int) -> list[Any]:
        return loop(program(len(archive)), size, [*given, *rows_of(archive)])

    screen = compiled(run, static_argnames="size")

    def call(given: Sequence[Any], archive: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        keep, feasible = screen(given, archive, size=size)
        return np.asarray(keep), np.asarray(feasible)

    return call


def rows_of(archive: Any) -> list[Any]:
    """The archive's numbers one by one, as a kernel reads them."""
    return [archive[i, j] for i in range(archive.shape[0]) for j in range(archive.shape[1])]


@functools.lru_cache(maxsize=16)
def masking(dimensions: int, points: int) -> Program:
    """(objectives, worst margin, archive points) -> may be on the front, meets all limits."""

    def masks(*values: Any) -> list[Any]:
        objectives, worst, rows = values[:dimensions], values[dimensions], values[dimensions + 1 :]
        eased = [axis - TOLERANCE * jnp.abs(axis) for axis in objectives]
        beaten = jnp.bool_(False)
        for i in range(points):
            row = rows[i * dimensions : (i + 1) * dimensions]
            better = [a < b for a, b in zip(row, eased, strict=True)]
            beaten = beaten | functools.reduce(jnp.logical_and, better)
        return [(worst >= -TOLERANCE) & ~beaten, worst >= 0]

    return unroll(masks, *[jnp.float32(1.0)] * (dimensions + 1 + points * dimensions))


def beaten(points: Sequence[Any], archive: np.ndarray) -> np.ndarray:
    """The points, columns of shape (n,), that an archive point beats: no worse and not equal."""
    return np.asarray(_beaten(tuple(points), jnp.asarray(archive, jnp.float32)))


@jax.jit
def _beaten(points: tuple[Any, ...], archive: Any) -> Any:
    def one(found: Any, row: Any) -> tuple[Any, None]:
        axes = list(zip(row, points, strict=True))
        no_worse = functools.reduce(jnp.logical_and, [a <= b for a, b in axes])
        better = functools.reduce(jnp.logical_or, [a < b for a, b in axes])
        return found | (no_worse & better), None

    return jax.lax.scan(one, jnp.zeros(points[0].shape, bool), archive, unroll=8)[0]


def filtering(archive: Archive, most: int) -> np.ndarray:
    """`most` archive points that a kernel compares with; what is not there beats nothing."""
    subset = np.full((most, archive.dimensions), np.inf, np.float32)
    points = archive.filter_points(most)
    subset[: len(points)] = points
    return subset
