"""Vector processors (CPU-like): wide SIMD cores with private caches behind a shared last level.

A core multiplies `lanes` pairs a cycle (N along the lanes). Rows of M or blocks of N are dealt
out over the cores, whichever is faster:

    cycles = batch K min(ceil(M / cores) ceil(N / lanes), M ceil(ceil(N / lanes) / cores))

A block of b x b fp32 sums in half of the private cache sets the traffic to the last level (the
shared buffer): the left operand ceil(N / b) times, the right one ceil(M / b) times. Every
multiply-accumulate reads two operands and its sum from vector registers and writes the sum back;
an instruction costs out-of-order fetch, rename and retirement, spread over its lanes. Elementwise
work runs on the same lanes, at one fp32 operation for each lane pair of 16-bit ones. Left out:
cache misses by conflict, TLBs, simultaneous multithreading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator, register
from hwmodels.accelerators.shared import Compute
from hwmodels.parts import mac, sram, vector_unit
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS
from hwmodels.quantity import quantity, static
from hwmodels.relax import Relax
from hwmodels.technology import Process
from hwmodels.workloads.numeric import Contractions

KIB = 1024.0
# Energy of one vector instruction in an out-of-order core, 45 nm: some three times the in-order
# 30 pJ of the SIMT variant; an estimate.
INSTRUCTION_J = 100e-12
VECTOR_REGISTERS = 32.0
REGISTER_BLOCK = 8.0  # rows of sums that a core keeps in registers
LATENCY_CYCLES = 200.0  # last-level read, loop start and end
CONTROL_45NM_M2 = 30e-6  # front end and scheduler of a core: 1.8 mm2 at 7 nm; an estimate


@register("vector")
@dataclass(frozen=True)
class Vector(Accelerator):
    """SIMD cores with private caches and a shared last-level cache."""

    cores: Any = quantity(64, low=1, high=1024, doc="cores")
    lanes: Any = quantity(64, low=4, high=2048, doc="MACs of a core a cycle")
    private_cache: Any = quantity(1024, "KiB", KIB, low=16, high=65536, doc="private cache")

    sparsity: str = static("none", choices=("none", "gate", "skip"), doc="use of zeros in operands")

    # A core multiplies one left operand by a vector of right ones: only the former can be skipped.
    SKIPS = ("lhs_density",)
    IDLE_W_PER_M2 = 0.03e6  # server CPUs idle at a similar share; an estimate

    @property
    def macs_per_cycle(self) -> Any:
        """MACs of all cores."""
        return self.cores * self.lanes

    @property
    def vector_rate(self) -> Any:
        """fp32 operations of all cores: half of the lanes for 16-bit operands."""
        return self.cores * self.lanes * min(FORMATS[self.number_format].bits / 32, 1.0)

    def contraction(self, op: Contractions, relax: Relax, besides: Any) -> Compute:
        """See the module docstring."""
        m, n, k = op.m, op.n, op.k
        word = FORMATS[self.number_format].bits / 8
        blocks = relax.ceil_div(n, self.lanes)
        by_rows = relax.ceil_div(m * op.batch, self.cores) * blocks
        by_columns = m * relax.ceil_div(blocks * op.batch, self.cores)
        cycles = k * relax.minimum(by_rows, by_columns) * self.time_share(op)
        side = jnp.maximum(relax.floor(jnp.sqrt(self.private_cache / (2 * ACCUMULATOR_BYTES))), 1.0)
        words = relax.ceil_div(n, side) * m * k + relax.ceil_div(m, side) * k * n
        buffer_bytes = op.batch * (word * words + ACCUMULATOR_BYTES * m * n)
        return Compute(cycles, LATENCY_CYCLES, buffer_bytes)

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """Unit, instruction share, vector registers, private cache."""
        word = FORMATS[self.number_format].bits / 8
        registers = VECTOR_REGISTERS * self.lanes * ACCUMULATOR_BYTES
        register_access = sram.energy(process, registers, self.lanes * ACCUMULATOR_BYTES)
        cache_access = sram.energy(process, self.private_cache, 2 * sram.PORT_BYTES)
        return {
            "mac": mac.energy(process, self.number_format),
            "instruction": INSTRUCTION_J * process.energy_scale / self.lanes,
            "register": register_access * 2.0 * (word + ACCUMULATOR_BYTES),
            "local": cache_access * word * (1.0 / REGISTER_BLOCK + 1.0 / self.lanes),
        }

    def areas(self, process: Process) -> dict[str, Any]:
        """Units, elementwise lanes, registers, private caches and control of all cores."""
        registers = VECTOR_REGISTERS * self.lanes * ACCUMULATOR_BYTES
        return {
            "mac": self.macs_per_cycle * mac.area(process, self.number_format),
            "vector": vector_unit.area(process, self.vector_rate),
            "register": self.cores * sram.area(process, registers, self.lanes * ACCUMULATOR_BYTES),
            "local": self.cores * sram.area(process, self.private_cache, 2 * sram.PORT_BYTES),
            "control": self.cores * CONTROL_45NM_M2 * process.area_scale,
        }

    @property
    def local_sram(self) -> Any:
        """Private caches and vector registers."""
        registers = VECTOR_REGISTERS * self.lanes * ACCUMULATOR_BYTES
        return self.cores * (self.private_cache + registers)

    @property
    def smallest_buffer(self) -> Any:
        """A cache line of each operand for every core."""
        return self.cores * 2.0 * sram.PORT_BYTES
