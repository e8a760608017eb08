"""The figure of the ablation: steps in order, means over all orders, interactions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dse.plots import style

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
MARKS = {"throughput": ("#0072B2", "o", -0.14), "energy": ("#D55E00", "s", 0.14)}


def ablation_figure(effects: pd.DataFrame, pairs: pd.DataFrame, measures: dict[str, str]) -> Figure:
    """Steps of both measures above; below, each factor's mean and range, and the pairs.

    Args:
      effects: a row a factor, as the table `factors`.
      pairs: interactions in throughput, as factors, of the switches.
      measures: name and unit of the two.
    """
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 4.9), layout="constrained")
        (a, b), (c, d) = figure.subplots(2, 2, height_ratios=(1, 1.45))
        for axes, letter, (measure, unit) in zip((a, b), "ab", measures.items(), strict=True):
            _steps(axes, effects, measure, unit)
            axes.set_title(f"({letter}) {unit}, switched on in order", loc="left")
        _means(c, effects, measures)
        _pairs(d, pairs)
    return figure


def _steps(axes: Axes, effects: pd.DataFrame, measure: str, unit: str) -> None:
    steps = effects[f"{measure}_in_order"].to_numpy()
    ends = np.cumprod(steps)
    starts = np.concatenate([[1.0], ends[:-1]])
    axes.axvline(1.0, color=style.MUTED, lw=0.6)
    for y, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
        axes.barh(y, end - start, left=start, color=COLOURS[y], height=0.62)
        axes.plot([end, end], [y - 0.31, y + 1.31 if y + 1 < len(steps) else y + 0.31],
                  color=style.INK, lw=0.7)  # fmt: skip
        axes.annotate(
            f"{step:.3g}×", (max(start, end), y), (4, 0), textcoords="offset points",
            va="center", size=6.5,
        )  # fmt: skip
    _log_axis(axes, np.array([1.0, *ends]), room=0.16)
    axes.set_xlabel(f"{unit}, relative to the plain chip")
    _names(axes, effects["factor"])


def _means(axes: Axes, effects: pd.DataFrame, measures: dict[str, str]) -> None:
    """A dot is the mean over all orders, a line reaches from the least to the most."""
    axes.axvline(1.0, color=style.MUTED, lw=0.6)
    ys = np.arange(len(effects))
    for measure, unit in measures.items():
        colour, marker, away = MARKS[measure]
        low, high = (effects[f"{measure}_{end}"].to_numpy() for end in ("least", "most"))
        axes.hlines(ys + away, low, high, color=colour, lw=1.4, alpha=0.45)
        means = effects[f"{measure}_shapley"]
        axes.plot(means, ys + away, marker, color=colour, ms=4, label=unit)
    ends = effects[[f"{m}_{e}" for m in measures for e in ("least", "most")]].to_numpy()
    _log_axis(axes, ends.ravel())
    axes.set_xlabel("factor of improvement")
    axes.set_title("(c) mean over all orders, and range", loc="left")
    axes.legend(loc="lower right", frameon=False, fontsize=7, handletextpad=0.2)
    _names(axes, effects["factor"])


def _pairs(axes: Axes, pairs: pd.DataFrame) -> None:
    """The lower triangle of the interactions."""
    logs, count = np.log2(pairs.to_numpy()), len(pairs)
    shown = np.ma.masked_where(~np.tri(count, k=-1, dtype=bool), logs)
    largest = max(np.abs(logs).max(), 0.1)
    axes.imshow(shown[1:, :-1], cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
    for i in range(1, count):
        for j in range(i):
            dark = abs(logs[i, j]) > 0.6 * largest
            axes.text(
                j, i - 1, f"{pairs.iloc[i, j]:.2g}×", ha="center", va="center", size=6.5,
                color="white" if dark else style.INK,
            )  # fmt: skip
    axes.set_xticks(range(count - 1), pairs.index[:-1], rotation=35, ha="right",
                    rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(range(count - 1), pairs.index[1:])
    axes.set_xlabel("memory: capacity, on-chip and off-chip bandwidth", color=style.MUTED, size=7)
    axes.tick_params(length=0)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title("(d) samples/s: two together over one by one", loc="left")


def _names(axes: Axes, names: pd.Series) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")


def _log_axis(axes: Axes, values: np.ndarray, room: float = 0.0) -> None:
    """`room`: share of the width that stays free at the right, for numbers."""
    low, high = style.log_limits(values)
    high += room * (high - low)
    axes.set_xscale("log")
    axes.set_xlim(10**low, 10**high)
    axes.xaxis.set_major_locator(FixedLocator(list(style.log_ticks(low, high))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.engineering(value)))
