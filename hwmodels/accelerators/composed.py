"""A chip that nobody has built: memory levels, from the outermost on-chip one in, from a TOML file.

Between DRAM and multiply-accumulate units stand `levels`, each with the tensors that it may hold,
its ports, and the axes of the array inside it. A level is shared by all that is inside it: one
that stands outside an axis is one memory, one inside it has an instance for each step of the axis.
Of every contraction the mapper's best loop nest is counted (`hwmodels.accelerators.mapped`), so

    cycles  = max(steps of the nest, port cycles of each level)        beside DRAM and vector work
    energy  = MACs x energy of one + sum over levels of bytes x energy of one + DRAM

as in `hwmodels.mapping.machine`, at this chip's clock, voltage and bandwidths. The nest is a
discrete choice of the host; gradients are those at the chosen nest, which by the envelope theorem
are those of the best one, but where two are equally good.

Vector work passes through the outermost level that holds results, half reads, half writes; where
none does, it streams from DRAM. Tensors stay on chip between operations ("warm") in half of the
outermost level, if that holds W, I and O; tiles get the other half. Otherwise, and "cold", nothing
stays, and tiles may fill every level. They are held twice, but where a level says
`double_buffered = false`.

Of each tensor a unit latches what it multiplies and adds, every cycle, as in a systolic array, but
for tensors that a level of registers of its own, named in the file, holds for it.

The width of a word is a level's own: partial sums in a level shared with operands are as wide as
those. Left out: fill and drain of the array.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator, register
from hwmodels.accelerators.level import Level
from hwmodels.accelerators.mapped import MappedContractions, Progress, attach, find
from hwmodels.accelerators.own import Port
from hwmodels.accelerators.shared import Buffer, Compute
from hwmodels.errors import InputError, check_choice
from hwmodels.mapping.problem import MATMUL
from hwmodels.parts import mac, register_file, vector_unit
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS
from hwmodels.quantity import quantities, quantity, structure
from hwmodels.relax import Relax
from hwmodels.technology import Process
from hwmodels.workloads.numeric import Contractions, Operations
from hwmodels.workloads.scenario import single
from hwmodels.workloads.workload import Workload


@register("composed", meta=("mappings",))
@dataclass(frozen=True)
class Composed(Accelerator):
    """Named memory levels between DRAM and an array; `hwmodels.load_chip` makes it from a file.

    mappings: what `mapped` fixed, (residency and problem, mapping as text) for each contraction.
    """

    # No number of its own: what residency, vector work and plots call the buffer, of the levels.
    sram: ClassVar[Any] = property(lambda chip: chip.buffer)  # type: ignore[misc]
    vector_lanes: Any = quantity(1024, low=1, high=65536, doc="fp32 lanes of the vector unit")
    levels: tuple[Level, ...] = ()
    mappings: tuple[tuple[str, str], ...] = ()

    IDLE_W_PER_M2 = 0.085e6  # as systolic and spatial, arrays too

    def operations(self, workload: Workload, residency: str) -> Operations:
        """The workload with the counts of each contraction's mapping.

        Raises:
          InputError: a level out of range, or traced numbers without `mapped`.
        """
        for level in self.levels:
            level.check()
        return attach(self, single(workload, "a composed chip"), residency)

    @property
    def bare(self) -> Composed:
        """Without mappings: operations carry their counts."""
        return dataclasses.replace(self, mappings=())

    def mapped(
        self, workload: Workload, residency: str = "warm", progress: Progress | None = None
    ) -> Composed:
        """The chip with the best mappings of a workload fixed, so that its numbers may be traced.

        `progress` is called with a stage and the share done, as a search takes about a second an
        operation. Where numbers change, the mappings stay; a tile that then overflows its level
        shows as a negative `buffer` margin.
        """
        found = find(self, single(workload, "a composed chip"), residency, progress)
        return dataclasses.replace(self, mappings=found)

    def instances(self, index: int) -> Any:
        """How many of the level there are."""
        product: Any = 1.0
        for level in self.levels[:index]:
            product = product * level.units
        return product

    @property
    def keeps(self) -> bool:
        """The outermost level may keep tensors between operations."""
        return set(self.levels[0].tensors) == set("WIO")

    @property
    def vector_memory(self) -> str | None:
        """The outermost level that holds results."""
        return next((level.name for level in self.levels if "O" in level.tensors), None)

    @property
    def buffer(self) -> Buffer:
        """Capacity that tensors may stay in; bandwidth of the level beside the vector unit."""
        outer = self.levels[0]
        names = [level.name for level in self.levels]
        index = names.index(self.vector_memory) if self.vector_memory else 0
        beside = self.levels[index]
        ports = 1.0 if beside.ports is None else beside.ports
        banks = self.instances(index) if beside.banked else 1.0
        capacity = outer.capacity if self.keeps else 0.0 * outer.capacity
        return Buffer(capacity=capacity, bandwidth=ports * banks)

    @property
    def macs_per_cycle(self) -> Any:
        """The product of all axes."""
        return self.instances(len(self.levels))

    @property
    def vector_rate(self) -> Any:
        """Lanes of the vector unit."""
        return self.vector_lanes

    def contraction(self, op: Contractions, relax: Relax, besides: Any) -> Compute:
        """Steps of the nest."""
        op = _mapped(op)
        return Compute(op.steps, 0.0 * op.steps, 0.0 * op.steps)

    def operand_bytes(
        self, op: Contractions, away: tuple[Any, Any], tile_capacity: Any, relax: Relax
    ) -> Any:
        """Operands as often as the nest fetches them, and sums that leave and come back."""
        op = _mapped(op)
        left, right = away
        return left * op.lhs_passes + right * op.rhs_passes + op.spilled

    def own_traffic(
        self, op: Contractions, away: tuple[Any, Any, Any]
    ) -> dict[str, tuple[Any, Any, Any]]:
        """Of each level; tensors that are on chip already do not enter or leave the outermost."""
        op = _mapped(op)
        found = {}
        for level in self.levels:
            read, written = op.reads[level.name], op.writes[level.name]
            if level is self.levels[0]:
                left, right, result = away
                written = written - (1.0 - left) * op.entering[0] - (1.0 - right) * op.entering[1]
                read = read - (1.0 - result) * op.leaving
            found[level.name] = (read, written, op.banks[level.name])
        return found

    def own_ports(self, process: Process, area: Any) -> dict[str, Port]:
        """A port for each level."""
        return {
            level.name: level.port(process, self.instances(i), area)
            for i, level in enumerate(self.levels)
        }

    @property
    def latched_bits(self) -> float:
        """Bits of operands and sum that a unit latches beside its named registers."""
        held = ""
        for level in reversed(self.levels):
            if level.axes or not level.registers:
                break
            held += level.tensors
        word = FORMATS[self.number_format].bits
        bits = {"W": word, "I": word, "O": 8.0 * ACCUMULATOR_BYTES}
        return sum(width for tensor, width in bits.items() if tensor not in held)

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """The unit and its latches."""
        return {
            "mac": mac.energy(process, self.number_format),
            "pipeline": register_file.energy(process, self.latched_bits),
        }

    def areas(self, process: Process) -> dict[str, Any]:
        """Units, their latches, every level, vector unit."""
        return {
            "mac": self.macs_per_cycle * mac.area(process, self.number_format),
            "pipeline": self.macs_per_cycle * register_file.placed_area(process, self.latched_bits),
            **{
                level.name: level.total_area(process, self.instances(i))
                for i, level in enumerate(self.levels)
            },
            "vector": vector_unit.area(process, self.vector_lanes),
        }

    def buffer_energy(self, process: Process, area: Any) -> Any:
        """None besides that of the levels."""
        return 0.0 * area

    def buffer_area(self, process: Process) -> Any:
        """None besides that of the levels."""
        return 0.0 * self.clock

    @property
    def sram_bytes(self) -> Any:
        """All levels but registers."""
        return 0.0 * self.clock + sum(
            self.instances(i) * level.capacity
            for i, level in enumerate(self.levels)
            if not level.registers
        )

    @property
    def memory_parts(self) -> tuple[str, ...]:
        """All levels but registers."""
        return ("buffer", *(level.name for level in self.levels if not level.registers))

    @property
    def smallest_buffer(self) -> Any:
        """See `buffer_margin`; each level has a need of its own."""
        raise NotImplementedError

    def buffer_margin(self, contractions: Contractions) -> Any:
        """The least room of any level beyond what one step of the whole array, and the largest tile
        of any mapping, need there."""
        rooms = []
        for i, level in enumerate(self.levels):
            need = self.array_tile(i)
            if isinstance(contractions, MappedContractions) and contractions.count.shape[0]:
                tiles = jnp.max(contractions.needs[level.name])
                need = jnp.maximum(need, tiles)
            # A full level is a good one; the tolerance is the rounding of float32.
            rooms.append(level.capacity / need - 1.0 + 1e-6)
        return jnp.min(jnp.stack(rooms))

    def array_tile(self, index: int) -> Any:
        """Bytes of a level that one step of all units inside it takes up (of a matrix product)."""
        level = self.levels[index]
        words: Any = 0.0
        for tensor in level.tensors:
            tile: Any = 1.0
            for axis in (axis for inner in self.levels[index:] for axis in inner.axes):
                if dict(axis.dimensions)[MATMUL.name] in MATMUL.spans[tensor]:
                    tile = tile * axis.size
            words = words + tile
        return words * level.word * level.copies(False)

    def replace(self, **values: Any) -> Any:
        """A copy with numbers set by boundary name, such as `SRAM_capacity_KiB=64`, checked."""
        own = {name for level in self.levels for name in level.quantities()}
        known = [*quantities(Composed), *structure(Composed), *own]
        for name in values:
            check_choice("parameter", name, known)
        chip = super().replace(**{k: v for k, v in values.items() if k not in own})
        return dataclasses.replace(
            chip, levels=tuple(level.replace(values) for level in self.levels)
        )

    def quantities(self) -> dict[str, Any]:
        """The numbers by boundary name, those of levels included."""
        found = super().quantities()
        for level in self.levels:
            found |= level.quantities()
        return found


def _mapped(op: Contractions) -> MappedContractions:
    if not isinstance(op, MappedContractions):
        needed = "needed: operations that Composed.operations has mapped, as evaluate does"
        raise InputError("chip", Composed.NAME, needed)
    return op
