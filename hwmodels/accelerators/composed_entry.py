"""A composed chip from its TOML file: `variant = "composed"`, `[chip]`, and `[[memory]]` tables.

The tables run from the outermost on-chip level in; DRAM is the chip's (`dram_kind`,
`dram_stacks`, ...). Their keys are those of machines (`hwmodels.mapping.catalog`):

* `name`; `tensors`, of W (weights), I (input), O (result)
* `capacity_KiB` or `capacity_bits`, of one instance
* `bandwidth_bits_per_cycle` of one port, or `read_` and `write_bandwidth_bits_per_cycle`.
  Registers (up to 128 bytes) may go without
* `banked = true`: each instance has that bandwidth; `false`: all instances of the level share it.
  One of the two must be stated where a level has ports and stands inside an axis
* `[[memory.axis]]`: `size` instances of what is inside, and the `dimension` unrolled over them
* `own_depth = true`: each tensor may be held at its own depth of the loop nest

and, of chips: `word_bits`, by default the number format's, of a level with sums alone 32;
`double_buffered`, by default true but for registers; `energy_pJ_per_bit` and `area_mm2` (of one
instance) in place of the parts'.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from hwmodels.accelerators.composed import Composed
from hwmodels.accelerators.entry import ChipEntry
from hwmodels.accelerators.facts import Fact
from hwmodels.accelerators.level import REGISTER_BYTES, Level
from hwmodels.errors import InputError
from hwmodels.mapping.catalog import flag, number, read_memories
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS

_KEYS = (
    "name", "tensors", "capacity_KiB", "capacity_bits", "bandwidth_bits_per_cycle",
    "read_bandwidth_bits_per_cycle", "write_bandwidth_bits_per_cycle", "banked", "own_depth",
    "word_bits", "double_buffered", "energy_pJ_per_bit", "area_mm2", "axis",
)  # fmt: skip
# What else has a name in a breakdown of time, energy or area.
_TAKEN = (
    "mac", "pipeline", "vector", "dram", "buffer", "compute", "on_chip", "busy", "fill_drain",
    "launch", "memory_latency", "sparsity", "host", "uncore", "dram_phy", "link_phy", "leakage",
    "idle", "dram_idle", "link", "clock_tree", "static",
)  # fmt: skip


def read_levels(tables: Any, number_format: str) -> tuple[Level, ...]:
    """The levels of `[[memory]]` tables for a chip of that operand format.

    Raises:
      InputError: naming field, value and what is allowed.
    """
    bits = FORMATS[number_format].bits if number_format in FORMATS else 16.0
    filled = tables
    if isinstance(tables, list) and all(isinstance(table, dict) for table in tables):
        filled = [
            {"word_bits": 8 * ACCUMULATOR_BYTES if table.get("tensors") == "O" else bits,
             "energy_pJ_per_bit": 0.0, **table}
            for table in tables
        ]  # fmt: skip
        for table in tables:
            _check_units(table)
    memories = read_memories(filled, _KEYS)
    for memory in memories:
        if memory.name.lower() in _TAKEN or memory.name.lower().startswith("static_"):
            raise InputError("memory.name", memory.name, f"taken: {', '.join(_TAKEN)}")
    levels = tuple(_level(m, t, f) for m, t, f in zip(memories, tables, filled, strict=True))
    instances = 1.0
    for level, table in zip(levels, tables, strict=True):
        # Of capacities each instance has its own: nobody should have to guess at bandwidths.
        if instances > 1 and level.ports is not None and "banked" not in table:
            raise InputError(
                f"{level.name}.banked", "nothing",
                f"needed: true, each of {instances:,.0f} instances has the stated bandwidth; "
                "or false, all of them together have it",
            )  # fmt: skip
        instances *= level.units
    return levels


def _check_units(table: dict[str, Any]) -> None:
    """Raise `InputError` for a known number in another unit, such as capacity_MiB."""
    units = ("KiB", "bits", "bits_per_cycle", "pJ_per_bit", "mm2")
    for key in [key for key in table if key not in _KEYS]:
        for stem in ("capacity", "bandwidth", "read_bandwidth", "write_bandwidth", "word",
                     "energy", "area"):  # fmt: skip
            if key == stem or key.startswith(f"{stem}_"):
                right = [f"{stem}_{unit}" for unit in units if f"{stem}_{unit}" in _KEYS]
                raise InputError(f"{table.get('name', 'memory')}.{key}", "a wrong or missing unit",
                                 f"allowed: {' or '.join(right)}")  # fmt: skip


def _level(memory: Any, table: dict[str, Any], filled: dict[str, Any]) -> Level:
    name, word = memory.name, float(filled["word_bits"]) / 8
    capacity = memory.capacity * word
    if math.isinf(capacity):
        raise InputError(f"{name}.capacity_KiB", "nothing", "needed: of an on-chip memory")
    registers = capacity <= REGISTER_BYTES
    ports = {
        port: None if (words := getattr(memory, port)) is None else words * word
        for port in ("bandwidth", "read_bandwidth", "write_bandwidth")
    }
    shared, read, write = ports.values()
    if shared is None and (read is None) != (write is None):
        raise InputError(
            f"{name}.{'read' if read is None else 'write'}_bandwidth_bits_per_cycle", "nothing",
            "needed: separate ports are two",
        )  # fmt: skip
    if shared is read is None and not registers:
        raise InputError(
            f"{name}.bandwidth_bits_per_cycle", "nothing",
            f"needed: a memory of more than {REGISTER_BYTES:g} bytes has ports",
        )  # fmt: skip
    level = Level(
        name, memory.tensors, word_bits=8 * word, capacity=capacity, **ports,
        energy=memory.energy / word if "energy_pJ_per_bit" in table else None,
        area=number(table, "area_mm2", name) * 1e-6 if "area_mm2" in table else None,
        axes=memory.axes, banked=memory.banked, own_depth=memory.own_depth,
        double_buffered=flag(table, "double_buffered", name)
        if "double_buffered" in table else not registers,
        registers=registers,
    )  # fmt: skip
    level.check()
    return level


@dataclass(frozen=True)
class ComposedEntry(ChipEntry):
    """A composed chip of a file."""

    levels: tuple[Level, ...] = ()

    def blank(self) -> Any:
        """With the file's levels."""
        return replace(Composed(), levels=self.levels)

    def facts(self) -> dict[str, Fact]:
        """As of any chip; the levels' numbers and structure are the file's."""
        source = "memory tables of the file"
        found = super().facts()
        for level in self.levels:
            found[level.name] = Fact(_structure(level), source, "assumed")
            found |= {n: Fact(found[n].value, source, "assumed") for n in level.quantities()}
        return found


def _structure(level: Level) -> str:
    axes = [
        f"{axis.size:g} x {'/'.join(sorted({d for _, d in axis.dimensions}))}"
        for axis in level.axes
    ]
    said = [
        level.tensors, "registers" if level.registers else "SRAM", f"{level.word_bits:g}-bit words",
        *(name for name in ("banked", "own_depth", "double_buffered") if getattr(level, name)),
        *(["inside: " + ", ".join(axes)] if axes else []),
    ]  # fmt: skip
    return "; ".join(said)
