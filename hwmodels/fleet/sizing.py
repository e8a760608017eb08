"""One all-reduce per topology in closed form, and the fleet at which it takes a given time.

What sweeps use for S80: a single stated algorithm, N continuous, nothing to choose. V bytes on each
of N chips, alpha seconds a hop, B bytes/s out of a chip. A bandwidth-optimal all-reduce
(reduce-scatter, then all-gather) moves 2 V (N - 1) / N bytes through each chip's links; T is that
over B, plus a latency:

* ring, torus: 2 d (N^(1/d) - 1) alpha, d dimensions of equal sides, all links busy at once (d = 1:
  Patarasuk and Yuan, 2009; multi-dimensional: Jouppi et al., 2020);
* fully connected: 2 alpha, two rounds in which every chip sends to every other (Chan et al., 2007);
* switch, fat tree, dragonfly: 2 log2(N) h alpha, recursive halving and doubling (Rabenseifner,
  2004; Thakur et al., 2005), h links a message: 2 through one switch, 6 through a tree of three
  levels (64-port switches, 65,536 chips), 5 through a dragonfly (Kim et al., 2008). Full bisection.

`hwmodels.fleet.collectives` has the menu of algorithms, whole rounds, and uneven sides. Left out
here as there: congestion from other traffic, software overhead.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

DIMENSIONS = {"ring": 1, "torus2d": 2, "torus3d": 3}
HOPS = {"switch": 2.0, "fat_tree": 6.0, "dragonfly": 5.0}
TOPOLOGIES = (*DIMENSIONS, "fully_connected", *HOPS)
NEWTON_STEPS = 5
HALVING_STEPS = 8
SHORTEST_TRANSFER_S = 1e-12  # of a fleet without gradients: finite derivatives
LARGEST_LOG = 14.0  # of a fleet, 1.2 million: beyond any that is asked for, and exp stays finite


def all_reduce(chips: Any, volume: Any, alpha: Any, bandwidth: Any, topology: str) -> Any:
    """Time of an all-reduce [s]; `volume` bytes per chip, `bandwidth` bytes/s out of a chip."""
    transfer = 2.0 * volume * (1.0 - 1.0 / chips) / bandwidth
    if topology in DIMENSIONS:
        d = DIMENSIONS[topology]
        hops = 2.0 * d * (chips ** (1.0 / d) - 1.0)
        return hops * alpha + transfer
    if topology == "fully_connected":
        return 2.0 * jnp.clip(chips - 1.0, 0.0, 1.0) * alpha + transfer
    return 2.0 * HOPS[topology] * jnp.log2(chips) * alpha + transfer


def largest_fleet(budget: Any, volume: Any, alpha: Any, bandwidth: Any, topology: str) -> Any:
    """The real N >= 1 at which `all_reduce` takes `budget` seconds.

    On a torus, in the side q the time is increasing and concave, so a Newton step from any q lands
    at or left of the root, and from there on climbs to it. The start is the root with the hops
    neglected, or, where that is far or none, the knee q^(d+1) = transfer / hop; the first step is
    floored by the root with 1/N neglected. Four steps then reach 3e-7 (200,000 random cases up to
    65,536 chips), with one to spare. Halving and doubling is the same in u = ln N, up to
    e^14 chips; eight steps reach 1e-9. Fully connected: 1 / (1 - (budget - 2 alpha) / transfer),
    1 where two chips take longer.
    """
    transfer = 2.0 * volume / bandwidth
    some = jnp.maximum(transfer, SHORTEST_TRANSFER_S)
    if topology == "fully_connected":
        left = jnp.maximum(1.0 - (budget - 2.0 * alpha) / some, math.exp(-LARGEST_LOG))
        return jnp.maximum(1.0 / left, 1.0)
    if topology in HOPS:
        return _largest_by_halving(budget, transfer, some, 2.0 * HOPS[topology] * alpha)
    d = DIMENSIONS[topology]
    hop = 2.0 * d * alpha
    floor = 1.0 + jnp.maximum(budget - transfer, 0.0) / hop
    inverse = jnp.maximum(1.0 - budget / some, (hop / some) ** (d / (d + 1.0)))
    q = jnp.minimum(inverse, 1.0) ** (-1.0 / d)
    for step in range(NEWTON_STEPS):
        inverse = q**-d
        time = hop * (q - 1.0) + transfer * (1.0 - inverse)
        q = q + (budget - time) / (hop + transfer * d * inverse / q)
        q = jnp.maximum(q, floor) if step == 0 else q
    return jnp.maximum(q, 1.0) ** d


def _largest_by_halving(budget: Any, transfer: Any, some: Any, doubling: Any) -> Any:
    """N of doubling log2(N) + transfer (1 - 1/N) = budget, from the knee e^u = transfer / slope."""
    slope = doubling / math.log(2.0)
    floor = jnp.minimum(jnp.maximum(budget - transfer, 0.0) / slope, LARGEST_LOG)
    inverse = jnp.minimum(jnp.maximum(1.0 - budget / some, slope / some), 1.0)
    u = jnp.minimum(-jnp.log(inverse), LARGEST_LOG)
    for step in range(HALVING_STEPS):
        # No cancellation at small u: 1 - e^-u keeps its digits.
        lost = -jnp.expm1(-u)
        u = u + (budget - slope * u - transfer * lost) / (slope + transfer * (1.0 - lost))
        u = jnp.clip(u, floor if step == 0 else 0.0, LARGEST_LOG)
    return jnp.exp(u)
