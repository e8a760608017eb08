"""What large fleets lose besides communication: stragglers, and failures with their checkpoints.

A synchronous step waits for the slowest of N chips. With speeds of relative deviation s (normal),
a step is longer by 1 + s E(N), E(N) the expected largest of N standard normal numbers, here

    E(N) = z((N - a) / (N - 2 a + 1)),  a = 0.375      (Blom, 1958)

with z the normal quantile: E(1) = 0, within 1.5% of the exact value (N = 2: 0.5642) at any N.

A fleet of N chips, each failing f times a second, loses D = N f steps' worth of progress: with a
checkpoint of c seconds every tau, the share of time that is lost is c / tau + D (tau / 2 + r),
r seconds to restart; the best tau is sqrt(2 c / D) (Young, CACM 1974; Daly, FGCS 2006, first
order), where the loss is

    sqrt(2 c D) + D r

Both are off by default. Left out: correlated failures, spare chips, checkpoints that overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from hwmodels.quantity import quantity

BLOM = 0.375
YEAR_S = 365.25 * 24 * 3600.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Reliability:
    """How chips of a fleet differ and fail; ideal by default."""

    deviation: Any = quantity(0.0, low=0.0, high=0.5, doc="relative deviation of chips' speeds")
    failures: Any = quantity(
        0.0, "per_year", 1.0 / YEAR_S, low=0.0, high=1000, doc="failures of one chip"
    )
    checkpoint: Any = quantity(60, "s", low=0.01, high=1e5, doc="time to write a checkpoint")
    restart: Any = quantity(600, "s", low=0.0, high=1e6, doc="time to find a failure and restart")


def expected_maximum(count: Any) -> Any:
    """Expected largest of `count` standard normal numbers (Blom's approximation)."""
    return ndtri((count - BLOM) / (count - 2.0 * BLOM + 1.0))


def slowdown(reliability: Reliability, chips: Any) -> Any:
    """Step time of `chips` over that of equal chips, >= 1."""
    return 1.0 + reliability.deviation * expected_maximum(chips)


def checkpoint_interval(reliability: Reliability, chips: Any) -> Any:
    """The best time between checkpoints [s], where chips fail at all."""
    return jnp.sqrt(2.0 * reliability.checkpoint / (chips * reliability.failures))


def lost_share(reliability: Reliability, chips: Any) -> Any:
    """Extra time for each second of progress: checkpoints, work done again, restarts."""
    rate = chips * reliability.failures
    some = jnp.where(rate > 0.0, rate, 1.0)  # a root's slope at 0 is infinite
    checkpoints = jnp.where(rate > 0.0, jnp.sqrt(2.0 * reliability.checkpoint * some), 0.0)
    return checkpoints + rate * reliability.restart
