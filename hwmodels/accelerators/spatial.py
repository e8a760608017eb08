"""Spatial array (NVDLA-, Eyeriss-like): processing elements with scratchpads, fed by multicast.

P rows by Q columns of elements, each with v multiply-accumulate units (a dot product along K)
and a scratchpad. Two mappings, the faster one is taken:

* outputs spread: M over rows, N over columns; cycles = ceil(M/P) ceil(N/Q) ceil(K/v).
* weights spread: K over rows (and v), N over columns; cycles = ceil(K/(P v)) ceil(N/Q) M;
  partial sums are added along the columns.

Half of a scratchpad keeps a square of s x s partial sums (s^2 4 bytes), the other half the
operands, so that the buffer is read once per (P s) x (Q s) block: the left operand
ceil(N / (Q s)) times, the right one ceil(M / (P s)) times; weights spread keeps s x s weights and
rewrites partial sums ceil(K / (P v s)) times. Multicast along a row or column costs the wire of
half the array's side for each word. Left out: network contention, load imbalance, and
row-stationary convolution, whose reuse matrix products do not show: that is
`hwmodels.mapping.row_stationary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator, register
from hwmodels.accelerators.shared import Compute
from hwmodels.parts import mac, register_file, sram, vector_unit
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS
from hwmodels.quantity import quantity, static
from hwmodels.relax import Relax
from hwmodels.technology import Process
from hwmodels.workloads.numeric import Contractions

ROUTER_BITS = 256.0  # buffered flit bits of one element's network port
FILL_CYCLES = 2.0  # pipeline stages of an element


@register("spatial")
@dataclass(frozen=True)
class Spatial(Accelerator):
    """Processing elements with scratchpads and a multicast network."""

    pe_rows: Any = quantity(64, low=2, high=1024, doc="rows of elements")
    pe_columns: Any = quantity(64, low=2, high=1024, doc="columns of elements")
    macs_per_pe: Any = quantity(8, low=1, high=256, doc="MACs of an element a cycle")
    scratchpad: Any = quantity(2048, "B", low=64, high=2**20, doc="scratchpad of an element")
    vector_lanes: Any = quantity(1024, low=8, high=65536, doc="fp32 lanes of the vector unit")

    sparsity: str = static("none", choices=("none", "gate", "skip"), doc="use of zeros in operands")

    IDLE_W_PER_M2 = 0.085e6  # as systolic: no public measurement of a large one

    @property
    def macs_per_cycle(self) -> Any:
        """Units of all elements."""
        return self.pe_rows * self.pe_columns * self.macs_per_pe

    @property
    def vector_rate(self) -> Any:
        """Lanes of the vector unit."""
        return self.vector_lanes

    def contraction(self, op: Contractions, relax: Relax, besides: Any) -> Compute:
        """See the module docstring."""
        m, n, k = op.m, op.n, op.k
        word = FORMATS[self.number_format].bits / 8
        side = jnp.maximum(relax.floor(jnp.sqrt(self.scratchpad / (2.0 * ACCUMULATOR_BYTES))), 1.0)
        reach = self.pe_rows * self.macs_per_pe
        column_folds = relax.ceil_div(n, self.pe_columns)
        left_passes = relax.ceil_div(n, self.pe_columns * side)

        dense = op.batch * self.time_share(op)
        outputs_cycles = (
            dense
            * relax.ceil_div(m, self.pe_rows)
            * column_folds
            * relax.ceil_div(k, self.macs_per_pe)
        )
        right_passes = relax.ceil_div(m, self.pe_rows * side)
        outputs_words = left_passes * m * k + right_passes * k * n
        outputs_bytes = op.batch * (word * outputs_words + ACCUMULATOR_BYTES * m * n)

        weights_cycles = dense * relax.ceil_div(k, reach) * column_folds * m
        sums = 2.0 * relax.ceil_div(k, reach * side) - 1.0
        weights_words = left_passes * m * k + k * n
        weights_bytes = op.batch * (word * weights_words + ACCUMULATOR_BYTES * m * n * sums)

        bandwidth, reached = self.sram.bandwidth, self.tuning.compute_efficiency
        ranks = [
            relax.maximum(outputs_cycles / reached, (outputs_bytes + besides) / bandwidth),
            relax.maximum(weights_cycles / reached, (weights_bytes + besides) / bandwidth),
        ]
        cycles, buffer_bytes = relax.choose(
            ranks, [(outputs_cycles, outputs_bytes), (weights_cycles, weights_bytes)]
        )
        overhead = self.pe_rows + self.pe_columns + FILL_CYCLES
        return Compute(cycles, overhead, buffer_bytes)

    def delivery_energy(self, process: Process) -> dict[str, Any]:
        """A multicast word drives the wire of half the array's side."""
        wire = 0.5 * jnp.sqrt(sum(self._array_areas(process).values()))
        return {"network": 8.0 * process.wire_energy * wire}

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """Unit, its share of operands from the scratchpad and of a sum read and written."""
        access = sram.energy(process, self.scratchpad, sram.PORT_BYTES)
        return {
            "mac": mac.energy(process, self.number_format),
            "local": access * (self._operand_bytes + 2.0 * ACCUMULATOR_BYTES / self.macs_per_pe),
        }

    @property
    def _operand_bytes(self) -> Any:
        """Bytes that a multiply-accumulate reads from the scratchpad: v units share operands as a
        square block does, two sides of sqrt(v) words a cycle."""
        return 2.0 * FORMATS[self.number_format].bits / 8 / jnp.sqrt(self.macs_per_pe)

    def _array_areas(self, process: Process) -> dict[str, Any]:
        elements = self.pe_rows * self.pe_columns
        port = self.macs_per_pe * self._operand_bytes + 2.0 * ACCUMULATOR_BYTES  # bytes a cycle
        # Two weights and an operand of each unit, a sum of each element.
        bits = 3.0 * FORMATS[self.number_format].bits * self.macs_per_pe + 8.0 * ACCUMULATOR_BYTES
        return {
            "mac": self.macs_per_cycle * mac.area(process, self.number_format),
            "pipeline": elements * register_file.placed_area(process, bits),
            "local": elements * sram.area(process, self.scratchpad, port / sram.SMALL_PORT),
            "network": elements * register_file.placed_area(process, ROUTER_BITS),
        }

    def areas(self, process: Process) -> dict[str, Any]:
        """Elements, scratchpads, network and vector unit."""
        return {
            **self._array_areas(process),
            "vector": vector_unit.area(process, self.vector_lanes),
        }

    @property
    def local_sram(self) -> Any:
        """All scratchpads."""
        return self.pe_rows * self.pe_columns * self.scratchpad

    @property
    def smallest_buffer(self) -> Any:
        """Operands of one step for every row and column, twice."""
        word = FORMATS[self.number_format].bits / 8
        return 2.0 * word * self.macs_per_pe * (self.pe_rows + self.pe_columns)
