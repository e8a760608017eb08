"""Machines from TOML files, sizes with their units; see hwmodels/catalog/machines/ws32.toml."""

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
_FLAGS = ("banked", "own_depth", "reads_drains", "clears_results")
_MEMORY_KEYS = (
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
    tables = content.get("memory")
    if not isinstance(tables, list) or not tables:
        raise InputError("memory", tables, "allowed: [[memory]] tables, outermost first")
    memories = tuple(_memory(table, outermost=i == 0) for i, table in enumerate(tables))
    return Machine(
        path.stem,
        memories,
        _number(content, "mac_energy_pJ", "machine") * PICO,
        _number(content, "cycle_ns", "machine", 1.0) * NANO,
    )


def _memory(table: Any, *, outermost: bool) -> Memory:
    if not isinstance(table, dict):
        raise InputError("memory", table, "allowed: a table")
    name = str(table.get("name", ""))
    if not name.isidentifier():
        raise InputError("memory.name", name, "allowed: letters, digits and underscores")
    for key in table:
        check_choice(f"memory {name}", key, _MEMORY_KEYS)
    tensors = str(table.get("tensors", ""))
    if not tensors or set(tensors) - set(TENSORS) or len(set(tensors)) < len(tensors):
        raise InputError(f"{name}.tensors", tensors, f"allowed: letters of {''.join(TENSORS)}")
    if outermost and set(tensors) != set(TENSORS):
        raise InputError(f"{name}.tensors", tensors, "the outermost memory holds W, I and O")
    bits = _number(table, "word_bits", name)
    capacity = _number(table, "capacity_bits", name, math.inf)
    capacity = _number(table, "capacity_KiB", name, capacity / KIB_BITS) * KIB_BITS
    options: dict[str, Any] = {flag: _flag(table, flag, name) for flag in _FLAGS if flag in table}
    for port in _BANDWIDTHS:
        if (key := f"{port}_bits_per_cycle") in table:
            options[port] = _number(table, key, name) / bits
    return Memory(
        name,
        tensors,
        energy=_number(table, "energy_pJ_per_bit", name) * PICO * bits,
        capacity=capacity / bits,
        block=_number(table, "block_bits", name) / bits if "block_bits" in table else None,
        axes=tuple(_axis(axis, name) for axis in table.get("axis", [])),
        **options,
    )


def _axis(table: Any, name: str) -> Axis:
    dimensions = table.get("dimension", {}) if isinstance(table, dict) else {}
    if not isinstance(dimensions, dict) or set(dimensions) != set(SHAPES):
        raise InputError(f"{name}.axis", table, f"a size and a dimension for {', '.join(SHAPES)}")
    for shape, dimension in dimensions.items():
        check_choice(f"{name}.axis.dimension.{shape}", dimension, SHAPES[shape].dimensions)
    return Axis(_number(table, "size", f"{name}.axis"), tuple(sorted(dimensions.items())))


def _number(table: dict[str, Any], key: str, where: str, default: float | None = None) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise InputError(f"{where}.{key}", value, "allowed: a number > 0")
    return float(value)


def _flag(table: dict[str, Any], key: str, where: str) -> bool:
    if not isinstance(table[key], bool):
        raise InputError(f"{where}.{key}", table[key], "allowed: true or false")
    return bool(table[key])
