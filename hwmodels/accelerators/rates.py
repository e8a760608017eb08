"""What one design pays per second, byte and operation, whatever the operation: `prepare`.

Clock under the power cap, energies per byte, resident shares, areas, static power, as `Rates`;
`hwmodels.accelerators.work` says what one operation asks for, and what that costs at these rates.

Residency: half of the shared buffer holds tiles in flight, the other half keeps tensors between
operations and steps, role by role in the order that saves most traffic per byte; a role that fits
in part is resident in part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.own import Port
from hwmodels.parts import die, sparsity, sram, vector_unit
from hwmodels.relax import Relax
from hwmodels.technology import Process, voltage_margin
from hwmodels.workloads.numeric import Totals

RESIDENT_SHARE = 0.5
SMALLEST_CLOCK = 1e6  # [Hz]; a chip whose static power exceeds its cap: finite, margin negative
# Time from the end of one kernel to the start of the next: a host launch [s], a node of a
# captured graph, or nothing (a statically scheduled program). The same for all variants.
# "alone": each operation is launched and waited for by itself, as benchmarks time it; what that
# costs beyond the device's own time is the chip's `tuning.overhead`.
LAUNCH_S = {"eager": 5e-6, "graph": 1e-6, "none": 0.0, "alone": 0.0}


@dataclass(frozen=True)
class Rates:
    """Per-design numbers that all operations share (SI).

    `period` [s] of the clock; in clock cycles, `compute_stretch` of a busy cycle of the compute
    units, `buffer_cycles` of a byte of the buffer and `slot_cycles` of a slot of the vector unit;
    `dram_period` [s] of a byte;
    energies per byte, multiply-accumulate (by part) and slot; `busy_energy` by part, of a cycle in
    which all parts work at their full rate, clock and DRAM apart; `resident`: shares by role, and
    `away` the rest, then that of inputs; `exposed`: share of the shorter of DRAM and other work
    that is not hidden; `dense`: multipliers spend the same for each product; `peak_power` [W] of
    chip and memory, `peak_die_power` without memory devices.
    """

    clock: Any
    period: Any
    compute_stretch: Any
    buffer_cycles: Any
    slot_cycles: Any
    dram_period: Any
    exposed: Any
    dram_latency: Any
    launch: Any
    dense: bool
    buffer_energy: Any
    dram_energy: Any
    mac_energy: dict[str, Any]
    delivery_energy: dict[str, Any]
    slot_energy: Any
    busy_energy: dict[str, Any]
    resident: tuple[Any, ...]
    away: tuple[Any, ...]
    tile_capacity: Any
    areas: dict[str, Any]
    static_power: dict[str, Any]
    peak_power: Any
    peak_die_power: Any
    max_clock: Any
    die_cost: Any
    voltage_margin: Any
    own: dict[str, Port]
    vector_memory: str | None


def prepare(
    chip: Accelerator, totals: Totals, relax: Relax, *, runtime: str, residency: str
) -> Rates:
    """What one design pays per second, byte and square metre, whatever the operation."""
    process = chip.technology.resolve()
    areas = chip_areas(chip, process)
    area = sum(areas.values())
    tuning = chip.tuning
    scale = tuning.energy_scale
    buffer_energy = scale * chip.buffer_energy(process, area)
    dram_energy = 8.0 * chip.dram.energy
    dram_bandwidth = chip.dram.total_bandwidth

    logic = _logic_area(areas, chip.memory_parts)
    steady = {
        "leakage": process.logic_leakage * logic + sram.leakage(process, chip.sram_bytes),
        "idle": chip.IDLE_W_PER_M2 * area,
        "dram_idle": chip.dram.stacks * chip.dram.idle_power,
        "link": chip.link.power,
    }
    clock_energy = die.clock_energy(process, area)
    mac_energy = {part: scale * joule for part, joule in chip.mac_energy(process).items()}
    if chip.sparsity != "none":
        mac_energy["sparsity"] = sparsity.energy(chip.sparsity, mac_energy)
    delivery = {part: scale * joule for part, joule in chip.delivery_energy(process).items()}
    slot_energy, vector_rate = scale * vector_unit.operation_energy(process), chip.vector_rate
    own = {
        name: port._replace(energy=scale * port.energy)
        for name, port in chip.own_ports(process, area).items()
    }
    width = chip.sram.bandwidth
    delivered = width if chip.delivered_peak is None else chip.delivered_peak
    memories = {name: port.peak * port.energy for name, port in own.items()}
    busy_energy = {
        **{part: chip.macs_per_cycle * joule for part, joule in mac_energy.items()},
        **{part: delivered * joule for part, joule in delivery.items()},
        "vector": vector_rate * slot_energy,
        **(memories or {"buffer": width * buffer_energy}),
    }
    per_cycle = clock_energy + sum(busy_energy.values())
    constant = sum(steady.values()) + dram_energy * dram_bandwidth
    capped = jnp.maximum((chip.tdp - constant) / per_cycle, SMALLEST_CLOCK)
    clock = relax.minimum(chip.clock, capped)

    share = RESIDENT_SHARE if residency == "warm" else 0.0
    room = share * chip.sram.capacity
    resident = tuple(
        jnp.clip((room - totals.ahead[i]) / jnp.maximum(totals.footprint[i], 1.0), 0.0, 1.0)
        for i in range(totals.footprint.shape[0])
    )
    away = tuple(1.0 - share for share in resident)
    if not chip.HAS_DRAM:
        resident = tuple(jnp.ones_like(share) for share in resident)
        away = tuple(jnp.zeros_like(share) for share in resident)
    return Rates(
        clock=clock,
        period=1.0 / clock,
        compute_stretch=1.0 / tuning.compute_efficiency,
        buffer_cycles=1.0 / chip.sram.bandwidth,
        slot_cycles=1.0 / vector_rate,
        dram_period=1.0 / (dram_bandwidth * tuning.dram_efficiency) if chip.HAS_DRAM else 0.0,
        exposed=1.0 - tuning.overlap,
        dram_latency=chip.dram.latency,
        launch=LAUNCH_S[runtime] + (tuning.overhead if runtime == "alone" else 0.0),
        dense=chip.dense,
        buffer_energy=buffer_energy,
        dram_energy=dram_energy,
        mac_energy=mac_energy,
        delivery_energy=delivery,
        slot_energy=slot_energy,
        busy_energy=busy_energy,
        resident=resident,
        away=(*away, 1.0 if chip.HAS_DRAM else 0.0),
        tile_capacity=(1.0 - RESIDENT_SHARE) * chip.sram.capacity,
        areas=areas,
        static_power={**steady, "clock_tree": clock_energy * clock},
        peak_power=constant + per_cycle * clock,
        peak_die_power=sum(steady.values()) - steady["dram_idle"] + per_cycle * clock,
        max_clock=process.max_clock,
        die_cost=chip.price(process, area),
        voltage_margin=voltage_margin(process),
        own=own,
        vector_memory=chip.vector_memory,
    )


def chip_areas(chip: Accelerator, process: Process) -> dict[str, Any]:
    """Die area by part [m2]; `uncore` is control, routing and white space."""
    parts = {
        **chip.areas(process),
        "buffer": chip.buffer_area(process),
        "dram_phy": chip.dram.stacks * chip.dram.phy_area,
        "link_phy": chip.link.count * chip.link.area,
    }
    if chip.sparsity != "none":
        parts["sparsity"] = sparsity.area(chip.sparsity, parts)
    host = jnp.full_like(chip.clock, die.HOST_INTERFACE_M2)
    return {**parts, "host": host, "uncore": die.UNCORE * sum(parts.values())}


def _logic_area(areas: dict[str, Any], memories: tuple[str, ...]) -> Any:
    other = (*memories, "dram_phy", "link_phy")
    return sum(v for part, v in areas.items() if part not in other)
