"""Throughput and efficiency against the number of chips, with ideal lines.

Fleets on which the plan breaks a limit (memory, sizes that do not divide, links) have hollow marks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.plots import style

COLOURS = {"weak": ("#0072B2", "o", "-"), "strong": ("#D55E00", "s", "-")}
KEPT = 0.8  # the efficiency that S80 and N80 ask for
HEIGHT = 2.9


def scaling(curves: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Two panels.

    Args:
      curves: "weak" or "strong" -> columns chips, throughput [samples/s], efficiency, feasible,
        as `hwmodels.fleet.curves.scaling_curve` gives them.
    """
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, HEIGHT))
        left = figure.add_axes((0.085, 0.16, 0.385, 0.62))
        right = figure.add_axes((0.58, 0.16, 0.385, 0.62))
        chips = np.unique(np.concatenate([table["chips"] for table in curves.values()]))
        for name, table in curves.items():
            colour, marker, line = COLOURS[name]
            label = f"{name} scaling ({'batch grows' if name == 'weak' else 'batch stays'})"
            broken = table[~table["feasible"]]
            for axes, column in ((left, "throughput"), (right, "efficiency")):
                axes.plot(table["chips"], table[column], line, color=colour, marker=marker,
                          markersize=3.2, linewidth=1.1, label=label)  # fmt: skip
                axes.plot(broken["chips"], broken[column], linestyle="none", color=colour,
                          marker=marker, markersize=3.2, markerfacecolor="white")  # fmt: skip
        first = next(iter(curves.values())).iloc[0]
        ideal = first["throughput"] / first["efficiency"] / first["chips"] * chips
        left.plot(chips, ideal, "--", color=style.MUTED, linewidth=0.8, label="ideal")
        if not all(table["feasible"].all() for table in curves.values()):
            left.plot([], [], "o", color=style.MUTED, markersize=3.2, markerfacecolor="white",
                      label="breaks a limit of the plan")  # fmt: skip
        right.axhline(1.0, linestyle="--", color=style.MUTED, linewidth=0.8)
        right.axhline(KEPT, linestyle=":", color=style.MUTED, linewidth=0.8)
        right.annotate(f"{KEPT:.0%}", (chips[0], KEPT), (2, 2), textcoords="offset points",
                       size=6.5, color=style.MUTED)  # fmt: skip
        for axes in (left, right):
            _log_axis(axes, "x", chips)
            axes.set_xlabel("Chips")
        _log_axis(left, "y", np.concatenate([t["throughput"] for t in curves.values()] + [ideal]))
        left.set_ylabel("Throughput (samples/s)")
        right.set_ylabel("Efficiency")
        right.set_ylim(0.0, 1.08)
        figure.text(0.012, 0.975, title, va="top", size=9.5, weight="bold", parse_math=False)
        figure.legend(*left.get_legend_handles_labels(), loc="upper left",
                      bbox_to_anchor=(0.004, 0.92), frameon=False, ncols=4, fontsize=7)  # fmt: skip
    return figure


def _log_axis(axes: Axes, which: str, values: np.ndarray) -> None:
    low, high = style.log_limits(values[values > 0])
    ticks = style.log_ticks(low, high)
    set_scale, set_limits, set_ticks = (
        (axes.set_xscale, axes.set_xlim, axes.set_xticks)
        if which == "x"
        else (axes.set_yscale, axes.set_ylim, axes.set_yticks)
    )
    set_scale("log")
    set_limits(10**low, 10**high)
    set_ticks(ticks, [style.engineering(tick) for tick in ticks])
    set_ticks([], minor=True)
