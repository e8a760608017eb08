"""Gaps of chips by year as a picture: a column a workload, a row a measure, a marker a chip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.plots import style
from dse.plots.placing import place_labels

MEASURES = {"throughput_gap": "samples/s of the front\nover the chip's",
            "energy_gap": "samples/J at no fewer\nsamples/s, over the chip's"}  # fmt: skip
NAMED = 9, 3  # chips named of the farthest and of the nearest


def gaps(table: pd.DataFrame, workloads: Sequence[str]) -> Figure:
    """Hollow markers: the design lies at an end of its box, and a wider one may hold a better."""
    known = table.dropna(subset=list(MEASURES))
    with style.style():
        size = style.TWO_COLUMN_INCHES, 5.6
        # Names are measured in the pixels that they will be drawn in.
        figure = Figure(size, dpi=style.DPI, layout="constrained")
        grid = figure.subplots(len(MEASURES), len(workloads), squeeze=False, sharex=True)
        for row, (column, label) in zip(grid, MEASURES.items(), strict=True):
            low, high = style.log_limits(known[column].to_numpy())
            for axes, workload in zip(row, workloads, strict=True):
                _draw(axes, known[known["workload"] == workload], column)
                _scale(axes, low, high)
            row[0].set_ylabel(label)
        for axes, workload in zip(grid[0], workloads, strict=True):
            axes.set_title(workload)
        for axes in grid[-1]:
            axes.set_xlabel("year")
        _legend(figure, known)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # names would move what they were placed beside
        for row, column in zip(grid, MEASURES, strict=True):
            for axes, workload in zip(row, workloads, strict=True):
                _name(figure, axes, known[known["workload"] == workload], column)
    return figure


def _draw(axes: Axes, part: pd.DataFrame, column: str) -> None:
    for variant, chips in part.groupby("variant"):
        look = style.variant_style(str(variant))
        for ended, some in chips.groupby(chips["at_end"] != ""):
            axes.plot(some["year"], some[column], ls="", marker=look.marker, ms=4,
                      color=look.colour, mfc="white" if ended else look.colour)  # fmt: skip


def _scale(axes: Axes, low: float, high: float) -> None:
    ticks = style.log_ticks(low, high)
    axes.set_yscale("log")
    axes.set_ylim(10**low, 10**high)
    axes.set_yticks(ticks, [style.engineering(tick) for tick in ticks])
    axes.minorticks_off()
    axes.margins(x=0.12)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _legend(figure: Figure, known: pd.DataFrame) -> None:
    axes = figure.axes[0]
    looks = [style.variant_style(variant) for variant in sorted(known["variant"].unique())]
    handles = [axes.plot([], [], ls="", marker=look.marker, ms=4, color=look.colour,
                         label=look.label)[0] for look in looks]  # fmt: skip
    handles += axes.plot([], [], ls="", marker="o", ms=4, color=style.MUTED, mfc="white",
                         label="at an end of its box")  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)


def _name(figure: Figure, axes: Axes, part: pd.DataFrame, column: str) -> None:
    order, (far, near) = part.sort_values(column), NAMED
    named = pd.concat([order.tail(far)[::-1], order.head(near)]).drop_duplicates()
    places = part[["year", column]].to_numpy(float)
    at = named[["year", column]].to_numpy(float)
    place_labels(figure, axes, at, list(named["chip"]), np.asarray(places))
