"""SRAM: energy, area and leakage against capacity, width and banking.

Energy per bit = sense and decode (scales as logic) + bit-line and in-bank wire (grows with the
square root of the bank's area, falls with V^2) + the way across the memory. Two constants,
`SENSE` and `BANK_WIRE_F_PER_M`, fit CACTI's reads of 32 KiB to 2 MiB at 7 nm (hwcomponents'
table) within 21%. They put its reads at 16 nm 3% low to 45% high, at 22 nm 17% to 65% high and
at 45 nm up to 37% low. Jouppi et al. (ISCA 2021, Table 2, 7 nm) state more, 7.5 to 14 pJ for
64 bits of 8 KB to 1 MB; CACTI, at 2 to 8, is preferred as the larger and consistent table.

Area = cells over `EFFICIENCY` (as shipped, with routing, redundancy and ECC: 0.26 in TPU v4i's
CMEM, 0.27 in TPU v1's unified buffer; a bare compiled macro reaches 0.7) + periphery of its
banks. Bandwidth is `PORT_BYTES` per bank and cycle, so bandwidth costs banks.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hwmodels.technology import Process

SENSE = 0.039e-12  # J/bit per unit of energy_scale
BANK_WIRE_F_PER_M = 0.31e-9  # effective, word lines and bit lines together
MACRO_EFFICIENCY = 0.6  # cells over area of one bank, for its wire lengths
EFFICIENCY = 0.28
PORT_BYTES = 64.0
PORT_CELLS = 64 * 1024 * 8.0  # a 64-byte port's crossbar and periphery, in cells; an estimate


def energy(process: Process, capacity: Any, bandwidth: Any, distance: Any = 0.0) -> Any:
    """Energy of one byte read or written [J/byte].

    Args:
      process: the resolved technology.
      capacity: bytes of the whole memory.
      bandwidth: bytes per cycle; sets the number of banks, one per `PORT_BYTES`, at least 1.
      distance: wire from bank to consumer [m].
    """
    banks = jnp.maximum(bandwidth / PORT_BYTES, 1.0)
    bank_side = jnp.sqrt(8.0 * capacity / banks * process.sram_cell / MACRO_EFFICIENCY)
    bank = BANK_WIRE_F_PER_M * process.voltage**2 * bank_side
    return 8.0 * (SENSE * process.energy_scale + bank + process.wire_energy * distance)


def area(process: Process, capacity: Any, bandwidth: Any) -> Any:
    """Area of `capacity` bytes with `bandwidth` bytes per cycle [m2]."""
    cells = 8.0 * capacity + PORT_CELLS * bandwidth / PORT_BYTES
    return cells * process.sram_cell / EFFICIENCY


def leakage(process: Process, capacity: Any) -> Any:
    """Leakage of `capacity` bytes [W]."""
    return process.sram_leakage * capacity
