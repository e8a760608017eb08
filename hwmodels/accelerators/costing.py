"""The cost of one operation on any variant: time, what bounds it, energy by part.

    busy = max(compute, on_chip, dram, vector)          (each a time, overlapped)
    time = busy + fill_drain + memory_latency + launch  (none of which overlaps)

Where measurements show that a machine hides only a share of its DRAM transfers (`tuning.overlap`
below 1), busy grows by the rest of the shorter one: DRAM, or the longest of the others.

`prepare` computes once per design what does not depend on the operation (clock under the power
cap, energies per byte, resident shares, areas, static power), as `Rates`; `contraction_work` and
`vector_work` say what one operation asks for, as `Work`; times and energies are linear in it.

Residency: half of the shared buffer holds tiles in flight, the other half keeps tensors between
operations and steps, role by role in the order that saves most traffic per byte; a role that fits
in part is resident in part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator
from hwmodels.mapping.tiling import dram_passes
from hwmodels.parts import die, sparsity, sram, vector_unit
from hwmodels.parts.mac import FORMATS
from hwmodels.relax import Relax
from hwmodels.technology import Process, voltage_margin
from hwmodels.workloads.numeric import Contractions, Totals, VectorOperations

RESIDENT_SHARE = 0.5
SMALLEST_CLOCK = 1e6  # [Hz]; a chip whose static power exceeds its cap: finite, margin negative
# Time from the end of one kernel to the start of the next: a host launch [s], a node of a
# captured graph, or nothing (a statically scheduled program). The same for all variants.
LAUNCH_S = {"eager": 5e-6, "graph": 1e-6, "none": 0.0}


@dataclass(frozen=True)
class Rates:
    """Per-design numbers that all operations share (SI).

    `period` [s] of the clock, `compute_period` of a busy cycle of the compute units, and per byte
    of buffer and DRAM and per slot of the vector unit;
    energies per byte, multiply-accumulate (by part) and slot; `resident`: shares by role, and
    `away` the rest, then that of inputs; `exposed`: share of the shorter of DRAM and other work
    that is not hidden; `dense`: multipliers spend the same for each product.
    """

    clock: Any
    period: Any
    compute_period: Any
    buffer_period: Any
    slot_period: Any
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
    resident: tuple[Any, ...]
    away: tuple[Any, ...]
    tile_capacity: Any
    areas: dict[str, Any]
    static_power: dict[str, Any]
    peak_power: Any
    max_clock: Any
    die_cost: Any
    voltage_margin: Any


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

    sram_bytes = chip.sram.capacity + chip.local_sram
    steady = {
        "leakage": process.logic_leakage * _logic_area(areas) + sram.leakage(process, sram_bytes),
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
    buffer_power = chip.sram.bandwidth * (buffer_energy + sum(delivery.values()))
    if chip.delivered_peak is not None:
        delivered = chip.delivered_peak * sum(delivery.values())
        buffer_power = chip.sram.bandwidth * buffer_energy + delivered
    per_cycle = (
        clock_energy
        + chip.macs_per_cycle * sum(mac_energy.values())
        + vector_rate * slot_energy
        + buffer_power
    )
    constant = sum(steady.values()) + dram_energy * dram_bandwidth
    capped = jnp.maximum((chip.tdp - constant) / per_cycle, SMALLEST_CLOCK)
    clock = relax.minimum(chip.clock, capped)
    period = 1.0 / clock

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
        period=period,
        compute_period=period / tuning.compute_efficiency,
        buffer_period=period / chip.sram.bandwidth,
        slot_period=period / vector_rate,
        dram_period=1.0 / (dram_bandwidth * tuning.dram_efficiency) if chip.HAS_DRAM else 0.0,
        exposed=1.0 - tuning.overlap,
        dram_latency=chip.dram.latency,
        launch=LAUNCH_S[runtime] + tuning.overhead,
        dense=chip.dense,
        buffer_energy=buffer_energy,
        dram_energy=dram_energy,
        mac_energy=mac_energy,
        delivery_energy=delivery,
        slot_energy=slot_energy,
        resident=resident,
        away=(*away, 1.0 if chip.HAS_DRAM else 0.0),
        tile_capacity=(1.0 - RESIDENT_SHARE) * chip.sram.capacity,
        areas=areas,
        static_power={**steady, "clock_tree": clock_energy * clock},
        peak_power=constant + per_cycle * clock,
        max_clock=process.max_clock,
        die_cost=chip.price(process, area),
        voltage_margin=voltage_margin(process),
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


def _logic_area(areas: dict[str, Any]) -> Any:
    # In every variant "local" and "register" are SRAM, whose leakage is counted per byte.
    other = ("buffer", "local", "register", "dram_phy", "link_phy")
    return sum(v for part, v in areas.items() if part not in other)


class Work(NamedTuple):
    """What one run of an operation asks of a chip. Linear: the work of several runs is the sum.

    `busy` [s]: the slowest of the overlapped resources; `cycles`, `overhead`: of the compute
    units, busy and in fill and drain; `macs`: multiply-accumulates that are done, `multiplies`:
    what their multipliers spend, in dense ones of the operand format, None if as much; `slots`:
    lane cycles of the vector unit; `delivered_bytes`: between shared buffer and compute units;
    `buffer_bytes`: all traffic of the buffer; `misses`: loaded DRAM accesses that are exposed;
    `launches`: 1.
    """

    busy: Any
    cycles: Any
    overhead: Any
    macs: Any
    multiplies: Any
    slots: Any
    delivered_bytes: Any
    buffer_bytes: Any
    dram_bytes: Any
    misses: Any
    launches: Any


def contraction_work(chip: Accelerator, rates: Rates, op: Contractions, relax: Relax) -> Work:
    """The work of one contraction with its fused epilogue."""
    dram_bytes = _contraction_dram_bytes(chip, rates, op, relax)
    besides = dram_bytes + op.epilogue_bytes
    compute = chip.contraction(op, relax, besides)
    delivered = compute.buffer_bytes
    if compute.delivered is not None:
        delivered, besides = compute.delivered, besides + (delivered - compute.delivered)
    macs = op.batch * op.m * op.n * op.k * chip.kept_products(op)
    return _work(
        rates, relax,
        cycles=compute.cycles, overhead=compute.overhead, macs=macs,
        multiplies=None if rates.dense else macs * chip.multiplied(op),
        slots=vector_unit.slots(op.simple, op.special), delivered_bytes=delivered,
        besides=besides, dram_bytes=dram_bytes,
        every_byte=op.every_byte,
    )  # fmt: skip


def _contraction_dram_bytes(chip: Accelerator, rates: Rates, op: Contractions, relax: Relax) -> Any:
    if not chip.HAS_DRAM:
        return jnp.zeros_like(rates.period)
    word = FORMATS[chip.number_format].bits / 8
    left, right = _off_chip(rates, op.lhs), _off_chip(rates, op.rhs)
    # Time is the slowest of overlapped resources: tiles must arrive behind the arithmetic.
    left_passes, right_passes = dram_passes(
        op.m, op.n, op.k, (sum(op.lhs), sum(op.rhs)), (left, right), word, rates.tile_capacity,
        relax, double_buffered=True,
    )  # fmt: skip
    return left * left_passes + right * right_passes + _off_chip(rates, op.once)


def vector_work(rates: Rates, op: VectorOperations, relax: Relax) -> Work:
    """The work of a fusion group without contraction, or of a movement of data."""
    dram_bytes = _off_chip(rates, op.traffic)
    zero = jnp.zeros_like(dram_bytes)
    return _work(
        rates, relax,
        cycles=zero, overhead=zero, macs=zero, multiplies=None if rates.dense else zero,
        slots=vector_unit.slots(op.simple, op.special),
        delivered_bytes=zero, besides=op.every_byte + dram_bytes, dram_bytes=dram_bytes,
        every_byte=op.every_byte,
    )  # fmt: skip


def _work(
    rates: Rates, relax: Relax, *, cycles: Any, overhead: Any, macs: Any, multiplies: Any,
    slots: Any, delivered_bytes: Any, besides: Any, dram_bytes: Any, every_byte: Any,
) -> Work:  # fmt: skip
    work = Work(
        busy=jnp.zeros_like(dram_bytes),
        cycles=cycles,
        overhead=overhead,
        macs=macs,
        multiplies=multiplies,
        slots=slots,
        delivered_bytes=delivered_bytes,
        buffer_bytes=delivered_bytes + besides,
        dram_bytes=dram_bytes,
        # One loaded access is exposed per operation, in the share that is not already on chip.
        misses=jnp.minimum(dram_bytes / jnp.maximum(every_byte, 1.0), 1.0),
        launches=jnp.ones_like(dram_bytes),
    )
    terms = bound_terms(rates, work)
    dram = terms.pop("dram")
    others = relax.maximum(*terms.values())
    busy = relax.maximum(others, dram)
    return work._replace(busy=busy + rates.exposed * (others + dram - busy))


def bound_terms(rates: Rates, work: Work) -> dict[str, Any]:
    """Time each overlapped resource needs for one run [s]."""
    return {
        "compute": work.cycles * rates.compute_period,
        "on_chip": work.buffer_bytes * rates.buffer_period,
        "dram": work.dram_bytes * rates.dram_period,
        "vector": work.slots * rates.slot_period,
    }


def time_terms(rates: Rates, work: Work) -> dict[str, Any]:
    """Terms that add up to the time of `work` [s]."""
    return {
        "busy": work.busy,
        "fill_drain": work.overhead * rates.period,
        "memory_latency": work.misses * rates.dram_latency,
        "launch": work.launches * rates.launch,
    }


def energy_terms(rates: Rates, work: Work) -> dict[str, Any]:
    """Dynamic energy of `work` by part [J]."""
    multiplies = work.macs if work.multiplies is None else work.multiplies
    return {
        **{
            part: (multiplies if part == "mac" else work.macs) * joule
            for part, joule in rates.mac_energy.items()
        },
        **{part: work.delivered_bytes * joule for part, joule in rates.delivery_energy.items()},
        "vector": work.slots * rates.slot_energy,
        "buffer": work.buffer_bytes * rates.buffer_energy,
        "dram": work.dram_bytes * rates.dram_energy,
    }


def _off_chip(rates: Rates, by_role: tuple[Any, ...]) -> Any:
    """Bytes that residency does not save; the last role streams in full."""
    *resident, streamed = by_role
    *away, of_input = rates.away
    return of_input * streamed + sum(x * y for x, y in zip(resident, away, strict=True))
