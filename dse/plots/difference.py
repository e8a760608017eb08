"""Two designs side by side: time of the operations that differ most, and energy by part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dse.amounts import amounts
from dse.plots import style
from dse.plots.page import MARGIN, PLAIN, Page, key_height
from dse.plots.words import shortened, typeset, width

COLOURS = {"A": "#999999", "B": "#0072B2"}
LABEL, RATIO = 6.6, 6.5  # points
ROW_INCHES, FOOT, GAP = 0.25, 0.43, 0.12
TIME_LABEL, ENERGY_LABEL = 2.6, 1.3  # inches at most


def difference(time: pd.DataFrame, energy: pd.DataFrame, names: tuple[str, str],
               title: str) -> Figure:  # fmt: skip
    """Pairs of bars.

    Args:
      time: a row for each operation, in the order to draw; columns label, A, B [s].
      energy: a row for each part; columns label, A, B [J].
      names: what A and B are, for the legend.
    """
    keys = [f"{side}: {name}" for side, name in zip(COLOURS, names, strict=True)]
    top = key_height(keys, style.TWO_COLUMN_INCHES)
    tall = ROW_INCHES * max(len(time), len(energy))
    with style.style():
        page = Page(2, top + tall + FOOT + 0.04, title)
        shown = [[shortened(text, most, LABEL) for text in table["label"]]
                 for table, most in ((time, TIME_LABEL), (energy, ENERGY_LABEL))]  # fmt: skip
        taken = [max(width(text, LABEL) for text in labels) + MARGIN + 0.06 for labels in shown]
        room = page.width - sum(taken) - GAP - 0.1
        left = 0.0
        for table, labels, label, share, what, unit in zip(
            (time, energy), shown, taken, (0.55, 0.45), ("Time", "Energy"), "sJ", strict=True
        ):
            wide = share * room
            axes = page.axes(left + label, top, wide, ROW_INCHES * len(table))
            said = _pairs(axes, table.assign(label=labels), unit, 0.35 / wide)
            axes.set_xlabel(f"{what} of a step ({typeset(said)})")
            left += label + wide + GAP
        handles: list[Any] = [Patch(color=colour) for colour in COLOURS.values()]
        page.key(handles, keys, 0.0)
    return page.figure


def _pairs(axes: Axes, table: pd.DataFrame, unit: str, room: float) -> str:
    """Draw a panel, with `room` (a share) for the ratio behind the longest bar; its ticks' unit."""
    y = np.arange(len(table))
    for side, shift in (("A", -0.19), ("B", 0.19)):
        axes.barh(y + shift, table[side], 0.36, color=COLOURS[side])
    most = float(table[["A", "B"]].to_numpy().max()) / (1 - room)
    for at, a, b in zip(y, table["A"], table["B"], strict=True):
        said = f"{b / a:.2g}×" if a > 0 and b > 0 else "only A" if a > 0 else "only B"
        axes.annotate(said, (max(a, b), at), (3, 0), va="center", size=RATIO, color=style.MUTED,
                      textcoords="offset points", bbox=PLAIN)  # fmt: skip
    axes.set_xlim(0, most)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_yticks(y, list(table["label"]), size=LABEL, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=5)
    ticks = [tick for tick in axes.get_xticks() if tick <= most]
    labels, scaled = amounts(ticks, unit)
    axes.set_xticks(ticks, labels)
    return scaled
