"""Collectives of a group of chips on a network: time and energy, latency and bandwidth apart.

Kinds and what `volume` means: V bytes on each chip before the collective, as in MPI; N chips:

    all_reduce      V on each chip before and after
    reduce_scatter  V before, V / N after
    all_gather      V before, N V after
    all_to_all      V before, V / N of it to each chip, V after
    broadcast       V on one chip before, on all after
    point_to_point  V from each member to the next; the slowest pair counts

`hwmodels.fleet.network` says which tiers of the network a group sees (n_t members in tier t, P_t
chips of the group below it), `hwmodels.fleet.algorithms` what each tier offers. Over several tiers:

    hierarchical    reduce-scatter tier by tier inside, all-reduce (or broadcast) of V / P_t in
                    the outermost, all-gather inside (Cho et al., BlueConnect, 2019); reduce-scatter
                    and all-gather: tier by tier with S / P_t
    tier_by_tier    the whole collective with V in every tier: short messages; all-to-all too
    flat_ring       as many rings through all chips as a node has members, so that all ports are
                    busy (what NCCL builds): messages of a block's longest way, all edges of the
                    ring but one; largest over tiers of S (1 - 1/N) / P_t / b_t (less what
                    leaves an inner network). Latency hides behind long transfers, which is
                    left out: an upper bound where both matter
    flat_in_network one reduction tree over all levels of a fat tree: A, V / min(b_t P_t)
    flat_direct     all-to-all: everybody to everybody, largest over tiers of their bytes

The time is the least over this menu, latency and bandwidth those of the winner; for smooth `relax`
a blend. More bandwidth is never slower, more latency or volume never faster (exact modes). N = 1
costs nothing. Chips are continuous. Left out: overlap of a hierarchy's phases.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from hwmodels.errors import InputError, check_choice
from hwmodels.fleet import algorithms
from hwmodels.fleet.algorithms import farthest, mean_hops
from hwmodels.fleet.network import Network, Tier, several, tiers
from hwmodels.fleet.options import Option, add, cheapest, option, scale, slowest
from hwmodels.relax import EXACT, Relax

KINDS = (
    "all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "point_to_point",
)  # fmt: skip


class CollectiveCost(NamedTuple):
    """`latency` and `bandwidth` terms [s], `energy` of the whole group [J], and `algorithm`:
    name -> 1 if it was chosen, else 0 ("tier 2: halving" inside a hierarchy)."""

    latency: Any
    bandwidth: Any
    energy: Any
    algorithm: dict[str, Any]

    @property
    def time(self) -> Any:
        """Seconds, all terms."""
        return self.latency + self.bandwidth


def collective(
    kind: str,
    network: Network,
    chips: Any,
    volume: Any,
    relax: Relax = EXACT,
    *,
    stride: Any = 1.0,
) -> CollectiveCost:
    """Cost of one collective of `chips` members, `stride` ranks apart, at a fleet's full load.

    Args:
      kind: one of `KINDS`.
      chips: N >= 1, continuous.
      volume: bytes on each chip before the collective (see the module).
      stride: ranks from a member to the next; all groups of this stride run at once.

    Raises:
      InputError: unknown kind or topology, an impossible network, a plain number out of range.
    """
    options = menu(kind, network, chips, volume, relax, stride=stride)
    best = cheapest(options, relax)
    members = 1.0 if kind == "point_to_point" else chips
    return CollectiveCost(best.latency, best.bandwidth, members * best.energy, best.shares)


def menu(
    kind: str,
    network: Network,
    chips: Any,
    volume: Any,
    relax: Relax = EXACT,
    *,
    stride: Any = 1.0,
) -> list[Option]:
    """The algorithms among which `collective` chooses, `energy` of one chip."""
    check_choice("kind", kind, KINDS)
    network.check()
    for name, value, low in (("chips", chips, 1), ("stride", stride, 1), ("volume", volume, 0)):
        if isinstance(value, (int, float)) and not low <= value < float("inf"):
            raise InputError(name, value, f"allowed: {low} or more")
    chips, volume, stride = (
        jnp.asarray(x, jnp.result_type(float, x)) for x in (chips, volume, stride)
    )
    levels = tiers(network, chips, stride)
    if kind == "point_to_point":
        return [slowest([algorithms.send(tier, volume, relax) for tier in levels], relax)]
    return _MENUS[kind](levels, chips, volume, relax)


def _scatter(adds: bool, levels: Any, chips: Any, volume: Any, relax: Relax) -> list[Option]:
    total = volume if adds else volume * chips
    if len(levels) == 1:
        return algorithms.scatter(levels[0], total, adds, relax)
    inside = _inside(levels, total, adds, relax)
    return [_label("hierarchical", add(inside)), _flat_ring(levels, chips, total, relax)]


def _whole(
    menu: Callable[..., list[Option]], levels: Any, chips: Any, volume: Any, relax: Relax
) -> list[Option]:
    """All-reduce or broadcast: `menu` is what a tier offers for all of it."""
    if len(levels) == 1:
        return menu(levels[0], volume, relax)
    spread = menu is algorithms.broadcast
    inner = [
        # A broadcast scatters from one chip of each member: 1/n of an all-gather's energy.
        scale(o, 2.0, 1.0 + 1.0 / tier.members if spread else 2.0)
        for o, tier in zip(_inside(levels[:-1], volume, False, relax), levels, strict=False)
    ]
    top = levels[-1]
    outer = _named(levels, -1, cheapest(menu(top, volume / top.below, relax), relax))
    each = []
    for i, tier in enumerate(levels):
        best = _named(levels, i, cheapest(menu(tier, volume, relax), relax))
        share = 1.0 / tier.below if spread else 1.0
        each.append(best._replace(energy=best.energy * share))
    found = [_label("hierarchical", add([*inner, outer])), _label("tier_by_tier", add(each))]
    if not spread:
        found.append(scale(_flat_ring(levels, chips, volume, relax), 2.0))
    if all(tier.in_network and tier.shape == "crossbar" for tier in levels):
        found.append(_flat_in_network(levels, volume, spread, relax))
    return found


def _all_to_all(levels: Any, chips: Any, volume: Any, relax: Relax) -> list[Option]:
    if len(levels) == 1:
        return algorithms.all_to_all(levels[0], volume, relax)
    each = [
        _named(levels, i, cheapest(algorithms.all_to_all(tier, volume, relax), relax))
        for i, tier in enumerate(levels)
    ]
    return [_label("tier_by_tier", add(each)), _flat_direct(levels, chips, volume, relax)]


_MENUS: dict[str, Callable[..., list[Option]]] = {
    "all_reduce": functools.partial(_whole, algorithms.all_reduce),
    "broadcast": functools.partial(_whole, algorithms.broadcast),
    "reduce_scatter": functools.partial(_scatter, True),
    "all_gather": functools.partial(_scatter, False),
    "all_to_all": _all_to_all,
}


def _inside(levels: Any, total: Any, adds: bool, relax: Relax) -> list[Option]:
    """Reduce-scatters, or all-gathers, of what is left in each tier."""
    return [
        _named(levels, i, cheapest(algorithms.scatter(t, total / t.below, adds, relax), relax))
        for i, t in enumerate(levels)
    ]


def _named(levels: Any, index: int, best: Option) -> Option:
    place = f"tier {index % len(levels) + 1}"
    some = several(levels[index].members)  # a tier with one member runs nothing
    return best._replace(shares={f"{place}: {name}": some * x for name, x in best.shares.items()})


def _label(name: str, o: Option) -> Option:
    return o._replace(shares={name: 1.0, **o.shares})


def _flat_ring(levels: tuple[Tier, ...], chips: Any, total: Any, relax: Relax) -> Option:
    moved = total * (1.0 - 1.0 / chips)
    used = [several(tier.members) for tier in levels]
    latency, times, joules = 0.0, [], []
    for tier, spared, closing in zip(levels, _first(used), _first(used[::-1])[::-1], strict=True):
        crossing = 1.0 / tier.below - 1.0 / (tier.below * tier.members)
        # The longest way of a block: all edges but one of the innermost tier.
        edges = chips * crossing + closing - spared
        latency = latency + edges * functools.reduce(jnp.maximum, tier.message)
        # A network that is not the outermost carries no edge that leaves it.
        outermost = 1.0 - several(chips / tier.reach)
        carried = 1.0 / tier.below - (1.0 - outermost) / tier.reach
        along = zip(tier.sides, tier.bandwidths, strict=True)
        per_byte = functools.reduce(jnp.maximum, [several(n) / b for n, b in along])
        times.append(moved * carried * per_byte)
        joules.append(moved * crossing * tier.hops[0] * tier.energy)
    return option("flat_ring", latency, relax.maximum(*times), sum(joules))


def _first(used: list[Any]) -> list[Any]:
    """1 for the first tier that is used, 0 for the others."""
    left, found = 1.0, []
    for some in used:
        found.append(left * some)
        left = left * (1.0 - some)
    return found


def _flat_in_network(levels: tuple[Tier, ...], volume: Any, spread: bool, relax: Relax) -> Option:
    messages = [several(t.members) * t.message[0] for t in levels]
    times = [several(t.members) * volume / (t.bandwidths[0] * t.below) for t in levels]
    joules, passed = [], 0.0
    for tier, some in zip(levels, [several(t.members) for t in levels], strict=True):
        joules.append(some * volume * (tier.hops[0] - passed) / tier.below * tier.energy)
        passed = tier.hops[0]
    half = 0.5 if spread else 1.0
    return option(
        "flat_in_network", relax.maximum(*messages), relax.maximum(*times), half * sum(joules)
    )


def _flat_direct(levels: tuple[Tier, ...], chips: Any, volume: Any, relax: Relax) -> Option:
    flights, times, joules = [], [], []
    for tier in levels:
        some = several(tier.members)
        own = volume * tier.reach / chips
        if tier.shape == "torus":
            ways = [mean_hops(n, relax) for n in tier.sides]
            loads = [own * w / b for w, b in zip(ways, tier.bandwidths, strict=True)]
            times.append(relax.maximum(*loads))
            reach = [farthest(n, relax) for n in tier.sides]
            flights.append(sum(f * t for f, t in zip(reach, tier.latencies, strict=True)))
            joules.append(own * sum(w * h for w, h in zip(ways, tier.hops, strict=True)))
        else:
            crossing = volume * (tier.reach - tier.below) / chips
            times.append(some * crossing / tier.bandwidths[0])
            flights.append(some * tier.latencies[0])
            leaving = volume * tier.below * (tier.members - 1.0) / chips
            joules.append(leaving * tier.hops[0])
    energy = sum(j * tier.energy for j, tier in zip(joules, levels, strict=True))
    startup = (chips - 1.0) * relax.maximum(*[tier.startup for tier in levels])
    return option("flat_direct", startup + relax.maximum(*flights), relax.maximum(*times), energy)
