"""Pipeline schedules: bubbles, micro-batches in flight, and transfers between stages.

With p stages of v chunks and m micro-batches, a stage of time t waits (p - 1) t / v: the sum of
the other stages over v (GPipe, Huang et al., 2019; 1F1B and interleaved, Narayanan et al., SC
2021). Micro-batches whose activations the first stage holds: GPipe m, 1F1B min(m, p), interleaved
p + (p - 1) / v (Korthikanti et al., 2022), at most m; the last stage: m, 1, (p (v - 1) + 1) / v.

Each micro-batch crosses v boundaries of a stage forward and v backward; in the steady state a
stated share hides behind other micro-batches' compute. Filling and draining cross p - 1
boundaries in each direction, which nothing hides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from hwmodels.fleet.plan import Plan


class InFlight(NamedTuple):
    """Micro-batches whose activations a stage holds at once, in stages' worth; `head`: those whose
    results wait after the last block."""

    first: Any
    last: Any
    head: Any


def in_flight(plan: Plan, microbatches: Any) -> InFlight:
    """Of `plan` with `microbatches` to a step."""
    p, v, m = plan.pipeline, plan.interleave, microbatches
    first = jnp.where(v > 1.0, p + (p - 1.0) / v, p)
    last = (p * (v - 1.0) + 1.0) / v
    gpipe = plan.schedule < 0.5
    return InFlight(
        first=jnp.where(gpipe, m, jnp.minimum(first, m)),
        last=jnp.where(gpipe, m, jnp.minimum(last, m)),
        head=jnp.where(gpipe, m, jnp.minimum(1.0, m)),
    )


def bubble(plan: Plan, stage: Any, stages: Any) -> Any:
    """Time that the slowest stage waits [s]: `stage` its micro-batch, `stages` that of all."""
    waits = jnp.maximum(stages - stage, 0.0) / plan.interleave
    return jnp.where(plan.pipeline > 1.0, waits, 0.0)


def exposed_sends(plan: Plan, microbatches: Any, one: Any, overlap: Any) -> Any:
    """Time of a step's transfers between stages that is not hidden [s]; `one`: of one transfer."""
    steady = (microbatches * plan.interleave) * (1.0 - overlap)
    piped = jnp.where(plan.pipeline > 1.0, 1.0, 0.0)
    return piped * 2.0 * one * (steady + plan.pipeline - 1.0)
