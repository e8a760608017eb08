"""The one entry: an accelerator, a workload and a fleet in; Metrics out. Pure, so jit, vmap and
grad apply to it from outside."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels import reduce
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.rates import LAUNCH_S, Rates, prepare
from hwmodels.accelerators.work import (
    Work,
    bound_terms,
    contraction_work,
    energy_terms,
    time_terms,
    vector_work,
)
from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.scaling import Fleet, fleet_metrics, ports_margin
from hwmodels.metrics import Metrics
from hwmodels.mixture import mixed
from hwmodels.parts import die
from hwmodels.quantity import check_quantities
from hwmodels.relax import EXACT, MODES, Relax
from hwmodels.workloads.numeric import RESIDENT_ROLES, Operations
from hwmodels.workloads.scenario import Mixture, Scenario
from hwmodels.workloads.workload import Workload

RESIDENCY = ("warm", "cold")


def evaluate(
    chip: Accelerator,
    workload: Workload,
    fleet: Fleet | None = None,
    *,
    runtime: str = "graph",
    residency: str = "warm",
    relax: Relax = EXACT,
) -> Metrics:
    """Metrics of `chip` (one design) on `workload`, with a row for every operation.

    Args:
      chip: any variant of `hwmodels.VARIANTS`; its leaves may be traced.
      workload: from `hwmodels.trace` or `hwmodels.load_workload`.
      fleet: how many chips and how they are wired; default one chip, links as a 2-D torus.
      runtime: launch cost between operations: "eager", "graph", "none", or "alone", the
        chip's measured cost of launching and waiting for each operation by itself.
      residency: "warm": tensors that fit stay on chip between operations and steps; "cold":
        every operation starts and ends in DRAM.
      relax: how ceilings and maxima differentiate; forward values are exact by default.

    Raises:
      InputError: not a chip, workload or fleet, a plain number outside its range, or an
        unknown option.
    """
    if not isinstance(chip, Accelerator):
        raise InputError("chip", type(chip).__name__, "allowed: an accelerator of VARIANTS")
    if not isinstance(workload, Workload):
        raise InputError("workload", type(workload).__name__, "allowed: a hwmodels Workload")
    fleet = fleet or Fleet()
    if not isinstance(fleet, Fleet):
        raise InputError("fleet", type(fleet).__name__, "allowed: a hwmodels Fleet")
    check_quantities(chip)
    check_quantities(fleet, "fleet.")
    check_choice("relax.mode", relax.mode, MODES)
    check_choice("runtime", runtime, LAUNCH_S)
    check_choice("residency", residency, RESIDENCY)
    labels = _labels(workload)
    operations, chip = chip.operations(workload, residency), chip.bare
    # Whole numbers left as `int` would compile once more.
    chip, fleet = jax.tree.map(lambda x: float(x) if isinstance(x, int) else x, (chip, fleet))
    return _evaluate(
        chip, operations, fleet, relax,
        training=workload.training, runtime=runtime, residency=residency, labels=labels,
    )  # fmt: skip


def _labels(workload: Workload) -> tuple[Any, ...]:
    """What rows are called, by kind; of a scenario, a tuple a part, counted by unit."""
    if isinstance(workload, Scenario):
        return tuple(
            tuple((kind, tuple((f"{part.workload.name}: {name}", phase, part.runs * count)
                               for name, phase, count in labels))
                  for kind, labels in _labels(part.workload))
            for part in workload.parts
        )  # fmt: skip
    return tuple(
        (kind, tuple((r.name, r.phase, r.count) for r in workload.rows if r.kind == kind))
        for kind in ("contraction", "vector", "movement")
    )


@functools.partial(jax.jit, static_argnames=("training", "runtime", "residency", "labels"))
def _evaluate(
    chip: Accelerator,
    operations: Operations | Mixture,
    fleet: Fleet,
    relax: Relax,
    *,
    training: bool,
    runtime: str,
    residency: str,
    labels: tuple[Any, ...],
) -> Metrics:
    return model(
        chip, operations, fleet, relax,
        training=training, runtime=runtime, residency=residency, labels=labels,
    )  # fmt: skip


def model(
    chip: Accelerator,
    operations: Operations | Mixture,
    fleet: Fleet,
    relax: Relax = EXACT,
    *,
    training: bool,
    runtime: str = "graph",
    residency: str = "warm",
    labels: tuple[Any, ...] | None = None,
    stacked: bool = False,
) -> Metrics:
    """The model itself, for one design: what `evaluate` compiles and what sweeps batch.

    With `labels` None the rows of single operations are left out of the result and the sums
    run as a scan.
    """
    if isinstance(operations, Mixture):
        return _mixture(
            chip, operations, fleet, relax,
            runtime=runtime, residency=residency, labels=labels, stacked=stacked,
        )  # fmt: skip
    totals = operations.totals
    # Numbers that a caller left as Python floats become arrays once, here.
    chip, fleet = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), (chip, fleet))
    rates = prepare(chip, totals, relax, runtime=runtime, residency=residency)
    # Movement is a vector operation without arithmetic: one scan costs both.
    moved = operations.vector.count.shape[0]
    elementwise = jax.tree.map(
        lambda a, b: jnp.concatenate([a, b]), operations.vector, operations.movement
    )
    groups = (
        (lambda op: contraction_work(chip, rates, op, relax), operations.contraction),
        (lambda op: vector_work(rates, op, relax), elementwise),
    )
    sums = [reduce.total(_with_backward(ask, rates), ops, stacked) for ask, ops in groups]
    work, backward = jax.tree.map(lambda a, b: a + b, *sums)
    rows: dict[str, Any] = {}
    if labels is not None:
        rows["contraction"], both = (
            jax.vmap(lambda op, ask=ask: _row(rates, ask(op)))(ops) for ask, ops in groups
        )
        rows["vector"] = jax.tree.map(lambda leaf: leaf[:moved], both)
        rows["movement"] = jax.tree.map(lambda leaf: leaf[moved:], both)

    times, energies = time_terms(rates, work), energy_terms(rates, work)
    times |= chip.spread(totals, times, relax)
    time = sum(times.values())
    energies |= {f"static_{k}": watts * time for k, watts in rates.static_power.items()}
    energy = sum(energies.values())
    area = sum(rates.areas.values())
    scaled = fleet_metrics(fleet, chip.link, totals, time, backward, relax)
    # While a chip waits for the network it pays its static power only.
    waiting = sum(rates.static_power.values()) * scaled["waiting"]
    step_energy = energy + waiting
    cost = rates.die_cost + chip.dram.stacks * chip.dram.cost + chip.link.count * chip.link.cost
    return Metrics(
        time=scaled["step"],
        throughput=fleet.chips * totals.samples / scaled["step"],
        energy=step_energy,
        power=step_energy / scaled["step"],
        peak_power=rates.peak_power,
        area=area,
        cost=cost,
        scalability=scaled["scalability"],
        efficiency=scaled["efficiency"],
        chips_80=scaled["chips_80"],
        fleet_power=fleet.chips * step_energy / scaled["step"],
        utilization=work.macs / (chip.macs_per_cycle * rates.clock * time),
        clock=rates.clock,
        margins=_margins(chip, rates, operations, area, fleet, training),
        time_terms=times,
        energy_terms=energies,
        power_terms={name: joule / scaled["step"] for name, joule in energies.items()}
        | {"static_waiting": waiting / scaled["step"]},
        area_terms=rates.areas,
        work_terms={**work.terms(), "macs_per_cycle": chip.macs_per_cycle},
        resident=dict(zip(RESIDENT_ROLES, rates.resident, strict=True)),
        operations=rows,
        scaling=scaled["scaling"],
        labels=labels or (),
    )


def _mixture(
    chip: Accelerator, mixture: Mixture, fleet: Fleet, relax: Relax, *,
    labels: tuple[Any, ...] | None, **settings: Any,
) -> Metrics:  # fmt: skip
    """Part by part; `labels` are a tuple a part."""
    found = [
        model(
            chip, part, fleet, relax, training=training,
            labels=None if labels is None else labels[i], **settings,
        )
        for i, (part, training) in enumerate(zip(mixture.parts, mixture.training, strict=True))
    ]  # fmt: skip
    return mixed(mixture, found)


def _with_backward(ask: Any, rates: Rates) -> Any:
    """From an operation to its work, and its time if it belongs to the backward phase."""

    def cost(operation: Any) -> tuple[Work, Any]:
        work = ask(operation)
        return work, operation.backward * sum(time_terms(rates, work).values())

    return cost


def _row(rates: Rates, work: Work) -> dict[str, dict[str, Any]]:
    """The terms of one run of an operation, for a person."""
    return {
        "time": time_terms(rates, work),
        "bound": bound_terms(rates, work),
        "energy": energy_terms(rates, work),
        "work": work.terms(),
    }


def _margins(
    chip: Accelerator, rates: Any, operations: Operations, area: Any, fleet: Fleet, training: bool
) -> dict[str, Any]:
    totals = operations.totals
    stored = sum(totals.footprint[i] for i in range(len(RESIDENT_ROLES)))
    edge = chip.dram.stacks * chip.dram.edge + chip.link.count * chip.link.edge
    margins = {
        "area": 1.0 - area / chip.largest_area,
        "die_edge": 1.0 - edge / die.usable_edge(area),
        # At what liquid carries off: the most that can be built.
        "thermal": die.thermal_margin(rates.peak_die_power, area, "liquid"),
        # A node's own clock fits: the tolerance is that of the table's interpolation in float32.
        "clock": rates.max_clock / chip.clock - 1.0 + 1e-6,
        "voltage": rates.voltage_margin,
        # The capped clock meets the cap exactly; the tolerance is its rounding.
        "tdp": 1.0 - rates.peak_power / chip.tdp + 1e-4,
        "buffer": chip.buffer_margin(operations.contraction),
        "ports": jnp.where(fleet.chips > 1.0, ports_margin(fleet, chip.link), 0.0),
        "format": jnp.full_like(area, 0.0 if chip.admits(training) else -1.0),
        **chip.margins(totals),
    }
    if chip.HAS_DRAM:
        off_chip = chip.dram.stacks * chip.dram.capacity + 0.5 * chip.sram.capacity
        margins["dram_capacity"] = 1.0 - stored / off_chip
    return margins
