"""The best plan of a fleet, by evaluating all of them.

Rows cost the same in all plans of one (tensor, microbatch, sequence, expert), collectives over
replicas in all of one (tensor, pipeline, data, expert): they are costed once for each such cut and
layout, a few hundred, and every plan combines those of its own. Each part is one compiled program,
in chunks of fixed size, so that another fleet or batch does not compile again.
"""

from __future__ import annotations

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from hwmodels.accelerators.base import Accelerator
from hwmodels.errors import InputError
from hwmodels.fleet.enumeration import FIELDS, all_plans
from hwmodels.fleet.limits import memory_in_words, memory_room, node_ports, ports_in_words
from hwmodels.fleet.partition import Cut
from hwmodels.fleet.plan import LARGEST, RECOMPUTE, SCHEDULES, Cluster, Plan
from hwmodels.fleet.problem import Problem, pose
from hwmodels.fleet.replicas import Layout, Shards
from hwmodels.fleet.step import (
    CutCosts,
    PlanMetrics,
    combine,
    cut_costs,
    layout_costs,
)
from hwmodels.workloads.workload import Workload

CUTS = 64  # of a call
CHUNK = 16384  # plans of a call
WORKERS = 2  # calls in flight


def best_plan(
    chip: Accelerator,
    workload: Workload,
    cluster: Cluster,
    global_batch: int,
    *,
    runtime: str = "graph",
    residency: str = "warm",
) -> pd.DataFrame:
    """Every feasible plan that uses all chips of `cluster`, the fastest first.

    One row a plan: its fields, `time_s`, `throughput` [samples/s], `utilization`, `memory_GB`,
    `power_kW`, `microbatches`, and the terms of time [s] and memory [GB]. Equally fast plans keep
    the order of the enumeration. `plan_of` makes a `Plan` of a row.

    Raises:
      InputError: bad input, too few links for the nodes, chips that no plan divides, or no plan
        that fits in memory.
    """
    problem = pose(chip, workload, cluster, float(global_batch), runtime, residency)
    for field, value in (("global_batch", global_batch), ("cluster.chips", cluster.chips)):
        if value != int(value):
            raise InputError(field, value, "allowed: a whole number")
    if node_ports(chip, cluster) < 0.0:
        raise InputError("cluster.topology", cluster.topology, ports_in_words(chip, cluster))
    plans = all_plans(problem.stores, int(cluster.chips), int(global_batch))
    options = {"runtime": runtime, "residency": residency}
    screened = screen_plans(problem, plans, **options)
    feasible = np.flatnonzero(screened.feasible)
    if not len(feasible):
        _refuse(problem, float(screened.memory.min()), options)
    plans = jax.tree.map(lambda column: column[feasible], plans)
    metrics = evaluate_plans(problem, plans, **options)
    order = np.argsort(metrics.time, kind="stable")
    return _frame(*jax.tree.map(lambda column: column[order], (plans, metrics)))


def plan_of(row: Any) -> Plan:
    """The plan of a row of `best_plan`."""
    values = {name: row[name] for name in FIELDS}
    values["recompute"] = RECOMPUTE.index(values["recompute"])
    values["schedule"] = SCHEDULES.index(values["schedule"])
    return Plan(**{name: float(value) for name, value in values.items()})


class Screened(NamedTuple):
    """What ranking needs of every plan: `time` [s], `memory` [bytes], `feasible`."""

    time: Any
    memory: Any
    feasible: Any


def screen_plans(
    problem: Problem, plans: Plan, *, runtime: str = "graph", residency: str = "warm"
) -> Screened:
    """Time, memory and feasibility of every row of `plans` (columns); the compiler drops the rest
    of the terms."""
    return _evaluated(problem, plans, _screen, runtime, residency)


def evaluate_plans(
    problem: Problem, plans: Plan, *, runtime: str = "graph", residency: str = "warm"
) -> PlanMetrics:
    """`plan_model` of every row of `plans` (columns), as columns."""
    return _evaluated(problem, plans, _combine, runtime, residency)


def _evaluated(problem: Problem, plans: Plan, program: Any, runtime: str, residency: str) -> Any:
    each = functools.partial(_costs, problem, runtime=runtime, residency=residency)
    rest = jax.tree.map(jnp.asarray, problem._replace(rows=None))
    by_cut, cut = _once(Cut, plans, each)
    by_layout, layout = _once(Layout, plans, functools.partial(_layouts, rest))
    shared = by_cut, by_layout
    return _chunked(lambda part: program(rest, shared, *part), ((cut, layout), plans), CHUNK)


def _once(kind: Any, plans: Plan, costs: Any) -> tuple[Any, np.ndarray]:
    """`costs` of every distinct `kind` (a cut or a layout), and which of them each plan has."""
    columns = [getattr(plans, name) for name in kind._fields]
    code = np.zeros(len(plans.tensor), np.int64)
    for column in columns:  # one number for all: columns are whole numbers
        code = code * (int(column.max()) + 1) + column.astype(np.int64)
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    found = _chunked(costs, kind(*(column[first] for column in columns)), CUTS)
    # One shape for any number of them up to a power of two: one compilation.
    length = 2 ** max(int(np.ceil(np.log2(len(first)))), 8)
    filled = jax.tree.map(lambda x: jnp.asarray(np.resize(x, (length, *x.shape[1:]))), found)
    return filled, which.astype(np.int32)


def _chunked(run: Any, columns: Any, size: int) -> Any:
    """`run` on columns in chunks of `size`, the last filled up; results as NumPy columns."""
    length = len(jax.tree.leaves(columns)[0])

    def part(start: int) -> Any:
        at = np.minimum(np.arange(start, start + size), length - 1)
        whole = start + size <= length
        chunk = slice(start, start + size) if whole else at
        done = run(jax.tree.map(lambda column: column[chunk], columns))
        return jax.tree.map(lambda column: np.asarray(column)[: length - start], done)

    with ThreadPoolExecutor(WORKERS) as pool:
        parts = list(pool.map(part, range(0, length, size)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@functools.partial(jax.jit, static_argnames=("runtime", "residency"))
def _costs(problem: Problem, cuts: Cut, *, runtime: str, residency: str) -> CutCosts:
    one = functools.partial(cut_costs, problem, runtime=runtime, residency=residency)
    return jax.vmap(one)(cuts)


@jax.jit
def _layouts(problem: Problem, layouts: Layout) -> Shards:
    return jax.vmap(functools.partial(layout_costs, problem))(layouts)


@jax.jit
def _combine(
    problem: Problem, shared: tuple[CutCosts, Shards], which: tuple[Any, Any], plans: Plan
) -> PlanMetrics:
    def one(at: tuple[Any, Any], plan: Plan) -> PlanMetrics:
        cut, layout = (
            jax.tree.map(lambda leaf, i=i: leaf[i], costs)
            for i, costs in zip(at, shared, strict=True)
        )
        return combine(problem, cut, layout, plan)

    return jax.vmap(one)(which, plans)


@jax.jit
def _screen(
    problem: Problem, shared: tuple[CutCosts, Shards], which: tuple[Any, Any], plans: Plan
) -> Screened:
    metrics = _combine(problem, shared, which, plans)
    return Screened(metrics.time, metrics.memory, jax.vmap(lambda m: m.feasible)(metrics))


def _frame(plans: Plan, metrics: PlanMetrics) -> pd.DataFrame:
    columns: dict[str, Any] = {name: getattr(plans, name).astype(int) for name in FIELDS}
    for name, choices in (("recompute", RECOMPUTE), ("schedule", SCHEDULES)):
        columns[name] = [choices[value] for value in columns[name]]
    columns |= {
        "time_s": metrics.time,
        "throughput": metrics.throughput,
        "utilization": metrics.utilization,
        "memory_GB": metrics.memory / 1e9,
        "power_kW": metrics.power / 1e3,
        "microbatches": metrics.microbatches,
    }
    columns |= {f"{name}_s": column for name, column in metrics.time_terms.items()}
    columns |= {f"{name}_GB": column / 1e9 for name, column in metrics.memory_terms.items()}
    return pd.DataFrame(columns)


def _refuse(problem: Problem, memory: float, options: dict[str, str]) -> None:
    """Nothing fits: by how much, and on how many chips something would."""
    room = float(memory_room(problem.chip, problem.cluster))
    chips, batch = int(problem.cluster.chips), int(problem.global_batch)
    advice = f"nor does any on up to {LARGEST:,.0f} chips"
    multiple = 2
    while chips * multiple <= LARGEST:
        cluster = dataclasses.replace(problem.cluster, chips=float(chips * multiple))
        larger = problem._replace(cluster=cluster)
        try:
            plans = all_plans(problem.stores, chips * multiple, batch)
            found = screen_plans(larger, plans, **options)
        except InputError:
            found = None
        if found is not None and found.feasible.any():
            advice = f"on {chips * multiple} chips one would fit"
            break
        multiple += 1 if multiple < 16 else multiple
    raise InputError(
        "cluster.chips", chips,
        f"no plan fits: each needs at least {memory_in_words(memory)} of a chip's "
        f"{memory_in_words(room)}, {memory / room - 1:.0%} too much; {advice}",
    )  # fmt: skip
