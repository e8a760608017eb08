"""All-reduce on rings and tori: latency and bandwidth terms (alpha-beta).

A bandwidth-optimal all-reduce (reduce-scatter, then all-gather) of V bytes over N chips moves
2 V (N - 1) / N bytes through each chip's links; on a d-dimensional torus of side q = N^(1/d) it
takes 2 d (q - 1) hops (d = 1: a ring, Patarasuk and Yuan, 2009; multi-dimensional: Jouppi et
al., 2020), all links of a chip busy at once:

    T(N) = 2 d (N^(1/d) - 1) alpha + 2 V (1 - 1/N) / B

N is continuous here; the sides of a buildable torus are whole. Left out: congestion from other
traffic, uneven sides, software overhead.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

DIMENSIONS = {"ring": 1, "torus2d": 2, "torus3d": 3}
NEWTON_STEPS = 8


def all_reduce(chips: Any, volume: Any, alpha: Any, bandwidth: Any, topology: str) -> Any:
    """Time of an all-reduce [s]; `volume` bytes per chip, `bandwidth` bytes/s out of a chip."""
    d = DIMENSIONS[topology]
    hops = 2.0 * d * (chips ** (1.0 / d) - 1.0)
    return hops * alpha + 2.0 * volume * (1.0 - 1.0 / chips) / bandwidth


def largest_fleet(budget: Any, volume: Any, alpha: Any, bandwidth: Any, topology: str) -> Any:
    """The real N >= 1 at which `all_reduce` takes `budget` seconds.

    In the side q the time is increasing and concave, so Newton's method started at or left of
    the root climbs to it without overshoot; the start is the better of q = 1 and the root with
    1/N neglected, which leaves fewer than `NEWTON_STEPS` steps to 1e-6.
    """
    d = DIMENSIONS[topology]
    hop = 2.0 * d * alpha
    transfer = 2.0 * volume / bandwidth
    q = 1.0 + jnp.maximum(budget - transfer, 0.0) / hop
    for _ in range(NEWTON_STEPS):
        inverse = q**-d
        time = hop * (q - 1.0) + transfer * (1.0 - inverse)
        q = q + (budget - time) / (hop + transfer * d * inverse / q)
    return jnp.maximum(q, 1.0) ** d
