"""Accesses of every tensor at every level for a given mapping, with Timeloop's semantics.

Walking outwards from a level, a tensor's tile is fetched anew by every loop over a dimension that
it spans. A loop over another dimension repeats those fetches, but only once some loop inside it
has moved the tile; until then the tile stays. Of an input, the innermost loop that moves the
tile slides a window where it runs over positions or taps: of each tile only what the step
uncovers is fetched. With f trips, window extent e and step s along its axis,

    first mover        f e - (f - 1) max(0, e - s)     of the axis
    any other mover    f e

Spatial loops always multiply: every instance of a memory is filled. A parent serves instances
that hold the same words once (multicast), and sums partial results of instances on the way up.
Results: a level is updated once per arriving partial sum and reads the old sum except the first
time; what a child drains, its parent is updated with. A tile of sums that is taken up is a fill,
whether its sums come back unfinished or start as zeros; the parent reads only the former.

The code uses arithmetic operators only: plain floats give float64 counts at once, JAX arrays
trace. It is written for one mapping; batch by `vmap` over mappings of one loop order.

Partial tiles: exact where a dimension has one temporal loop outside a level. Where it has
several and the last of the inner ones are cut short, traffic is counted as if they were not, and
steps are those of the instance with most to do: never too few.

Relaxed factors. "Has moved the tile" is a step from f = 1 to f = 2; in between it is the cubic
t^2 (3 - 2 t), t = min(1, f - 1), exact at whole factors and flat at 1: a factor 1 + d changes
every count by O(d) of itself, where a hard test f > 1 would multiply it by the loops outside.

Source: Parashar et al., "Timeloop", ISPASS 2019; checked against its counts of 6,000 mappings.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from hwmodels.mapping.mapping import Loop, Mapping
from hwmodels.mapping.problem import RESULT, Problem, footprint, window_extent


class Traffic(NamedTuple):
    """Words of one tensor at one level, summed over the level's instances; `tile` is of one.

    tile: words held at once. fills: taken up from outside, of a result with the zeros that
    start it. reads: read towards the inside; of a result: old sums, to be added to here or
    inside. updates: partial results arriving from inside. drains: sent outside. zeros: of the
    fills, those that are zeros.
    """

    tile: Any
    fills: Any
    reads: Any
    updates: Any
    drains: Any
    zeros: Any


class Counts(NamedTuple):
    """`traffic[i][t]`: of tensor t at level i of the mapping, outermost first.

    `instances[i]`: how many of the level's memory the spatial loops outside it use. `steps`:
    trips of all temporal loops, i.e. cycles if every multiply-accumulate unit takes one.
    """

    traffic: tuple[dict[str, Traffic], ...]
    instances: tuple[Any, ...]
    macs: Any
    steps: Any


def count(problem: Problem, mapping: Mapping) -> Counts:
    """Traffic of every tensor at every level that holds it. `mapping` as `fit` returns it."""
    traffic: tuple[dict[str, Traffic], ...] = tuple({} for _ in mapping.levels)
    extents = _extents(problem, mapping)
    for tensor in problem.shape.spans:
        holders = [i for i, level in enumerate(mapping.levels) if tensor in level.tensors]
        # Words that cross between a holder and what is outside it; and, of a result, old sums.
        crossing, old = 0.0, 0.0
        for i, inside in zip(holders, [*holders[1:], None], strict=True):
            tile = footprint(problem, tensor, extents[i])
            below = problem.macs
            if inside is not None:
                below = _moved(problem, mapping, tensor, inside, extents[inside])
            demand = below / _sharing(problem, mapping, tensor, i, inside)
            if tensor == RESULT:
                zeros = crossing - old
                started = problem.elements(tensor) if i == holders[0] else zeros
                old = _positive(demand - started)
                traffic[i][tensor] = Traffic(tile, crossing, old, demand, crossing, zeros)
            else:
                traffic[i][tensor] = Traffic(tile, crossing, demand, 0.0, 0.0, 0.0)
            crossing = below
    return Counts(traffic, _instances(mapping), problem.macs, _steps(mapping))


def _extents(problem: Problem, mapping: Mapping) -> list[dict[str, Any]]:
    """Per level the extents of its tile: growth of all loops at and inside the level."""
    extents: dict[str, Any] = dict.fromkeys(problem.shape.dimensions, 1.0)
    found = []
    for level in reversed(mapping.levels):
        for loop in level.loops:
            extents = {**extents, loop.dimension: extents[loop.dimension] * loop.growth}
        found.append(extents)
    return found[::-1]


def _moved(
    problem: Problem, mapping: Mapping, tensor: str, index: int, extents: dict[str, Any]
) -> Any:
    """Words of `tensor` that cross into (or out of) all instances of level `index`, whose tile
    has `extents`."""
    words, moving = footprint(problem, tensor, extents), 0.0  # moving: has a loop moved the tile
    inside = dict(extents)
    slides: dict[str, Any] = {}  # dimension of a window -> does its loop slide, 0 to 1
    tiles: dict[str, Any] = {}  # and tiles along it, over the growth of its loops
    for level in reversed(mapping.levels[:index]):
        for loop in reversed(level.loops):
            d = loop.dimension
            spans = d in problem.shape.spans[tensor]
            if loop.spatial:
                words = words * (loop.growth if spans else loop.full_trips)
            elif spans:
                uncovered = loop.growth
                window = problem.shape.window(tensor, d)
                if window is not None:
                    extent = window_extent(problem, window, extents)
                    kept = _positive(extent - inside[d] * problem.steps[d]) / extent
                    uncovered = loop.growth - (1.0 - moving) * (loop.growth - 1.0) * kept
                    slides[d] = slides.get(d, 0.0) + (1.0 - moving) * _gate(loop)
                    tiles[d] = tiles.get(d, 1.0) * loop.trips / loop.growth
                words = words * uncovered
                moving = 1.0 - (1.0 - moving) * (1.0 - _gate(loop))
            else:
                words = words * (1.0 + moving * (loop.trips - 1.0))
            inside[d] = inside[d] * loop.growth
    for d, ratio in tiles.items():
        # A partial tile of a window that does not slide has fewer positions, but a whole halo.
        window = problem.shape.window(tensor, d)
        extent = window_extent(problem, window, extents) if window else 1.0
        halo = 1.0 - extents[d] * problem.steps[d] / extent
        words = words * (1.0 + (1.0 - slides[d]) * (ratio - 1.0) * halo)
    return words


def _gate(loop: Loop) -> Any:
    """0 at one trip, 1 from two on, smooth between."""
    t = 1.0 - _positive(2.0 - loop.full_trips)
    return t * t * (3.0 - 2.0 * t)


def _sharing(problem: Problem, mapping: Mapping, tensor: str, outer: int, inner: int | None) -> Any:
    """Instances inside level `outer`, down to level `inner`, that use the same words at once.

    Of memories (filled alike, whether or not their last tile is full) all; of the array's
    units (`inner` None) those at work, on average.
    """
    return math.prod(
        loop.trips if inner is None else loop.full_trips
        for level in mapping.levels[outer:inner]
        for loop in level.loops
        if loop.spatial and loop.dimension not in problem.shape.spans[tensor]
    )


def _instances(mapping: Mapping) -> tuple[Any, ...]:
    found: list[Any] = []
    product: Any = 1.0
    for level in mapping.levels:
        found.append(product)
        product = product * math.prod(loop.full_trips for loop in level.loops if loop.spatial)
    return tuple(found)


def _steps(mapping: Mapping) -> Any:
    return math.prod(loop.time_steps for loop in mapping.loops())


def _positive(x: Any) -> Any:
    # max(x, 0) by operators, for floats and arrays alike; exact below 2^1023.
    return 0.5 * (x + abs(x))
