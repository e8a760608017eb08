"""Published measurements of real chips, a row each, against models of those chips.

Every row is one of

* scored: there is a figure to reach: rates of TPU v1, latency and power of Eyeriss, area and peak
  power of NVDLA;
* reported: predicted and compared, without such a figure: their sources contradict themselves
  (LSTM1, CNN1), or the model leaves out what decides them;
* skipped, with the reason: facts that predictions start from, and what no model here has.

Rows of the same dataset, chip, workload and config lend each other facts (weights, layers, samples
a second). One module for each dataset says what its model is and leaves out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dse.validation import eyeriss, gpu_rows, nvdla, tpu_v1
from dse.validation.kind import Figures, Kind, Progress, Quantity
from dse.validation.tables import Column, Table
from dse.validation.units import plain, read_metric, rescale
from hwmodels.errors import InputError

FACT = "a fact that predictions start from"
_FACTS = (
    "weights_M", "layers", "ops_per_weight_byte", "samples_per_s", "prerun_min_system_W",
)  # fmt: skip
_NOT_MODELLED = "not modelled"
# What is predicted, and in which unit.
UNITS = {
    "achieved_TOPS": "TOPS", "processing_latency": "ms", "total_latency": "ms", "MACs": "G",
    "active_PEs": "", "GLB_access": "MB", "DRAM_access": "MB", "power": "mW", "fps": "1/s",
    "avg_power": "mW", "peak_power": "mW", "max_TFLOPs": "TFLOP/s", "avg_system_wall_W": "W",
    "cell_area_16nm": "mm2", "cell_area_28nm": "mm2",
}  # fmt: skip


@dataclass(frozen=True)
class Predicted:
    """What is predicted for a row, and whether there is a figure to reach."""

    value: float
    scored: bool = False


Facts = dict[str, float]
Predictor = Callable[[dict[str, Any], Facts], Predicted | str]


def _tpu(row: dict[str, Any], facts: Facts) -> Predicted | str:
    if row["metric"] != "achieved_TOPS" or plain(row["chip"]) != "tpuv1":
        return f"{_NOT_MODELLED}: {row['metric']} of {row['chip']}"
    written = row["workload"]
    name = next((one for one in tpu_v1.NETWORKS if plain(one) == plain(written)), written)
    return Predicted(tpu_v1.achieved_tops(name, facts), name in tpu_v1.SCORED)


def _eyeriss(row: dict[str, Any], facts: Facts) -> Predicted | str:
    if plain(row["chip"]) not in ("eyeriss", "eyerissv1"):
        return f"{_NOT_MODELLED}: {row['chip']}"
    batch = facts.get("batch")
    run = eyeriss.predict(row["workload"], None if batch is None else int(batch), row["config"])
    figures = run.figures()
    if row["metric"] not in figures:
        return f"{_NOT_MODELLED}: {row['metric']}"
    return Predicted(figures[row["metric"]], row["metric"] in ("processing_latency", "power"))


def _nvdla(row: dict[str, Any], facts: Facts) -> Predicted | str:
    metric = row["metric"]
    value = nvdla.predict(metric, row["chip"], row["workload"], row["config"])
    return Predicted(value, metric in ("cell_area_16nm", "peak_power"))


def _ceiling(row: dict[str, Any], facts: Facts) -> Predicted | str:
    if row["metric"] != "max_TFLOPs":
        return f"{_NOT_MODELLED}: {row['metric']}"
    return Predicted(gpu_rows.ceiling(row["chip"], row["workload"], row["config"]))


def _wall(row: dict[str, Any], facts: Facts) -> Predicted | str:
    if row["metric"] == "avg_system_wall_W":
        return Predicted(gpu_rows.wall_power(row["chip"], row["workload"], facts))
    return f"{_NOT_MODELLED}: {row['metric']} at a clock and voltage that nothing states"


# By the start of the dataset's name, else of the chip's, letters and digits only.
PREDICTORS: dict[str, Predictor] = {
    "tpuv1": _tpu, "eyeriss": _eyeriss, "nvdla": _nvdla, "mamf": _ceiling, "mlperf": _wall,
}  # fmt: skip
# Panels of the plot: what is scored, by metric.
PANELS = {
    "achieved_TOPS": ("rate of TPU v1", "T/s"),
    "processing_latency": ("latency of Eyeriss", "ms"),
    "power": ("power of Eyeriss", "mW"),
    "cell_area_16nm": ("area of NVDLA", "mm2"),
    "peak_power": ("peak power of NVDLA", "mW"),
    "max_TFLOPs": ("GEMM ceiling of A100", "TFLOP/s"),
    "avg_system_wall_W": ("wall power of servers", "W"),
}


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    rows = [_canonical(row) for row in table.rows()]
    facts = _facts(rows)
    found = []
    for i, row in enumerate(rows):
        progress("predicting", i / len(rows))
        own = {"batch": batch} if (batch := _number(row["batch"])) else {}
        found.append(_row(row, facts[_key(row)] | own))
    progress("predicting", 1.0)
    return pd.DataFrame(found)


def _canonical(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its metric as it is called here, and with the unit that stood in its name."""
    metric, unit = read_metric(row["metric"], (*UNITS, *_FACTS))
    return row | {"metric": metric, "unit": row["unit"] or unit}


def _row(row: dict[str, Any], facts: Facts) -> dict[str, Any]:
    measured = _number(row["value"])
    answer: Predicted | str
    try:
        answer = _answer(row, facts, measured)
    except InputError as problem:
        answer = str(problem)
    guess = answer if isinstance(answer, Predicted) else Predicted(math.nan)
    reached = math.nan if measured is None or isinstance(answer, str) else measured
    result: dict[str, Any] = {
        "measured": reached,
        "predicted": guess.value,
        "error": guess.value / reached - 1.0,
        "scored": guess.scored,
        "skipped": answer if isinstance(answer, str) else "",
    }
    for metric in PANELS:
        here = row["metric"] == metric
        result[metric] = reached if here else math.nan
        result[f"predicted_{metric}"] = guess.value if here else math.nan
    return result


def _answer(row: dict[str, Any], facts: Facts, measured: float | None) -> Predicted | str:
    """The prediction in the row's unit, or why there is none."""
    names = plain(row["dataset"]), plain(row["chip"])
    starts = (p for name in names for start, p in PREDICTORS.items() if name.startswith(start))
    predictor = next(starts, None)
    if predictor is None:
        return f"{_NOT_MODELLED}: dataset {row['dataset']}"
    if row["metric"] in _FACTS:
        return FACT
    answer = predictor(row, facts)
    if isinstance(answer, str):
        return answer
    if measured is None:
        return f"value {row['value']!r} is no number above 0"
    value = rescale(answer.value, UNITS.get(row["metric"], "mm2"), row["unit"])
    return Predicted(value, answer.scored) if 0.0 < value < math.inf else "no finite prediction"


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    """What identifies a run; only servers of MLPerf differ in their source alone."""
    names = ("dataset", "chip", "n_chips", "workload", "config", "source")
    return tuple(str(row[name]) for name in names)


def _facts(rows: list[dict[str, Any]]) -> dict[tuple[str, ...], Facts]:
    facts: dict[tuple[str, ...], Facts] = {}
    for row in rows:
        known = facts.setdefault(_key(row), {})
        batch, value = _number(row["batch"]), _number(row["value"])
        if batch is not None:
            known.setdefault("batch", batch)
        if value is not None:
            known.setdefault(row["metric"], value)
    return facts


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0.0 < value < math.inf else None


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    reasons = Counter(table.loc[table["skipped"] != "", "skipped"])
    return {
        **_covered(table),
        "by_dataset": {
            str(name): _dataset(part) for name, part in table.groupby("dataset", sort=False)
        },
        "skipped_rows": {reason: float(count) for reason, count in reasons.items()},
    }


def _covered(part: pd.DataFrame) -> dict[str, Any]:
    """Counts of rows, and the error over the scored ones or, if none is, over the reported."""
    predicted = part[part["predicted"].notna()]
    scored = predicted["scored"].astype(bool)
    covers = "scored" if scored.any() else "reported"
    return {
        "scored": int(scored.sum()),
        "reported": int((~scored).sum()),
        "skipped": len(part) - len(predicted),
        "mape": _mean(predicted[scored] if scored.any() else predicted),
        "mape_covers": covers if len(predicted) else "no row",
        "reported_mape": _mean(predicted[~scored]),
    }


def _dataset(part: pd.DataFrame) -> dict[str, Any]:
    """Figures of a dataset's rows; errors by metric of the scored and the reported apart."""
    figures: dict[str, Any] = {"rows": len(part), **_covered(part)}
    predicted = part[part["predicted"].notna()]
    scored = predicted["scored"].astype(bool)
    judged = predicted[scored] if scored.any() else predicted
    figures["max"] = float(judged["error"].abs().max()) if len(judged) else None
    figures["by_metric"] = {
        str(metric): _mean(rows) for metric, rows in judged.groupby("metric", sort=False)
    }
    rest = predicted.drop(judged.index)
    if len(rest):
        # Networks of TPU v1 are reported one by one: their sources differ in worth.
        rates = rest["metric"] != "achieved_TOPS"
        names = rest["metric"].where(rates, rest["workload"] + " " + rest["metric"])
        figures["reported_by_metric"] = {
            str(name): _mean(rows) for name, rows in rest.groupby(names, sort=False)
        }
    return figures


def _mean(rows: pd.DataFrame) -> float | None:
    return float(rows["error"].abs().mean()) if len(rows) else None


KIND = Kind(
    title="published measurements",
    columns=(
        *(Column(name, "text", blank=True) for name in ("dataset", "chip", "metric", "value")),
        *(
            Column(name, "text", blank=True, optional=True)
            for name in ("workload", "batch", "config", "n_chips", "unit", "source")
        ),
    ),
    quantities=tuple(Quantity(metric, *label) for metric, label in PANELS.items()),
    predict=_predict,
    figures=_figures,
    group="dataset",
)
