"""Collective algorithms inside one tier of a network: the menu, each with latency and bandwidth.

Symbols: n members, A = startup + hops x L of a message, b bandwidth of a member, V its bytes
before the collective, S the bytes of the whole vector (reduce-scatter: V; all-gather: n V),
R = ceil(log2 n) rounds. Each term is (latency, bandwidth):

Reduce-scatter, and all-gather as its mirror (an all-reduce is both):
  ring            (n-1) A, S (1 - 1/n) / b: halves go round in both directions (Patarasuk and
                  Yuan, 2009)
  bucket          torus: d parts start along d different dimensions, phases in step, the slowest
                  dimension paces each: sum over phases p of the largest of (n_j - 1) A_j +
                  (S/d) (1 - 1/n_j) / b_j' / (sides before), b_j' of one dimension (Sack and
                  Gropp, 2015; Jouppi et al., 2020); even sides: d (q-1) A, S (1 - 1/n) / (d b')
  ring_by_ring    torus: all bytes along one dimension after another (Chan et al., 2007)
  halving         R A, S (1 - 1/n) / b: recursive halving or doubling (Rabenseifner, 2004; Thakur
                  et al., 2005), for any n by circulant rounds (Bruck et al., 1997; Träff, 2024);
                  fully connected: b of one link, here and where else all goes to one partner
  direct          (n-1) startup + hops x L, S (1 - 1/n) / b: everybody to everybody at once;
                  fully connected: one startup, as each link has its own sender
  in_network      A, S / b to add, S (1 - 1/n) / b to multicast (Graham et al., 2016)
All-reduce only:
  one_shot        (n-1) startup + hops x L, (n-1) V / b: everybody sends everything
  in_network      A, V / b: up the switch, sum, down
  tree            torus: to the middle and back, 2 sum floor(n_i / 2) messages of V on one link
All-to-all:
  direct          (n-1) startup + hops x L, V (1 - 1/n) / b
  bruck           R (A + V / (2 b)) (Bruck et al., 1997; an upper bound unless n is a power of two)
  ring, bucket, ring_by_ring   shortest way round: f = floor(n/2) messages, f (n-f) / n hops on
                  average, V f (n-f) / n / b (Dally and Towles, 2004, section 3)
Broadcast:
  tree            R (A + V / b) (binomial; torus: floods hop by hop, in k chunks as below)
  scatter_gather  both halves of the above (van de Geijn; Thakur et al., 2005)
  chain           (n - 2 + k) (A + V / (k b)), k = sqrt((n-2) (V/b) / A) chunks, at least 1
  one_shot, in_network   as above
Left out: pipelined double binary trees (Sanders et al., 2009): their all-reduce, 2 log2(n) A +
2 V / b, never beats halving here; an all-gather that halves a ring's hops by whole blocks in both
directions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from hwmodels.fleet.network import Tier, several
from hwmodels.fleet.options import SHORTEST_S, Option, add, cheapest, option, scale, slowest
from hwmodels.relax import Relax


def rounds(members: Any, relax: Relax) -> Any:
    """ceil(log2 n); 0 for one member. The offset is beyond float32's error, below log2(1 + 1/n)
    up to 65,536."""
    doublings = jnp.log2(jnp.maximum(members, 2.0)) - 1e-5
    return several(members) * relax.ceil_div(doublings, 1.0)


def chunks(depth: Any, message: Any, transfer: Any) -> Any:
    """Best number of equal pieces of a pipeline of `depth` steps; at least 1."""
    square = (depth - 1.0) * transfer / (message + SHORTEST_S)
    return jnp.sqrt(jnp.maximum(square, 1.0))


def scatter(tier: Tier, total: Any, adds: bool, relax: Relax) -> list[Option]:
    """Reduce-scatter (`adds`) or all-gather of `total` bytes (S)."""
    if tier.shape == "torus":
        return _by_rings(tier, total, relax, _pass_round, _shrink)
    n = tier.members
    moved = total * (1.0 - 1.0 / n)
    joules = moved * tier.hops[0] * tier.energy
    found = [
        option("direct", _all_at_once(tier), moved / tier.bandwidths[0], joules),
        option("halving", rounds(n, relax) * tier.message[0], moved / tier.link, joules),
    ]
    if tier.in_network:
        sent = several(n) * total if adds else moved
        found.append(
            option("in_network", several(n) * tier.message[0], sent / tier.bandwidths[0], joules)
        )
    return found


def all_reduce(tier: Tier, volume: Any, relax: Relax) -> list[Option]:
    """All-reduce of `volume` bytes on each member."""
    found = [scale(o, 2.0) for o in scatter(tier, volume, True, relax) if _plain(o)]
    if tier.shape == "torus":
        depth, messages = _flood(tier, relax)
        spent = 2.0 * (1.0 - 1.0 / tier.members) * volume * tier.energy
        return [*found, option("tree", 2.0 * messages, 2.0 * depth * volume / tier.link, spent)]
    found.append(_one_shot(tier, volume))
    if tier.in_network:
        some = several(tier.members)
        joules = some * volume * tier.hops[0] * tier.energy
        time = some * volume / tier.bandwidths[0]
        found.append(option("in_network", some * tier.message[0], time, joules))
    return found


def all_to_all(tier: Tier, volume: Any, relax: Relax) -> list[Option]:
    """All-to-all of `volume` bytes on each member."""
    if tier.shape == "torus":
        return _by_rings(tier, volume, relax, functools.partial(_cross_ring, relax), _keep)
    n = tier.members
    moved = volume * (1.0 - 1.0 / n)
    joules = tier.hops[0] * tier.energy
    times = rounds(n, relax)
    half = times * 0.5 * volume
    return [
        option("direct", _all_at_once(tier), moved / tier.bandwidths[0], moved * joules),
        option("bruck", times * tier.message[0], half / tier.link, half * joules),
    ]


def broadcast(tier: Tier, volume: Any, relax: Relax) -> list[Option]:
    """Broadcast of `volume` bytes from one member; energy is the mean of the members'."""
    n = tier.members
    # Scattering is the root's alone: 1/n of a chip's share in an all-gather.
    halves = [scale(o, 2.0, 1.0 + 1.0 / n) for o in scatter(tier, volume, False, relax)]
    plain = [o._replace(shares={"scatter_gather": 1.0}) for o in halves if _plain(o)]
    both = cheapest(plain, relax)
    spent = volume * (1.0 - 1.0 / n) * tier.hops[0] * tier.energy
    transfer = volume / tier.link
    if tier.shape == "torus":
        depth, messages = _flood(tier, relax)
        longest = functools.reduce(jnp.maximum, tier.message)
        k = chunks(depth, longest, transfer)
        flood = (depth - 1.0 + k) / k * transfer
        return [both, option("tree", messages + (k - 1.0) * longest, flood, spent)]
    times = rounds(n, relax)
    k = chunks(n - 1.0, tier.message[0], transfer)
    steps = n - 2.0 + k
    found = [
        both,
        option("tree", times * tier.message[0], times * transfer, spent),
        option("chain", steps * tier.message[0], steps / k * transfer, spent),
        _one_shot(tier, volume)._replace(energy=spent),
    ]
    if tier.in_network:
        some = several(n)
        time = some * volume / tier.bandwidths[0]
        found.append(option("in_network", some * tier.message[0], time, spent))
    return found


def send(tier: Tier, volume: Any, relax: Relax) -> Option:
    """One message to the next member, over the slowest dimension that the group takes."""
    ways = []
    for n, message, hops in zip(tier.sides, tier.message, tier.hops, strict=True):
        # A pair either is or is not in different members: no ramp as in `several`.
        some = jnp.where(n > 1.0 + 1e-4, 1.0, 0.0)
        joules = some * volume * hops * tier.energy
        ways.append(option("send", some * message, some * volume / tier.link, joules))
    return slowest(ways, relax)


def _plain(o: Option) -> bool:
    return "in_network" not in o.shares


def _all_at_once(tier: Tier) -> Any:
    """A message to each member: one after another on one link, at once on a link to each."""
    if tier.shape == "direct":
        return several(tier.members) * tier.message[0]
    return (tier.members - 1.0) * tier.startup + several(tier.members) * tier.latencies[0]


def _one_shot(tier: Tier, volume: Any) -> Option:
    sent = (tier.members - 1.0) * volume
    joules = sent * tier.hops[0] * tier.energy
    return option("one_shot", _all_at_once(tier), sent / tier.bandwidths[0], joules)


def _flood(tier: Tier, relax: Relax) -> tuple[Any, Any]:
    """Links from the middle to the farthest member, and the time of as many messages."""
    reach = [farthest(n, relax) for n in tier.sides]
    return sum(reach), sum(f * a for f, a in zip(reach, tier.message, strict=True))


def _pass_round(n: Any, message: Any, transfer: Any) -> tuple[Any, Any]:
    return (n - 1.0) * message, (1.0 - 1.0 / n) * transfer


def _cross_ring(relax: Relax, n: Any, message: Any, transfer: Any) -> tuple[Any, Any]:
    far = farthest(n, relax)
    return far * message, far * (1.0 - far / n) * transfer


def _shrink(volume: Any, n: Any) -> Any:
    return volume / n


def _keep(volume: Any, n: Any) -> Any:
    return volume


def _by_rings(
    tier: Tier, total: Any, relax: Relax, cost: Callable[..., Any], after: Callable[..., Any]
) -> list[Option]:
    """`cost` of a ring along each dimension, one after another or all at once in turn."""
    d = len(tier.sides)
    rings = list(zip(tier.sides, tier.message, tier.bandwidths, strict=True))

    def ring(j: int, volume: Any) -> Option:
        n, message, bandwidth = rings[j]
        latency, time = cost(n, message, volume / bandwidth)
        return Option(latency, time, time * bandwidth * tier.hops[j] * tier.energy, {})

    volumes = [total]
    for n in tier.sides[:-1]:
        volumes.append(after(volumes[-1], n))
    turn = add([ring(j, volume) for j, volume in enumerate(volumes)])
    if d == 1:
        return [turn._replace(shares={"ring": 1.0})]
    phases = []
    for p in range(d):
        parts = []
        for j in range(d):
            before = [tier.sides[(j - m) % d] for m in range(1, p + 1)]
            parts.append(ring(j, functools.reduce(after, before, total / d)))
        phases.append(slowest(parts, relax))
    # Bytes and hops are the same in any order of the dimensions (mean over the parts' orders).
    bucket = add(phases)._replace(energy=turn.energy, shares={"bucket": 1.0})
    return [bucket, turn._replace(shares={"ring_by_ring": 1.0})]


def farthest(n: Any, relax: Relax) -> Any:
    """Places to the opposite end of a ring, floor(n / 2); (n - 1) / 2 between whole n, if more."""
    # The offset is for cube roots in float32 that come out below a whole number.
    whole = relax.floor(0.5 * n + 1e-4)
    return several(n) * jnp.maximum(whole, 0.5 * (n - 1.0))


def mean_hops(n: Any, relax: Relax) -> Any:
    """Mean of the shortest ways round a ring to all n places, its own included."""
    return _cross_ring(relax, n, 0.0, 1.0)[1]
