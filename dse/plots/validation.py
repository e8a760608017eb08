"""Predictions against measurements: a logarithmic panel for each quantity, and the line y = x."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator
from numpy.typing import NDArray

from dse.plots import style
from hwmodels.errors import InputError

# Okabe and Ito's set again, in an order that keeps neighbours apart; groups beyond share grey.
LOOKS = (
    ("#0072B2", "o"), ("#D55E00", "^"), ("#009E73", "s"), ("#CC79A7", "D"), ("#E69F00", "v"),
    ("#56B4E9", "P"), ("#777777", "X"),
)  # fmt: skip
COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """One quantity: `measured` and `predicted` [n], NaN where there is no measurement.

    title: the quantity and its mean error, say. unit: of both axes. groups [n]: a name for each
    point; each name has its colour and marker. sides: what the two axes are called.
    """

    title: str
    unit: str
    measured: NDArray[np.float64]
    predicted: NDArray[np.float64]
    groups: NDArray[np.str_]
    sides: tuple[str, str] = ("measured", "predicted")


def predicted_against_measured(panels: Sequence[Panel], title: str) -> Figure:
    """Panels side by side, three a row; `InputError` if no panel has a point to draw."""
    panels = [panel for panel in panels if _drawn(panel).any()]
    if not panels:
        raise InputError("figure", "0 points", "needed: measurements and predictions above 0")
    names = list(dict.fromkeys(str(n) for panel in panels for n in panel.groups[_drawn(panel)]))
    columns, rows = min(COLUMNS, len(panels)), -(-len(panels) // COLUMNS)
    width = style.TWO_COLUMN_INCHES * (columns + 0.4) / (COLUMNS + 0.4)
    labels = _legend_labels(names) if len(names) > 1 else []
    # An entry's width: marker and gaps, and a letter.
    entry = 0.34 + 0.068 * max(map(len, labels), default=0)
    beside = min(max(int(width / entry), 1), max(len(labels), 1))
    legend = 0.1 + 0.18 * -(-len(labels) // beside) if labels else 0.0
    head = textwrap.wrap(title, round(11.5 * width))
    top = 0.11 + 0.17 * len(head)
    height = 2.6 * rows + top + legend
    with style.style():
        figure = Figure(figsize=(width, height), layout="constrained")
        engine: Any = figure.get_layout_engine()
        engine.set(
            rect=(0, legend / height, 1, 1 - (top + legend) / height), w_pad=0.06, h_pad=0.05
        )
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, panel, names)
        for axes in grid[len(panels) :]:
            axes.remove()
        figure.text(
            0.09 / width, 1 - 0.08 / height, "\n".join(head), va="top", size=9.5, weight="bold",
            parse_math=False,
        )  # fmt: skip
        if labels:
            _legend(figure, labels, beside)
    return figure


def _drawn(panel: Panel) -> NDArray[np.bool_]:
    # A comparison with NaN is false.
    return (panel.measured > 0) & (panel.predicted > 0)


def _panel(axes: Any, panel: Panel, names: list[str]) -> None:
    drawn = _drawn(panel)
    low, high = style.log_limits(np.concatenate([panel.measured[drawn], panel.predicted[drawn]]))
    ticks = style.log_ticks(low, high, most=5)
    limits = (10**low, 10**high)
    for name in "xy":
        getattr(axes, f"set_{name}scale")("log")
        getattr(axes, f"set_{name}lim")(*limits)
        getattr(axes, f"set_{name}ticks")(ticks, [style.engineering(tick) for tick in ticks])
        axis = getattr(axes, f"{name}axis")
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    axes.set_aspect("equal")
    axes.plot(limits, limits, color=style.INK, linewidth=0.8, zorder=1.5)
    for i, name in enumerate(names):
        here = drawn & (panel.groups == name)
        colour, marker = LOOKS[min(i, len(LOOKS) - 1)]
        axes.scatter(
            panel.measured[here], panel.predicted[here], c=colour, marker=marker, s=9,
            alpha=0.6, linewidths=0, rasterized=True, zorder=2,
        )  # fmt: skip
    axes.set_xlabel(f"{panel.sides[0]} ({panel.unit})")
    axes.set_ylabel(f"{panel.sides[1]} ({panel.unit})")
    axes.set_title(panel.title, pad=4)


def _legend_labels(names: list[str]) -> list[str]:
    labels = [name or "no name" for name in names[: len(LOOKS)]]
    return [*labels[:-1], "others"] if len(names) > len(LOOKS) else labels


def _legend(figure: Figure, labels: list[str], columns: int) -> None:
    handles = [
        Line2D([], [], linestyle="", color=colour, marker=marker, label=label.replace("$", r"\$"))
        for label, (colour, marker) in zip(labels, LOOKS, strict=False)
    ]
    figure.legend(
        handles=handles, loc="lower center", frameon=False, ncols=columns, markerscale=0.8,
        handletextpad=0.2, columnspacing=1.2, borderpad=0.2,
    )  # fmt: skip
