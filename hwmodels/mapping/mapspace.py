"""The mappings worth looking at: structures of the loop nest, and tile sizes per dimension.

A *structure* is the levels of a nest with the dimensions that may loop at each, in order. Of all
structures these are enough:

* A loop over a dimension that indexes every tensor reuses nothing: it stands outermost.
* Where only one tensor T is held further in, a loop over a dimension that does not index T can
  move inside T's level: its tile stays as it is. So only dimensions that index it loop there, and
  their order does not matter but for the window that slides. The same holds outside each level
  of a memory that holds every tensor at its own depth, as its levels come in every order.
* Elsewhere some tensor held further in stays: the loops that do not index it stand innermost. One
  order per tensor, and per dimension of a window that slides.

A *chain* is the trips of one dimension at its loops, innermost first, each ceil(n / j) of the n
tiles that are left: other trip counts need the same number of outer tiles with larger inner ones.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwmodels.mapping.machine import Machine
from hwmodels.mapping.mapping import Level, Loop, Mapping, partial_loops
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

    def mapping(self, chains: dict[str, Any], problem: Problem | None) -> Mapping:
        """The nest with trips from `chains`: dimension -> (..., slots), innermost first.

        With a problem, the loops' numbers are those of partial tiles (as `fit` makes them, for
        arrays); without, the plain trips.
        """
        loops = {}
        for d, trips in chains.items():
            plain = [
                Loop(d, trips[..., i], trips[..., i], slot.axis > 0)
                for i, slot in enumerate(self.slots(d))
            ]
            loops[d] = iter(plain if problem is None else partial_loops(plain, problem.sizes[d]))
        levels = [
            Level(memory, tensors, tuple(next(loops[s.dimension]) for s in reversed(slots))[::-1])
            for memory, tensors, slots in reversed(self.levels)
        ]
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
    windows = [d for window in problem.shape.windows for d in window if problem.sizes[d] > 1]

    if index + 1 == len(levels):  # nothing further in holds a tile
        memory, held = levels[index]
        if machine.memory(memory).capacity >= 2:
            return [(*first, *others)]
        return [(*first, *(d for d in others if not any(d in spans[t] for t in held)))]

    memory, held = levels[index + 1]
    inside = "".join(dict.fromkeys("".join(tensors for _, tensors in levels[index + 1 :])))
    alone = len(inside) == 1 or machine.memory(memory).own_depth
    found: dict[tuple[str, ...], None] = {}
    for stays in held if alone else inside:
        outer = [d for d in others if d in spans[stays]]
        inner = [] if alone else [d for d in others if d not in spans[stays]]
        for slides in windows if "I" in inside else ():
            group = outer if slides in outer else inner
            if slides in group:
                moved = [*(d for d in group if d != slides), slides]
                pair = (moved, inner) if group is outer else (outer, moved)
                found[(*first, *pair[0], *pair[1])] = None
        found[(*first, *outer, *inner)] = None
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
