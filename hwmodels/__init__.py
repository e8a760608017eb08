"""Chipgrad's models: a training step's trace, accelerators, fleets, and one `evaluate`."""

from hwmodels.accelerators import VARIANTS, Accelerator
from hwmodels.accelerators.catalog import load_chip
from hwmodels.errors import InputError
from hwmodels.evaluate import evaluate
from hwmodels.fleet.plan import Cluster, Plan, make_plan
from hwmodels.fleet.planning import best_plan, plan_of
from hwmodels.fleet.scaling import Fleet
from hwmodels.fleet.step import evaluate_plan
from hwmodels.mapping.catalog import load_machine
from hwmodels.mapping.gemmini import gemmini
from hwmodels.mapping.machine import evaluate_mapping
from hwmodels.mapping.mapper import best_mapping
from hwmodels.mapping.mapping import parse_mapping
from hwmodels.mapping.problem import convolution, matmul
from hwmodels.metrics import Metrics
from hwmodels.relax import Relax
from hwmodels.workloads import (
    WORKLOADS,
    Operation,
    Tensor,
    Workload,
    fuse_attention,
    load_workload,
    trace,
)

__all__ = [
    "VARIANTS", "WORKLOADS", "Accelerator", "Cluster", "Fleet", "InputError", "Metrics",
    "Operation", "Plan", "Relax", "Tensor", "Workload", "best_mapping", "best_plan", "convolution",
    "evaluate", "evaluate_mapping", "evaluate_plan", "fuse_attention", "gemmini", "load_chip",
    "load_machine", "load_workload", "make_plan", "matmul", "parse_mapping", "plan_of", "trace",
]  # fmt: skip
