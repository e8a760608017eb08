"""GPU-like: many small processors (SMs), each with tensor units, registers and shared memory.

A product is cut into thread-block tiles of sides e and f, the longer along the longer of M and N;
ceil(tiles / SMs) waves run one after the other, each e_m f_n ceil16(K) / (MACs per SM) cycles, with
e_m = min(e, ceil16(M)). The tile is the fastest of the menu (the usual ones of CUTLASS) whose fp32
sums fit half of the register file and whose two-stage operand slices of 32 words fit the shared
memory; a tile that fits stays available as either grows. It reads (e_m + f_n) K operands from the
L2 (the shared buffer).

Where tiles of side 128 are fewer than SMs, K may be split: floor(SMs / tiles) parts of each, at
least 256 words deep, run side by side, and each writes its fp32 sums to the L2, where they are
read again and added (split-K). Taken where it is faster.

Energy per multiply-accumulate adds to the unit: instruction fetch, decode and operand delivery
(30 pJ at 45 nm an instruction of a lane, Dally, Hot Chips 2023, from memory; 128 MACs in an Ampere
tensor core, 2 without tensor cores), register-file fragments and shared-memory reads. A warp keeps
a tile of 64 x 64 sums, so a multiply-accumulate reads 2 / 64 operands of the shared memory; its
port is as wide as the tensor units ask then, and at least the 128 bytes a cycle of 32 lanes.

Each fp32 lane pays scheduler and control area; no published figure says how much of it tensor
units need besides, so an SM of many MACs and few lanes comes out small. Pipeline latency of a
kernel's first and last wave is charged once. Left out: parts of unequal depth (stream-K), L2 hit
rates, warp divergence, clusters of SMs that share one read of the L2 (Hopper's multicast).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator, register
from hwmodels.accelerators.shared import Compute
from hwmodels.parts import mac, sram, vector_unit
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS
from hwmodels.quantity import quantity
from hwmodels.relax import Relax
from hwmodels.technology import Process
from hwmodels.workloads.numeric import Contractions

KIB = 1024.0
SPLIT = (128.0, 128.0)  # the tile that K may be split for
TILES = ((256.0, 256.0), (256.0, 128.0), SPLIT, (64.0, 64.0), (32.0, 32.0))
SHORTEST_PART = 256.0  # words of K below which a part is not worth its start
SLICE = 32.0  # words of K that one pipeline stage holds
STAGES = 2.0
FRAGMENT = 16.0  # granularity of a tensor-unit instruction
INSTRUCTION_J = 30e-12  # at 45 nm
FRAGMENT_BITS_PER_MAC = 7.0  # operands and sums of a 16 x 8 x 16 instruction, 14336 bits / 2048
WARP_TILE = 64.0  # side of the tile that one warp keeps in registers
LANE_PORT_BYTES = 128.0  # a cycle: 32 lanes' words (CUDA programming guide, since Fermi)
LATENCY_CYCLES = 600.0  # L2 read, tensor pipeline, epilogue; microbenchmarks of Ampere, rounded
# Schedulers, instruction caches, load-store, integer and fp64 units, texture and raster of an SM,
# for each of its fp32 lanes: 0.03 mm2 at 7 nm. Fitted (experiments/fit_areas.py).
CONTROL_45NM_M2 = 0.46e-6


@register("simt")
@dataclass(frozen=True)
class Simt(Accelerator):
    """Streaming multiprocessors with tensor units behind one L2."""

    sms: Any = quantity(108, low=1, high=1024, doc="streaming multiprocessors")
    macs_per_sm: Any = quantity(1024, low=16, high=16384, doc="tensor MACs of an SM a cycle")
    lanes_per_sm: Any = quantity(64, low=8, high=1024, doc="fp32 lanes of an SM")
    register_file: Any = quantity(256, "KiB", KIB, low=16, high=2048, doc="registers of an SM")
    shared_memory: Any = quantity(160, "KiB", KIB, low=16, high=2048, doc="shared memory of an SM")
    macs_per_instruction: Any = quantity(
        128, low=1, high=4096, doc="MACs that one instruction of a lane does"
    )

    IDLE_W_PER_M2 = 0.02e6  # A100 idles at 50-60 W of 826 mm2, most of it leakage

    @property
    def macs_per_cycle(self) -> Any:
        """Tensor MACs of all SMs."""
        return self.sms * self.macs_per_sm

    @property
    def vector_rate(self) -> Any:
        """Lanes of all SMs."""
        return self.sms * self.lanes_per_sm

    def contraction(self, op: Contractions, relax: Relax, besides: Any) -> Compute:
        """See the module docstring."""
        word = FORMATS[self.number_format].bits / 8
        m, n = jnp.maximum(op.m, op.n), jnp.minimum(op.m, op.n)  # all below is symmetric in them
        m16 = FRAGMENT * relax.ceil_div(m, FRAGMENT)
        n16 = FRAGMENT * relax.ceil_div(n, FRAGMENT)
        k16 = FRAGMENT * relax.ceil_div(op.k, FRAGMENT)
        sums = op.batch * m * n * ACCUMULATOR_BYTES
        besides = besides + sums
        ranks, candidates = [], []
        for tile in TILES:
            tile_m, tile_n = relax.minimum(tile[0], m16), relax.minimum(tile[1], n16)
            tiles = op.batch * relax.ceil_div(m, tile_m) * relax.ceil_div(n, tile_n)
            rate = relax.ceil_div(tiles, self.sms) * tile_m * tile_n / self.macs_per_sm
            l2_bytes = tiles * (tile_m + tile_n) * op.k * word
            shapes = [(rate * k16, l2_bytes)]
            if tile == SPLIT:
                parts = relax.minimum(
                    relax.maximum(relax.floor(self.sms / tiles), 1.0),
                    relax.ceil_div(op.k, SHORTEST_PART),
                )
                depth = FRAGMENT * relax.ceil_div(k16, FRAGMENT * parts)
                shapes.append((rate * depth, l2_bytes + 2.0 * parts * sums))
            fits = 1.0
            if tile != TILES[-1]:  # the smallest always fits: the fields' lower limits
                fits = relax.step(tile[0] * tile[1] * ACCUMULATOR_BYTES, self.register_file / 2)
                slices = STAGES * sum(tile) * SLICE * word
                fits = fits * relax.step(slices, self.shared_memory)
            for cycles, moved in shapes:
                busy = cycles / self.tuning.compute_efficiency
                time = relax.maximum(busy, (moved + besides) / self.sram.bandwidth)
                ranks.append(time * fits)
                candidates.append((cycles, moved))
        cycles, l2_bytes = relax.choose(ranks, candidates)
        return Compute(cycles, LATENCY_CYCLES, l2_bytes + sums)

    @property
    def _fragment_bytes(self) -> Any:
        """Bytes a cycle that an SM's tensor units take from its registers: wider units, wider
        register files."""
        return self.macs_per_sm * FRAGMENT_BITS_PER_MAC / 8

    @property
    def _operand_bytes(self) -> Any:
        """Shared-memory bytes that one multiply-accumulate reads."""
        return FORMATS[self.number_format].bits / 8 * 2.0 / WARP_TILE

    @property
    def _shared_port(self) -> Any:
        """Bytes a cycle of an SM's shared memory."""
        return jnp.maximum(self.macs_per_sm * self._operand_bytes, LANE_PORT_BYTES)

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """Unit, instruction, register fragments and shared memory."""
        registers = sram.energy(process, self.register_file, self._fragment_bytes) / 8.0
        shared = sram.energy(process, self.shared_memory, self._shared_port)
        return {
            "mac": mac.energy(process, self.number_format),
            "instruction": INSTRUCTION_J * process.energy_scale / self.macs_per_instruction,
            "register": FRAGMENT_BITS_PER_MAC * registers,
            "local": shared * self._operand_bytes,
        }

    def areas(self, process: Process) -> dict[str, Any]:
        """Tensor units, lanes, register files, shared memories, control of all SMs."""
        return {
            "mac": self.macs_per_cycle * mac.area(process, self.number_format),
            "vector": vector_unit.area(process, self.vector_rate),
            "register": self.sms * sram.area(process, self.register_file, self._fragment_bytes),
            "local": self.sms * sram.area(process, self.shared_memory, self._shared_port),
            "control": self.vector_rate * CONTROL_45NM_M2 * process.area_scale,
        }

    @property
    def local_sram(self) -> Any:
        """Register files and shared memories."""
        return self.sms * (self.register_file + self.shared_memory)

    @property
    def smallest_buffer(self) -> Any:
        """One slice of the smallest tile's operands for every SM."""
        return self.sms * sum(TILES[-1]) * SLICE * FORMATS[self.number_format].bits / 8
