"""What makes a plan infeasible, as margins and in words: memory, chips, sizes, links.

A share that does not divide has minus its padding as margin: 0 where it does.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator
from hwmodels.fleet.plan import Cluster, Plan
from hwmodels.fleet.problem import Problem
from hwmodels.fleet.scaling import Fleet, ports_margin
from hwmodels.fleet.sizing import DIMENSIONS
from hwmodels.relax import EXACT


def margins_of(problem: Problem, plan: Plan, microbatches: Any, memory: Any) -> dict[str, Any]:
    """Relative room to each limit by name, negative where a plan is infeasible."""
    chip, store, cluster = problem.chip, problem.stores, problem.cluster
    room = memory_room(chip, cluster)
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
        "ports": node_ports(chip, cluster),
    }


def node_ports(chip: Accelerator, cluster: Cluster) -> Any:
    """Relative room in the links that a node takes on each chip; no plan changes it."""
    inside = Fleet(cluster.node_chips, cluster.topology)
    return jnp.where(cluster.node_chips > 1.0, ports_margin(inside, chip.link), 0.0)


def broken_limits(
    problem: Problem, plan: Plan, margins: dict[str, Any], memory: float
) -> dict[str, str]:
    """The limits that a plan of plain numbers breaks: name -> what is needed and what is there.

    Args:
      margins, memory [bytes]: as the plan's metrics have them.
    """
    chip, store, cluster, batch = (
        problem.chip,
        problem.stores,
        problem.cluster,
        problem.global_batch,
    )
    t, p, d, e = plan.tensor, plan.pipeline, plan.data, plan.expert
    b, v, room = plan.microbatch, plan.interleave, float(memory_room(chip, cluster))
    words = {
        "memory": f"needs {memory_in_words(memory)} of a chip's {memory_in_words(room)}, "
        f"{memory / room - 1.0:.0%} too much",
        "chips": f"takes {plan.chips:g} chips of a cluster of {cluster.chips:g}",
        "batch": f"batch {batch:g} is not a multiple of data x microbatch = {d:g} x {b:g}",
        "layers": f"{store.layers:g} layers do not divide by pipeline x interleave = {p:g} x {v:g}",
        "tensor": f"tensor {t:g} does not divide {store.tensor_divides:g}, the common divisor of "
        "the sizes that it splits",
        "expert": f"expert {e:g} does not divide data {d:g} and {store.experts:g} experts",
        "interleave": f"interleave {v:g} needs pipeline > 1 under 1F1B, and micro-batches (here "
        f"{batch / (d * b):g}) in multiples of pipeline {p:g}",
        "ports": ports_in_words(chip, cluster),
    }  # fmt: skip
    return {name: words[name] for name, margin in margins.items() if not margin >= 0.0}


def memory_in_words(size: float) -> str:
    """Bytes in both units that memories are sold in."""
    return f"{size / 1e9:,.4g} GB ({size / 2**30:,.4g} GiB)"


def ports_in_words(chip: Accelerator, cluster: Cluster) -> str:
    """The links that a node's wiring takes on each chip, and those that the chip has."""
    chips, topology = float(cluster.node_chips), cluster.topology
    needed = 2.0 * DIMENSIONS[topology] if topology in DIMENSIONS else 1.0
    if topology == "fully_connected":
        needed = max(chips - 1.0, 1.0)
    links = "link" if needed == 1.0 else "links"
    return (
        f"{needed:g} {links} needed on each chip of a {topology} node of {chips:g}, the chip has "
        f"{float(chip.link.count):g}"
    )


def memory_room(chip: Accelerator, cluster: Cluster) -> Any:
    """Bytes of memory that tensors may fill on a chip: DRAM, or the SRAM of a chip without."""
    size = chip.dram.stacks * chip.dram.capacity if chip.HAS_DRAM else chip.sram.capacity
    return cluster.tuning.memory_usable * size


def _divides(whole: Any, by: Any) -> Any:
    """0 where `by` divides `whole`, else minus the share of padding."""
    return whole / (by * EXACT.ceil_div(whole, by)) - 1.0
