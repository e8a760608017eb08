"""Measured seconds of GPT training steps on clusters of GPUs under Megatron-LM.

Columns say the network (layers, hidden, heads, seq, vocab), the plan (TP, PP, DP, interleave,
microbatch, recompute) and the batch. A blank microbatch is the fastest of 1, 2, 4 and 8 that fits,
a blank interleave of 1 and 2. `recompute`: "full", "selective" or "none", "+seqpar" with sequence
parallelism. Attention is unfused with dropout, gradients are reduced in 32 bits, as Megatron-LM did
in 2021 and 2022 (Narayanan et al., SC 2021; Korthikanti et al., 2022).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from dse.validation.kind import Figures, Kind, Progress, Quantity, largest_error, mape, predicted
from dse.validation.llm import Framework, Job, Steps, check_divides, check_gpu
from dse.validation.tables import Table, positive, text, whole
from hwmodels.accelerators.catalog import catalog
from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.plan import RECOMPUTE, Cluster, make_plan
from hwmodels.workloads.networks.gpt import GptConfig

SECONDS = "measured_batch_s"
MICROBATCHES, INTERLEAVES = (1, 2, 4, 8), (1, 2)
DROPOUT = 0.1
# Fitted to eight steps of A100 clusters (experiments/fit_training.py).
MEGATRON = Framework(0.755, 0.607, 0.557, 0.862, 0.564, 0.234)
COLUMNS = (
    *text("gpu", "recompute"),
    *whole("layers", "hidden", "heads", "seq", "vocab", "TP", "PP", "DP", "gpus", "global_batch"),
    *whole("interleave", "microbatch", blank=True),
    *positive(SECONDS),
)


def job_of(table: Table, row: dict[str, Any]) -> Job:
    """The job of a row."""
    with table.at(row, "gpu"):
        check_gpu("gpu", row["gpu"], [e.key for e in catalog().values() if e.variant == "simt"])
    kept, _, sequence = row["recompute"].partition("+")
    with table.at(row, "recompute"):
        check_choice("recompute", kept, RECOMPUTE)
        check_choice("recompute", sequence, ("", "seqpar"))
    used = row["TP"] * row["PP"] * row["DP"]
    with table.at(row, "gpus"):
        if used != row["gpus"]:
            raise InputError("gpus", row["gpus"], f"TP x PP x DP is {used}")
    with table.at(row, "global_batch"):
        smallest = 1 if math.isnan(row["microbatch"]) else int(row["microbatch"])
        check_divides(row["global_batch"], row["DP"], smallest)
    with table.at(row, "heads"):
        config = GptConfig(
            "gpt", row["layers"], row["hidden"], row["heads"], row["seq"], row["vocab"],
            dropout=DROPOUT, operand="fp16",
        )  # fmt: skip
    piped = row["PP"] > 1
    chunks = [n for n in _given(row["interleave"], INTERLEAVES) if n == 1 or piped]
    plans = [
        make_plan(
            tensor=row["TP"], pipeline=row["PP"], data=row["DP"], microbatch=size,
            interleave=chunk, recompute=kept, sequence=1.0 if sequence else 0.0,
        )
        for size in _given(row["microbatch"], MICROBATCHES)
        for chunk in chunks or [1]
    ]  # fmt: skip
    cluster = Cluster(chips=float(row["gpus"]))
    return Job(row["gpu"], config, cluster, float(row["global_batch"]), tuple(plans))


def _given(value: float, choices: tuple[int, ...]) -> tuple[int, ...]:
    return choices if math.isnan(value) else (int(value),)


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    progress("tracing", 0.0)
    steps = Steps([job_of(table, row) for row in table.rows()])
    progress("predicting", 0.5)
    seconds = np.asarray(steps.times(MEGATRON))
    progress("predicting", 1.0)
    return pd.DataFrame({predicted(SECONDS): seconds})


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    given = table["microbatch"].notna()
    return {
        "mape": mape(table, SECONDS),
        "max": largest_error(table, SECONDS),
        "mape_microbatch_given": mape(table[given], SECONDS),
        "mape_microbatch_open": mape(table[~given], SECONDS),
    }


KIND = Kind(
    title="Training steps of GPTs under Megatron-LM",
    columns=COLUMNS,
    quantities=(Quantity(SECONDS, "time of a step", "s"),),
    predict=_predict,
    figures=_figures,
    group="recompute",
)
