"""How a plan scales with replicas: weak and strong scaling, N80, the network's share.

Chips of a replica (tensor x pipeline) stay, replicas grow. Weak scaling grows the global batch with
them, so that each replica keeps its micro-batches; strong scaling keeps the batch. Efficiency is
throughput per chip over that of one replica. N80 is the largest number of chips, up to 65,536, of
which every whole number of replicas up to there keeps 80%. Fractions of a micro-batch are
evaluated as such. A derivative of efficiency or throughput in links, latency or count comes from
`hwmodels.fleet.step.plan_model`, which is one replica count of this.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from hwmodels.accelerators.base import Accelerator
from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.partition import Cut
from hwmodels.fleet.plan import LARGEST, Cluster, Plan
from hwmodels.fleet.problem import Problem, pose
from hwmodels.fleet.replicas import Layout
from hwmodels.fleet.step import PlanMetrics, combine, cut_costs, layout_costs
from hwmodels.workloads.workload import Workload

EFFICIENT = 0.8
SCALING = ("weak", "strong")
TRANSFERS = ("tensor", "expert", "pipeline", "reduce", "gather", "contention")
NETWORK_POWER = ("network_traffic", "network_ports")


def scaling_curve(
    chip: Accelerator,
    workload: Workload,
    cluster: Cluster,
    plan: Plan,
    global_batch: float,
    *,
    scaling: str = "weak",
    replicas: Any = None,
    runtime: str = "graph",
    residency: str = "warm",
) -> pd.DataFrame:
    """`plan` with other numbers of replicas: `chips`, `global_batch`, `time_s`, `throughput`
    [samples/s], `efficiency`, `network_time` and `network_power` (shares of the step and of the
    fleet's power), `samples_per_J`, `feasible` (within the plan's limits on so many chips: memory,
    sizes that divide, links).

    Args:
      global_batch: samples of a step with `plan.data` replicas.
      replicas: numbers of them; by default powers of two up to 65,536 chips and, for weak scaling,
        up to the workload's largest sensible batch (at least up to `plan.data`).

    Raises:
      InputError: bad input, or a number of replicas that is not positive.
    """
    check_choice("scaling", scaling, SCALING)
    problem = pose(chip, workload, cluster, float(global_batch), runtime, residency)
    one = float(plan.tensor * plan.pipeline)
    if replicas is None:
        most = LARGEST / one
        if scaling == "weak":
            most = min(most, float(plan.data) * max(workload.max_global_batch / global_batch, 1.0))
        replicas = 2.0 ** np.arange(int(np.log2(most)) + 1)
    counts = np.asarray(replicas, np.float32)
    if counts.ndim != 1 or not len(counts) or counts.min() < 1.0:
        raise InputError("replicas", replicas, "allowed: numbers of at least 1")
    metrics = _scaled(problem, plan, np.append(counts, 1.0), scaling, runtime, residency)
    each = metrics.throughput / np.append(counts, 1.0)
    exposed = sum(metrics.time_terms[name] for name in TRANSFERS)
    network = sum(metrics.power_terms[name] for name in NETWORK_POWER)
    table = pd.DataFrame(
        {
            "chips": np.append(counts, 1.0) * one,
            "global_batch": metrics.throughput * metrics.time,
            "time_s": metrics.time,
            "throughput": metrics.throughput,
            "efficiency": each / each[-1],
            "network_time": exposed / metrics.time,
            "network_power": network / metrics.power,
            "samples_per_J": metrics.throughput / metrics.power,
            "feasible": np.all([room >= 0.0 for room in metrics.margins.values()], axis=0),
        }
    )
    return table.iloc[:-1]


def chips_80(
    chip: Accelerator,
    workload: Workload,
    cluster: Cluster,
    plan: Plan,
    global_batch: float,
    *,
    scaling: str = "weak",
    runtime: str = "graph",
    residency: str = "warm",
) -> float:
    """N80 of `plan`: the largest fleet at 80% efficiency or better; see `scaling_curve`."""
    one = float(plan.tensor * plan.pipeline)
    counts = np.arange(1.0, LARGEST // one + 1)
    table = scaling_curve(
        chip, workload, cluster, plan, global_batch,
        scaling=scaling, replicas=counts, runtime=runtime, residency=residency,
    )  # fmt: skip
    below = np.flatnonzero(table.efficiency < EFFICIENT)
    return float(table.chips.iloc[below[0] - 1 if len(below) else -1])


def _scaled(
    problem: Problem, plan: Plan, counts: np.ndarray, scaling: str, runtime: str, residency: str
) -> PlanMetrics:
    """Metrics with each number of replicas; the rows are costed once."""
    cut = Cut(plan.tensor, plan.microbatch, plan.sequence, plan.expert)
    plan, cut = jax.tree.map(jnp.float32, (plan, cut))
    costs = _costs(problem, cut, runtime=runtime, residency=residency)
    # One shape for any number of counts up to a power of two: one compilation.
    filled = np.resize(counts, 2 ** max(int(np.ceil(np.log2(len(counts)))), 5))
    weak = 1.0 if scaling == "weak" else 0.0
    metrics = _replicated(problem._replace(rows=None), costs, plan, filled, weak)
    return jax.tree.map(lambda column: np.asarray(column)[: len(counts)], metrics)


@functools.partial(jax.jit, static_argnames=("runtime", "residency"))
def _costs(problem: Problem, cut: Cut, *, runtime: str, residency: str) -> Any:
    return cut_costs(problem, cut, runtime=runtime, residency=residency)


@jax.jit
def _replicated(problem: Problem, costs: Any, plan: Plan, counts: Any, weak: Any) -> PlanMetrics:
    def one(count: Any) -> PlanMetrics:
        # Samples of a replica first: whole, and so whole times the replicas.
        grows = problem.global_batch / plan.data * count
        batch = jnp.where(weak > 0.5, grows, problem.global_batch)
        grown = dataclasses.replace(plan, data=count)
        layout = Layout(grown.tensor, grown.pipeline, grown.data, grown.expert)
        cluster = dataclasses.replace(problem.cluster, chips=grown.chips)
        problem_then = problem._replace(global_batch=batch, cluster=cluster)
        return combine(problem_then, costs, layout_costs(problem, layout), grown)

    return jax.vmap(one)(counts)
