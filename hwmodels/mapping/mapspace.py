"""The mappings worth looking at: structures of the loop nest, and tile sizes per dimension.

A *structure* is the levels of a nest with the dimensions that may loop at each, in order. Of all
structures these are enough:

* A loop over a dimension that indexes every tensor reuses nothing: it stands outermost.
* A loop over a dimension that does not index tensor T, directly outside T's level, can move
  inside it: T's tile stays as it is, and what is held further out sees the same loops. So outside
  a level that holds one tensor only dimensions that index it loop, and their order does not
  matter.
* Outside a level that holds several tensors the loops that keep one of them in place stand
  innermost: one order per tensor, and per direction of a window that slides.
* A memory that holds each tensor at its own depth is a level per tensor, in every order.

A *chain* is the trips of one dimension at its loops, innermost first, each ceil(n / j) of the n
tiles that are left: other trip counts need the same number of outer tiles with larger inner ones.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwmodels.mapping.machine import Machine
from hwmodels.mapping.mapping import Level, Loop, Mapping
from hwmodels.mapping.problem import Problem


@dataclass(frozen=True)
class Slot:
    """One place for a loop: dimension, and the size of the array's axis if it is spatial."""

    dimension: str
    axis: float = 0.0


@dataclass(frozen=True)
class Structure:
    """Levels (memory, tensors) from the outermost in, each with its slots, outermost first."""

    levels: tuple[tuple[str, str, tuple[Slot, ...]], ...]

    def slots(self, dimension: str) -> list[Slot]:
        """The slots of one dimension, innermost first."""
        found = [s for _, _, slots in self.levels for s in slots if s.dimension == dimension]
        return found[::-1]

    def mapping(self, chains: dict[str, NDArray[np.float64]], problem: Problem | None) -> Mapping:
        """The nest with trips from `chains`: dimension -> (..., slots), innermost first.

        With a problem, the loops' numbers are those of partial outer tiles (as `fit` makes
        them, for arrays); without, the plain trips.
        """
        place = dict.fromkeys(chains, 0)
        tile: dict[str, NDArray[np.float64]] = {d: np.ones(()) for d in chains}
        levels = []
        for memory, tensors, slots in reversed(self.levels):
            loops = []
            for slot in reversed(slots):
                d = slot.dimension
                trips = chains[d][..., place[d]]
                place[d] += 1
                inside, tile[d] = tile[d], tile[d] * trips
                growth = trips
                if problem is not None:
                    size = problem.sizes[d]
                    trips = np.ceil(size / inside) / np.ceil(size / tile[d])
                    growth = np.minimum(tile[d], size) / np.minimum(inside, size)
                loops.append(Loop(d, trips, growth, slot.axis > 0))
            levels.append(Level(memory, tensors, tuple(reversed(loops))))
        return Mapping(tuple(reversed(levels)))


def structures(machine: Machine, problem: Problem) -> list[Structure]:
    """The structures described above, without those that differ in no loop."""
    found: dict[Structure, None] = {}
    for levels in _arrangements(machine):
        orders = [_orders(machine, problem, levels, i) for i in range(len(levels))]
        for order in itertools.product(*orders):
            whole = []
            for i, (memory, tensors) in enumerate(levels):
                last = i + 1 == len(levels) or levels[i + 1][0] != memory
                axes = machine.memory(memory).axes if last else ()
                spatial = tuple(Slot(a.dimension(problem), float(a.size)) for a in axes)
                temporal = tuple(Slot(d) for d in order[i] if problem.sizes[d] > 1)
                whole.append((memory, tensors, temporal + spatial))
            found[Structure(tuple(whole))] = None
    return list(found)


def chains(
    structure: Structure, dimension: str, size: float, most: int, *, partly: bool
) -> NDArray[np.float64]:
    """The chains of one dimension, one a row, innermost slot first.

    most: choices a loop has at most. partly: unroll over a part of an axis, too.
    """
    axes = tuple(int(slot.axis) for slot in structure.slots(dimension))
    return _chains(axes, int(size), most, partly)


@functools.lru_cache(maxsize=4096)
def _chains(axes: tuple[int, ...], size: int, most: int, partly: bool) -> NDArray[np.float64]:
    last = max((i for i, axis in enumerate(axes) if not axis), default=-1)
    rows: list[tuple[int, ...]] = []

    def extend(row: tuple[int, ...], tile: int) -> None:
        if len(row) == len(axes):
            rows.append(row)
            return
        left = -(-size // tile)
        if axis := axes[len(row)]:
            choices = _unrolls(left, axis, partly)
        elif len(row) == last:
            choices = [left]
        else:
            choices = _thinned(_quotients(left), left, most)
        for trips in choices:
            extend((*row, trips), tile * trips)

    extend((), 1)
    covering = [row for row in rows if math.prod(row) >= size]
    return np.array(covering, float).reshape(len(covering), len(axes))


def _arrangements(machine: Machine) -> Iterator[list[tuple[str, str]]]:
    """Levels (memory, tensors): a memory with `own_depth` is a level per tensor."""
    options = [
        [[(m.name, t) for t in order] for order in itertools.permutations(m.tensors)]
        if m.own_depth
        else [[(m.name, m.tensors)]]
        for m in machine.memories
    ]
    for choice in itertools.product(*options):
        yield [level for memory in choice for level in memory]


def _orders(
    machine: Machine, problem: Problem, levels: list[tuple[str, str]], index: int
) -> list[tuple[str, ...]]:
    """Orders of the temporal loops inside level `index`, outermost first."""
    spans = problem.shape.spans
    everywhere = [d for d in problem.shape.dimensions if all(d in s for s in spans.values())]
    first = tuple(everywhere) if index == 0 else ()
    others = [d for d in problem.shape.dimensions if d not in everywhere]
    if index + 1 == len(levels):  # nothing further in holds a tile
        memory, held = levels[index]
        if machine.memory(memory).capacity >= 2:
            return [(*first, *others)]
        return [(*first, *(d for d in others if not any(d in spans[t] for t in held)))]
    held = levels[index + 1][1]
    if len(held) == 1:
        return [(*first, *(d for d in others if d in spans[held]))]
    found: dict[tuple[str, ...], None] = {}
    for stays in spans:
        outer = [d for d in others if d in spans[stays]]
        inner = [d for d in others if d not in spans[stays]]
        found[(*first, *outer, *inner)] = None
        if problem.shape.windows:
            found[(*first, *reversed(outer), *reversed(inner))] = None
    return list(found)


@functools.lru_cache(maxsize=4096)
def _quotients(n: int) -> list[int]:
    """The distinct values of ceil(n / j), largest first."""
    found, j = [], 1
    while True:
        value = -(-n // j)
        found.append(value)
        if value == 1:
            return found
        j = -(-n // (value - 1))


def _thinned(choices: list[int], n: int, most: int) -> list[int]:
    """At most `most` of the choices: divisors first, the others evenly along the list."""
    if len(choices) <= most:
        return choices
    divisors = [c for c in choices if n % c == 0]
    rest = [c for c in choices if n % c]
    if len(divisors) > most:
        divisors, rest = _evenly(divisors, most), []
    return sorted(divisors + _evenly(rest, most - len(divisors)), reverse=True)


def _evenly(values: list[int], most: int) -> list[int]:
    if len(values) <= most:
        return values
    return [values[i] for i in sorted({round(x) for x in np.linspace(0, len(values) - 1, most)})]


def _unrolls(n: int, axis: int, partly: bool) -> list[int]:
    """As much as fits, the same number of passes evenly, and the largest divisor that fits."""
    most = min(n, axis)
    divisor = max(d for d in range(1, most + 1) if n % d == 0)
    even = math.ceil(n / math.ceil(n / most))
    return sorted({most, even, divisor, *(_quotients(most) if partly else ())}, reverse=True)
