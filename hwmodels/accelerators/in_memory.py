"""Compute-in-memory: SRAM macros that multiply where the weights are.

A macro holds `sets` tiles of R x C weights, one bit a cell, and computes with one of them while
another is written. A row of R inputs enters `input_bits` at a time; with inputs of b bits

    step = CYCLES ceil(b / input_bits)          (analog: times `columns_per_adc` conversions)
    cycles = (F - 1) max(T step, load) + T step,    load = R C bits / write_bits
    F = ceil(batch ceil(K / R) ceil(N / C) / macros)

T rows stream past each tile. Either operand may be the one that is written (then M and N change
places), the faster way is taken. Macros split K first and add their sums up on the way out.

Writes: training changes each weight at every update, so nothing stays: the forward pass writes the
new weights, the backward pass writes them again, transposed (cells that read both ways are left
out), and the weights' gradient, a product of two activations, writes one of those. In inference
weights are written once and stay in the share that fits in all cells.

Numbers: integers as they are, floats as significands with sign aligned to their tile's largest
exponent; inputs keep `GUARD_BITS` below the significand. Sums of a tile are exact, then normalised
and accumulated in fp32. Left out: what alignment cuts off below the guard bits.

Digital macros add a column up with a tree of full adders, one for each cell and step
(`ADDERS_PER_CELL` with its registers). This gives 94 TOPS/W at 22 nm and 0.72 V for 4-bit products
whose inputs toggle at 18%, and 1.28 times too little area, which `MACRO_OVERHEAD` adds; published:
89 TOPS/W and 16.3 TOPS/mm2 (Chih et al., ISSCC 2021). At 5 nm it takes 2.5 times the area and 1.7
times the energy of 221 TOPS/mm2 and 254 TOPS/W (Fujiwara et al., ISSCC 2022).

Analog macros add charge on a bit line and convert it: E = k1 bits + k2 4^bits (Murmann, TVLSI 2021,
a fit to his survey of converters; from memory). Rule of accuracy: a conversion must hold every sum
that can occur, adc_bits >= log2(R (2^input_bits - 1) + 1), else the margin `adc_resolution` is
negative; published macros convert fewer bits and report the accuracy that they lose. They do
integers only. Left out: noise and mismatch of the analog sum.
"""

from __future__ import annotations

import math
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
from hwmodels.workloads.numeric import Contractions, Totals

# Bits of an operand: significand with hidden bit and sign; two's complement for integers.
SIGNED_BITS = {
    "int4": 4, "int8": 8, "int16": 16, "fp8": 5, "bf16": 9, "fp16": 12, "tf32": 12, "fp32": 25,
    "fp64": 54,
}  # fmt: skip
GUARD_BITS = 3
# Chip clocks of a step: the tree is deep. 22 nm macros run at some 400 MHz (3.3 TOPS of 16,384
# 4-bit weights in 4 steps, Chih et al.) where the node's pipelines reach 0.9 GHz.
CYCLES = 2.0
ADDERS_PER_CELL = 2.0
ADDER_J = 0.1e-12 / 32  # a full adder at 45 nm: a 32-bit integer addition (Horowitz, ISSCC 2014)
ADDER_M2 = 137e-12 / 32
MACRO_OVERHEAD = 1.3  # drivers, write circuits, control
ALIGN = 0.5  # aligning an input, normalising a sum: of an fp32 addition each; an estimate
BIT_LINE_F = 1e-15  # charge of a cell on its bit line; an estimate
ADC_J_PER_BIT, ADC_J_PER_LEVEL = 100e-15, 1e-18  # k1, k2; k1 taken to be at 28 nm, 0.9 V
ADC_NODE = 0.83  # Process.energy_scale there
# 8 bits at 1.2 GS/s: 0.0012 mm2 at 32 nm (ISAAC, ISCA 2016; from memory); capacitors double with
# each bit and, being analog, are taken not to shrink.
ADC_8_BITS_M2 = 1.2e-9
WRITE_BIT_CELLS = 64.0  # area of one written bit's driver and port, in cells; an estimate
FILL_CYCLES = 10.0  # input and output pipeline of a macro


@register("in_memory")
@dataclass(frozen=True)
class InMemory(Accelerator):
    """Digital or analog SRAM compute-in-memory macros beside a vector unit."""

    macros: Any = quantity(512, low=1, high=65536, doc="macros")
    rows: Any = quantity(128, low=8, high=2048, doc="rows of a macro: inputs added up")
    columns: Any = quantity(64, low=4, high=2048, doc="weights side by side, a cell for each bit")
    sets: Any = quantity(2, low=2, high=64, doc="weight tiles that a macro holds")
    write_bits: Any = quantity(256, low=8, high=16384, doc="cells of a macro written a cycle")
    adc_bits: Any = quantity(8, low=1, high=14, doc="resolution of a converter (analog)")
    columns_per_adc: Any = quantity(8, low=1, high=256, doc="cell columns at a converter (analog)")
    vector_lanes: Any = quantity(1024, low=8, high=65536, doc="fp32 lanes of the vector unit")
    kind: str = static("digital", choices=("digital", "analog"), doc="how a column is added up")
    input_bits: str = static("1", choices=("1", "2", "4", "8"), doc="input bits of a step")

    IDLE_W_PER_M2 = 0.085e6  # as systolic and spatial: no public measurement of a large one

    @property
    def _weight_bits(self) -> float:
        return float(SIGNED_BITS[self.number_format])

    @property
    def _floating(self) -> bool:
        return not self.number_format.startswith("int")

    @property
    def _input_bits(self) -> float:
        return self._weight_bits + (GUARD_BITS if self._floating else 0)

    @property
    def _steps(self) -> int:
        return math.ceil(self._input_bits / float(self.input_bits))

    @property
    def _step_cycles(self) -> Any:
        """Cycles from one row of inputs to the next."""
        return CYCLES * self._steps * (self.columns_per_adc if self.kind == "analog" else 1.0)

    @property
    def _cells(self) -> Any:
        """Cells of all tiles in use, one of each macro."""
        return self.macros * self.rows * self.columns * self._weight_bits

    @property
    def macs_per_cycle(self) -> Any:
        """Of all macros, by the cycles of a step."""
        return self.macros * self.rows * self.columns / self._step_cycles

    @property
    def vector_rate(self) -> Any:
        """Lanes of the vector unit."""
        return self.vector_lanes

    def contraction(self, op: Contractions, relax: Relax, besides: Any) -> Compute:
        """See the module docstring."""
        held = self.sets * self.macros * self.rows * self.columns
        written = jnp.clip(1.0 - held * op.kept, 0.0, 1.0)
        ways = [self._way(op, op.m, op.n, written, relax), self._way(op, op.n, op.m, 1.0, relax)]
        bandwidth, reached = self.sram.bandwidth, self.tuning.compute_efficiency
        ranks = [
            relax.maximum(cycles / reached, (moved + besides) / bandwidth)
            for cycles, moved, _, _ in ways
        ]
        cycles, moved, loaded, load = relax.choose(ranks, ways)
        return Compute(cycles, load + self._step_cycles + FILL_CYCLES, moved, loaded)

    def _way(self, op: Contractions, t: Any, n: Any, written: Any, relax: Relax) -> list[Any]:
        """Cycles, buffer bytes, those of them that are written into cells, and cycles of a load,
        with K x `n` weights in the macros and `t` rows streaming past."""
        word = FORMATS[self.number_format].bits / 8
        along_k, along_n = relax.ceil_div(op.k, self.rows), relax.ceil_div(n, self.columns)
        folds = relax.ceil_div(op.batch * along_k * along_n, self.macros)
        stream = t * self._step_cycles
        load = self.rows * self.columns * self._weight_bits / self.write_bits * written
        cycles = (folds - 1.0) * relax.maximum(stream, load) + stream
        loaded = word * op.batch * op.k * n * written
        passes = relax.minimum(along_n, folds)  # macros side by side share the inputs
        sums = 2.0 * relax.ceil_div(along_k, self.macros) - 1.0
        streamed = word * passes * t * op.k + ACCUMULATOR_BYTES * sums * t * n
        return [cycles, loaded + op.batch * streamed, loaded, load]

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """Cells and adders or bit lines, converters, alignment and fp32 sums, inputs' wires."""
        products = self._weight_bits * self._input_bits  # of one bit each
        energy = {"mac": products * ADDERS_PER_CELL * ADDER_J * process.energy_scale}
        if self.kind == "analog":
            conversions = self._weight_bits * self._steps / self.rows
            scaled = process.energy_scale / ADC_NODE
            bits = self.adc_bits
            conversion = ADC_J_PER_BIT * bits * scaled + ADC_J_PER_LEVEL * jnp.exp2(2.0 * bits)
            energy = {
                "mac": products * BIT_LINE_F * process.voltage**2,
                "adc": conversions * conversion,
            }
        adder = mac.ACCUMULATORS[FORMATS[self.number_format].accumulator].add_pJ * 1e-12
        adder = adder * process.energy_scale / 0.360  # from 7 nm
        align = ALIGN * adder if self._floating else 0.0
        wire = 0.5 * jnp.sqrt(sum(self._macro_areas(process).values()))
        return {
            **energy,
            "align": align * (1.0 / self.columns + 1.0 / self.rows) + adder / self.rows,
            "network": process.wire_energy * wire * self._input_bits / self.columns,
        }

    def delivery_energy(self, process: Process) -> dict[str, Any]:
        """Cells written for a byte of weights in the buffer."""
        capacity = self.sets * self._cells / self.macros / 8.0
        written = sram.energy(process, capacity, self.write_bits / 8.0)
        return {"write": written * self._weight_bits / FORMATS[self.number_format].bits}

    def _macro_areas(self, process: Process) -> dict[str, Any]:
        lines = self._cells * float(self.input_bits)
        adder = ADDERS_PER_CELL * ADDER_M2 * process.area_scale
        compute = {"mac": MACRO_OVERHEAD * lines * adder}
        if self.kind == "analog":
            converters = self._cells / self.rows / self.columns_per_adc
            one = ADC_8_BITS_M2 * jnp.exp2(self.adc_bits - 8.0)
            compute = {
                # Input switches: a gate a cell, a full adder's fifth.
                "mac": MACRO_OVERHEAD * 0.1 * self._cells * adder,
                "adc": converters * one,
            }
        # fp32 adders and aligners keep up with one result or input for each step.
        unit = mac.ACCUMULATORS[FORMATS[self.number_format].accumulator].add_um2
        unit = mac.LAYOUT * unit * 1e-12 * process.area_scale
        results = self.macros * self.columns / self._step_cycles
        inputs = self.macros * self.rows / self._step_cycles
        align = ALIGN * (inputs + results) if self._floating else 0.0
        cells = self.sets * self._cells + WRITE_BIT_CELLS * self.macros * self.write_bits
        # A set of inputs and a row of sums is held at each macro's edge.
        bits = self._input_bits * self.rows + 8.0 * ACCUMULATOR_BYTES * self.columns
        return {
            **compute,
            "local": MACRO_OVERHEAD * cells * process.sram_cell / sram.MACRO_EFFICIENCY,
            "align": unit * (results + align),
            "pipeline": register_file.placed_area(process, self.macros * bits),
        }

    def areas(self, process: Process) -> dict[str, Any]:
        """Macros and vector unit."""
        return {
            **self._macro_areas(process),
            "vector": vector_unit.area(process, self.vector_lanes),
        }

    def admits(self, training: bool) -> bool:
        """Analog sums are of integers."""
        return super().admits(training) and not (self.kind == "analog" and self._floating)

    def margins(self, totals: Totals) -> dict[str, Any]:
        """Resolution of the converters, see the module docstring; digital sums are exact."""
        if self.kind == "digital":
            return {}
        most = self.rows * (2.0 ** float(self.input_bits) - 1.0) + 1.0
        # Half of a hundredth of a bit: float32's rounding of the logarithm.
        return {"adc_resolution": self.adc_bits - jnp.log2(most) + 5e-3}

    @property
    def local_sram(self) -> Any:
        """All cells."""
        return self.sets * self._cells / 8.0

    @property
    def smallest_buffer(self) -> Any:
        """Inputs and sums of one step of every macro, twice."""
        word = FORMATS[self.number_format].bits / 8
        return 2.0 * self.macros * (self.rows * word + self.columns * ACCUMULATOR_BYTES)
