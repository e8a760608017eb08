"""The best mapping of an operation on a machine, by batched enumeration.

Every structure of `mapspace` is counted (`nest.count`) and costed (`machine.cost`) for the
products of its dimensions' chains at once, in float64: a dimension is an axis of the arrays, so
what depends on few dimensions is computed over those alone. Mappings that overflow a memory
are dropped. Where a space is larger than `limit` mappings, trip counts are thinned, and axes
are first unrolled as far as they go. The best mappings of the best structures are then polished:
all dimensions over their nearest chains, then two at a time over many while the others stay, until
nothing improves.

No gradient is taken: tile sizes of one operation are few enough to count, and rounding
relaxed ones lost more than the search for them gained.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hwmodels.errors import InputError, check_choice
from hwmodels.mapping.catalog import load_machine
from hwmodels.mapping.machine import Cost, Machine, cost, evaluate_mapping
from hwmodels.mapping.mapping import Mapping
from hwmodels.mapping.mapspace import Structure, chains, structures
from hwmodels.mapping.nest import Counts, count
from hwmodels.mapping.problem import Problem, problem_of
from hwmodels.workloads.workload import Operation

OBJECTIVES = ("latency", "energy", "edp")
LIMIT = 2**18  # mappings a structure
BATCH = 2**17  # mappings a NumPy call: arrays of 1 MiB stay in the second-level cache
STARTS = 8  # structures whose best mapping is polished, of each objective
WIDEST = 64  # trip counts of one loop that are ever tried
Chains = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class BestMapping:
    """A mapping, its counts and cost, and how many mappings were compared."""

    machine: Machine
    problem: Problem
    mapping: Mapping
    counts: Counts
    cost: Cost
    compared: int

    @property
    def text(self) -> str:
        """The mapping in text form."""
        return str(self.mapping)

    @property
    def cycles(self) -> float:
        """Whole cycles."""
        return float(self.cost.cycles)

    @property
    def time(self) -> float:
        """Seconds."""
        return self.cycles * float(self.machine.cycle)

    @property
    def energy(self) -> float:
        """Joules."""
        return float(self.cost.energy)

    def frame(self) -> pd.DataFrame:
        """Words by level and tensor: tile, fills, reads, updates, drains."""
        return pd.DataFrame(
            {"level": i, "memory": level.memory, "tensor": tensor, **traffic._asdict()}
            for i, (level, tensors) in enumerate(
                zip(self.mapping.levels, self.counts.traffic, strict=True)
            )
            for tensor, traffic in tensors.items()
        )


def best_mapping(
    operation: Operation | Problem,
    machine: Machine | str,
    objective: str = "edp",
    *,
    limit: int = LIMIT,
) -> BestMapping:
    """The best mapping of a contraction for one objective.

    Args:
      operation: a contraction of a workload, or a `Problem` (`matmul`, `convolution`).
      machine: a `Machine` or the name of one in the catalog.
      objective: "latency" (cycles, of equal ones the least energy), "energy" or "edp"
        (energy x cycles).
      limit: mappings counted per structure before trip counts are thinned.

    Raises:
      InputError: no contraction, an unknown machine or objective, or nothing fits.
    """
    check_choice("objective", objective, OBJECTIVES)
    return best_mappings(operation, machine, limit=limit)[objective]


def best_mappings(
    operation: Operation | Problem, machine: Machine | str, *, limit: int = LIMIT
) -> dict[str, BestMapping]:
    """The best mapping for each of `OBJECTIVES`, of one enumeration; see `best_mapping`."""
    problem = operation if isinstance(operation, Problem) else problem_of(operation)
    if isinstance(machine, str):
        machine = load_machine(machine)
    search = _Search(machine, problem, limit)
    found = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        kinds = structures(machine, problem)
        scans = list(pool.map(search.scan, kinds))
        if not any(scan[0] for scan in scans):  # the array's own tiles overflow a memory
            scans = list(pool.map(functools.partial(search.scan, partly=True), kinds))
        for i, objective in enumerate(OBJECTIVES):
            starts = sorted((f for scan in scans for f in scan[i][:1]), key=_order)[:STARTS]
            if not starts:
                raise InputError(
                    "machine", machine.name, "every memory holds a word of each of its tensors"
                )
            polished = pool.map(functools.partial(search.polish, i), starts)
            found[objective] = min(polished, key=_order)
    return {objective: search.result(best) for objective, best in found.items()}


class _Found(NamedTuple):
    """A mapping: its objective with the tie-breaker, structure, and one chain a dimension."""

    ranks: tuple[float, float]
    structure: Structure
    chains: Chains


def _order(found: _Found) -> tuple[Any, ...]:
    return found.ranks, str(found.structure), [tuple(c) for c in found.chains.values()]


class _Search:
    """One enumeration: what is searched, and how many mappings were compared."""

    def __init__(self, machine: Machine, problem: Problem, limit: int) -> None:
        self.machine, self.problem, self.limit = machine, problem, limit
        self.compared: list[int] = []

    def scan(self, structure: Structure, *, partly: bool = False) -> list[list[_Found]]:
        """The best mappings of one structure, per objective; axes unrolled fully or `partly`."""
        dimensions = [d for d, size in self.problem.sizes.items() if structure.slots(d)]
        most = WIDEST
        while True:
            sets = {d: self._chains(structure, d, most, partly) for d in dimensions}
            if math.prod(len(rows) for rows in sets.values()) <= self.limit or most <= 2:
                break
            most -= max(1, most // 8)
        return [sorted(found, key=_order) for found in self._compare(structure, sets)]

    def polish(self, objective: int, start: _Found) -> _Found:
        """Improve a mapping among its neighbours until nothing changes."""
        best, before = start, None
        while before is None or best.ranks < before:
            before = best.ranks
            for free in [tuple(best.chains), *itertools.combinations(best.chains, 2)]:
                each = int((self.limit // 4) ** (1.0 / len(free)))
                sets = {d: row[None] for d, row in best.chains.items()}
                for d in free:
                    rows = self._chains(best.structure, d, WIDEST, partly=True)
                    sets[d] = _nearest(rows, sets[d], each)
                best = min([best, *self._compare(best.structure, sets)[objective]], key=_order)
        return best

    def result(self, best: _Found) -> BestMapping:
        """Recount the mapping by itself, with plain numbers."""
        mapping = best.structure.mapping(best.chains, None)
        counts, costs = evaluate_mapping(self.machine, self.problem, mapping)
        return BestMapping(self.machine, self.problem, mapping, counts, costs, sum(self.compared))

    def _chains(
        self, structure: Structure, dimension: str, most: int, partly: bool
    ) -> NDArray[np.float64]:
        return chains(structure, dimension, self.problem.sizes[dimension], most, partly=partly)

    def _compare(self, structure: Structure, sets: Chains) -> list[list[_Found]]:
        """Count and cost the product of the chains; per objective the best of each block."""
        best: list[list[_Found]] = [[] for _ in OBJECTIVES]
        for block in _blocks([len(rows) for rows in sets.values()]):
            part = {
                d: np.expand_dims(rows[where], _others(i, len(sets)))
                for i, ((d, rows), where) in enumerate(zip(sets.items(), block, strict=True))
            }
            shape = [where.stop - where.start for where in block]
            self.compared.append(math.prod(shape))
            mapping = structure.mapping(part, self.problem)
            costs = cost(self.machine, mapping, count(self.problem, mapping))
            fits = np.broadcast_to(functools.reduce(np.minimum, costs.margins.values()) >= 0, shape)
            if not fits.any():
                continue
            cycles, energy = np.broadcast_arrays(costs.cycles, costs.energy, fits)[:2]
            ranks = [(cycles, energy), (energy, cycles), (energy * cycles, energy)]
            for found, (rank, tie) in zip(best, ranks, strict=True):
                least = rank[fits].min()
                at = np.where(fits & (rank == least), tie, np.inf).argmin()
                index = np.unravel_index(at, shape)
                row = {d: sets[d][w.start + j] for d, w, j in zip(sets, block, index, strict=True)}
                found.append(_Found((float(least), float(tie[index])), structure, row))
        return best


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
