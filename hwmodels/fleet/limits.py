"""What makes a plan infeasible, as margins: memory, chips, sizes that do not divide, links.

A share that does not divide has minus its padding as margin: 0 where it does.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator
from hwmodels.fleet.plan import Cluster, Plan
from hwmodels.fleet.problem import Problem
from hwmodels.fleet.scaling import Fleet, ports_margin
from hwmodels.relax import EXACT


def margins_of(problem: Problem, plan: Plan, microbatches: Any, memory: Any) -> dict[str, Any]:
    """Relative room to each limit by name, negative where a plan is infeasible."""
    chip, store, cluster = problem.chip, problem.stores, problem.cluster
    room = memory_room(chip, cluster)
    inside = Fleet(cluster.node_chips, cluster.topology)
    chunks = plan.pipeline * plan.interleave
    chunked = plan.interleave > 1.0
    # Chunks take turns in groups of as many micro-batches as stages.
    turns = jnp.where(chunked, _divides(microbatches, plan.pipeline), 0.0)
    piped = jnp.where(chunked & ((plan.pipeline < 2.0) | (plan.schedule < 0.5)), -1.0, 0.0)
    return {
        "memory": 1.0 - memory / room,
        "chips": cluster.chips / plan.chips - 1.0,
        "batch": _divides(problem.global_batch, plan.data * plan.microbatch),
        "layers": _divides(store.layers, chunks),
        "tensor": _divides(store.tensor_divides, plan.tensor),
        "expert": jnp.minimum(
            _divides(plan.data, plan.expert), _divides(store.experts, plan.expert)
        ),
        "interleave": jnp.minimum(turns, piped),
        "ports": jnp.where(cluster.node_chips > 1.0, ports_margin(inside, chip.link), 0.0),
    }


def memory_room(chip: Accelerator, cluster: Cluster) -> Any:
    """Bytes of memory that tensors may fill on a chip: DRAM, or the SRAM of a chip without."""
    size = chip.dram.stacks * chip.dram.capacity if chip.HAS_DRAM else chip.sram.capacity
    return cluster.tuning.memory_usable * size


def _divides(whole: Any, by: Any) -> Any:
    """0 where `by` divides `whole`, else minus the share of padding."""
    return whole / (by * EXACT.ceil_div(whole, by)) - 1.0
