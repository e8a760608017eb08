"""Fronts under uncertainty: bands of what is within reach, and designs by their chance."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from dse.front import Objective
from dse.plots import style
from dse.plots.style import axis_label

COLOURS = "cividis"  # perceptually even, and so for the colour blind
BAND = "#9ecae1"


def bands(
    table: pd.DataFrame, panels: Sequence[tuple[Objective, Objective, pd.DataFrame]], title: str,
    note: str,
) -> Figure:  # fmt: skip
    """A panel for each pair of objectives, logarithmic.

    Args:
      table: of `Robust`: `chance`, and quantiles of every objective.
      panels: objective across, objective up, and its band: columns low, median, high.
      note: a line below.
    """
    lines = textwrap.wrap(note, 120)
    width, height = style.TWO_COLUMN_INCHES, 3.15 + 0.165 * len(lines)
    bottom = 0.55 + 0.165 * len(lines)
    order = np.argsort(table["chance"].to_numpy(), kind="stable")  # the safest on top
    with style.style():
        figure = Figure(figsize=(width, height))
        for i, (x, y, band) in enumerate(panels):
            wide = 0.8 / len(panels)
            axes = figure.add_axes((0.09 + i * (wide + 0.035), bottom / height, wide - 0.065,
                                    1 - (bottom + 0.38) / height))  # fmt: skip
            axes.fill_between(band[x.column], band["low"], band["high"], color=BAND, alpha=0.6,
                              linewidth=0, label="5 to 95% of worlds")  # fmt: skip
            axes.plot(band[x.column], band["median"], color=style.INK, linewidth=1.0,
                      label="median")  # fmt: skip
            axes.scatter(
                table[f"{x.column}_median"].to_numpy()[order],
                table[f"{y.column}_median"].to_numpy()[order],
                c=table["chance"].to_numpy()[order], cmap=COLOURS, vmin=0, vmax=1, s=7,
                linewidths=0, rasterized=True, zorder=3,
            )  # fmt: skip
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(axis_label(x))
            axes.set_ylabel(axis_label(y))
        figure.axes[0].legend(loc="lower right", frameon=False, fontsize=7)
        colours = figure.add_axes((0.925, bottom / height, 0.014, 1 - (bottom + 0.38) / height))
        figure.colorbar(ScalarMappable(Normalize(0, 1), COLOURS), cax=colours,
                        label="chance of being non-dominated")  # fmt: skip
        figure.text(0.012, 1 - 0.08 / height, title, va="top", size=9.5, weight="bold",
                    parse_math=False)  # fmt: skip
        figure.text(0.012, 0.06 / height, "\n".join(lines), va="bottom", size=7, color=style.MUTED)
    return figure
