"""Machines from TOML files, sizes with their units; see hwmodels/catalog/machines/ws32.toml.

A file has `source`, `cycle_ns` (1), `mac_energy_pJ` and `[[memory]]` tables from the outermost in:

* `name`; `tensors`, of W (weights), I (input), O (result); `word_bits`
* `capacity_KiB` or `capacity_bits`, of one instance (without: unlimited)
* `energy_pJ_per_bit` read or written; `block_bits` that transfers come in
* `bandwidth_bits_per_cycle` of one port for all, or `read_` and `write_bandwidth_bits_per_cycle`
  (without: never a bound); `banked = true`: each instance has that much
* `own_depth = true`: each tensor may be held at its own depth of the loop nest
* `reads_drains = false`, `clears_results = true`: as Timeloop counts partial sums (`machine.py`)
* `[[memory.axis]]`: `size` instances of what is inside, and the `dimension` unrolled over them,
  for each shape of problem
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

from hwmodels.errors import InputError, check_choice
from hwmodels.mapping.machine import Axis, Machine, Memory
from hwmodels.mapping.problem import SHAPES, TENSORS

MACHINES = Path(__file__).parents[1] / "catalog" / "machines"
PICO, NANO, KIB_BITS = 1e-12, 1e-9, 8 * 1024.0
_MACHINE_KEYS = ("source", "cycle_ns", "mac_energy_pJ", "memory")
_BANDWIDTHS = ("bandwidth", "read_bandwidth", "write_bandwidth")
_PORTS = {f"{name}_bits_per_cycle" for name in _BANDWIDTHS}
_FLAGS = ("banked", "own_depth", "reads_drains", "clears_results")
MEMORY_KEYS = (
    "name", "tensors", "word_bits", "energy_pJ_per_bit", "capacity_KiB", "capacity_bits",
    "block_bits", *(f"{name}_bits_per_cycle" for name in _BANDWIDTHS), *_FLAGS, "axis",
)  # fmt: skip


def machines() -> list[str]:
    """Names of the catalog's machines."""
    return sorted(path.stem for path in MACHINES.glob("*.toml"))


def load_machine(machine: str | Path) -> Machine:
    """A catalog machine by name, or one of your own by the path of its TOML file.

    Raises:
      InputError: no such machine or file, or a field that is missing, unknown or out of range.
    """
    path = Path(machine)
    if path.suffix != ".toml":
        check_choice("machine", str(machine), machines())
        path = MACHINES / f"{machine}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError("machine", path, f"a readable TOML file ({error})") from None
    for key in content:
        check_choice("machine", key, _MACHINE_KEYS)
    memories = read_memories(content.get("memory"))
    if set(memories[0].tensors) != set(TENSORS):
        name, tensors = memories[0].name, memories[0].tensors
        raise InputError(f"{name}.tensors", tensors, "the outermost memory holds W, I and O")
    return Machine(
        path.stem,
        memories,
        number(content, "mac_energy_pJ", "machine") * PICO,
        number(content, "cycle_ns", "machine", 1.0) * NANO,
    )


def read_memories(tables: Any, keys: tuple[str, ...] = MEMORY_KEYS) -> tuple[Memory, ...]:
    """The memories of `[[memory]]` tables, which have no other keys than `keys`.

    Raises:
      InputError: no tables, a field that is missing, unknown or out of range, a name twice.
    """
    if not isinstance(tables, list) or not tables:
        raise InputError("memory", tables, "allowed: [[memory]] tables, outermost first")
    memories = tuple(_memory(table, keys) for table in tables)
    names = [memory.name for memory in memories]
    if len(set(names)) < len(names):
        raise InputError("memory.name", ", ".join(names), "each name once")
    return memories


def _memory(table: Any, keys: tuple[str, ...]) -> Memory:
    if not isinstance(table, dict):
        raise InputError("memory", table, "allowed: a table")
    name = str(table.get("name", ""))
    if not name.isidentifier():
        raise InputError("memory.name", name, "allowed: letters, digits and underscores")
    for key in table:
        check_choice(f"memory {name}", key, keys)
    tensors = str(table.get("tensors", ""))
    if not tensors or set(tensors) - set(TENSORS) or len(set(tensors)) < len(tensors):
        raise InputError(
            f"{name}.tensors",
            tensors,
            f"allowed: letters of {''.join(TENSORS)}, upper case, each once",
        )
    if "capacity_KiB" in table and "capacity_bits" in table:
        raise InputError(f"{name}.capacity_bits", table["capacity_bits"], "one capacity")
    if "bandwidth_bits_per_cycle" in table and len(table.keys() & _PORTS) > 1:
        raise InputError(f"{name}.bandwidth_bits_per_cycle", table, "one port, or two separate")
    bits = number(table, "word_bits", name)
    capacity = number(table, "capacity_bits", name, math.inf)
    capacity = number(table, "capacity_KiB", name, capacity / KIB_BITS) * KIB_BITS
    options: dict[str, Any] = {key: flag(table, key, name) for key in _FLAGS if key in table}
    for port in _BANDWIDTHS:
        if (key := f"{port}_bits_per_cycle") in table:
            options[port] = number(table, key, name) / bits
    return Memory(
        name,
        tensors,
        energy=number(table, "energy_pJ_per_bit", name) * PICO * bits,
        capacity=capacity / bits,
        block=number(table, "block_bits", name) / bits if "block_bits" in table else None,
        axes=tuple(_axis(axis, name) for axis in table.get("axis", [])),
        **options,
    )


def _axis(table: Any, name: str) -> Axis:
    dimensions = table.get("dimension", {}) if isinstance(table, dict) else {}
    for key in table if isinstance(table, dict) else ():
        check_choice(f"{name}.axis", key, ("size", "dimension"))
    if not isinstance(dimensions, dict) or set(dimensions) != set(SHAPES):
        raise InputError(f"{name}.axis", table, f"a size and a dimension for {', '.join(SHAPES)}")
    for shape, dimension in dimensions.items():
        check_choice(f"{name}.axis.dimension.{shape}", dimension, SHAPES[shape].dimensions)
    size = number(table, "size", f"{name}.axis")
    if size % 1:
        raise InputError(f"{name}.axis.size", size, "allowed: a whole number")
    return Axis(size, tuple(sorted(dimensions.items())))


def number(table: dict[str, Any], key: str, where: str, default: float | None = None) -> float:
    """A positive number of a table; energies may be 0."""
    if key not in table and default is not None:
        return default
    value = table.get(key, "nothing")
    least = 0.0 if "energy" in key else math.ulp(0.0)
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not plain or not least <= value < math.inf:
        shown = repr(value) if isinstance(value, str) and key in table else value
        raise InputError(
            f"{where}.{key}", shown, f"allowed: a number {'>=' if not least else '>'} 0"
        )
    return float(value)


def flag(table: dict[str, Any], key: str, where: str) -> bool:
    """A yes or no of a table."""
    if not isinstance(table[key], bool):
        raise InputError(f"{where}.{key}", table[key], "allowed: true or false")
    return bool(table[key])
