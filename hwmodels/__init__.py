"""Chipgrad's models: a training step's trace, accelerators, fleets, and one `evaluate`."""

from hwmodels.accelerators import VARIANTS, Accelerator
from hwmodels.errors import InputError
from hwmodels.evaluate import evaluate
from hwmodels.fleet.scaling import Fleet
from hwmodels.metrics import Metrics
from hwmodels.relax import Relax
from hwmodels.workloads import WORKLOADS, Operation, Tensor, Workload, load_workload, trace

__all__ = [
    "VARIANTS", "WORKLOADS", "Accelerator", "Fleet", "InputError", "Metrics", "Operation", "Relax",
    "Tensor", "Workload", "evaluate", "load_workload", "trace",
]  # fmt: skip
