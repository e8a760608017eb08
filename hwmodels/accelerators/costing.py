"""The cost of one operation on any variant: time, what bounds it, energy by part.

    busy = max(compute, on_chip, dram, vector)          (each a time, overlapped)
    time = busy + fill_drain + memory_latency + launch  (none of which overlaps)

`prepare` computes once per design what does not depend on the operation (clock under the power
cap, energies per byte, resident shares, areas, static power), as `Rates`; `contraction_cost` and
`vector_cost` cost one operation. Residency: half of the shared buffer holds tiles in flight, the
other half keeps tensors between operations and steps, role by role in the order that saves most
traffic per byte; a role that fits in part is resident in part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator
from hwmodels.mapping.tiling import dram_passes
from hwmodels.parts import die, sram, vector_unit
from hwmodels.parts.mac import FORMATS
from hwmodels.relax import Relax
from hwmodels.technology import Process
from hwmodels.workloads.numeric import Contractions, Totals, VectorOperations

RESIDENT_SHARE = 0.5
SMALLEST_CLOCK = 1e6  # [Hz]; a chip whose static power exceeds its cap: finite, margin negative
# Time from the end of one kernel to the start of the next: a host launch [s], a node of a
# captured graph, or nothing (a statically scheduled program). The same for all variants.
LAUNCH_S = {"eager": 5e-6, "graph": 1e-6, "none": 0.0}


@dataclass(frozen=True)
class Rates:
    """Per-design numbers that all operations share (SI)."""

    clock: Any
    buffer_bandwidth: Any
    dram_bandwidth: Any
    buffer_energy: Any
    dram_energy: Any
    mac_energy: dict[str, Any]
    delivery_energy: dict[str, Any]
    slot_energy: Any
    vector_rate: Any
    resident: tuple[Any, ...]
    tile_capacity: Any
    launch: float
    areas: dict[str, Any]
    static_power: dict[str, Any]
    peak_power: Any
    max_clock: Any
    die_cost: Any


def prepare(
    chip: Accelerator, totals: Totals, relax: Relax, *, runtime: str, residency: str
) -> Rates:
    """What one design pays per second, byte and square metre, whatever the operation."""
    process = chip.technology.resolve()
    areas = chip_areas(chip, process)
    area = sum(areas.values())
    distance = 0.5 * jnp.sqrt(area)
    buffer_energy = sram.energy(process, chip.sram.capacity, chip.sram.bandwidth, distance)
    dram_energy = 8.0 * chip.dram.energy
    dram_bandwidth = chip.dram.total_bandwidth

    sram_bytes = chip.sram.capacity + chip.local_sram
    steady = {
        "leakage": process.logic_leakage * _logic_area(areas) + sram.leakage(process, sram_bytes),
        "idle": chip.IDLE_W_PER_M2 * area,
        "dram_idle": chip.dram.stacks * chip.dram.idle_power,
        "link": chip.link.power,
    }
    clock_energy = die.clock_energy(process, area)
    mac_energy, delivery = chip.mac_energy(process), chip.delivery_energy(process)
    slot_energy, vector_rate = vector_unit.operation_energy(process), chip.vector_rate
    per_byte = buffer_energy + sum(delivery.values())
    per_cycle = (
        clock_energy
        + chip.macs_per_cycle * sum(mac_energy.values())
        + vector_rate * slot_energy
        + chip.sram.bandwidth * per_byte
    )
    constant = sum(steady.values()) + dram_energy * dram_bandwidth
    capped = jnp.maximum((chip.tdp - constant) / per_cycle, SMALLEST_CLOCK)
    clock = relax.minimum(chip.clock, capped)

    share = RESIDENT_SHARE if residency == "warm" else 0.0
    room = share * chip.sram.capacity
    resident = tuple(
        jnp.clip((room - totals.ahead[i]) / jnp.maximum(totals.footprint[i], 1.0), 0.0, 1.0)
        for i in range(totals.footprint.shape[0])
    )
    return Rates(
        clock=clock,
        buffer_bandwidth=chip.sram.bandwidth * clock,
        dram_bandwidth=dram_bandwidth,
        buffer_energy=buffer_energy,
        dram_energy=dram_energy,
        mac_energy=mac_energy,
        delivery_energy=delivery,
        slot_energy=slot_energy,
        vector_rate=vector_rate,
        resident=resident,
        tile_capacity=(1.0 - RESIDENT_SHARE) * chip.sram.capacity,
        launch=LAUNCH_S[runtime],
        areas=areas,
        static_power={**steady, "clock_tree": clock_energy * clock},
        peak_power=constant + per_cycle * clock,
        max_clock=process.max_clock,
        die_cost=die.good_die_cost(process, area),
    )


def chip_areas(chip: Accelerator, process: Process) -> dict[str, Any]:
    """Die area by part [m2]; `uncore` is control, routing and white space."""
    parts = {
        **chip.areas(process),
        "buffer": sram.area(process, chip.sram.capacity, chip.sram.bandwidth),
        "dram_phy": chip.dram.stacks * chip.dram.phy_area,
        "link_phy": chip.link.count * chip.link.area,
    }
    host = jnp.full_like(chip.clock, die.HOST_INTERFACE_M2)
    return {**parts, "host": host, "uncore": die.UNCORE * sum(parts.values())}


def _logic_area(areas: dict[str, Any]) -> Any:
    return sum(v for part, v in areas.items() if part not in ("buffer", "dram_phy", "link_phy"))


def contraction_cost(
    chip: Accelerator, rates: Rates, op: Contractions, relax: Relax
) -> dict[str, dict[str, Any]]:
    """Time terms [s], dynamic energy by part [J] and work of one contraction."""
    compute = chip.contraction(op, relax)
    word = FORMATS[chip.number_format].bits / 8
    away = [1.0 - share for share in rates.resident]
    left = op.lhs_bytes * _weigh(op.lhs_role, away)
    right = op.rhs_bytes * _weigh(op.rhs_role, away)
    result = op.out_bytes * _weigh(op.out_role, away)
    # Ranked by bytes as if nothing were resident, so that residency cannot change the tiling.
    left_passes, right_passes = dram_passes(
        op.m, op.n, op.k, (op.lhs_bytes, op.rhs_bytes), word, rates.tile_capacity, relax
    )
    extra = _traffic(op.extra, away)
    dram_bytes = left * left_passes + right * right_passes + result + extra
    every_byte = op.lhs_bytes + op.rhs_bytes + op.out_bytes + _sum(op.extra)
    buffer_bytes = compute.buffer_bytes + dram_bytes + _sum(op.extra)
    macs = op.batch * op.m * op.n * op.k
    energy = {part: macs * joule for part, joule in rates.mac_energy.items()}
    for part, joule in rates.delivery_energy.items():
        energy[part] = compute.buffer_bytes * joule
    return _finish(
        chip, rates, relax, energy,
        cycles=compute.cycles, overhead=compute.overhead,
        slots=vector_unit.slots(op.simple, op.special),
        buffer_bytes=buffer_bytes, dram_bytes=dram_bytes, every_byte=every_byte, macs=macs,
    )  # fmt: skip


def vector_cost(
    chip: Accelerator, rates: Rates, op: VectorOperations, relax: Relax
) -> dict[str, dict[str, Any]]:
    """As `contraction_cost`, for a fusion group without contraction or a movement of data."""
    away = [1.0 - share for share in rates.resident]
    dram_bytes = _traffic(op.traffic, away)
    every_byte = _sum(op.traffic)
    zero = jnp.zeros_like(dram_bytes)
    return _finish(
        chip, rates, relax, {},
        cycles=zero, overhead=zero, slots=vector_unit.slots(op.simple, op.special),
        buffer_bytes=every_byte + dram_bytes, dram_bytes=dram_bytes, every_byte=every_byte,
        macs=zero,
    )  # fmt: skip


def _finish(
    chip: Accelerator, rates: Rates, relax: Relax, energy: dict[str, Any], *, cycles: Any,
    overhead: Any, slots: Any, buffer_bytes: Any, dram_bytes: Any, every_byte: Any, macs: Any,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    bounds = {
        "compute": cycles / rates.clock,
        "on_chip": buffer_bytes / rates.buffer_bandwidth,
        "dram": dram_bytes / rates.dram_bandwidth,
        "vector": slots / (rates.vector_rate * rates.clock),
    }
    # One loaded access is exposed per operation, in the share that is not already on chip.
    misses = jnp.minimum(dram_bytes / jnp.maximum(every_byte, 1.0), 1.0)
    time = {
        "busy": relax.maximum(*bounds.values()),
        "fill_drain": overhead / rates.clock,
        "memory_latency": chip.dram.latency * misses,
        "launch": rates.launch + 0.0 * cycles,
    }
    return {
        "time": time,
        "bound": bounds,
        "energy": {
            **energy,
            "vector": slots * rates.slot_energy,
            "buffer": buffer_bytes * rates.buffer_energy,
            "dram": dram_bytes * rates.dram_energy,
        },
        "work": {"macs": macs, "dram_bytes": dram_bytes, "buffer_bytes": buffer_bytes},
    }


def _weigh(one_hot: Any, away: list[Any]) -> Any:
    # A streamed tensor (no role) crosses in full: 1 - sum(one_hot) is its weight.
    streamed = 1.0 - sum(one_hot[i] for i in range(len(away)))
    return streamed + sum(one_hot[i] * share for i, share in enumerate(away))


def _traffic(by_role: Any, away: list[Any]) -> Any:
    return by_role[len(away)] + sum(by_role[i] * share for i, share in enumerate(away))


def _sum(vector: Any) -> Any:
    return sum(vector[i] for i in range(vector.shape[0]))
