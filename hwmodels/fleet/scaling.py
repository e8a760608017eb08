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
from hwmodels.relax import EXACT, Relax
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


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["time", "backward", "last", "volume", "latency", "bandwidth", "links"],
    meta_fields=["topology"],
)
@dataclass(frozen=True)
class Scaling:
    """How one chip's step stretches in a fleet of any size: what `step(N)` needs.

    `time`, `backward` [s] of one chip; `last`: share of the gradients that the backward phase
    produces last; `volume` [bytes] of gradients; `latency` [s] a hop; `bandwidth` [bytes/s] out of
    a chip; `links` of a chip.
    """

    time: Any
    backward: Any
    last: Any
    volume: Any
    latency: Any
    bandwidth: Any
    links: Any
    topology: str

    def all_reduce(self, chips: Any) -> Any:
        """Time of the gradients' all-reduce over `chips` [s]."""
        return all_reduce(chips, self.volume, self.latency, self.bandwidth, self.topology)

    def waiting(self, chips: Any, relax: Relax = EXACT) -> Any:
        """What the all-reduce adds to a step, beyond what backward hides [s]."""
        reduce = self.all_reduce(chips)
        hidden = relax.maximum(self.backward, (1.0 - self.last) * reduce) - self.backward
        return hidden + self.last * reduce

    def joins(self, chips: Any, relax: Relax = EXACT) -> Any:
        """1 where a chip has the links for a fleet of `chips` in this topology, else 0."""
        # Half a link of tolerance: counts are whole in every buildable design.
        needed = _needed(self.topology, chips)
        return relax.gate(self.links / needed - 1.0 + 0.5 / needed)

    def efficiency(self, chips: Any, relax: Relax = EXACT) -> Any:
        """Weak-scaling efficiency at `chips`; that of one working chip, 1 / chips, where the links
        do not suffice."""
        joins = self.joins(chips, relax)
        kept = self.time / (self.time + self.waiting(chips, relax))
        return joins * kept + (1.0 - joins) / chips


@functools.partial(jax.tree_util.register_dataclass, data_fields=["parts", "times"], meta_fields=[])
@dataclass(frozen=True)
class MixedScaling:
    """As `Scaling`, of a chip that serves several workloads in turn, `times` [s] each in a unit."""

    parts: tuple[Any, ...]
    times: tuple[Any, ...]

    def efficiency(self, chips: Any, relax: Relax = EXACT) -> Any:
        """Weak-scaling efficiency at `chips`: chip time of a unit, over that in the fleet."""
        stretched = [
            t / part.efficiency(chips, relax)
            for part, t in zip(self.parts, self.times, strict=True)
        ]
        return sum(self.times) / sum(stretched)


def ports_margin(fleet: Fleet, link: Link) -> Any:
    """Relative room in links: a ring or torus of d dimensions takes 2 d on every chip, a fully
    connected fleet one to every other chip, one with switches one at least."""
    return link.count / _needed(fleet.topology, fleet.chips) - 1.0


def _needed(topology: str, chips: Any) -> Any:
    if topology == "fully_connected":
        return jnp.maximum(chips - 1.0, 1.0)
    return 2.0 * DIMENSIONS[topology] if topology in DIMENSIONS else 1.0


def fleet_metrics(
    fleet: Fleet, link: Link, totals: Totals, time: Any, t_backward: Any, relax: Relax
) -> dict[str, Any]:
    """Step time, efficiency and S80 of a fleet of this chip.

    Args:
      time, t_backward: one chip's step and the backward phase within it [s].

    Returns:
      `scaling` (`Scaling`), `step` [s], `waiting` for the network in it [s], `efficiency`,
      `chips_80` (N*), `scalability` (samples/s).
    """
    last, topology = totals.last_gradient_fraction, fleet.topology
    scaling = Scaling(
        time, t_backward, last, totals.gradient_bytes, link.latency, link.injection_bandwidth,
        link.count, topology,
    )  # fmt: skip
    waiting = scaling.waiting(fleet.chips, relax)
    step = time + waiting

    slack = time / EFFICIENCY - time
    budget = jnp.minimum(slack / jnp.maximum(last, 1e-6), slack + t_backward)
    most = jnp.minimum(LARGEST_FLEET, totals.max_global_batch / totals.samples)
    if topology == "fully_connected":
        most = jnp.minimum(most, 1.5 + link.count)
    else:
        most = 1.0 + (most - 1.0) * scaling.joins(most, relax)
    largest = largest_fleet(budget, scaling.volume, scaling.latency, scaling.bandwidth, topology)
    chips_80 = relax.floor(jnp.clip(largest, 1.0, most))
    return {
        "scaling": scaling,
        "step": step,
        "waiting": waiting,
        "efficiency": time / step,
        "chips_80": chips_80,
        "scalability": chips_80 * totals.samples / (time + scaling.waiting(chips_80, relax)),
    }
