"""How many parallel plans a second: every plan of GPT-3's training step on 1,024 chips."""

from __future__ import annotations

from typing import Any

from dse.timing import Figure, rate
from hwmodels import load_chip, load_workload
from hwmodels.fleet.enumeration import all_plans
from hwmodels.fleet.plan import Cluster
from hwmodels.fleet.planning import screen_plans
from hwmodels.fleet.problem import pose

CHIP, WORKLOAD, CHIPS, BATCH = "a100_80gb", "gpt3-175b", 1024, 1536


def plan_rate(seconds: float) -> tuple[Figure, int]:
    """Distinct plans a second whose time, memory and feasibility are computed, and their number;
    enumeration, which is done once, apart."""
    cluster = Cluster(chips=float(CHIPS))
    chip, workload = load_chip(CHIP), load_workload(WORKLOAD)
    problem = pose(chip, workload, cluster, float(BATCH), "graph", "warm")
    plans: Any = all_plans(problem.stores, CHIPS, BATCH)
    count = len(plans.tensor)
    return rate(lambda: screen_plans(problem, plans), count, seconds), count
