"""A memory hierarchy that mappings run on, and what a mapping costs there.

    cycles = max(steps of the array, each memory's port traffic / bandwidth), rounded up
    energy = MACs x energy of one + sum over memories of accesses x energy of a word

Reads of a memory are what it hands inside, sums it reads to add to, and, where
`reads_drains`, sums it hands outside. Writes are fills and updates; zeros that start a sum
are writes where `clears_results`. Left out: fill and drain of the array (see gemmini_rtl.py),
leakage, and contention between memories.

Machines are catalog files (hwmodels/catalog/machines/*.toml, sizes with units) or are built in
code (gemmini.py).
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from hwmodels.errors import InputError, check_choice
from hwmodels.mapping.mapping import Level, Mapping, fit
from hwmodels.mapping.nest import Counts, Traffic, count
from hwmodels.mapping.problem import RESULT, Problem
from hwmodels.relax import largest, round_up


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["size"], meta_fields=["dimensions"]
)
@dataclass(frozen=True)
class Axis:
    """One axis of the array: its size and the dimension of each shape that it unrolls."""

    size: Any
    dimensions: tuple[tuple[str, str], ...]

    def dimension(self, problem: Problem) -> str:
        """The dimension of `problem` that this axis unrolls."""
        return dict(self.dimensions)[problem.shape.name]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "capacity", "energy", "bandwidth", "read_bandwidth", "write_bandwidth", "block", "axes",
    ],
    meta_fields=["name", "tensors", "banked", "own_depth", "reads_drains", "clears_results"],
)  # fmt: skip
@dataclass(frozen=True)
class Memory:
    """One memory; words are its own.

    tensors: those it holds. energy: J per word read or written. capacity: words of one
    instance. bandwidth: words a cycle, reads and writes together; read_bandwidth,
    write_bandwidth: of separate ports (None: never a bound); of the whole memory, or of one
    instance if `banked`.
    block: words that transfers come in, if any (energy only). axes: of the array, unrolled
    inside this memory. own_depth: each tensor may be held at its own depth of the nest.
    """

    name: str
    tensors: str
    energy: Any
    capacity: Any = math.inf
    bandwidth: Any = None
    read_bandwidth: Any = None
    write_bandwidth: Any = None
    block: Any = None
    axes: tuple[Axis, ...] = ()
    banked: bool = False
    own_depth: bool = False
    reads_drains: bool = True
    clears_results: bool = False


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["memories", "mac_energy", "cycle"],
    meta_fields=["name"],
)
@dataclass(frozen=True)
class Machine:
    """Memories from the outermost in, energy of a multiply-accumulate [J], cycle time [s]."""

    name: str
    memories: tuple[Memory, ...]
    mac_energy: Any
    cycle: Any = 1e-9

    def memory(self, name: str) -> Memory:
        """The memory called `name`; raises `InputError`."""
        check_choice("memory", name, [memory.name for memory in self.memories])
        return next(memory for memory in self.memories if memory.name == name)


class Cost(NamedTuple):
    """What a mapping costs on a machine: terms by part, then totals.

    cycle_terms: cycles of the array's steps and of each memory's ports, which overlap.
    energy_terms [J]: of multiply-accumulates and of each memory. words: held by each memory's
    instance; margins: share of its capacity that is left, negative where it overflows.
    """

    cycle_terms: dict[str, Any]
    energy_terms: dict[str, Any]
    words: dict[str, Any]
    margins: dict[str, Any]

    @property
    def cycles(self) -> Any:
        """The slowest term, in whole cycles."""
        return round_up(largest(*self.cycle_terms.values()), 1.0)

    @property
    def energy(self) -> Any:
        """Sum of the energy terms [J]."""
        return sum(self.energy_terms.values())


def cost(machine: Machine, mapping: Mapping, counts: Counts) -> Cost:
    """Cost of counted traffic. Operators only: floats, NumPy arrays or JAX arrays."""
    cycles: dict[str, Any] = {"compute": counts.steps}
    energies: dict[str, Any] = {"mac": counts.macs * machine.mac_energy}
    held: dict[str, Any] = {}
    margins: dict[str, Any] = {}
    for memory in machine.memories:
        reads, writes, accesses, tiles, instances = 0.0, 0.0, 0.0, 0.0, 1.0
        for level, traffic, used in zip(
            mapping.levels, counts.traffic, counts.instances, strict=True
        ):
            if level.memory != memory.name:
                continue
            instances = used
            for tensor, moved in traffic.items():
                out, into = _ports(memory, tensor, moved, counts)
                reads, writes = reads + out, writes + into
                accesses = accesses + _blocks(out, memory.block) + _blocks(into, memory.block)
                tiles = tiles + moved.tile
        ports = instances if memory.banked else 1.0
        energies[memory.name] = accesses * memory.energy
        for name, words, bandwidth in (
            (memory.name, reads + writes, memory.bandwidth),
            (f"{memory.name} read", reads, memory.read_bandwidth),
            (f"{memory.name} write", writes, memory.write_bandwidth),
        ):
            if bandwidth is not None:
                cycles[name] = words / (bandwidth * ports)
        held[memory.name] = tiles
        margins[memory.name] = 1.0 - tiles / memory.capacity
    return Cost(cycles, energies, held, margins)


def _ports(memory: Memory, tensor: str, moved: Traffic, counts: Counts) -> tuple[Any, Any]:
    """Words that a tensor reads from and writes to a memory."""
    if tensor != RESULT:
        return moved.reads, moved.fills
    out = moved.reads + (moved.drains if memory.reads_drains else 0.0)
    into = moved.updates + moved.fills - (0.0 if memory.clears_results else moved.zeros)
    return out, into


def _blocks(words: Any, block: Any) -> Any:
    # Shares of windows leave rounding errors, which must not open another block.
    return words if block is None else round_up(words - 1e-4, block)


def evaluate_mapping(machine: Machine, problem: Problem, mapping: Mapping) -> tuple[Counts, Cost]:
    """Check, count and cost one mapping given with plain numbers.

    Raises:
      InputError: the levels are not the machine's memories in their order, hold a tensor that
        the memory does not or not at all, unroll more than an axis has, do not cover a
        dimension, or overflow a capacity (naming level, tensors and both numbers).
    """
    for name, value, kind in (
        ("machine", machine, Machine), ("problem", problem, Problem), ("mapping", mapping, Mapping)
    ):  # fmt: skip
        if not isinstance(value, kind):
            raise InputError(name, value, f"allowed: a {kind.__name__}")
    check_levels(machine, problem, mapping)
    fitted = jax.tree.map(float, fit(mapping, problem))
    counts = count(problem, fitted)
    costs = cost(machine, fitted, counts)
    for memory in machine.memories:
        if costs.margins[memory.name] < 0:
            tiles = ", ".join(
                f"{tensor} {moved.tile:g}"
                for level, traffic in zip(fitted.levels, counts.traffic, strict=True)
                for tensor, moved in traffic.items()
                if level.memory == memory.name
            )
            raise InputError(
                f"mapping, {memory.name}",
                f"tiles of {tiles} words",
                f"capacity {memory.capacity:g} words",
            )
    return counts, costs


def check_levels(machine: Machine, problem: Problem, mapping: Mapping) -> None:
    """Raise `InputError` unless the mapping's levels, tensors and spatial loops exist here."""
    names = [memory.name for memory in machine.memories]
    for level in mapping.levels:
        check_choice("mapping, level", level.memory, names)
    order = [names.index(level.memory) for level in mapping.levels]
    repeated = [m.name for m in machine.memories if order.count(names.index(m.name)) > 1]
    if order != sorted(order) or not all(machine.memory(name).own_depth for name in repeated):
        raise InputError("mapping", mapping, f"levels in the order {', '.join(names)}")
    held = set()
    for level in mapping.levels:
        memory = machine.memory(level.memory)
        for tensor in level.tensors:
            if tensor not in memory.tensors or (level.memory, tensor) in held:
                raise InputError(
                    f"mapping, {level.memory}", tensor, f"holds each of {memory.tensors} once"
                )
            held.add((level.memory, tensor))
        _check_spatial(problem, level, memory)
    for level, inside in itertools.pairwise(mapping.levels):
        if level.memory == inside.memory and any(loop.spatial for loop in level.loops):
            raise InputError(
                f"mapping, {level.memory}",
                f"spatial loops outside {inside.memory}[{inside.tensors}]",
                "the array stands inside the last level of a memory",
            )
    outermost = machine.memories[0]
    missing = [t for t in problem.shape.spans if (outermost.name, t) not in held]
    if missing:
        raise InputError(
            f"mapping, {outermost.name}", "".join(missing), "the outermost level holds every tensor"
        )


def _check_spatial(problem: Problem, level: Level, memory: Memory) -> None:
    sizes: dict[str, float] = {}
    for axis in memory.axes:
        name = axis.dimension(problem)
        sizes[name] = sizes.get(name, 1.0) * axis.size
    for d in {loop.dimension for loop in level.loops if loop.spatial}:
        used = math.prod(x.trips for x in level.loops if x.spatial and x.dimension == d)
        if used > sizes.get(d, 1.0):
            raise InputError(
                f"mapping, {level.memory}",
                f"{d}{used:g}X",
                f"the array unrolls at most {sizes.get(d, 1.0):g} of {d} there",
            )
