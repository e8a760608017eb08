"""The figure of the codesign: error and throughput against energy, and where the energy goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dse.plots import style

FORMATS = {
    "fp32": ("#444444", "X"), "bf16": ("#0072B2", "o"), "fp8": ("#009E73", "s"),
    "int8": ("#E69F00", "^"), "int4": ("#D55E00", "v"),
}  # fmt: skip
PARTS = {
    "arithmetic_nJ": ("multipliers, registers", "#0072B2"), "vector_nJ": ("vector unit", "#CC79A7"),
    "buffer_nJ": ("buffer", "#009E73"), "dram_nJ": ("DRAM", "#E69F00"),
}  # fmt: skip
ROWS = 3  # of the legend
ENERGY = "dynamic energy (nJ per training sample)"


def codesign_figure(table: pd.DataFrame, shown: tuple[int, int]) -> Figure:
    """Test error (left) and throughput (right) of every design; the energy of one network split.

    Args:
      table: a row a design, as the table `designs`.
      shown: width and batch of the network whose energy is split.
    """
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 4.7), layout="constrained")
        axes = figure.subplot_mosaic("aab;aac", height_ratios=(1.15, 1))
        error = table.assign(error=100 * (1 - table["accuracy"]))
        bars = 100 * table["standard_error"]
        _scatter(axes["a"], error, "error", bars)
        axes["a"].set_ylabel("error on unseen digits (%, mean ± standard error)")
        axes["a"].set_title("(a) accuracy", loc="left")
        _scatter(axes["b"], table.assign(rate=table["throughput_per_s"] / 1e6), "rate")
        axes["b"].set_ylabel("throughput (M samples/s)")
        axes["b"].set_title("(b) throughput", loc="left")
        _split(axes["c"], table[(table["width"] == shown[0]) & (table["batch"] == shown[1])])
        axes["c"].set_title(f"(c) energy at width {shown[0]}, batch {shown[1]}", loc="left")
        handles = _handles(table)
        figure.legend(handles=handles, loc="outside lower center", frameon=False, fontsize=7,
                      ncols=len(handles) // ROWS, columnspacing=1.4, handletextpad=0.4)  # fmt: skip
    return figure


def _size(width: Any) -> Any:
    """Diameter of a mark [points]."""
    return 1.4 + 1.0 * np.log2(np.asarray(width) / 4)


def _look(colour: str, marker: str, filled: bool, width: Any) -> dict[str, Any]:
    return {
        "linestyle": "", "marker": marker, "markersize": float(_size(width)), "color": colour,
        "markerfacecolor": colour if filled else "white", "markeredgewidth": 0.7,
    }  # fmt: skip


def _scatter(axes: Axes, table: pd.DataFrame, column: str, bars: pd.Series | None = None) -> None:
    for i, row in table.iterrows():
        colour, marker = FORMATS[row["format"]]
        at = row["dynamic_nJ"], row[column]
        if bars is not None:
            axes.errorbar(*at, yerr=bars[i], color=colour, lw=0.6, alpha=0.5, zorder=1)
        filled = row["batch"] == table["batch"].max()
        axes.plot(*at, alpha=0.9, **_look(colour, marker, filled, row["width"]))
        if row["front"]:
            axes.plot(*at, **_ring(row["front"]))
    for axis, values in ((axes.xaxis, table["dynamic_nJ"]), (axes.yaxis, table[column])):
        low, high = style.log_limits(values.to_numpy(), pad=0.08)
        axis.axes.set(**{f"{axis.axis_name}scale": "log",
                         f"{axis.axis_name}lim": (10**low, 10**high)})  # fmt: skip
        axis.set_major_locator(FixedLocator(list(style.log_ticks(low, high))))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: style.engineering(value)))
    axes.set_xlabel(ENERGY if bars is not None else "dynamic energy (nJ/sample)")


def _ring(standing: str) -> dict[str, Any]:
    """Around a design on the front: black if it is clear, grey if it is a tie."""
    colour = style.INK if standing == "clear" else "#aaaaaa"
    return {"linestyle": "", "marker": "o", "markersize": 9, "markerfacecolor": "none",
            "markeredgecolor": colour, "markeredgewidth": 0.9}  # fmt: skip


def _split(axes: Axes, table: pd.DataFrame) -> None:
    """Dynamic energy by part, a bar a format; static energy in words."""
    ys, left = np.arange(len(table)), np.zeros(len(table))
    for column, (label, colour) in PARTS.items():
        axes.barh(ys, table[column], left=left, color=colour, height=0.65, label=label)
        left += table[column].to_numpy()
    for y, end, static in zip(ys, left, table["static_nJ"], strict=True):
        axes.annotate(f"+ {static:.0f}", (end, y), (3, 0), textcoords="offset points",
                      va="center", size=6.5, color=style.MUTED)  # fmt: skip
    axes.set_xlim(0, 1.25 * left.max())
    axes.set_yticks(ys, table["format"])
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_xlabel("dynamic (+ static) energy (nJ/sample)")
    axes.legend(frameon=False, fontsize=6.5, loc="lower right", borderpad=0, handlelength=0.9,
                labelspacing=0.25, handletextpad=0.4)  # fmt: skip


def _handles(table: pd.DataFrame) -> list[Line2D]:
    """What colours, sizes, filling and rings mean, each from the top of a column."""
    widths, batches = sorted(table["width"].unique()), sorted(table["batch"].unique())
    formats = [
        Line2D([], [], label=name, **_look(*FORMATS[name], True, 64))
        for name in FORMATS if name in set(table["format"])
    ]  # fmt: skip
    sizes = [
        Line2D([], [], label=f"width {width}", **_look(style.MUTED, "o", True, width))
        for width in widths
    ]
    fills = [
        Line2D([], [], label=f"batch {batch}", **_look(style.MUTED, "o", batch == batches[-1], 64))
        for batch in batches
    ]
    rings = [
        Line2D([], [], label=label, **_ring(standing))
        for standing, label in (("clear", "joint front"), ("tie", "joint front, tie"))
    ]
    handles: list[Line2D] = []
    for group in (formats, sizes, fills, rings):
        missing = -len(group) % ROWS
        handles += [*group, *[Line2D([], [], linestyle="", label=" ") for _ in range(missing)]]
    return handles
