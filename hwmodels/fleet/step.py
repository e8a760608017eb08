"""One training step under a parallel plan: named terms first, totals last.

With m = global batch / (data x microbatch) micro-batches, a step takes

    m x slowest stage (forward + backward + recompute + exposed tensor and expert transfers)
    + bubble + exposed pipeline transfers + exposed reduction and gathers + update

and longer by stragglers and failures where they are given (`reliability`). Terms and what is left
out: `partition` (arithmetic), `stage`, `schedule`, `replicas`, `memory`. Throughput counts samples,
so repeated work is not useful.

The step splits: rows and the messages between them depend on (tensor, microbatch, sequence,
expert) only, `cut_costs`; collectives over replicas on (tensor, pipeline, data, expert),
`layout_costs`; what is left, `combine`, a search over plans repeats.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator
from hwmodels.errors import InputError
from hwmodels.fleet.groups import wiring
from hwmodels.fleet.limits import margins_of
from hwmodels.fleet.marks import BUCKETS
from hwmodels.fleet.memory import memory_terms, update_share
from hwmodels.fleet.partition import Cut, RowCosts, row_costs
from hwmodels.fleet.plan import Cluster, Plan
from hwmodels.fleet.power import power_terms
from hwmodels.fleet.problem import Problem, floating, pose
from hwmodels.fleet.reliability import lost_share, slowdown
from hwmodels.fleet.replicas import Layout, Shards, replicas, shards
from hwmodels.fleet.schedule import bubble, exposed_sends, in_flight
from hwmodels.fleet.stage import Calls, calls_of, hand_over, stages
from hwmodels.fleet.stores import Stores
from hwmodels.quantity import check_quantities
from hwmodels.workloads.workload import Workload


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PlanMetrics:
    """One plan's step; every leaf is a scalar.

    `time_terms` [s] add up to `time`; `transfer_terms` [s]: time that each kind of communication
    takes on a chip in a step, hidden or not; `memory_terms` [bytes] of the fullest chip add up to
    `memory`; `power_terms` [W] of the whole fleet add up to `power`. `throughput` [samples/s] of
    the fleet, `energy` [J] of its step, `utilization` of its multiply-accumulate units by useful
    work, `microbatches` of a replica. `margins`: name -> relative room, >= 0 when feasible.
    """

    time_terms: dict[str, Any]
    transfer_terms: dict[str, Any]
    memory_terms: dict[str, Any]
    power_terms: dict[str, Any]
    time: Any
    throughput: Any
    memory: Any
    power: Any
    energy: Any
    utilization: Any
    microbatches: Any
    margins: dict[str, Any]

    @property
    def feasible(self) -> Any:
        """True where every margin is at least zero."""
        return functools.reduce(jnp.logical_and, [m >= 0 for m in self.margins.values()])


def evaluate_plan(
    chip: Accelerator,
    workload: Workload,
    cluster: Cluster,
    plan: Plan,
    global_batch: float,
    *,
    runtime: str = "graph",
    residency: str = "warm",
) -> PlanMetrics:
    """Metrics of a training step of `global_batch` samples on `cluster` under `plan`.

    Infeasible plans (memory, sizes that do not divide) have negative margins.

    Raises:
      InputError: not a chip, workload, cluster or plan; a plain number outside its range.
    """
    problem = pose(chip, workload, cluster, global_batch, runtime, residency)
    if not isinstance(plan, Plan):
        raise InputError("plan", type(plan).__name__, "allowed: a Plan, see make_plan")
    check_quantities(plan, "plan.")
    plan = floating(plan)
    return _evaluate(problem, plan, runtime=runtime, residency=residency)


@functools.partial(jax.jit, static_argnames=("runtime", "residency"))
def _evaluate(problem: Problem, plan: Plan, *, runtime: str, residency: str) -> PlanMetrics:
    return plan_model(problem, plan, runtime=runtime, residency=residency)


def plan_model(
    problem: Problem, plan: Plan, *, runtime: str = "graph", residency: str = "warm"
) -> PlanMetrics:
    """The model itself, for one plan: pure, what `evaluate_plan` compiles."""
    problem, plan = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), (problem, plan))
    cut = Cut(plan.tensor, plan.microbatch, plan.sequence, plan.expert)
    layout = Layout(plan.tensor, plan.pipeline, plan.data, plan.expert)
    costs = cut_costs(problem, cut, runtime=runtime, residency=residency)
    return combine(problem, costs, layout_costs(problem, layout), plan)


class CutCosts(NamedTuple):
    """What all plans of one cut share."""

    rows: RowCosts
    calls: Calls


def cut_costs(problem: Problem, cut: Cut, *, runtime: str, residency: str) -> CutCosts:
    """Rows, and messages inside tensor- and expert-parallel groups."""
    chip, rows, store, cluster, _ = problem
    assert rows is not None
    costs = row_costs(
        chip, rows, cut, attention=cluster.tuning.attention_efficiency,
        runtime=runtime, residency=residency,
    )  # fmt: skip
    experts = store.weights.experts is not None
    return CutCosts(costs, calls_of(costs, wiring(cluster, chip.link), cut, store.cut, experts))


def layout_costs(problem: Problem, layout: Layout) -> Shards:
    """Collectives over replicas, which all plans of one layout share."""
    chip, cluster = problem.chip, problem.cluster
    return shards(wiring(cluster, chip.link), cluster.tuning, layout, problem.stores)


def combine(problem: Problem, cut: CutCosts, layout: Shards, plan: Plan) -> PlanMetrics:
    """The step of `plan` from the costs of its cut and its layout."""
    chip, _, store, cluster, batch = problem
    costs, calls = cut
    tuning, net = cluster.tuning, wiring(cluster, chip.link)
    microbatches = jnp.maximum(batch / (plan.data * plan.microbatch), 1.0)
    overlap = tuning.tensor_overlap
    stage = stages(costs, calls, overlap, plan)
    slowest = stage.slowest
    exposed = (1.0 - overlap) * microbatches
    handed = hand_over(net, plan, store.cut, calls.receive)
    forward, backward = slowest.forward, slowest.backward + slowest.recompute
    shared = replicas(layout, tuning, plan, store, microbatches, forward, backward)
    times = {
        "forward": microbatches * slowest.forward,
        "backward": microbatches * slowest.backward,
        "recompute": microbatches * slowest.recompute,
        "tensor": exposed * slowest.tensor,
        "expert": exposed * slowest.expert,
        "bubble": bubble(plan, slowest.time(overlap), stage.together.time(overlap)),
        "pipeline": exposed_sends(plan, microbatches, handed.time, tuning.pipeline_overlap),
        "reduce": shared.reduce,
        "gather": shared.gather,
        "contention": shared.contention,
        "update": _update(costs, store, plan),
    }
    ideal = sum(times.values())
    times["stragglers"] = ideal * (slowdown(cluster.reliability, plan.chips) - 1.0)
    lost = lost_share(cluster.reliability, plan.chips)
    times["failures"] = (ideal + times["stragglers"]) * lost
    time = sum(times.values())

    crossings = 2.0 * microbatches * plan.interleave * (plan.pipeline - 1.0)
    transfers = {
        "tensor": microbatches * slowest.tensor,
        "expert": microbatches * slowest.expert,
        "pipeline": crossings / plan.pipeline * handed.time,
        "data": shared.busy,
    }
    lanes = plan.tensor * plan.data
    network = lanes * (
        microbatches * stage.together.network_energy
        + crossings * handed.energy
        + plan.pipeline * shared.energy
    )
    update = costs.energy[BUCKETS.index("update")]
    dynamic = lanes * (microbatches * stage.together.energy + update)
    powers = power_terms(cluster, plan.chips, costs.static_power, dynamic, network, time)
    memory = memory_terms(store, plan, tuning, in_flight(plan, microbatches))
    power = sum(powers.values())
    peak = plan.chips * chip.macs_per_cycle * costs.clock
    return PlanMetrics(
        time_terms=times,
        transfer_terms=transfers,
        memory_terms=memory,
        power_terms=powers,
        time=time,
        throughput=batch / time,
        memory=sum(memory.values()),
        power=power,
        energy=power * time,
        utilization=store.macs / store.samples * batch / (peak * time),
        microbatches=microbatches,
        margins=margins_of(problem, plan, microbatches, sum(memory.values())),
    )


def _update(costs: RowCosts, store: Stores, plan: Plan) -> Any:
    """Time of the optimiser and of other work that is done once a step [s]."""
    update = BUCKETS.index("update")
    shared, time = costs.shared[update], costs.time[update]
    replicas = jnp.where(plan.zero >= 1.0, plan.data, 1.0)
    return update_share(store, plan) * (shared / replicas + (time - shared))
