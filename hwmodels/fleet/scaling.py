"""Data-parallel training on a fleet of equal chips, and scalability as a number.

Every chip holds a full replica and its own batch (weak scaling). Gradients are all-reduced while
the backward phase goes on; the share f that the backward phase produces last, cannot hide:

    step(N) = t + max(t_backward, (1 - f) T(N)) - t_backward + f T(N)

with t one chip's step and T(N) the all-reduce. S80 is N* x batch / step(N*)
for the largest N* at weak-scaling efficiency step(1) / step(N) >= 80%, N <= 65,536, global batch
<= the workload's limit; one chip's throughput where N = 2 falls below, or where a chip has too
few links for the topology. Throughput grows up to N*
unless the backward phase is over nine tenths of a step, where the last few chips may lose up to
their own share. step is invertible in T (the budget is a minimum of two lines) and T in N, so S80
needs no search over N.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.fleet.sizing import DIMENSIONS, TOPOLOGIES, all_reduce, largest_fleet
from hwmodels.parts.link import Link
from hwmodels.quantity import quantity, static
from hwmodels.relax import Relax
from hwmodels.workloads.numeric import Totals

EFFICIENCY = 0.8
LARGEST_FLEET = 65536.0


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["chips"], meta_fields=["topology"]
)
@dataclass(frozen=True)
class Fleet:
    """How many chips train together, and how their links are wired."""

    chips: Any = quantity(1, low=1, high=LARGEST_FLEET, doc="chips in the fleet")
    topology: str = static("torus2d", choices=TOPOLOGIES, doc="wiring of the links")


def exposed(t_backward: Any, reduce: Any, last: Any, relax: Relax) -> Any:
    """What an all-reduce of `reduce` seconds adds to a step, beyond what backward hides [s]."""
    hidden = relax.maximum(t_backward, (1.0 - last) * reduce) - t_backward
    return hidden + last * reduce


def ports_margin(fleet: Fleet, link: Link) -> Any:
    """Relative room in links: a ring or torus of d dimensions takes 2 d on every chip, a fully
    connected fleet one to every other chip, one with switches one at least."""
    if fleet.topology == "fully_connected":
        return link.count / jnp.maximum(fleet.chips - 1.0, 1.0) - 1.0
    return link.count / _ports(fleet.topology) - 1.0


def _ports(topology: str) -> float:
    return 2.0 * DIMENSIONS[topology] if topology in DIMENSIONS else 1.0


def fleet_metrics(
    fleet: Fleet, link: Link, totals: Totals, time: Any, t_backward: Any, relax: Relax
) -> dict[str, Any]:
    """Step time, efficiency and S80 of a fleet of this chip.

    Args:
      time, t_backward: one chip's step and the backward phase within it [s].

    Returns:
      `step` [s], `waiting` for the network in it [s], `all_reduce` [s], `efficiency`,
      `chips_80` (N*), `scalability` (samples/s).
    """
    last = totals.last_gradient_fraction
    volume, bandwidth = totals.gradient_bytes, link.injection_bandwidth
    wires = (volume, link.latency, bandwidth, fleet.topology)
    reduce = all_reduce(fleet.chips, *wires)
    waiting = exposed(t_backward, reduce, last, relax)
    step = time + waiting

    slack = time / EFFICIENCY - time
    budget = jnp.minimum(slack / jnp.maximum(last, 1e-6), slack + t_backward)
    most = jnp.minimum(LARGEST_FLEET, totals.max_global_batch / totals.samples)
    # Half a link of tolerance: counts are whole in every buildable design.
    if fleet.topology == "fully_connected":
        most = jnp.minimum(most, 1.5 + link.count)
    else:
        ports = _ports(fleet.topology)
        most = 1.0 + (most - 1.0) * relax.gate(link.count / ports - 1.0 + 0.5 / ports)
    chips_80 = relax.floor(jnp.clip(largest_fleet(budget, *wires), 1.0, most))
    step_80 = time + exposed(t_backward, all_reduce(chips_80, *wires), last, relax)
    return {
        "step": step,
        "waiting": waiting,
        "all_reduce": reduce,
        "efficiency": time / step,
        "chips_80": chips_80,
        "scalability": chips_80 * totals.samples / step_80,
    }
