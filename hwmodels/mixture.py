"""A chip that serves several workloads in turn: how their metrics become one.

A scenario's unit (a request, a frame) takes `runs` steps of each part. With t, e a step's time and
energy, per unit:

    time = sum runs t,   energy = sum runs e,   throughput = 1 / time,   power = energy / time

What must hold for every part is the worst of them: peak power, margins. A fleet needs 1 / S seconds
for a sample of a part, S its own S80, so 1 / sum (samples / S) units a second. Parts do not share
what stays on chip: each has the chip to itself while it runs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.fleet.scaling import MixedScaling
from hwmodels.metrics import Metrics
from hwmodels.workloads.scenario import Mixture


def mixed(mixture: Mixture, found: Sequence[Metrics]) -> Metrics:
    """The metrics of a unit, from those of a step of each part."""
    runs, first = mixture.runs, found[0]
    times = [n * m.time for n, m in zip(runs, found, strict=True)]
    time = sum(times)

    def total(values: Iterable[Any]) -> Any:
        return sum(n * value for n, value in zip(runs, values, strict=True))

    def mean(values: Iterable[Any]) -> Any:
        return sum(t * value for t, value in zip(times, values, strict=True)) / time

    def terms(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
        names = dict.fromkeys(name for table in tables for name in table)
        return {
            name: total(table.get(name, 0.0) for table in tables)
            for name in names
            if all(table.get(name, 0.0) is not None for table in tables)
        }

    def least(values: Iterable[Any]) -> Any:
        return functools.reduce(jnp.minimum, values)

    energy = total(m.energy for m in found)
    energies = terms([m.energy_terms for m in found])
    waiting = total(m.power_terms["static_waiting"] * m.time for m in found) / time
    late = {
        f"latency of {name}": 1.0 - m.time / limit
        for name, m, limit in zip(mixture.names, found, mixture.latencies, strict=True)
        if limit < math.inf
    }
    return Metrics(
        time=time,
        throughput=1.0 / time,
        energy=energy,
        power=energy / time,
        peak_power=functools.reduce(jnp.maximum, [m.peak_power for m in found]),
        area=first.area,
        cost=first.cost,
        scalability=1.0 / total(m.throughput * m.time / m.scalability for m in found),
        efficiency=time / total(m.time / m.efficiency for m in found),
        chips_80=least(m.chips_80 for m in found),
        fleet_power=mean(m.fleet_power for m in found),
        utilization=mean(m.utilization for m in found),
        clock=least(m.clock for m in found),
        margins={name: least(m.margins[name] for m in found) for name in first.margins} | late,
        time_terms=terms([m.time_terms for m in found]),
        energy_terms=energies,
        power_terms={name: joule / time for name, joule in energies.items()}
        | {"static_waiting": waiting},
        area_terms=first.area_terms,
        work_terms=terms([m.work_terms for m in found])
        | {"macs_per_cycle": first.work_terms["macs_per_cycle"]},
        resident={name: mean(m.resident[name] for m in found) for name in first.resident},
        operations=_stacked([m.operations for m in found]),
        scaling=MixedScaling(tuple(m.scaling for m in found), tuple(times)),
        labels=_labelled([m.labels for m in found]),
    )


def _stacked(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Costs of single operations, a part's after another's."""
    return {
        kind: jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *[r[kind] for r in rows])
        for kind in rows[0]
    }


def _labelled(labels: Sequence[Any]) -> Any:
    kinds = [kind for kind, _ in labels[0]]
    return tuple(
        (kind, tuple(label for part in labels for label in dict(part)[kind])) for kind in kinds
    )
