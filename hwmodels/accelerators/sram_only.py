"""Chips without DRAM (Groq-, Graphcore- and wafer-like): everything lives in SRAM.

`tiles` cores, each an s x s unit that keeps a block of weights (s = `tile_side`) beside its share
of the SRAM (`sram`: all tiles together). A program fixed in advance moves data; the launch cost is
the runtime's, as for all. With ceil(K / s) ceil(N / s) blocks of weights in each of `batch`
products and L = s cycles to load a block, the faster of

* weights spread over tiles: F = ceil(blocks / tiles) rounds; cycles = (F - 1) max(M, L) + M. In a
  square of tiles the left operand is sent out for each s sqrt(tiles) columns of weights, and sums
  are taken up again for each s sqrt(tiles) rows;
* rows spread over tiles: r = ceil(batch M / tiles) rows for each, every block is sent to all
  tiles; cycles = (blocks - 1) max(r, L) + r, blocks of one product.

Sums that are taken up are read back from the tile and written again. Words that are sent cross
half of the chip, a router in each tile, s sqrt(tiles) of them a cycle: s in each row of tiles. A
byte of a tile's memory crosses half of a bank's pitch (`sram.PORT_BYTES` a cycle each; at most the
tile's). Operands and sums of a unit that is larger than that cross the rest of half its tile, a row
of each a cycle.
Left out: sums' way from tile to tile; other splits.

A model that does not fit on one chip is cut into a pipeline of S = `model_chips`, layer by layer.
The batch of a chip stays: S chips train on S batches together, so each does a batch's work on its
share of the layers. It must hold 1 / S of parameters, gradients and optimiser state, and a batch's
activations (margin `capacity`, in place of `dram_capacity`). With m microbatches to a batch, the
best of a menu and at most the samples, a step takes

    (m + 1 - 1 / S) (busy / m + o) + traffic + 2 (S - 1) hops

with o launches, fill and drain of one pass over all layers; traffic: S batches' activations over
the links, which they cross once, and likewise their gradients; nothing of it is hidden. Charged as
if S were 1: optimiser and all-reduce (a share of each would do). Left out: uneven cuts, fewer rows
in a microbatch than the arrays like, fleets that are no multiple of S, tensor parallelism.

`package` "wafer": one wafer, uncut. Neither reticle nor yield bounds it, as spare tiles stand in
for broken ones; the whole wafer is paid, however much of it is used.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator, register
from hwmodels.accelerators.shared import MIB, Buffer, Compute
from hwmodels.parts import die, mac, network, register_file, sram, vector_unit
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS
from hwmodels.quantity import part, quantity, static
from hwmodels.relax import Relax
from hwmodels.technology import Process
from hwmodels.workloads.numeric import Contractions, Totals

USABLE = 0.9  # of the SRAM; the rest holds programs and messages; an estimate
MICROBATCHES = (1.0, 4.0, 16.0, 64.0)
LATENCY_CYCLES = 100.0  # synchronisation and way across the chip; an estimate
WAFER_M2 = 46225e-6  # the square of 215 mm that is cut from a 300 mm wafer (Cerebras)
# Spare tiles of a wafer, 1 to 1.5% (Cerebras, Hot Chips 2019; from memory); chips of a reticle's
# size have theirs in their yield.
SPARE = 0.015
WAFER_PACKAGE_USD = 50e3  # cold plate, power delivery through the board, assembly; an estimate


@functools.partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=[])
@dataclass(frozen=True)
class NoDram:
    """In the place of `Dram`: a chip that has none has no numbers of one either."""

    stacks: ClassVar[float] = 0.0
    bandwidth: ClassVar[float] = 0.0
    capacity: ClassVar[float] = 0.0
    energy: ClassVar[float] = 0.0
    idle_power: ClassVar[float] = 0.0
    phy_area: ClassVar[float] = 0.0
    edge: ClassVar[float] = 0.0
    latency: ClassVar[float] = 0.0
    cost: ClassVar[float] = 0.0
    interposer: ClassVar[float] = 0.0
    total_bandwidth: ClassVar[float] = 0.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TileMemory(Buffer):
    """The SRAM of all tiles together."""

    capacity: Any = quantity(400, "MiB", MIB, low=1 / 64, high=65536, doc="SRAM of all tiles")
    bandwidth: Any = quantity(
        65536, "B_per_cycle", low=16, high=2**25, doc="bytes read or written a cycle, all tiles"
    )


@register("sram_only")
@dataclass(frozen=True)
class SramOnly(Accelerator):
    """Tiles with their own SRAM, a fixed schedule, no DRAM."""

    sram: Buffer = part(TileMemory)
    dram: Any = part(NoDram)
    tiles: Any = quantity(256, low=1, high=2**20, doc="tiles")
    tile_side: Any = quantity(16, low=1, high=512, doc="rows and columns of a tile's unit")
    vector_lanes: Any = quantity(1024, low=8, high=2**22, doc="fp32 lanes of all tiles")
    model_chips: Any = quantity(1, low=1, high=1024, doc="chips that hold one copy of the model")
    package: str = static("die", choices=("die", "wafer"), doc="cut from the wafer, or all of it")

    IDLE_W_PER_M2 = 0.02e6  # as simt: many small cores; no public measurement
    HAS_DRAM = False
    OPTIONAL = ("model_chips",)

    @property
    def macs_per_cycle(self) -> Any:
        """Of all tiles."""
        return self.tiles * self.tile_side**2

    @property
    def vector_rate(self) -> Any:
        """Lanes of all tiles."""
        return self.vector_lanes

    def contraction(self, op: Contractions, relax: Relax, besides: Any) -> Compute:
        """See the module docstring."""
        side, tiles = self.tile_side, self.tiles
        word = FORMATS[self.number_format].bits / 8
        along_k, along_n = relax.ceil_div(op.k, side), relax.ceil_div(op.n, side)
        blocks = along_k * along_n
        lhs, rhs, out = (op.batch * x * y for x, y in ((op.m, op.k), (op.k, op.n), (op.m, op.n)))

        rounds = relax.ceil_div(op.batch * blocks, tiles)
        spread_cycles = (rounds - 1.0) * relax.maximum(op.m, side) + op.m
        square = side * jnp.sqrt(tiles)
        spread_sent = word * lhs * relax.minimum(relax.ceil_div(op.n, square), rounds)
        again = 2.0 * relax.minimum(relax.ceil_div(op.k, square), rounds) - 1.0
        spread_moved = spread_sent + word * rhs + ACCUMULATOR_BYTES * out * again

        rows = relax.ceil_div(op.batch * op.m, tiles)
        rows_cycles = (blocks - 1.0) * relax.maximum(rows, side) + rows
        rows_sent = word * rhs
        rows_moved = rows_sent + word * lhs * along_n
        rows_moved = rows_moved + ACCUMULATOR_BYTES * out * (2.0 * along_k - 1.0)

        bandwidth, reached = self.sram.bandwidth, self.tuning.compute_efficiency
        ways = [
            (relax.maximum(cycles, sent / self.delivered_peak), moved, sent)
            for cycles, moved, sent in (
                (spread_cycles, spread_moved, spread_sent), (rows_cycles, rows_moved, rows_sent)
            )
        ]  # fmt: skip
        ranks = [
            relax.maximum(cycles / reached, (moved + besides) / bandwidth)
            for cycles, moved, _ in ways
        ]
        cycles, moved, sent = relax.choose(ranks, ways)
        return Compute(cycles, 3.0 * side + LATENCY_CYCLES, moved, sent)

    @property
    def delivered_peak(self) -> Any:
        """Words of the square's side."""
        word = FORMATS[self.number_format].bits / 8
        return word * self.tile_side * jnp.sqrt(self.tiles)

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """The unit and its three pipeline registers, as in a systolic array; wires to the unit."""
        word = FORMATS[self.number_format].bits
        bits = 2.0 * word + 8.0 * ACCUMULATOR_BYTES
        side = 0.5 * jnp.sqrt(self._whole(process) / self.tiles)
        beyond = side - 0.5 * self._pitch(self._whole(process))
        row = (word + 8.0 * ACCUMULATOR_BYTES) / self.tile_side  # bits a multiply-accumulate
        return {
            "mac": mac.energy(process, self.number_format),
            "register": register_file.energy(process, bits),
            "feed": process.wire_energy * row * beyond,
        }

    def delivery_energy(self, process: Process) -> dict[str, Any]:
        """A word that is sent passes routers and wire of half of the chip's side."""
        hops, side = jnp.sqrt(self.tiles), jnp.sqrt(self._whole(process))
        return {"network": network.energy(process, 0.5 * hops, 0.5 * side)}

    def _whole(self, process: Process) -> Any:
        """Area of all tiles [m2]."""
        return sum(self.areas(process).values()) + self.buffer_area(process)

    def _pitch(self, area: Any) -> Any:
        """Side of the part of `area` that one bank serves [m]."""
        return jnp.sqrt(area / jnp.maximum(self.tiles, self.sram.bandwidth / sram.PORT_BYTES))

    def buffer_energy(self, process: Process, area: Any) -> Any:
        """Of a tile's own memory, half of a bank's pitch away."""
        capacity, bandwidth = self.sram.capacity / self.tiles, self.sram.bandwidth / self.tiles
        return sram.energy(process, capacity, bandwidth, 0.5 * self._pitch(area))

    def buffer_area(self, process: Process) -> Any:
        """Of all tiles' memories."""
        area = sram.area(process, self.sram.capacity, self.sram.bandwidth / sram.SMALL_PORT)
        return self._spare * area

    @property
    def _spare(self) -> float:
        return 1.0 + SPARE if self.package == "wafer" else 1.0

    def areas(self, process: Process) -> dict[str, Any]:
        """Units, their registers (two weights, an operand, a sum), routers, vector lanes."""
        word = FORMATS[self.number_format].bits
        bits = 3.0 * word + 8.0 * ACCUMULATOR_BYTES
        # Each tile takes a row of operands and hands on a row of sums, buffered twice.
        router = 2.0 * self.tile_side * (word + 8.0 * ACCUMULATOR_BYTES)
        areas = {
            "mac": self.macs_per_cycle * mac.area(process, self.number_format),
            "pipeline": self.macs_per_cycle * register_file.placed_area(process, bits),
            "network": self.tiles * register_file.placed_area(process, router),
            "vector": vector_unit.area(process, self.vector_lanes),
        }
        return {name: self._spare * area for name, area in areas.items()}

    def price(self, process: Process, area: Any) -> Any:
        """A good die, or a whole wafer."""
        if self.package == "die":
            # No die is larger than a wafer: keeps the price of such ones finite.
            return super().price(process, jnp.minimum(area, WAFER_M2))
        return process.wafer_price + WAFER_PACKAGE_USD + die.PACKAGE_USD_PER_M2 * area

    @property
    def largest_area(self) -> float:
        """Reticle or wafer."""
        return WAFER_M2 if self.package == "wafer" else die.RETICLE_M2

    def spread(self, totals: Totals, times: dict[str, Any], relax: Relax) -> dict[str, Any]:
        """See the module docstring; nothing for one chip."""
        cuts = self.model_chips - 1.0
        once = times["fill_drain"] + times["memory_latency"] + times["launch"]
        busy = times["busy"]
        chips = self.model_chips
        parts = [jnp.minimum(m, totals.samples) for m in MICROBATCHES]
        whole = relax.minimum(*[(m + cuts / chips) * (busy / m + once) for m in parts])
        phases = jnp.where(totals.gradient_bytes > 0, 2.0, 1.0)
        # One chip has no cut; two and more pass all their batches through each.
        cut = jnp.minimum(cuts, 1.0) * chips * totals.cut_bytes
        return {
            "bubbles": whole - (busy + once),
            "pipeline_traffic": phases * cut / self.link.injection_bandwidth,
            "pipeline_latency": phases * cuts * self.link.latency,
        }

    def margins(self, totals: Totals) -> dict[str, Any]:
        """Room for what a step stores; activations are the last of the resident roles."""
        *shared, activations = (totals.footprint[i] for i in range(totals.footprint.shape[0]))
        stored = sum(shared) / self.model_chips + activations
        return {"capacity": 1.0 - stored / (USABLE * self.sram.capacity)}

    @property
    def smallest_buffer(self) -> Any:
        """A block of weights and a row of operands and sums for each tile, twice."""
        word = FORMATS[self.number_format].bits / 8
        row = self.tile_side * (word + ACCUMULATOR_BYTES)
        return 2.0 * self.tiles * (self.tile_side**2 * word + row)
