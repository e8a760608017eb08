"""Chipgrad's models: a training step's trace, accelerators, fleets, and one `evaluate`."""

from hwmodels.accelerators import VARIANTS, Accelerator
from hwmodels.accelerators.catalog import load_chip
from hwmodels.errors import InputError
from hwmodels.evaluate import evaluate
from hwmodels.fleet.scaling import Fleet
from hwmodels.mapping.catalog import load_machine
from hwmodels.mapping.gemmini import gemmini
from hwmodels.mapping.machine import evaluate_mapping
from hwmodels.mapping.mapper import best_mapping
from hwmodels.mapping.mapping import parse_mapping
from hwmodels.mapping.problem import convolution, matmul
from hwmodels.metrics import Metrics
from hwmodels.relax import Relax
from hwmodels.workloads import WORKLOADS, Operation, Tensor, Workload, load_workload, trace

__all__ = [
    "VARIANTS", "WORKLOADS", "Accelerator", "Fleet", "InputError", "Metrics", "Operation", "Relax",
    "Tensor", "Workload", "best_mapping", "convolution", "evaluate", "evaluate_mapping", "gemmini",
    "load_chip", "load_machine", "load_workload", "matmul", "parse_mapping", "trace",
]  # fmt: skip
