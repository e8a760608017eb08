"""Enumeration of a machine's mappings of one problem, in batches.

Every structure of `mapspace` is counted (`nest.count`) and costed (`machine.cost`) for the
products of its dimensions' chains at once, in float64: a dimension is an axis of the arrays, so
what depends on few dimensions is computed over those alone. Mappings that overflow a memory
are dropped.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.mapping.machine import Machine, cost
from hwmodels.mapping.mapspace import Structure, chains
from hwmodels.mapping.nest import count
from hwmodels.mapping.problem import Problem

OBJECTIVES = ("latency", "energy", "edp")
BATCH = 2**17  # mappings a NumPy call: arrays of 1 MiB stay in the second-level cache
DRAWN = 2**15  # mappings of a structure that are drawn at random where its space is thinned
POLISHED = 2**13  # neighbours of a mapping, looked at together
WIDEST = 64  # trip counts of one loop that are ever tried
Chains = dict[str, NDArray[np.float64]]


class Found(NamedTuple):
    """A mapping: its objective with the tie-breaker, structure, and one chain a dimension."""

    ranks: tuple[float, float]
    structure: Structure
    chains: Chains


def order(found: Found) -> tuple[Any, ...]:
    return found.ranks, str(found.structure), [tuple(c) for c in found.chains.values()]


class Search:
    """One enumeration: what is searched, and how many mappings were compared."""

    def __init__(self, machine: Machine, problem: Problem, limit: int) -> None:
        self.machine, self.problem, self.limit = machine, problem, limit
        self.compared: list[int] = []

    def scan(self, structure: Structure, *, partly: bool = False) -> list[list[Found]]:
        """The best mappings of one structure, per objective.

        A space beyond the limit is looked at twice: thinned to a grid, its axes unrolled as far
        as they go unless `partly`, and at random.
        """
        dimensions = [d for d, size in self.problem.sizes.items() if structure.slots(d)]
        whole = {d: self._chains(structure, d, WIDEST, partly=True) for d in dimensions}
        if _count(whole) <= self.limit:
            return [sorted(best, key=order) for best in self._compare(structure, whole)]
        sets, most = whole, WIDEST
        while _count(sets) > self.limit and most > 2:
            sets = {d: self._chains(structure, d, most, partly) for d in dimensions}
            most -= max(1, most // 8)
        found = self._compare(structure, sets)
        rng = np.random.default_rng(0)
        drawn = {d: rows[rng.integers(len(rows), size=DRAWN)] for d, rows in whole.items()}
        for best, more in zip(found, self._best(structure, drawn, (DRAWN,)), strict=True):
            best += more
        return [sorted(best, key=order) for best in found]

    def polish(self, objective: int, start: Found, *, pairs: bool = False) -> Found:
        """Improve a mapping among its neighbours until nothing changes.

        Neighbours: a few along all dimensions, and if `pairs` many along two.
        """
        best, before = start, None
        while before is None or best.ranks < before:
            before = best.ranks
            twos = itertools.combinations(best.chains, 2) if pairs else ()
            for free in [tuple(best.chains), *twos]:
                each = int(POLISHED ** (1.0 / len(free)))
                sets = {d: row[None] for d, row in best.chains.items()}
                for d in free:
                    rows = self._chains(best.structure, d, WIDEST, partly=True)
                    sets[d] = _nearest(rows, sets[d], each)
                best = min([best, *self._compare(best.structure, sets)[objective]], key=order)
        return best

    def _chains(
        self, structure: Structure, dimension: str, most: int, partly: bool
    ) -> NDArray[np.float64]:
        return chains(structure, dimension, self.problem.sizes[dimension], most, partly=partly)

    def _compare(self, structure: Structure, sets: Chains) -> list[list[Found]]:
        """The best mapping of each block of the product of the chains, per objective."""
        best: list[list[Found]] = [[] for _ in OBJECTIVES]
        for block in _blocks([len(rows) for rows in sets.values()]):
            part = {
                d: np.expand_dims(rows[where], _others(i, len(sets)))
                for i, ((d, rows), where) in enumerate(zip(sets.items(), block, strict=True))
            }
            shape = tuple(where.stop - where.start for where in block)
            for found, more in zip(best, self._best(structure, part, shape), strict=True):
                found += more
        return best

    def _best(
        self, structure: Structure, part: Chains, shape: tuple[int, ...]
    ) -> list[list[Found]]:
        """Count and cost mappings whose chains broadcast to `shape`; per objective the best, if
        any fits."""
        self.compared.append(math.prod(shape))
        mapping = structure.mapping(part, self.problem)
        costs = cost(self.machine, mapping, count(self.problem, mapping))
        fits = np.broadcast_to(functools.reduce(np.minimum, costs.margins.values()) >= 0, shape)
        if not fits.any():
            return [[] for _ in OBJECTIVES]
        cycles, energy = np.broadcast_arrays(costs.cycles, costs.energy, fits)[:2]
        found = []
        for rank, tie in [(cycles, energy), (energy, cycles), (energy * cycles, energy)]:
            least = rank[fits].min()
            at = np.where(fits & (rank == least), tie, np.inf).argmin()
            index = np.unravel_index(at, shape)
            row = {
                d: np.broadcast_to(rows, (*shape, rows.shape[-1]))[index]
                for d, rows in part.items()
            }
            found.append([Found((float(least), float(tie[index])), structure, row)])
        return found


def _count(sets: Chains) -> int:
    return math.prod(len(rows) for rows in sets.values())


def _blocks(counts: list[int]) -> Iterator[list[slice]]:
    """Slices that cut a grid into blocks of at most `BATCH` points, the longest axis first."""
    pending = [[slice(0, n) for n in counts]]
    while pending:
        block = pending.pop()
        sizes = [where.stop - where.start for where in block]
        if math.prod(sizes) <= BATCH:
            yield block
            continue
        axis = int(np.argmax(sizes))
        middle = (block[axis].start + block[axis].stop) // 2
        lower, upper = list(block), list(block)
        lower[axis] = slice(block[axis].start, middle)
        upper[axis] = slice(middle, block[axis].stop)
        pending += [upper, lower]


def _nearest(
    rows: NDArray[np.float64], centre: NDArray[np.float64], most: int
) -> NDArray[np.float64]:
    """The chains with trips nearest to those of `centre`, by ratio; `centre` stays first."""
    distance = np.abs(np.log(rows / centre)).sum(1)
    return np.concatenate([centre, rows[np.argsort(distance, kind="stable")[:most]]])


def _others(axis: int, count: int) -> tuple[int, ...]:
    return tuple(i for i in range(count) if i != axis)
