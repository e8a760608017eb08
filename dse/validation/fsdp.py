"""Measured utilisation of fully sharded training (PyTorch FSDP) of MosaicML's GPTs.

The networks are MosaicML's by name; their attention is one kernel that skips what the causal mask
hides. FULL_SHARD is ZeRO stage 3, SHARD_GRAD_OP stage 2; "PURE" reduces gradients in 16 bits.
MFU, in percent of the GPU's peak at the row's format, is of 6 operations a parameter and token and
12 layers x hidden x length for attention, masked or not (MosaicML's own definition). In fp8 only
products with weights are faster.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from dse.validation.kind import Figures, Kind, Progress, Quantity, largest_error, mape, predicted
from dse.validation.llm import Framework, Job, Steps, check_divides, check_gpu
from dse.validation.tables import Table, choice, positive, text, whole
from hwmodels.accelerators.catalog import load_entry
from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.plan import Cluster, make_plan
from hwmodels.workloads.networks.gpt import GptConfig

MFU = "MFU"
VOCABULARY = 50368
# Layers, hidden, heads of MosaicML's GPTs (github.com/mosaicml/llm-foundry; from memory, and with
# positions and biases they have the published numbers of parameters to the last one).
SIZES = {
    "125m": (12, 768, 12), "350m": (24, 1024, 16), "760m": (24, 1536, 12), "1b": (24, 2048, 16),
    "3b": (32, 2560, 20), "7b": (32, 4096, 32), "13b": (40, 5120, 40), "30b": (48, 7168, 56),
    "70b": (80, 8192, 64),
}  # fmt: skip
SHARDING = {"FULL_SHARD": 3, "SHARD_GRAD_OP": 2, "NO_SHARD": 0}
GPUS = ("a100_40gb", "a100_80gb", "h100")
NODE_CHIPS = 8.0
# Gb/s of a node's network: of the A100 clusters as published, H100 nodes have twice that.
NODE_GBPS = {"a100": 1600.0, "h100": 3200.0}
# Fitted to the given rows (experiments/fit_training.py).
FSDP = Framework(0.863, 0.359, 0.371, 0.712, 0.709, 0.649)
FP8_SPEEDUP = 1.4  # of products with weights, casts and scaling included; chosen on three rows
# Attention kernels of 2023 issued Ampere's instructions, which reach 62.9% of Hopper's rate (Luo et
# al., IPDPS 2024, measured on H800; from memory).
OLD_KERNELS = {"a100": 1.0, "h100": 0.63}
COLUMNS = (
    *choice("Model", *SIZES),
    *whole("SeqLen (T)", "# GPUs", "MicroBatchSize", "GlobalBatchSize"),
    *text("GPU", "Precision", "MP Mode", "Activation Checkpointing"),
    *choice("Sharding Strategy", *SHARDING),
    *positive(MFU),
)


def job_of(table: Table, row: dict[str, Any]) -> Job:
    """The job of a row."""
    with table.at(row, "GPU"):
        check_gpu("GPU", row["GPU"], GPUS)
    with table.at(row, MFU):
        if not 1.0 < row[MFU] <= 100.0:
            raise InputError(MFU, row[MFU], "allowed: above 1 to 100, in percent")
    with table.at(row, "GlobalBatchSize"):
        check_divides(row["GlobalBatchSize"], row["# GPUs"], row["MicroBatchSize"])
    with table.at(row, "Activation Checkpointing"):
        check_choice("Activation Checkpointing", row["Activation Checkpointing"], ("True", "False"))
    layers, hidden, heads = SIZES[row["Model"]]
    config = GptConfig(
        row["Model"], layers, hidden, heads, row["SeqLen (T)"], VOCABULARY, operand="bf16"
    )
    chips = float(row["# GPUs"])
    plan = make_plan(
        data=chips, microbatch=row["MicroBatchSize"], zero=SHARDING[row["Sharding Strategy"]],
        recompute="full" if row["Activation Checkpointing"] == "True" else "none",
    )  # fmt: skip
    each = NODE_GBPS[row["GPU"].lower()[:4]] / NODE_CHIPS / 8.0 * 1e9
    cluster = Cluster(chips=chips, node_chips=NODE_CHIPS)
    network = dataclasses.replace(cluster.network, bandwidth=each)
    return Job(
        row["GPU"], config, dataclasses.replace(cluster, network=network),
        float(row["GlobalBatchSize"]), (plan,), fused=True,
        old_kernels=OLD_KERNELS[row["GPU"].lower()[:4]],
        speedup=FP8_SPEEDUP if _fp8(row) else 1.0,
        gradient_bits=16.0 if row["MP Mode"] == "PURE" else 32.0,
    )  # fmt: skip


def _fp8(row: dict[str, Any]) -> bool:
    return "fp8" in row["Precision"]


def work_share(table: Table, row: dict[str, Any]) -> float:
    """Seconds that the row's step would take at its peak rate."""
    layers, hidden, _ = SIZES[row["Model"]]
    length = row["SeqLen (T)"]
    config = GptConfig("", layers, hidden, 1, length, VOCABULARY)
    sample = 6.0 * config.parameters * length + 12.0 * layers * hidden * length**2
    published = load_entry(row["GPU"]).published
    name = "peak_TFLOPs_fp8" if _fp8(row) else "peak_TFLOPs"
    if name not in published:
        with table.at(row, "Precision"):
            raise InputError("Precision", row["Precision"], f"{row['GPU']} has no {name}")
    return row["GlobalBatchSize"] * sample / (row["# GPUs"] * published[name].number * 1e12)


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    progress("tracing", 0.0)
    steps = Steps([job_of(table, row) for row in table.rows()])
    ideal = np.asarray([work_share(table, row) for row in table.rows()])
    progress("predicting", 0.5)
    share = 100.0 * ideal / np.asarray(steps.times(FSDP))
    progress("predicting", 1.0)
    return pd.DataFrame({predicted(MFU): share})


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    errors = (table[f"{MFU}_error"]).abs().groupby(table["GPU"], sort=False).mean()
    return {
        "mape": mape(table, MFU),
        "max": largest_error(table, MFU),
        "mape_by_gpu": {str(gpu): float(x) for gpu, x in errors.items()},
    }


KIND = Kind(
    title="Fully sharded training of GPTs",
    columns=COLUMNS,
    quantities=(Quantity(MFU, "utilisation", "%"),),
    predict=_predict,
    figures=_figures,
    group="GPU",
)
