"""Workloads by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

from hwmodels.errors import check_choice
from hwmodels.workloads.mlp import MLP, MLP_LARGE, workload
from hwmodels.workloads.networks.gpt import GPT2_XL, GPT3_175B, gpt
from hwmodels.workloads.workload import Workload

# name -> a callable that traces the workload
WORKLOADS: dict[str, Callable[[], Workload]] = {
    **{config.name: functools.partial(workload, config) for config in (MLP, MLP_LARGE)},
    **{config.name: functools.partial(gpt, config) for config in (GPT2_XL, GPT3_175B)},
}


def load_workload(name: str) -> Workload:
    """The workload called `name`; `InputError` lists the known ones."""
    check_choice("workload", name, WORKLOADS)
    return WORKLOADS[name]()
