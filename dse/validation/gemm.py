"""Measured latencies of matrix products on real chips, against the model that sweeps use.

A row is one product (M, K) x (K, N) on a device of the catalog, a workload of one operation timed
alone: what a launch and its wait cost a device is its `tuning_overhead_us`. The number format is
the row's. Where operands lie when the clock starts is one rule for each kind of memory:

* caches that the hardware manages (simt, vector): "cold", everything starts and ends in DRAM.
  Products of a benchmark loop that fit the L2 find operands there, but are so short that the
  launch hides it.
* memory that the compiler manages (systolic, spatial): operands are on chip as far as half of the
  memory holds them, as a compiler prefetches them before the operation (TPU v6e's rows imply up
  to 4 TB/s against 1.64 TB/s of DRAM); the result goes to DRAM, as a program's output does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from dse.validation.kind import Figures, Kind, Progress, Quantity, error, mape
from dse.validation.tables import Column, Table, choice, positive, text, whole
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.catalog import ChipEntry, load_entry
from hwmodels.errors import InputError
from hwmodels.evaluate import model
from hwmodels.fleet.scaling import Fleet
from hwmodels.metrics import Metrics
from hwmodels.parts.mac import FORMATS
from hwmodels.workloads.numeric import Operations
from hwmodels.workloads.operation import Operation, Tensor
from hwmodels.workloads.workload import Workload

LATENCY, POWER = "latency_us", "power_W"
MICRO = 1e-6
RESIDENCY = {"simt": "cold", "vector": "cold", "systolic": "warm", "spatial": "warm"}
COLUMNS = (
    *text("device"),
    *choice("dtype", *FORMATS),
    *whole("M", "N", "K"),
    *positive(LATENCY),
    Column(POWER, "number", blank=True, optional=True),
)


def product(m: float, n: float, k: float, bits: float) -> Workload:
    """A step of one product whose operands may stay on chip and whose result may not."""
    left, right = Tensor("activation", m * k, bits), Tensor("parameter", k * n, bits)
    one = Operation(
        "contraction", "product", "forward", (left, right), (Tensor("input", m * n, bits),),
        batch=1.0, m=float(m), n=float(n), k=float(k), flops=2.0 * m * n * k,
    )  # fmt: skip
    return Workload("product", (one,), 1.0, 1.0, False, (left, right))


def products(sizes: Sequence[tuple[int, int, int]], number_format: str) -> Operations:
    """The numeric forms of several products (M, N, K), stacked along a first axis."""
    bits = FORMATS[number_format].bits
    forms = [product(m, n, k, bits).at_format(bits) for m, n, k in sizes]
    stacked: Operations = jax.tree.map(lambda *leaves: np.stack(leaves), *forms)
    return stacked


def measure(chip: Accelerator, operations: Operations) -> Metrics:
    """Metrics of each of the stacked `operations` on one chip; pure, as `hwmodels.evaluate`."""

    def one(operation: Operations) -> Metrics:
        return model(
            chip, operation, Fleet(), training=False, runtime="alone",
            residency=RESIDENCY[chip.NAME], stacked=True,
        )  # fmt: skip

    metrics: Metrics = jax.vmap(one)(operations)
    return metrics


@jax.jit
def _time_and_power(chip: Accelerator, operations: Operations) -> Any:
    metrics = measure(chip, operations)
    return jnp.stack([metrics.time, metrics.power], axis=-1)


def entry_of(table: Table, row: dict[str, Any]) -> ChipEntry:
    """The catalog's entry of a row's device."""
    with table.at(row, "device"):
        return load_entry(row["device"])


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    frame = table.frame
    found = np.full((len(frame), 2), np.nan)
    chips, skipped = {}, {}
    for row in Table(table.path, frame.drop_duplicates("device")).rows():
        try:
            chips[row["device"]] = entry_of(table, row).capped()
        except InputError as problem:
            skipped[row["device"]] = str(problem)
    if not chips:
        raise InputError(f"{table.path}, device", ", ".join(skipped), "no device of the catalog")
    known = frame[frame["device"].isin(list(chips))]
    groups = [
        (key, frame.index.get_indexer(rows.index))
        for key, rows in known.groupby(["device", "dtype"], sort=False)
    ]
    for i, ((device, dtype), rows) in enumerate(groups):
        progress("predicting", i / len(groups))
        chip = chips[device].replace(number_format=dtype)
        chip = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), chip)
        sizes = frame.iloc[rows][["M", "N", "K"]].itertuples(index=False, name=None)
        found[rows] = _time_and_power(chip, products(list(sizes), dtype))
    progress("predicting", 1.0)
    result = pd.DataFrame({f"predicted_{LATENCY}": found[:, 0] / MICRO})
    result[f"predicted_{POWER}"] = found[:, 1]
    result["skipped"] = [skipped.get(device, "") for device in frame["device"]]
    return result


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    errors = table[error(LATENCY)].abs().groupby(table["device"], sort=False).mean().dropna()
    figures: Figures = {"mape": mape(table, LATENCY)}
    figures["mape_by_device"] = {str(device): float(x) for device, x in errors.items()}
    missed = table[table["skipped"] != ""]
    if len(missed):
        figures["skipped"] = len(missed)
        figures["skipped_line"] = {
            str(reason): int(line) for reason, line in zip(*missed.drop_duplicates("device")[
                ["skipped", "line"]].to_numpy().T, strict=True)
        }  # fmt: skip
    if table[POWER].notna().any():
        figures["power_mape"] = mape(table, POWER)
    return figures


KIND = Kind(
    title="Matrix products",
    columns=COLUMNS,
    quantities=(Quantity(LATENCY, "time", "µs"), Quantity(POWER, "power", "W")),
    predict=_predict,
    figures=_figures,
    group="device",
)
