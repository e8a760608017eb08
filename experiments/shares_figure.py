"""What each chip does of the best of each scenario, as a picture: a group of bars a chip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.plots import style

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def shares_figure(rows: pd.DataFrame, scenarios: Sequence[str]) -> Figure:
    """A cross: the chip does not fit that scenario's budgets."""
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 2.8), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / len(scenarios)
        for i, name in enumerate(scenarios):
            x = np.arange(len(rows)) + (i - (len(scenarios) - 1) / 2) * width
            axes.bar(x, rows[name], width * 0.92, color=COLOURS[i], label=name)
            for at, share in zip(x, rows[name], strict=True):
                mark = f"{100 * share:.0f}" if share else "✕"
                axes.annotate(mark, (at, share), (0, 1), textcoords="offset points",
                              ha="center", size=6, color=style.INK)  # fmt: skip
        labels = [
            f"{chip.replace(' for ', chr(10) + 'for ')}\n({variant}, {number_format})"
            for chip, variant, number_format in zip(
                rows["chip"], rows["variant"], rows["number_format"], strict=True
            )
        ]
        axes.set_xticks(range(len(rows)), labels, size=6)
        axes.set_ylabel("% of the best of that scenario")
        axes.set_ylim(0, 1.1)
        axes.set_yticks(np.linspace(0, 1, 6), [f"{x:.0f}" for x in np.linspace(0, 100, 6)])
        axes.grid(axis="x", visible=False)
        figure.legend(loc="outside lower center", ncols=len(scenarios), frameon=False)
    return figure
