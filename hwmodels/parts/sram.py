"""SRAM: energy, area, latency and leakage against capacity, width and banking.

A memory is `banks` = bandwidth / `PORT_BYTES` banks (at least one), each delivering up to
`PORT_BYTES` a cycle. Per bit read or written,

    energy = SENSE + BANK_WIRE_F_PER_M V^2 side (1 + ROW_BITS / width) + wire_energy distance

with `side` [m] of a square bank and `width` its bits a cycle: bit lines and in-bank wires for each
bit, and for each access word lines and decoders worth `ROW_BITS` bits. Three constants fit
CACTI's reads and writes of 32 KiB to 2 MiB (hwcomponents' table, itrs-lstp devices at 1.1 V for 45
nm and 0.8 V for 22 nm, 16 and 7 nm scaled from there): 32 rows within 31%, half of them within
15%; at each node's nominal voltage within 37%.

Published memories cost more, above all small ones, as they include their control: 64 bits of 32 KB
take 20 pJ at 45 nm (Horowitz, ISSCC 2014; verified) against 13 here, of 1 MB 100 against 71; at
7 nm, of 8 KB 7.5 (Jouppi et al., ISCA 2021, Table 2; from memory) against 1.3, but of 1 MB 14
against 14. CACTI is preferred as the larger table, which agrees with itself across sizes.

Area: a compiled macro is `MACRO_EFFICIENCY` cells (31.8 Mib/mm2 at 3 nm, 0.70; verified), CACTI's
16 memories within 45%. As shipped, with routing, redundancy, ECC and control, it is less: at
least 0.26 of TPU v4i's CMEM and 0.27 of TPU v1's unified buffer are cells (derived from published
shares of dies whose areas are bounds). `SHIPPED` is the macros' share of the whole. A port costs
its crossbar and periphery, so bandwidth costs area. Both are fitted to published dies
(experiments/fit_areas.py).

Latency: `GATES` gates, then wire of the bank and of the way across the memory; CACTI within 30%.
Leakage is that of fast cells at 85 C; CACTI's table is of low-standby-power cells at 300 K, 8
times less by temperature and some 14 times by device (`LOW_POWER_SHARE`).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hwmodels.technology import Process

# Fits to hwcomponents' CACTI table, see above.
SENSE = 0.02e-12  # J/bit per unit of energy_scale: amplifier and output latch
BANK_WIRE_F_PER_M = 0.32e-9  # effective, in-bank wires and bit lines of one bit
ROW_BITS = 17.0
GATES = 46.0  # decoder, sense amplifier and output driver, in gate delays
BANK_WIRE_S_PER_M = 1.35e-6  # 1.35 ns/mm: thin wires and bit lines
LOW_POWER_SHARE = 0.07  # leakage of low-standby-power cells over that of fast ones

WIRE_S_PER_M = 0.2e-6  # repeated wire across the memory, 0.2 ns/mm; an estimate
MACRO_EFFICIENCY = 0.7
SHIPPED = 0.43  # macros over area as shipped: 0.30 of it is cells; fitted, see above
PORT_BYTES = 64.0
# A 64-byte port's crossbar and periphery, in cells: 44 cell heights under 512 bits of four columns
# each; fitted, see above.
PORT_CELLS = 512 * 4 * 44.0
# A memory beside its unit needs no crossbar: this much less periphery of a port than the shared
# buffer's (compiled macros of 4-64 KiB are 35-50% cells, against the 7% of the smallest).
SMALL_PORT = 16.0


def energy(process: Process, capacity: Any, bandwidth: Any, distance: Any = 0.0) -> Any:
    """Energy of one byte read or written [J/byte].

    Args:
      process: the resolved technology.
      capacity: bytes of the whole memory.
      bandwidth: bytes per cycle; sets the number of banks, one per `PORT_BYTES`, at least 1.
      distance: wire from bank to consumer [m].
    """
    width = 8.0 * jnp.minimum(bandwidth, PORT_BYTES)
    bank = BANK_WIRE_F_PER_M * process.voltage**2 * _bank_side(process, capacity, bandwidth)
    bit = SENSE * process.energy_scale + bank * (1.0 + ROW_BITS / width)
    return 8.0 * (bit * process.sram_energy + process.wire_energy * distance)


def area(process: Process, capacity: Any, bandwidth: Any) -> Any:
    """Area of `capacity` bytes with `bandwidth` bytes per cycle, as shipped [m2]."""
    cells = 8.0 * capacity + PORT_CELLS * bandwidth / PORT_BYTES
    return cells * process.sram_cell / (MACRO_EFFICIENCY * SHIPPED)


def macro_area(process: Process, capacity: Any) -> Any:
    """Area of compiled macros of `capacity` bytes, without what ships around them [m2]."""
    return 8.0 * capacity * process.sram_cell / MACRO_EFFICIENCY


def latency(process: Process, capacity: Any, bandwidth: Any) -> Any:
    """Time of one access, of a bank and of the way across the memory [s]."""
    across = WIRE_S_PER_M * jnp.sqrt(macro_area(process, capacity))
    bank = BANK_WIRE_S_PER_M * _bank_side(process, capacity, bandwidth)
    return GATES * process.gate_delay + bank + across


def leakage(process: Process, capacity: Any, *, low_power: bool = False) -> Any:
    """Leakage of `capacity` bytes of fast, or of low-standby-power cells [W]."""
    return process.sram_leakage * capacity * (LOW_POWER_SHARE if low_power else 1.0)


def _bank_side(process: Process, capacity: Any, bandwidth: Any) -> Any:
    banks = jnp.maximum(bandwidth / PORT_BYTES, 1.0)
    return jnp.sqrt(macro_area(process, capacity / banks))
