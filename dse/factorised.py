"""Grids, factorised: every combination of values of the axes, as a source of designs.

Cycles and bytes depend on structure and memories, voltage and clock only scale them.
`dse.factoring` splits the straight-line program accordingly; what is left for every design, a
quarter of it, runs as one kernel for each outer point over all inner ones.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dse.costing import Costing
from dse.factoring import Factored, factored
from dse.kernel import compiled, loop, strengthened
from dse.program import Builder, Program, interleaved, pruned
from dse.screening import masking, rows_of
from dse.sources import Screened

BLOCK = 2**20  # designs a call
TOGETHER = 2  # outer points in one kernel, so that one's divisions run while the other's wait

Axes = Mapping[str, np.ndarray]


def values_at(axes: Axes, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Values of the designs `numbers`, row-major over `axes`."""
    places = np.unravel_index(numbers, tuple(map(len, axes.values())))
    return {name: axis[i] for (name, axis), i in zip(axes.items(), places, strict=True)}


class Factorised:
    """The grid of `axes` in blocks: some outer points, each with all inner ones."""

    filter_points = 16

    def __init__(self, costs: Costing, axes: Axes, block: int):
        self.axes, self.chunk = axes, block
        self.designs = math.prod(map(len, axes.values()))
        self._costs = costs
        self._lock = threading.Lock()
        self._made: _Parts | None = None

    @property
    def blocks(self) -> int:
        """Blocks of the grid."""
        return self._built().blocks

    @property
    def parts(self) -> Factored:
        """How the program is split."""
        return self._built().parts

    def _built(self) -> _Parts:
        # Compiled when first asked for: a small grid is costed without.
        with self._lock:
            if self._made is None:
                self._made = _Parts(self._costs, self.axes, self.chunk)
            return self._made

    def values(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Values of the designs `numbers`, row-major over the axes."""
        return values_at(self.axes, numbers)

    def screen(self, block: int, archive: np.ndarray) -> Screened:
        """As `Source.screen`."""
        built = self._built()
        begin = block * built.rows
        count = min(built.rows, len(built.outer_numbers) - begin)
        rows = [np.resize(axis[begin : begin + count], built.rows) for axis in built.outer]
        masks = built.screen(built.inside, built.outside(*rows), archive)
        keep, feasible = map(np.asarray, masks)
        # Of each row its own: faster than dividing every place by the length of a row.
        place = np.repeat(np.arange(count), np.count_nonzero(keep[:count], axis=1))
        point = np.flatnonzero(keep[:count]) - place * keep.shape[1]
        numbers = built.outer_numbers[begin + place] + built.inner_numbers[point]
        return Screened(numbers, int(np.count_nonzero(feasible[:count])), count * keep.shape[1])


class _Parts:
    """The compiled programs of a grid, and its inner and outer points."""

    def __init__(self, costs: Costing, axes: Axes, block: int):
        program = strengthened(pruned(costs.program._replace(outputs=costs.objectives())))
        lengths = [len(axis) for axis in axes.values()]
        self.parts = parts = factored(program, lengths)
        strides = np.cumprod([1, *lengths[:0:-1]])[::-1].astype(np.int64)
        inner, self.inner_numbers = _points(axes, parts.inner, strides)
        self.outer, self.outer_numbers = _points(axes, parts.outer, strides)
        points, others = len(self.inner_numbers), len(self.outer_numbers)
        self.rows = TOGETHER * min(max(block // points // TOGETHER, 1), -(-others // TOGETHER))
        self.blocks = -(-others // self.rows)
        self.inside = _compiled(parts.inside, points)(*inner)
        self.outside = _stacked(parts.outside, self.rows)
        self.screen = _screening(parts, points, len(program.outputs) - 1)


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
    return compiled(lambda *columns: loop(program, size, columns))


def _stacked(program: Program, size: int) -> Callable[..., Any]:
    """As one array, a row for each outer point: a loop over outer points takes it apart."""

    def run(*columns: Any) -> Any:
        made = loop(program, size, columns)
        return jnp.stack(made, axis=1) if made else jnp.zeros((size, 0))

    return compiled(run)


def _screening(parts: Factored, points: int, dimensions: int) -> Callable[..., tuple[Any, Any]]:
    """Compiled: (inner columns, outer rows, archive) -> masks (rows, points): may be on the front,
    meets all limits."""
    columns, scalars = len(parts.inside.outputs), len(parts.outside.outputs)

    @functools.lru_cache(maxsize=8)
    def program(beaters: int) -> Program:
        builder = Builder(columns + scalars + beaters * dimensions)
        made = builder.inline(parts.mixed, builder.given[: columns + scalars])
        archive = builder.given[columns + scalars :]
        one = builder.build(builder.inline(masking(dimensions, beaters), [*made, *archive]))
        return interleaved(one, range(columns, columns + scalars), TOGETHER)

    def screen(inside: Sequence[Any], outside: Any, archive: Any) -> tuple[Any, Any]:
        def rows(outer: Any) -> tuple[Any, Any]:
            own = [outer[r, i] for r in range(TOGETHER) for i in range(scalars)]
            masks = loop(program(len(archive)), points, [*inside, *rows_of(archive), *own])
            return jnp.stack(masks[0::2]), jnp.stack(masks[1::2])

        pairs = outside.reshape(len(outside) // TOGETHER, TOGETHER, scalars)
        keep, feasible = jax.lax.map(rows, pairs)
        return keep.reshape(-1, points), feasible.reshape(-1, points)

    return compiled(screen)
