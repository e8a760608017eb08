"""Networks of chips, and which part of one a group of chips sees.

Symbols: B bandwidth out of a chip over all its links, one direction [B/s]; L latency of a hop (one
link) [s]; S startup of a message, one at a time on a link [s]; N members of a group.

* `ring`, `torus2d`, `torus3d`: d dimensions, 2 d links on a chip, B / d along each dimension.
* `fully_connected`: a link of B / (N - 1) to every other chip; one hop.
* `switch`: one non-blocking crossbar; two hops (chip to switch to chip).
* `fat_tree`: `levels` of switches, `block` chips under each leaf switch and `block` switches under
  each switch above; between level l and l + 1 a chip's share is B / oversubscription^l; 2 l hops
  through level l (Leiserson, 1985; Al-Fares et al., 2008).
* `dragonfly`: groups of `block` chips, any two groups linked: 3 hops inside a group (chip, router,
  router, chip), 5 between two (a local, a global, a local link), where a chip's share is
  B / oversubscription (Kim et al., 2008; minimal routes: `oversubscription` also stands for the
  traffic that Valiant routing doubles).

`outer` joins nodes of `node` chips by a second network, whose bandwidth is also a chip's share.

A group is N chips, `stride` ranks apart; rank 0 ... node - 1 are the first node, and so on inwards,
dimension after dimension. A level that spans ranks [a, b) holds clip(stride N) / clip(stride) of
its members, clip to [a, b]: eight chips of stride 1 fill a node of eight, eight of stride 8 are one
to a node, 16 of stride 1 see both. Groups that fill a fraction of a node interpolate.

Sides of a torus: `sides` None gives the group a square torus of its own, N^(1/d) on a side, N
continuous, links not shared, stride ignored. With `sides` (see `square_sides`) the whole torus is
stated and the group takes its ranks: a stretch that does not close the ring has one path where a
ring has two (half the bandwidth), and members t places apart share links with t - 1 other groups.
The last dimension, and the last level, are as long as the group asks.

Left out: adaptive routing and its losses, congestion from other traffic, failures.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hwmodels.errors import InputError
from hwmodels.fleet.sizing import DIMENSIONS, TOPOLOGIES
from hwmodels.quantity import check_quantities, quantity, static

GB = 1e9
UNLIMITED = 1e9  # chips in a level that nothing bounds; finite, so products stay finite


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "bandwidth", "latency", "startup", "energy", "block", "oversubscription", "sides",
        "node", "outer",
    ],
    meta_fields=["topology", "levels", "in_network"],
)  # fmt: skip
@dataclass(frozen=True)
class Network:
    """The wiring of a fleet, or of a node with the network between nodes as `outer`.

    `in_network`: switches add what passes (SHARP, Graham et al., 2016; NVLink SHARP) and
    multicast; for switch and fat_tree.
    """

    bandwidth: Any = quantity(300, "GBps", GB, low=1e-3, high=1e5, doc="out of a chip, one way")
    latency: Any = quantity(500, "ns", 1e-9, low=1e-3, high=1e6, doc="latency of a hop")
    startup: Any = quantity(0, "ns", 1e-9, low=0, high=1e6, doc="sending a message on a link")
    energy: Any = quantity(5, "pJ_per_bit", 1e-12, low=0, high=1e3, doc="energy per bit and hop")
    block: Any = quantity(32, low=1, high=1e6, doc="chips under a leaf switch, or in a group")
    oversubscription: Any = quantity(1, low=1, high=1e3, doc="bandwidth below by bandwidth above")
    node: Any = quantity(8, low=1, high=1e6, doc="chips of a node; only with an outer network")
    topology: str = static("switch", choices=TOPOLOGIES, doc="wiring of the links")
    levels: int = 2
    in_network: bool = False
    sides: tuple[Any, ...] | None = None
    outer: Network | None = None

    def check(self, prefix: str = "network.") -> None:
        """Raise `InputError` on an impossible field; arrays and traced numbers pass."""
        check_quantities(self, prefix)
        if self.levels not in range(1, 6):
            raise InputError(f"{prefix}levels", self.levels, "allowed: 1 to 5, whole")
        if self.sides is not None and len(self.sides) != DIMENSIONS.get(self.topology, -1):
            dims = DIMENSIONS.get(self.topology)
            allowed = f"{dims} of them" if dims else "for ring, torus2d and torus3d only"
            raise InputError(f"{prefix}sides", self.sides, f"allowed: {allowed}")
        if self.in_network and self.topology not in ("switch", "fat_tree"):
            raise InputError(f"{prefix}in_network", True, "allowed: with switch or fat_tree")
        if self.outer is not None:
            self.outer.check(f"{prefix}outer.")


class Tier(NamedTuple):
    """What one level of a network offers to one group.

    `shape`: "torus" (a ring is one), "direct" (fully connected) or "crossbar"; `sides`: members
    of the group along each dimension; `bandwidths`: of a member along each, all its links [B/s];
    `hops`: links of a message, and `latencies` [s] of it; `link`: bandwidth to one partner [B/s];
    `startup` [s]; `energy` of a byte and hop [J]; `below`: chips of the group inside a member;
    `reach`: chips of the group inside the tier's whole network (all its levels).
    """

    shape: str
    sides: tuple[Any, ...]
    bandwidths: tuple[Any, ...]
    hops: tuple[Any, ...]
    latencies: tuple[Any, ...]
    link: Any
    startup: Any
    energy: Any
    below: Any
    reach: Any
    in_network: bool

    @property
    def members(self) -> Any:
        """Members of the group in this tier."""
        return math.prod(self.sides[1:], start=self.sides[0])

    @property
    def message(self) -> Any:
        """Startup and flight of a message to a neighbour along each dimension [s]."""
        return tuple(self.startup + latency for latency in self.latencies)


def several(members: Any) -> Any:
    """1 from two members on, 0 for one; what a lone chip does not pay."""
    return jnp.clip(members - 1.0, 0.0, 1.0)


def square_sides(chips: int, dimensions: int) -> tuple[float, ...]:
    """The most square whole sides of a torus, longest last: 12 chips are 3 x 4."""
    if dimensions == 1:
        return (float(chips),)
    found = [s for s in range(1, round(chips ** (1 / dimensions)) + 1) if chips % s == 0]
    options = (tuple(sorted((float(s), *square_sides(chips // s, dimensions - 1)))) for s in found)
    return min(options, key=lambda sides: (sides[-1] / sides[0], sides))


def tiers(network: Network, chips: Any, stride: Any) -> tuple[Tier, ...]:
    """The levels that a group of `chips` sees, from the inside out."""
    span = (stride, stride * chips)
    result: list[Tier] = []
    level: Network | None = network
    low: Any = 1.0
    below: Any = 1.0
    while level is not None:
        high = low * level.node if level.outer is not None else UNLIMITED
        reach = below * _members(span, low, high)
        for tier in _levels(level, span, low, high, below, reach):
            result.append(tier)
            below = below * tier.members
        low, level = high, level.outer
    return tuple(result)


def _members(span: tuple[Any, Any], low: Any, high: Any) -> Any:
    first, last = (jnp.minimum(jnp.maximum(x, low), high) for x in span)
    return last / first


def _levels(
    net: Network, span: tuple[Any, Any], low: Any, high: Any, below: Any, reach: Any
) -> list[Tier]:
    rest = (net.startup, 8.0 * net.energy)
    if net.topology in DIMENSIONS:
        return [_torus(net, span, low, high, below, reach)]
    if net.topology == "fully_connected":
        members = _members(span, low, high)
        # Of a chip's links, those to members; a node's chips that are no members idle.
        whole = high / low if net.outer is not None else span[1] / low
        link = net.bandwidth / jnp.maximum(whole - 1.0, 1.0)
        bandwidth = link * jnp.maximum(members - 1.0, 1.0)
        return [
            Tier("direct", (members,), (bandwidth,), (1.0,), (net.latency,), link, *rest,
                 below, reach, False)
        ]  # fmt: skip
    if net.topology == "switch":
        shape = [(high, 2.0, net.bandwidth)]
    elif net.topology == "dragonfly":
        group = jnp.minimum(low * net.block, high)
        shape = [(group, 3.0, net.bandwidth), (high, 5.0, net.bandwidth / net.oversubscription)]
    else:
        tops = [jnp.minimum(low * net.block**k, high) for k in range(1, net.levels)] + [high]
        shares = [net.bandwidth / net.oversubscription**k for k in range(net.levels)]
        shape = [(t, 2.0 * k, b) for k, (t, b) in enumerate(zip(tops, shares, strict=True), 1)]
    found = []
    for top, hops, bandwidth in shape:
        members = _members(span, low, top)
        found.append(
            Tier("crossbar", (members,), (bandwidth,), (hops,), (hops * net.latency,), bandwidth,
                 *rest, below, reach, net.in_network)
        )  # fmt: skip
        below, low = below * members, top
    return found


def _torus(
    net: Network, span: tuple[Any, Any], low: Any, high: Any, below: Any, reach: Any
) -> Tier:
    d = DIMENSIONS[net.topology]
    along = net.bandwidth / d
    if net.sides is None:
        side = _members(span, low, high) ** (1.0 / d)
        sides, hops, bandwidths = (side,) * d, (1.0,) * d, (along,) * d
        link = 0.5 * along
    else:
        tops = [low * p for p in itertools.accumulate(net.sides, lambda a, b: a * b)]
        ranges = list(zip([low, *tops[:-1]], [*tops[:-1], high], strict=True))
        sides = tuple(_members(span, a, b) for a, b in ranges)
        hops = tuple(jnp.minimum(jnp.maximum(span[0], a), b) / a for a, b in ranges)
        # A whole ring closes; half a place of tolerance in the sides' rounding.
        closed = [jnp.where(span[1] >= top * (1.0 - 1e-5), 1.0, 0.5) for top in tops]
        bandwidths = tuple(along * c / t for c, t in zip(closed, hops, strict=True))
        used = [jnp.where(n > 1.0, t, 1.0) for n, t in zip(sides, hops, strict=True)]
        link = 0.5 * along / functools.reduce(jnp.maximum, used)
    latencies = tuple(t * net.latency for t in hops)
    return Tier("torus", sides, bandwidths, hops, latencies, link, net.startup, 8.0 * net.energy,
                below, reach, False)  # fmt: skip
