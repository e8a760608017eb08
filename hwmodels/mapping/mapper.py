"""The best mapping of an operation on a machine, by batched enumeration (`enumeration.py`).

Where a space is larger than `limit` mappings, trip counts are thinned, and axes are first unrolled
as far as they go; as many mappings again are drawn at random. The best mappings of the best
structures are then polished: all dimensions over their nearest chains, and of the best few two at
a time over many while the others stay, until nothing improves.

No gradient is taken: tile sizes of one operation are few enough to count.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import jax
import pandas as pd

from hwmodels.errors import InputError, check_choice
from hwmodels.mapping.catalog import load_machine
from hwmodels.mapping.enumeration import OBJECTIVES, Found, Search, order
from hwmodels.mapping.machine import Cost, Machine, evaluate_mapping
from hwmodels.mapping.mapping import Mapping
from hwmodels.mapping.mapspace import structures
from hwmodels.mapping.nest import Counts
from hwmodels.mapping.problem import Problem, problem_of
from hwmodels.workloads.operation import Operation

LIMIT = 2**21  # mappings counted before polishing, over all structures
LEAST = 2**14  # and of one structure
STARTS = 24  # structures whose best mapping is polished, of each objective
FINALISTS = 4  # of them, that are polished along pairs of dimensions


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
    machine: Machine | str | Path,
    objective: str = "edp",
    *,
    limit: int = LIMIT,
) -> BestMapping:
    """The best mapping of a contraction for one objective.

    Args:
      operation: a contraction of a workload, or a `Problem` (`matmul`, `convolution`).
      machine: a `Machine`, the name of one in the catalog, or the path of a TOML file.
      objective: "latency" (cycles, of equal ones the least energy), "energy" or "edp"
        (energy x cycles).
      limit: mappings counted before trip counts are thinned, over all structures.

    Raises:
      InputError: no contraction, an unknown machine or objective, or nothing fits.
    """
    check_choice("objective", objective, OBJECTIVES)
    return best_mappings(operation, machine, limit=limit)[objective]


def best_mappings(
    operation: Operation | Problem, machine: Machine | str | Path, *, limit: int = LIMIT
) -> dict[str, BestMapping]:
    """The best mapping for each of `OBJECTIVES`, of one enumeration; see `best_mapping`."""
    problem = operation if isinstance(operation, Problem) else problem_of(operation)
    if not isinstance(machine, Machine):
        machine = load_machine(machine)
    kinds = structures(machine, problem)
    search = Search(machine, problem, max(limit // len(kinds), LEAST))
    found = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        scans = list(pool.map(search.scan, kinds))
        if not any(scan[0] for scan in scans):  # the array's own tiles overflow a memory
            scans = list(pool.map(functools.partial(search.scan, partly=True), kinds))
        for i, objective in enumerate(OBJECTIVES):
            starts = sorted((f for scan in scans for f in scan[i][:1]), key=order)[:STARTS]
            if not starts:
                held = ", ".join(
                    f"{m.name}[{m.tensors}] {m.capacity:g}" for m in machine.memories[1:]
                )
                raise InputError(
                    "machine",
                    f"{machine.name} with {held} words",
                    "allowed: a word of each tensor that a memory holds, at least",
                )
            near = sorted(pool.map(functools.partial(search.polish, i), starts), key=order)
            final = pool.map(functools.partial(search.polish, i, pairs=True), near[:FINALISTS])
            found[objective] = min(final, key=order)
    return {objective: _recounted(search, best) for objective, best in found.items()}


def _recounted(search: Search, best: Found) -> BestMapping:
    """The mapping counted by itself, with plain numbers."""
    mapping = best.structure.mapping(best.chains, None)
    mapping = jax.tree.map(float, mapping)
    counts, costs = evaluate_mapping(search.machine, search.problem, mapping)
    return BestMapping(search.machine, search.problem, mapping, counts, costs, sum(search.compared))
