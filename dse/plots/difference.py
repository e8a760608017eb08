"""Two designs side by side: time of the operations that differ most, and energy by part."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.amounts import amounts
from dse.plots import style

COLOURS = {"A": "#999999", "B": "#0072B2"}
ROW_INCHES, HEAD_INCHES, FOOT_INCHES = 0.29, 0.47, 0.48
LINE_INCHES, LINE_LETTERS = 0.16, 80  # of the title


def difference(time: pd.DataFrame, energy: pd.DataFrame, names: tuple[str, str],
               title: str) -> Figure:  # fmt: skip
    """Pairs of bars.

    Args:
      time: a row for each operation, in the order to draw; columns label, A, B [s].
      energy: a row for each part; columns label, A, B [J].
      names: what A and B are, for the legend.
    """
    rows = max(len(time), len(energy))
    lines = textwrap.wrap(title, LINE_LETTERS)
    head = HEAD_INCHES + LINE_INCHES * len(lines)
    height = head + FOOT_INCHES + ROW_INCHES * rows
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, height))
        bottom, size = FOOT_INCHES / height, ROW_INCHES / height
        panels = ((time, 0.335, 0.28, "Time", "s"), (energy, 0.755, 0.205, "Energy", "J"))
        for table, left, width, label, unit in panels:
            share = size * len(table)
            axes = figure.add_axes((left, bottom + size * rows - share, width, share))
            axes.set_xlabel(f"{label} of a step ({_pairs(axes, table, unit)})")
        figure.text(0.012, 1 - 0.09 / height, "\n".join(lines), va="top", size=9.5, weight="bold",
                    parse_math=False)  # fmt: skip
        handles, _ = figure.axes[0].get_legend_handles_labels()
        labels = [f"{side}: {name}" for side, name in zip(COLOURS, names, strict=True)]
        legend = figure.legend(
            handles, labels, loc="upper left", bbox_to_anchor=(0.004, 1 - (head - 0.34) / height),
            frameon=False, ncols=2, fontsize=7, handlelength=1.0, columnspacing=1.5,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _pairs(axes: Axes, table: pd.DataFrame, unit: str) -> str:
    """Draw a panel; the unit of its ticks."""
    y = np.arange(len(table))
    for side, shift in (("A", -0.19), ("B", 0.19)):
        axes.barh(y + shift, table[side], 0.36, color=COLOURS[side], label=side)
    most = float(table[["A", "B"]].to_numpy().max())
    for at, a, b in zip(y, table["A"], table["B"], strict=True):
        said = f"{b / a:.2g}x" if a > 0 and b > 0 else "only A" if a > 0 else "only B"
        axes.annotate(said, (max(a, b), at), (3, 0), va="center", size=6.5, color=style.MUTED,
                      textcoords="offset points")  # fmt: skip
    axes.set_xlim(0, 1.2 * most)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_yticks(y, list(table["label"]), size=6.6, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    ticks = [tick for tick in axes.get_xticks() if tick <= 1.2 * most][:: 2 if most else 1]
    labels, scaled = amounts(ticks, unit)
    axes.set_xticks(ticks, labels)
    return scaled
