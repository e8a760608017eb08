"""Every figure of agreement with other tools and with silicon, in one table and one picture.

The tables of measurements lie in the folder that CHIPGRAD_DATA names (default: data/); each is a
published result that README names. A table that is not there is left out and said to be.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.plots import style
from dse.validation import Report as Validated
from dse.validation import validate
from dse.validation.kind import error, mape, predicted, spearman
from experiments.report import Experiment, Report, main
from hwmodels import InputError

FILES = {
    "timeloop": "timeloop_mappings.csv",
    "scalesim": "scalesim.csv",
    "mapper": "accelforge_ws32.csv",
    "rtl": "gemmini_rtl.csv",
    "gemm": "gemm_latency.csv",
    "chips": "chips.csv",
    "published": "published.csv",
    "training": "training_steps.csv",
    "fsdp": "training_fsdp.csv",
}
LEAST = 1e-6  # errors below are drawn here


@dataclass(frozen=True)
class Config:
    kinds: tuple[str, ...] = tuple(FILES)


def data() -> Path:
    """Where the tables of measurements are."""
    folder = Path(os.environ.get("CHIPGRAD_DATA", "data"))
    if not folder.is_dir():
        raise InputError("CHIPGRAD_DATA", folder, "allowed: a folder with tables of measurements")
    return folder


def run(report: Report, config: Config) -> None:
    """Validate every kind of measurement whose table is there."""
    folder, rows, errors, absent = data(), [], {}, []
    for kind in config.kinds:
        path = folder / FILES[kind]
        if not path.exists():
            absent.append(path.name)
            continue
        found = validate(kind, path)
        for quantity in found.kind.quantities:
            one = _agreement(found, quantity.column)
            if one["rows"]:
                rows.append({"kind": kind, "quantity": quantity.column, **one})
                size = found.table[error(quantity.column)].dropna()
                errors[f"{kind}: {quantity.column}"] = _bad(found, size)
    if not rows:
        raise InputError("CHIPGRAD_DATA", folder, f"allowed: a folder with {', '.join(absent)}")
    table = pd.DataFrame(rows)
    report.table("agreement", table, "Predictions against measurements")
    report.figure("errors", _figure(errors))
    for kind, part in table.groupby("kind", sort=False):
        said = "; ".join(
            f"{r.quantity} {r.mean_error:.2%} mean, {r.median_error:.2%} median, "
            f"{r.largest_error:.1%} largest"
            for r in part.itertuples()
        )
        report.say(f"{kind} ({part['rows'].max()} rows): {said}.")
    if absent:
        report.say(f"Left out, as their tables were absent: {', '.join(absent)}.")


def _agreement(found: Validated, column: str) -> dict[str, Any]:
    part = found.table.dropna(subset=[error(column)])
    size = _bad(found, part[error(column)])
    return {
        "rows": len(part),
        "mean_error": float(size.mean()) if found.kind.rival else mape(part, column),
        "median_error": float(size.median()),
        "largest_error": float(size.max()),
        "rank_correlation": spearman(part, column) if predicted(column) in part else None,
    }


def _bad(found: Validated, values: pd.Series) -> pd.Series:
    """Sizes of errors; a rival's best mappings are a bound, and below them is none."""
    return values.clip(lower=0.0) if found.kind.rival else values.abs()


def _figure(errors: dict[str, pd.Series]) -> Figure:
    """Errors of single rows, a line a quantity: all of them, quartiles and median."""
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 0.7 + 0.2 * len(errors)),
                        layout="constrained")  # fmt: skip
        axes = figure.subplots()
        for y, values in enumerate(errors.values()):
            size = np.maximum(values.abs().to_numpy(), LEAST)
            spread = np.linspace(-0.28, 0.28, len(size)) if len(size) > 1 else [0.0]
            axes.scatter(size, y + np.asarray(spread), s=2, c="#0072B2", alpha=0.35, linewidths=0,
                         rasterized=True)  # fmt: skip
            low, middle, high = np.quantile(size, (0.25, 0.5, 0.75))
            axes.plot([low, high], [y, y], color=style.INK, lw=2.2, solid_capstyle="butt")
            axes.plot(middle, y, "o", ms=3.6, mfc="white", mec=style.INK)
        axes.set_xscale("log")
        axes.set_xlabel(f"relative error of a row ({LEAST:g} or less at the left edge)")
        axes.set_yticks(range(len(errors)), [
            f"{name} ({len(values):,})" for name, values in errors.items()
        ])  # fmt: skip
        axes.set_ylim(len(errors) - 0.5, -0.5)
    return figure


EXPERIMENT = Experiment(
    "validation",
    "How well do the models agree with other tools, measurements and silicon?",
    run,
    Config(),
    Config(kinds=("scalesim", "training")),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
