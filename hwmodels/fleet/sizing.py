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

import jax
import jax.numpy as jnp

DIMENSIONS = {"ring": 1, "torus2d": 2, "torus3d": 3}
HOPS = {"switch": 2.0, "fat_tree": 6.0, "dragonfly": 5.0}
TOPOLOGIES = (*DIMENSIONS, "fully_connected", *HOPS)
NEWTON_STEPS = {1: 4, 2: 3, 3: 4}  # by dimensions
HALVING_STEPS = 8
SMALLEST = 1e-30  # so that 0 / 0 is 0
SHORTEST_TRANSFER_S = 1e-12  # of a fleet without gradients: finite derivatives
LARGEST_LOG = 14.0  # of a fleet, 1.2 million: beyond any that is asked for, and exp stays finite


def all_reduce(chips: Any, volume: Any, alpha: Any, bandwidth: Any, topology: str) -> Any:
    """Time of an all-reduce [s]; `volume` bytes per chip, `bandwidth` bytes/s out of a chip."""
    transfer = 2.0 * volume * (1.0 - 1.0 / chips) / bandwidth
    if topology in DIMENSIONS:
        d = DIMENSIONS[topology]
        hops = 2.0 * d * (_root(chips, d) - 1.0)
        return hops * alpha + transfer
    if topology == "fully_connected":
        return 2.0 * jnp.clip(chips - 1.0, 0.0, 1.0) * alpha + transfer
    return 2.0 * HOPS[topology] * jnp.log2(chips) * alpha + transfer


def largest_fleet(budget: Any, volume: Any, alpha: Any, bandwidth: Any, topology: str) -> Any:
    """The real N >= 1 at which `all_reduce` takes `budget` seconds.

    On a torus with sides 1 / u it is the one root in (0, 1] of transfer u^(d+1) + (hop + budget -
    transfer) u = hop, whose left side is convex. The start blends the roots with either term
    neglected, within a sixth of the side; three or four of Newton's steps then reach 3e-8 (200,000
    random cases up to 65,536 chips). Halving and doubling is the same in u = ln N, up to e^14
    chips; eight steps reach 1e-9. Fully connected: 1 / (1 - (budget - 2 alpha) / transfer), 1 where
    two chips take longer.
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
    return _largest_torus(some, hop + (budget - transfer), hop, d)


def _largest_torus(a: Any, b: Any, hop: Any, d: int) -> Any:
    """N = u^-d, u the root of a u^(d+1) + b u = hop."""
    # No exponential or logarithm: in a sweep they would cost more than all the steps together.
    slow = _square_of_root(hop / a, d + 1)
    linear = jnp.maximum(b, 0.0) / hop
    start = slow / (1.0 + slow * linear * linear) + _square_of_root(jnp.maximum(-b, 0.0) / a, d)
    u = jax.lax.stop_gradient(jnp.minimum(jnp.sqrt(start), 1.0))
    for _ in range(NEWTON_STEPS[d]):
        power = a * u**d
        u = (d * power * u + hop) / ((d + 1) * power + b)
    return 1.0 / jnp.clip(u, math.exp(-LARGEST_LOG / d), 1.0) ** d


def _root(x: Any, d: int) -> Any:
    """x^(1/d); a square root is one instruction, a power is fifty."""
    return x if d == 1 else jnp.sqrt(x) if d == 2 else x ** (1.0 / d)


def _square_of_root(x: Any, d: int) -> Any:
    """x^(2/d), d up to 4; 5% off for the third root, Halley's step from x^(5/16)."""
    if d == 1:
        return x * x
    if d == 2:
        return x
    square = jnp.sqrt(x)
    if d == 4:
        return square
    fourth = jnp.sqrt(square)
    near = fourth * jnp.sqrt(jnp.sqrt(fourth))
    cube = near * near * near
    root = near * (cube + 2.0 * x) / (2.0 * cube + x + SMALLEST)
    return root * root


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
