"""A tornado: what a metric gains and loses when one number after another changes."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.plots import style

MOST = 18  # rows
LEAST = 0.01  # of the widest
LESS, MORE = "#0072B2", "#D55E00"
ROW_INCHES, HEAD_INCHES, FOOT_INCHES = 0.23, 0.62, 0.5


def tornado(rows: pd.DataFrame, change: float, title: str) -> Figure:
    """Bars to either side, the widest first.

    Args:
      rows: of `dse.elasticity.swings`: parameter, less, more (relative changes of the metric).
      change: of every number, such as 0.1, for the legend.
    """
    wide = rows[["less", "more"]].abs().max(axis=1)
    rows = rows[wide > LEAST * wide.max()].head(MOST)
    height = HEAD_INCHES + FOOT_INCHES + ROW_INCHES * len(rows)
    y = np.arange(len(rows))
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, height))
        axes = figure.add_axes(
            (0.3, FOOT_INCHES / height, 0.66, ROW_INCHES * len(rows) / height)
        )  # fmt: skip
        # Narrow beside wide: where both changes push the same way, both stay visible.
        for name, colour, label, shift in (
            ("less", LESS, f"{100 * change:.0f}% less", -0.17),
            ("more", MORE, f"{100 * change:.0f}% more", 0.17),
        ):
            axes.barh(y + shift, 100.0 * rows[name], 0.34, color=colour, label=label)
        axes.axvline(0.0, color=style.MUTED, linewidth=0.8)
        axes.set_yticks(y, list(rows["parameter"]), size=7, parse_math=False)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Change of the metric (%); the other numbers stay")
        figure.text(0.012, 1 - 0.09 / height, "\n".join(textwrap.wrap(title, 80)), va="top",
                    size=9.5, weight="bold", parse_math=False)  # fmt: skip
        figure.legend(loc="upper right", bbox_to_anchor=(0.97, 1 - 0.25 / height), ncols=2,
                      frameon=False, fontsize=7)  # fmt: skip
    return figure
