"""Workloads by name."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from hwmodels.errors import check_choice
from hwmodels.workloads.mlp import MLP, MLP_LARGE, MlpConfig, workload
from hwmodels.workloads.networks.gpt import GPT2_XL, GPT3_175B, GptConfig, gpt
from hwmodels.workloads.workload import Workload


def _mlp(config: MlpConfig, batches: int) -> Workload:
    return workload(dataclasses.replace(config, batch=config.batch * batches))


def _gpt(config: GptConfig, batches: int) -> Workload:
    return gpt(config, sequences=batches)


# name -> a callable that traces the workload, its batch so many times as large
WORKLOADS: dict[str, Callable[[int], Workload]] = {
    **{config.name: functools.partial(_mlp, config) for config in (MLP, MLP_LARGE)},
    **{config.name: functools.partial(_gpt, config) for config in (GPT2_XL, GPT3_175B)},
}


def load_workload(name: str, batches: int = 1) -> Workload:
    """The workload called `name`, with `batches` times its batch; `InputError` lists the known
    ones."""
    check_choice("workload", name, WORKLOADS)
    return WORKLOADS[name](batches)
