"""Fronts under uncertainty: bands of what is within reach, and designs by their chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dse.front import Objective
from dse.plots import style
from dse.plots.page import CASING, Page, noted

COLOURS = "cividis"  # perceptually even, and so for the colour blind
BAND = "#9ecae1"
KEYS = ["5 to 95% of worlds", "median of worlds", "a design, at its medians"]
TALL, FOOT = 2.35, 0.43
SURE, FRAGILE = 16.0, 4.0  # areas of marks [pt2]


def bands(
    table: pd.DataFrame, panels: Sequence[tuple[Objective, Objective, pd.DataFrame]], title: str,
    note: str,
) -> Figure:  # fmt: skip
    """A panel for each pair of objectives, logarithmic.

    Args:
      table: of `Robust`: `chance`, and quantiles of every objective.
      panels: objective across, objective up, and its band: columns low, median, high.
      note: lines below.
    """
    lines, foot = noted(note, 2)
    # The safest first and large, the fragile small upon them: neither hides the other.
    shown = table.sort_values("chance", ascending=False, kind="stable")
    chance = shown["chance"].to_numpy()
    with style.style():
        page = Page(2, 0.26 + TALL + FOOT + foot, title)
        each = 6.4 / len(panels)
        for i, (x, y, band) in enumerate(panels):
            axes = page.axes(0.6 + i * each, 0.26, each - 0.66, TALL)
            across, up = (shown[f"{o.column}_median"].to_numpy() for o in (x, y))
            axes.fill_between(band[x.column], band["low"], band["high"], color=BAND, alpha=0.6,
                              linewidth=0, zorder=1.5)  # fmt: skip
            axes.scatter(
                across, up, c=chance, cmap=COLOURS, vmin=0, vmax=1, linewidths=0, rasterized=True,
                s=FRAGILE + (SURE - FRAGILE) * chance, zorder=3,
            )  # fmt: skip
            median = axes.plot(band[x.column], band["median"], color=style.INK, linewidth=0.9,
                               zorder=4, path_effects=CASING)  # fmt: skip
            told = band[["low", "high"]].to_numpy()
            for name, objective, values in (
                ("x", x, across), ("y", y, np.append(up, told[np.isfinite(told)])),
            ):  # fmt: skip
                _axis(axes, name, style.axis_label(objective), values)
        handles: list[Any] = [Patch(color=BAND, alpha=0.6), *median]
        handles.append(axes.scatter([], [], c=["#7d7c78"], s=SURE, linewidths=0))
        page.key(handles, KEYS, 0.0)
        bar = page.axes(page.width - 0.55, 0.26, 0.1, TALL)
        page.figure.colorbar(ScalarMappable(Normalize(0, 1), COLOURS), cax=bar,
                             label="Chance of being non-dominated")  # fmt: skip
        page.note(lines)
    return page.figure


def _axis(axes: Any, name: str, label: str, values: np.ndarray) -> None:
    low, high = style.log_limits(values)
    ticks = style.log_ticks(low, high)
    getattr(axes, f"set_{name}scale")("log")
    getattr(axes, f"set_{name}lim")(10**low, 10**high)
    getattr(axes, f"set_{name}ticks")(ticks, [style.engineering(tick) for tick in ticks])
    getattr(axes, f"set_{name}ticks")([], minor=True)
    getattr(axes, f"set_{name}label")(label, parse_math=False)
