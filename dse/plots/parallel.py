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
from dse.plots.legend import thinned
from dse.plots.page import Page, key_height, noted, page_width
from dse.plots.words import parted, width, wrapped
from hwmodels.errors import InputError

DRAWN = 400  # lines: more would only darken the picture
AXES = {1: 5, 2: 10}  # by columns of the page: as many as have room for their names
WIDE = 5.0  # an axis whose values differ by more is logarithmic
LABEL, NUMBER = 6.5, 6.5  # points
TALL = {1: 2.0, 2: 2.2}  # inches of the axes
_NOT_AXES = ("design", "chips_80", "throughput_without_launch_per_s", "utilization")


def parallel(
    table: pd.DataFrame, objectives: Sequence[Objective], title: str = "Pareto front",
    columns: int = 2,
) -> Figure:  # fmt: skip
    """Axes for the objectives and for what all designs have, objectives first.

    Args:
      table: the joint front, a row a design, with a `variant` column; drawn evenly thinned.

    Raises:
      InputError: fewer than two axes.
    """
    names = [o.column for o in objectives]
    others = [c for c in table if c not in (*names, *_NOT_AXES) and _varies(table[c])]
    left_out = max(len(names) + len(others) - AXES[columns], 0)
    names = [*names, *others][: AXES[columns]]
    if len(names) < 2 or not len(table):
        raise InputError("front", f"{len(table)} designs", "a figure needs some, and two axes")
    shown = thinned(table.sort_values(names[0], kind="stable"), names[0], DRAWN)
    known = {o.column: (o.label, o.unit) for o in objectives}
    better = {o.column: "↑" if o.maximise else "↓" for o in objectives}
    looks = [style.variant_style(name) for name in dict.fromkeys(shown["variant"])]
    keys = [look.label for look in looks]
    lines, foot = noted(_note(len(table), len(shown), left_out), columns)
    side = 0.42
    step = (page_width(columns) - 2 * side) / (len(names) - 1)
    labels = []
    for at, name in enumerate(names):
        words, unit = known.get(name) or parted(name)
        told = f"{words} ({unit})" if unit else words
        told += f"\N{NO-BREAK SPACE}{better[name]}" if name in better else ""
        # Names alternate between two heights, so each has the room of two.
        room = 2 * step - 0.08 if 0 < at < len(names) - 1 else step + side - 0.1
        labels.append(wrapped(f"{told[:1].upper()}{told[1:]}", room, LABEL))
    lower, upper = (0.115 * max(map(len, labels[i::2])) for i in (0, 1))
    raised = (0.16, 0.16 + lower + 0.03)  # inches above the axes
    head, key = raised[1] + upper + 0.03, key_height(keys, page_width(columns))
    body = key + head + TALL[columns] + 0.42 + foot
    with style.style():
        page = Page(columns, body, title)
        axes = page.axes(side, key + head, page.width - 2 * side, TALL[columns])
        logarithmic = [_far(table[name]) for name in names]
        scaled = np.stack([_scaled(table[name], shown[name]) for name in names], axis=1)
        points = np.stack([np.broadcast_to(np.arange(len(names)), scaled.shape), scaled], axis=2)
        colours = [style.variant_style(name).colour for name in shown["variant"]]
        axes.add_collection(
            LineCollection(list(points), colors=colours, linewidths=0.5, alpha=0.35,
                           rasterized=True)
        )  # fmt: skip
        common: dict[str, Any] = {"textcoords": "offset points", "ha": "center"}
        for at, (name, far) in enumerate(zip(names, logarithmic, strict=True)):
            axes.axvline(at, color=style.MUTED, lw=0.6)
            low, high = (style.engineering(float(f"{v:.3g}"))
                         for v in (table[name].min(), table[name].max()))  # fmt: skip
            axes.annotate(low, (at, 0), (0, -3), va="top", size=NUMBER, **common)
            axes.annotate(high, (at, 1), (0, 3), va="bottom", size=NUMBER, **common)
            axes.annotate("log" if far else "linear", (at, 0), (0, -12), va="top", size=6,
                          style="italic", color=style.MUTED, **common)  # fmt: skip
            axes.annotate("\n".join(labels[at]), (at, 1), (_inward(labels[at], at, len(names)),
                          72 * raised[at % 2]), va="bottom", size=LABEL, parse_math=False,
                          **common)  # fmt: skip
            if at % 2:
                axes.annotate("", (at, 1), (0, 72 * raised[1]), textcoords="offset points",
                              arrowprops={"arrowstyle": "-", "lw": 0.4, "color": style.GRID,
                                          "shrinkA": 0, "shrinkB": 10})  # fmt: skip
        axes.set_xlim(0, len(names) - 1)
        axes.set_ylim(0, 1)
        axes.axis("off")
        page.key([Line2D([], [], color=look.colour) for look in looks], keys, 0.0)
        page.note(lines)
    return page.figure


def _note(designs: int, drawn: int, left_out: int) -> str:
    """What the lines are."""
    thinned = f", {drawn} of them drawn, evenly along the first axis" if drawn < designs else ""
    more = f" {left_out} further numbers are in the table." if left_out else ""
    return (
        f"A line is a design on the joint front of all variants: {designs:,} designs{thinned}. "
        f"Arrows: towards better.{more}"
    )


def _inward(lines: Sequence[str], at: int, count: int) -> float:
    """How far a label of the first or last axis moves so that the page holds it [points]."""
    beyond = max(0.0, 72 * (max(width(line, LABEL) for line in lines) / 2 - 0.36))
    return beyond if at == 0 else -beyond if at == count - 1 else 0.0


def _varies(values: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(values)
    return bool(numeric and values.notna().all() and values.max() > values.min())


def _far(every: pd.Series) -> bool:
    """Values so far apart that their logarithms are drawn."""
    return bool(every.min() > 0 and every.max() / every.min() > WIDE)


def _scaled(every: pd.Series, values: pd.Series) -> np.ndarray:
    """Places between 0 and 1."""
    low, high = float(every.min()), float(every.max())
    if low == high:
        return np.full(len(values), 0.5)
    numbers = values.to_numpy(np.float64)
    if _far(every):
        return np.log(numbers / low) / np.log(high / low)
    return (numbers - low) / (high - low)
