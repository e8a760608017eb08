"""Parallel coordinates: a line a design through its objectives and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dse.front import Objective
from dse.plots import style
from hwmodels.errors import InputError

DRAWN = 400  # lines: more would only darken the picture
AXES = 11
WIDE = 5.0  # an axis whose values differ by more is logarithmic
_NOT_AXES = ("design", "chips_80", "throughput_without_launch_per_s", "utilization")


def parallel(
    table: pd.DataFrame, objectives: Sequence[Objective], title: str = "Pareto front"
) -> Figure:
    """Axes for the objectives and for what all designs have, objectives first.

    Args:
      table: a row a design, with a `variant` column; drawn evenly thinned.

    Raises:
      InputError: fewer than two axes.
    """
    names = [o.column for o in objectives]
    names += [c for c in table if c not in (*names, *_NOT_AXES) and _varies(table[c])]
    names = names[:AXES]
    if len(names) < 2 or not len(table):
        raise InputError("front", f"{len(table)} designs", "a figure needs some, and two axes")
    order = np.argsort(table[names[0]].to_numpy(), kind="stable")
    shown = table.iloc[order[np.linspace(0, len(table) - 1, min(len(table), DRAWN)).astype(int)]]
    labels = {o.column: f"{o.label}\n({o.unit})" for o in objectives}
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 3.4))
        axes = figure.add_axes((0.05, 0.15, 0.9, 0.55))
        scaled = np.stack([_scaled(table[name], shown[name]) for name in names], axis=1)
        lines = np.stack([np.broadcast_to(np.arange(len(names)), scaled.shape), scaled], axis=2)
        colours = [style.variant_style(name).colour for name in shown["variant"]]
        axes.add_collection(
            LineCollection(list(lines), colors=colours, linewidths=0.5, alpha=0.35, rasterized=True)
        )
        for at, name in enumerate(names):
            axes.axvline(at, color=style.MUTED, lw=0.6)
            low, high = float(table[name].min()), float(table[name].max())
            for y, value, side in ((-0.03, low, "top"), (1.03, high, "bottom")):
                axes.text(at, y, style.engineering(float(f"{value:.3g}")), ha="center", va=side,
                          size=6)  # fmt: skip
        axes.set_xlim(0, len(names) - 1)
        axes.set_ylim(0, 1)
        axes.axis("off")
        for at, name in enumerate(names):
            raised = 1.13 if at % 2 else 1.27
            axes.text(at, raised, labels.get(name, _broken(name)), ha="center", va="center", size=6)
        figure.text(0.012, 0.985, title, va="top", size=9.5, weight="bold")
        handles: list[Any] = [
            Line2D([], [], color=style.variant_style(v).colour, label=style.variant_style(v).label)
            for v in dict.fromkeys(shown["variant"])
        ]
        figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False,
                      fontsize=7, columnspacing=1.2)  # fmt: skip
    return figure


def _varies(values: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(values)
    return bool(numeric and values.notna().all() and values.max() > values.min())


def _scaled(every: pd.Series, values: pd.Series) -> np.ndarray:
    """Places between 0 and 1, in logarithms where the values are far apart."""
    low, high = float(every.min()), float(every.max())
    if low == high:
        return np.full(len(values), 0.5)
    numbers = values.to_numpy(np.float64)
    if low > 0 and high / low > WIDE:
        return np.log(numbers / low) / np.log(high / low)
    return (numbers - low) / (high - low)


def _broken(name: str) -> str:
    """A long name on two lines."""
    head, _, tail = name.rpartition("_")
    return f"{head}\n{tail}" if len(name) > 12 and head else name
