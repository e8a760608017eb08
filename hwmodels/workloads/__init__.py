"""Workloads: the operations of one step, traced from a JAX function or given."""

from hwmodels.workloads.attention import fuse_attention
from hwmodels.workloads.operation import Operation, Tensor
from hwmodels.workloads.registry import WORKLOADS, load_workload
from hwmodels.workloads.tracing import trace
from hwmodels.workloads.workload import Workload

__all__ = [
    "WORKLOADS", "Operation", "Tensor", "Workload", "fuse_attention", "load_workload", "trace",
]  # fmt: skip
