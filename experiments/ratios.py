"""Ratios to a GPU as pictures: a panel a measure, a row a workload, a mark a variant or a pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.plots import style

GPU = "simt"
TIE = 1.25  # assumed: below this ratio two variants are not told apart
PANELS = {"throughput": "samples/s", "energy": "samples/J at 80%\nof the GPU-like speed",
          "scalability": "S80 (training)"}  # fmt: skip
PAIR_PANELS = {"throughput": "samples/s", "energy": "samples/J", "scalability": "S80 (training)"}
PAIR_LOOKS = (("#0072B2", "o"), ("#D55E00", "^"), ("#009E73", "s"), ("#CC79A7", "D"),
              ("#E69F00", "P"), ("#56B4E9", "v"))  # fmt: skip
ROW_INCHES = 0.3
Drawn = Callable[[Any, str], None]


def ratios(table: pd.DataFrame, workloads: Sequence[str], variants: Sequence[str]) -> Figure:
    """Each variant's own optimum over the GPU-like variant's.

    Args:
      table: columns workload, variant, and `<measure>_vs_gpu`.
    """

    def draw(axes: Any, measure: str) -> None:
        for variant in variants:
            if variant != GPU:
                part = table[table["variant"] == variant].set_index("workload")
                look = style.variant_style(variant)
                values = part[f"{measure}_vs_gpu"].reindex(list(workloads))
                axes.plot(values, np.arange(len(workloads)), ls="", marker=look.marker, ms=4.5,
                          color=look.colour, label=look.label)  # fmt: skip

    known = {m: label for m, label in PANELS.items() if table[f"{m}_vs_gpu"].notna().any()}
    values = {m: table[f"{m}_vs_gpu"] for m in known}
    return _figure(draw, values, workloads, known, "Over the GPU-like variant")


def budgets_figure(table: pd.DataFrame, variants: Sequence[str]) -> Figure:
    """The same by what is equal: area and power, area alone, power alone.

    Args:
      table: columns equal, workload, variant, and `<measure>_vs_gpu`; where one budget lacks a
        workload, it is not drawn.
    """
    shared = table.groupby("workload")["equal"].nunique()
    kept = [w for w in dict.fromkeys(table["workload"]) if shared[w] == shared.max()]
    part = table[table["workload"].isin(kept) & table["variant"].isin(list(variants))]
    rows = [(w, e) for w in kept for e in dict.fromkeys(table["equal"])]
    part = part.assign(scalability_vs_gpu=np.nan)  # which the single budgets lack
    named = part.assign(
        workload=[f"{w}: equal {e}" for w, e in zip(part["workload"], part["equal"], strict=True)]
    )
    return ratios(named, [f"{w}: equal {e}" for w, e in rows], variants)


def pairs_figure(pairs: pd.DataFrame, workloads: Sequence[str]) -> Figure:
    """Real chips over real GPUs; hollow where one of them cannot hold the workload.

    Args:
      pairs: columns gpu, dedicated, workload, too_small, and `<measure>_ratio`.
    """
    rows = {workload: i for i, workload in enumerate(workloads)}

    def draw(axes: Any, measure: str) -> None:
        groups = pairs.groupby(["gpu", "dedicated"], sort=False)
        for ((gpu, other), part), (colour, marker) in zip(groups, PAIR_LOOKS, strict=False):
            at = part["workload"].map(rows)
            fits = part["too_small"] == ""
            for some, face, label in ((fits, colour, f"{other} over {gpu}"), (~fits, "white", "")):
                axes.plot(part.loc[some, f"{measure}_ratio"], at[some], ls="", marker=marker,
                          ms=4.5, color=colour, mfc=face, label=label or None)  # fmt: skip

    values = {m: pairs[f"{m}_ratio"] for m in PAIR_PANELS}
    over = "Over the GPU; hollow: too large for one of the two"
    return _figure(draw, values, workloads, PAIR_PANELS, over)


def _figure(
    draw: Drawn, values: dict[str, pd.Series], rows: Sequence[str], names: dict[str, str], over: str
) -> Figure:
    with style.style():
        size = (style.TWO_COLUMN_INCHES, 1.6 + ROW_INCHES * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True)
        for axes, (measure, label) in zip(panels, names.items(), strict=True):
            axes.axvspan(1 / TIE, TIE, color="#eeeeee", lw=0, zorder=0)
            axes.axvline(1.0, color=style.VARIANT_STYLES[GPU].colour, lw=1.2, zorder=1)
            draw(axes, measure)
            axes.set_xscale("log")
            axes.set_xlabel(label)
            axes.set_yticks(range(len(rows)), [row.replace(",", ", ") for row in rows])
            axes.set_ylim(len(rows) - 0.5, -0.5)
            low, high = style.log_limits(np.asarray([1.0, *values[measure].dropna()]))
            axes.set_xlim(10**low, 10**high)
            ticks = style.log_ticks(low, high, most=5)
            axes.set_xticks(ticks, [style.engineering(tick) for tick in ticks])
            axes.minorticks_off()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.suptitle(over, size=8, x=0.01, ha="left")
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure
