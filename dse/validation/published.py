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
from dse.validation.tables import Column, Table, text
from hwmodels.errors import InputError

FACT = "a fact that predictions start from"
_NOT_MODELLED = "not modelled"
# Batch of Eyeriss' measurements, for rows that do not say it (Chen et al., JSSC 2017).
_EYERISS_BATCH = {"alexnet": 4, "vgg": 3}


@dataclass(frozen=True)
class Predicted:
    """What is predicted for a row, and whether there is a figure to reach."""

    value: float
    scored: bool = False


Facts = dict[str, float]
Predictor = Callable[[dict[str, Any], Facts], Predicted | str]


def _tpu(row: dict[str, Any], facts: Facts) -> Predicted | str:
    if row["metric"] in ("weights_M", "layers", "ops_per_weight_byte"):
        return FACT
    if row["metric"] != "achieved_TOPS" or row["chip"] != "TPU v1":
        return f"{_NOT_MODELLED}: {row['metric']} of {row['chip']}"
    name = row["workload"]
    return Predicted(tpu_v1.achieved_tops(name, facts), name in tpu_v1.SCORED)


def _eyeriss(row: dict[str, Any], facts: Facts) -> Predicted | str:
    name = row["workload"].lower()
    usual = next((size for start, size in _EYERISS_BATCH.items() if name.startswith(start)), 1)
    batch = int(facts.get("batch", usual))
    figures = eyeriss.predict(row["workload"], batch, row["config"]).figures()
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
    if row["metric"] == "prerun_min_system_W":
        return FACT
    return f"{_NOT_MODELLED}: {row['metric']} at a clock and voltage that nothing states"


PREDICTORS: dict[str, Predictor] = {
    "TPUv1": _tpu, "Eyeriss": _eyeriss, "NVDLA": _nvdla, "MAMF": _ceiling, "MLPerf": _wall,
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
    rows = list(table.rows())
    facts = _facts(rows)
    found = []
    for i, row in enumerate(rows):
        progress("predicting", i / len(rows))
        own = {"batch": batch} if (batch := _number(row["batch"])) else {}
        found.append(_row(row, facts[_key(row)] | own))
    progress("predicting", 1.0)
    return pd.DataFrame(found)


def _row(row: dict[str, Any], facts: Facts) -> dict[str, Any]:
    measured = _number(row["value"])
    predictor = next((p for d, p in PREDICTORS.items() if row["dataset"].startswith(d)), None)
    answer: Predicted | str
    if predictor is None:
        answer = f"{_NOT_MODELLED}: dataset {row['dataset']}"
    elif measured is None:
        answer = f"value {row['value']!r} is no number above 0"
    else:
        try:
            answer = predictor(row, facts)
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
    predicted = table[table["predicted"].notna()]
    scored = predicted[predicted["scored"]]
    reasons = Counter(table.loc[table["skipped"] != "", "skipped"])
    return {
        "scored": len(scored),
        "reported": len(predicted) - len(scored),
        "skipped": int(sum(reasons.values())),
        "mape": _mean(scored),
        "by_dataset": {
            str(name): _dataset(part) for name, part in predicted.groupby("dataset", sort=False)
        },
        "skipped_rows": {reason: float(count) for reason, count in reasons.items()},
    }


def _dataset(part: pd.DataFrame) -> dict[str, Any]:
    """Figures of a dataset: over its scored rows, or all if none is."""
    judged = part[part["scored"]] if part["scored"].any() else part
    figures: dict[str, Any] = {
        "rows": len(part),
        "scored": int(part["scored"].sum()),
        "mape": _mean(judged),
        "max": float(judged["error"].abs().max()),
        "by_metric": {str(m): _mean(rows) for m, rows in judged.groupby("metric", sort=False)},
    }
    rest = part.drop(judged.index)
    if len(rest):
        names = rest["metric"].where(
            rest["metric"] != "achieved_TOPS", rest["workload"] + " " + rest["metric"]
        )
        figures["reported"] = {str(m): _mean(rows) for m, rows in rest.groupby(names, sort=False)}
    return figures


def _mean(rows: pd.DataFrame) -> float | None:
    return float(rows["error"].abs().mean()) if len(rows) else None


KIND = Kind(
    title="published measurements",
    columns=(
        *text("dataset", "chip", "metric", "value"),
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
