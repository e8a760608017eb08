"""Energy of a step by operation and part: one stacked bar an operation, the largest first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.amounts import amount, amounts
from dse.breakdown import Breakdown, energy_by_part, short_name
from dse.plots import style

SHOWN = 12
NAME = 40  # letters
# Okabe and Ito's set for the parts that most variants have; others take the rest, hatched.
COLOURS = {
    "mac": "#0072B2", "register": "#56B4E9", "local": "#009E73", "vector": "#CC79A7",
    "buffer": "#E69F00", "dram": "#D55E00", "static": "#999999",
}  # fmt: skip
FURTHER = (("#F0E442", ""), ("#009E73", "////"), ("#56B4E9", "////"), ("#E69F00", "////"))


def energy_bars(found: Breakdown, title: str = "") -> Figure:
    """Joules by part for the `SHOWN` largest operations, and for all others together."""
    parts = energy_by_part(found)
    parts = parts[[*[p for p in COLOURS if p in parts and p != "static"],
                   *[p for p in parts if p not in COLOURS], "static"]]  # fmt: skip
    parts = parts.loc[:, parts.sum() > 0]
    order = parts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    labels = [_label(found.table.loc[i]) for i in order[:SHOWN]]
    bars = parts.loc[order[:SHOWN]]
    if len(order) > SHOWN:
        rest = parts.loc[order[SHOWN:]].sum()
        bars = pd.concat([bars, rest.to_frame().T])
        labels.append(f"{len(order) - SHOWN} others together")
    values = bars.to_numpy(np.float64)
    height = 1.21 + 0.215 * len(bars)
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, height))
        axes = figure.add_axes((0.39, 0.45 / height, 0.545, 1.0 - 1.06 / height))
        y = np.arange(len(bars))
        start = np.zeros(len(bars))
        further = iter(FURTHER * len(parts.columns))
        for i, part in enumerate(parts.columns):
            colour, hatch = (COLOURS[part], "") if part in COLOURS else next(further)
            axes.barh(y, values[:, i], 0.74, left=start, color=colour, hatch=hatch, label=part,
                      edgecolor="white", linewidth=0.3)  # fmt: skip
            start = start + values[:, i]
        total = start.sum()
        for at, end in zip(y, start, strict=True):
            axes.annotate(f"{100 * end / total:.1f}%", (end, at), (3, 0), va="center", size=6.5,
                          textcoords="offset points", color=style.MUTED)  # fmt: skip
        axes.set_xlim(0, 1.09 * start.max())
        axes.set_ylim(len(bars) - 0.45, -0.55)
        axes.set_yticks(y, labels, size=6.6, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        ticks = [tick for tick in axes.get_xticks() if tick <= 1.09 * start.max()]
        said, unit = amounts(ticks, "J")
        axes.set_xticks(ticks, said)
        axes.set_xlabel(f"Energy of a step ({unit}); static: leakage, clock tree, idle, links")
        heading = title or f"{found.name} on {found.workload.name}"
        heading = f"{heading}: {amount(float(f'{total:.3g}'), 'J')} a step"
        figure.text(0.012, 1 - 0.09 / height, heading, va="top", size=9.5, weight="bold",
                    parse_math=False)  # fmt: skip
        figure.legend(loc="upper left", bbox_to_anchor=(0.004, 1 - 0.3 / height), frameon=False,
                      ncols=min(len(parts.columns), 10), fontsize=7, columnspacing=1.0,
                      handlelength=1.0, handletextpad=0.4)  # fmt: skip
    return figure


def _label(row: pd.Series) -> str:
    return f"{short_name(str(row['operation']), NAME)} ({row['phase']})"
