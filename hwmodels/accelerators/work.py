"""The work of one operation on any variant, and its cost: time, what bounds it, energy by part.

    busy = max(compute, on_chip, dram, vector)          (each a time, overlapped)
    time = busy + fill_drain + memory_latency + launch  (none of which overlaps)

A chip with memories of its own has a term for each in place of on_chip.

Where measurements show that a machine hides only a share of its DRAM transfers (`tuning.overlap`
below 1), busy grows by the rest of the shorter one: DRAM, or the longest of the others.

`contraction_work` and `vector_work` say what one operation asks for, as `Work`; times and energies
are linear in it, at the rates that `hwmodels.accelerators.rates` prepares once per design.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.own import Moved, moved
from hwmodels.accelerators.rates import Rates
from hwmodels.parts import vector_unit
from hwmodels.relax import Relax
from hwmodels.workloads.numeric import Contractions, VectorOperations


class Work(NamedTuple):
    """What one run of an operation asks of a chip. Linear: the work of several runs is the sum.

    `busy` [s]: the slowest of the overlapped resources; `cycles`, `overhead`: of the compute
    units, busy and in fill and drain; `macs`: multiply-accumulates that are done, `multiplies`:
    what their multipliers spend, in dense ones of the operand format, None if as much; `slots`:
    lane cycles of the vector unit; `delivered_bytes`: between shared buffer and compute units;
    `buffer_bytes`: all traffic of the buffer; `misses`: loaded DRAM accesses that are exposed;
    `launches`: 1; `own`: traffic of a chip's own memories, by name (`buffer_bytes` is then that
    of the memory beside the vector unit).
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
    own: dict[str, Moved]

    def terms(self) -> dict[str, Any]:
        """All of it as numbers by name."""
        numbers = self._asdict()
        for name, traffic in numbers.pop("own").items():
            numbers |= {f"{name}_{key}": value for key, value in traffic._asdict().items()}
        return numbers


def contraction_work(chip: Accelerator, rates: Rates, op: Contractions, relax: Relax) -> Work:
    """The work of one contraction with its fused epilogue."""
    dram_bytes = _contraction_dram_bytes(chip, rates, op, relax)
    besides = dram_bytes + op.epilogue_bytes
    traffic = {}
    if rates.own:  # whose traffic has the operands' and the result's way to DRAM already
        away = tuple(_off_chip(rates, x) / jnp.maximum(sum(x), 1.0) for x in _tensors(op))
        besides = op.epilogue_bytes * (1.0 + away[2])
        traffic = chip.own_traffic(op, away)
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
        every_byte=op.every_byte, traffic=traffic,
    )  # fmt: skip


def _tensors(op: Contractions) -> tuple[Any, Any, Any]:
    return op.lhs, op.rhs, op.once


def _contraction_dram_bytes(chip: Accelerator, rates: Rates, op: Contractions, relax: Relax) -> Any:
    if not chip.HAS_DRAM:
        return jnp.zeros_like(rates.period)
    away = _off_chip(rates, op.lhs), _off_chip(rates, op.rhs)
    return chip.operand_bytes(op, away, rates.tile_capacity, relax) + _off_chip(rates, op.once)


def vector_work(rates: Rates, op: VectorOperations, relax: Relax) -> Work:
    """The work of a fusion group without contraction, or of a movement of data."""
    dram_bytes = _off_chip(rates, op.traffic)
    zero = jnp.zeros_like(dram_bytes)
    return _work(
        rates, relax,
        cycles=zero, overhead=zero, macs=zero, multiplies=None if rates.dense else zero,
        slots=vector_unit.slots(op.simple, op.special),
        delivered_bytes=zero, besides=op.every_byte + dram_bytes, dram_bytes=dram_bytes,
        every_byte=op.every_byte, traffic={},
    )  # fmt: skip


def _work(
    rates: Rates, relax: Relax, *, cycles: Any, overhead: Any, macs: Any, multiplies: Any,
    slots: Any, delivered_bytes: Any, besides: Any, dram_bytes: Any, every_byte: Any,
    traffic: dict[str, tuple[Any, Any, Any]],
) -> Work:  # fmt: skip
    own = _own(rates, besides, traffic, relax)
    buffer_bytes = delivered_bytes + besides
    if own:
        beside = own.get(rates.vector_memory or "")
        buffer_bytes = beside.read + beside.written if beside else 0.0 * besides
    work = Work(
        busy=jnp.zeros_like(dram_bytes),
        cycles=cycles,
        overhead=overhead,
        macs=macs,
        multiplies=multiplies,
        slots=slots,
        delivered_bytes=delivered_bytes,
        buffer_bytes=buffer_bytes,
        dram_bytes=dram_bytes,
        # One loaded access is exposed per operation, in the share that is not already on chip.
        misses=jnp.minimum(dram_bytes / jnp.maximum(every_byte, 1.0), 1.0),
        launches=jnp.ones_like(dram_bytes),
        own=own,
    )
    # What runs on the clock is compared in cycles: in a sweep, not again for every voltage.
    others = relax.maximum(*_cycles(rates, work).values()) * rates.period
    dram = dram_bytes * rates.dram_period
    busy = relax.maximum(others, dram)
    return work._replace(busy=busy + rates.exposed * (others + dram - busy))


def _own(
    rates: Rates, besides: Any, traffic: dict[str, tuple[Any, Any, Any]], relax: Relax
) -> dict[str, Moved]:
    """Traffic of own memories; bytes that the vector unit moves are half reads, half writes."""
    found = {}
    for name, port in rates.own.items():
        read, written, banks = traffic.get(name, (0.0 * besides, 0.0 * besides, port.banks))
        if name == rates.vector_memory:
            read, written = read + 0.5 * besides, written + 0.5 * besides
        found[name] = moved(port, read, written, banks, relax)
    return found


def _cycles(rates: Rates, work: Work) -> dict[str, Any]:
    """Clock cycles that each overlapped resource on the chip's clock needs for one run."""
    on_chip = {name: traffic.cycles for name, traffic in work.own.items()}
    return {
        "compute": work.cycles * rates.compute_stretch,
        **(on_chip or {"on_chip": work.buffer_bytes * rates.buffer_cycles}),
        "vector": work.slots * rates.slot_cycles,
    }


def bound_terms(rates: Rates, work: Work) -> dict[str, Any]:
    """Time each overlapped resource needs for one run [s]."""
    clocked = {name: cycles * rates.period for name, cycles in _cycles(rates, work).items()}
    return clocked | {"dram": work.dram_bytes * rates.dram_period}


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
    own = {
        name: (traffic.read + traffic.written) * rates.own[name].energy
        for name, traffic in work.own.items()
    }
    return {
        **{
            part: (multiplies if part == "mac" else work.macs) * joule
            for part, joule in rates.mac_energy.items()
        },
        **{part: work.delivered_bytes * joule for part, joule in rates.delivery_energy.items()},
        "vector": work.slots * rates.slot_energy,
        **(own or {"buffer": work.buffer_bytes * rates.buffer_energy}),
        "dram": work.dram_bytes * rates.dram_energy,
    }


def _off_chip(rates: Rates, by_role: tuple[Any, ...]) -> Any:
    """Bytes that residency does not save; the last role streams in full."""
    *resident, streamed = by_role
    *away, of_input = rates.away
    return of_input * streamed + sum(x * y for x, y in zip(resident, away, strict=True))
