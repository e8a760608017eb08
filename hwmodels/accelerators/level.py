"""One memory level of a composed chip: what it holds, its ports, energy, area.

A level up to `REGISTER_BYTES` an instance is flip-flops (`hwmodels.parts.register_file`), a larger
one SRAM (`hwmodels.parts.sram`), unless its file states an energy or an area. Where flip-flops take
as much area as SRAM with its port, at 7 nm: 73 bytes behind 2 bytes a cycle, 147 behind 4. Energy
of a byte of SRAM includes the wire to what it serves, half the side of its share of the die:

    distance = sqrt(die area / instances) / 2

as for the buffer of every variant. Left out: the multiplexers of registers, wires that branch
where several instances receive one word.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.accelerators.own import Port
from hwmodels.mapping.machine import Axis, Memory
from hwmodels.parts import register_file, sram
from hwmodels.quantity import Quantity
from hwmodels.technology import Process

REGISTER_BYTES = 128.0
_BITS, _PJ_PER_BIT = 1 / 8, 8e-12  # a bit in bytes, pJ/bit in J/B


def _number(name: str, unit: str, scale: float, low: float, high: float, doc: str) -> Quantity:
    return Quantity(f"{name}_{unit}", (name,), unit, scale, low, high, low, doc)


NUMBERS = {
    q.name: q
    for q in (
        _number("capacity", "KiB", 1024.0, 1e-4, 2.0**22, "of one instance"),
        _number("bandwidth", "bits_per_cycle", _BITS, 1, 2.0**23, "of one port for all"),
        _number("read_bandwidth", "bits_per_cycle", _BITS, 1, 2.0**23, "of the read port"),
        _number("write_bandwidth", "bits_per_cycle", _BITS, 1, 2.0**23, "of the write port"),
        _number("energy", "pJ_per_bit", _PJ_PER_BIT, 0.0, 100, "read or written, as stated"),
        _number("area", "mm2", 1e-6, 1e-9, 1e5, "of one instance, as stated"),
    )
}


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "capacity", "bandwidth", "read_bandwidth", "write_bandwidth", "energy", "area", "axes",
    ],
    meta_fields=[
        "name", "tensors", "word_bits", "banked", "own_depth", "double_buffered", "registers",
    ],
)  # fmt: skip
@dataclass(frozen=True)
class Level:
    """A memory level; leaves in SI, None where the file states nothing.

    capacity [B] and area [m2] of one instance; bandwidths [B/cycle] of the whole level, or of one
    instance if `banked`; energy [J/B]; axes: of the array, unrolled inside this level.
    double_buffered: every tile is held twice. Other fields: as of `Memory`.
    """

    name: str
    tensors: str
    word_bits: float
    capacity: Any
    bandwidth: Any = None
    read_bandwidth: Any = None
    write_bandwidth: Any = None
    energy: Any = None
    area: Any = None
    axes: tuple[Axis, ...] = ()
    banked: bool = False
    own_depth: bool = False
    double_buffered: bool = True
    registers: bool = False

    @property
    def word(self) -> float:
        """Bytes of a word."""
        return self.word_bits / 8

    @property
    def units(self) -> Any:
        """Instances of what is inside, for each of this level."""
        product: Any = 1.0
        for axis in self.axes:
            product = product * axis.size
        return product

    @property
    def ports(self) -> Any:
        """Bytes a cycle of all its ports together; None if it is never a bound."""
        stated = [self.bandwidth, self.read_bandwidth, self.write_bandwidth]
        found = [bandwidth for bandwidth in stated if bandwidth is not None]
        return sum(found) if found else None

    def copies(self, resident: bool) -> float:
        """Capacity that a tile takes up, over its size; `resident`: half of the level keeps tensors
        between operations."""
        return (2.0 if self.double_buffered else 1.0) * (2.0 if resident else 1.0)

    def memory(self, port: Port, cycle: float, resident: bool) -> Memory:
        """The level as the mapper sees it, in words; `cycle`: clock cycles a step of the array."""

        def words(bandwidth: Any) -> Any:
            return None if bandwidth is None else float(bandwidth) * cycle / self.word

        return Memory(
            self.name, self.tensors,
            energy=float(port.energy) * self.word,
            capacity=float(self.capacity) / self.word / self.copies(resident),
            bandwidth=words(self.bandwidth), read_bandwidth=words(self.read_bandwidth),
            write_bandwidth=words(self.write_bandwidth),
            axes=tuple(Axis(float(axis.size), axis.dimensions) for axis in self.axes),
            banked=self.banked, own_depth=self.own_depth,
        )  # fmt: skip

    def port(self, process: Process, instances: Any, area: Any) -> Port:
        """Energy and bandwidths, on a die of `area`."""
        banks = instances if self.banked else 1.0
        ports = self.ports
        if ports is None:  # each unit's own registers: an operand read, a sum read and written
            words = len(self.tensors) + ("O" in self.tensors)
            peak = words * self.word * instances
        else:
            peak = ports * banks
        energy = self.energy
        if energy is None and self.registers:
            energy = register_file.energy(process, 8.0)
        elif energy is None:
            distance = 0.5 * jnp.sqrt(area / instances)
            energy = sram.energy(process, self.capacity, peak / instances, distance)
        return Port(energy, self.bandwidth, self.read_bandwidth, self.write_bandwidth, banks, peak)

    def total_area(self, process: Process, instances: Any) -> Any:
        """Area of all instances [m2]."""
        if self.area is not None:
            return instances * self.area
        if self.registers:
            return instances * register_file.placed_area(process, 8.0 * self.capacity)
        share = self.ports * (1.0 if self.banked else 1.0 / instances)
        return instances * sram.area(process, self.capacity, share)

    def quantities(self) -> dict[str, Any]:
        """Its numbers by boundary name, such as SRAM_capacity_KiB; only those that it has."""
        return {
            f"{self.name}_{name}": leaf / number.scale
            for name, number in NUMBERS.items()
            if (leaf := getattr(self, number.path[0])) is not None
        }

    def check(self) -> None:
        """Raise `InputError` if a plain number is outside its range; arrays pass."""
        for name, value in self.quantities().items():
            if isinstance(value, (int, float)):
                self._number(name).check(value, name)

    def replace(self, values: dict[str, Any]) -> Level:
        """A copy with those of `values` that are its own, checked."""
        changes: dict[str, Any] = {}
        for name in values.keys() & self.quantities().keys():
            number, value = self._number(name), values[name]
            if isinstance(value, (int, float)) or not hasattr(value, "dtype"):
                value = number.check(value, name)
            changes[number.path[0]] = value * number.scale
        return replace(self, **changes)

    def _number(self, name: str) -> Quantity:
        number = NUMBERS[name.removeprefix(f"{self.name}_")]
        if self.registers and number.path == ("capacity",):
            return dataclasses.replace(number, high=REGISTER_BYTES / number.scale)
        return number
