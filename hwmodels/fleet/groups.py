"""Collectives of the parallel groups of a cluster: who takes part, how often, how large.

Ranks go tensor, expert, data, pipeline from the inside out, so that a group has a size and a
stride; `hwmodels.fleet.collectives` finds which part of node and network it sees and the fastest
algorithm. All groups of a kind run at once. A phase with several calls is that many equal
messages, one after the other. Energy is that of the bits between nodes: links inside a node burn
theirs always, as part of the chip.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp

from hwmodels.fleet.collectives import collective
from hwmodels.fleet.network import Network
from hwmodels.fleet.plan import Cluster
from hwmodels.parts.link import Link


class Transfer(NamedTuple):
    """Time [s], and energy of each chip's bits between nodes [J]."""

    time: Any
    energy: Any

    def times(self, factor: Any) -> Transfer:
        """`factor` of them, one after the other."""
        return Transfer(factor * self.time, factor * self.energy)


class Message(NamedTuple):
    """What one call of a certain size costs: [s] and [J] a call, and a byte."""

    latency: Any
    bandwidth: Any
    energy: Any

    def sent(self, volume: Any, calls: Any) -> Transfer:
        """`volume` bytes in `calls` calls of about that size."""
        return Transfer(calls * self.latency + volume * self.bandwidth, volume * self.energy)


def wiring(cluster: Cluster, link: Link) -> Network:
    """The cluster's network with these links on a chip, at the rates that transfers reach."""
    tuning, outer = cluster.tuning, cluster.network
    return Network(
        bandwidth=link.injection_bandwidth * tuning.link_efficiency,
        latency=link.latency,
        energy=0.0 * link.latency,
        node=cluster.node_chips,
        topology=cluster.topology,
        outer=dataclasses.replace(outer, bandwidth=outer.bandwidth * tuning.network_efficiency),
    )


def message(kind: str, net: Network, size: Any, stride: Any, volume: Any) -> Message:
    """Cost of calls of about `volume` bytes on each chip before the collective (MPI's)."""
    cost = collective(kind, net, size, volume, stride=stride)
    each = 1.0 / jnp.maximum(volume, 1.0)
    return Message(cost.latency, cost.bandwidth * each, cost.energy / size * each)


def call(kind: str, net: Network, size: Any, stride: Any, volume: Any) -> Transfer:
    """One collective of `volume` bytes on each chip before it."""
    return message(kind, net, size, stride, volume).sent(volume, 1.0)
