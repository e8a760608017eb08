"""A front in its pairs of objectives: a panel a pair, and below it each variant over the best."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from dse.front import OBJECTIVES, Objective, non_dominated
from dse.plots import style
from dse.plots.legend import Frame, Tables, outlined, prepared, thinned

PANEL_INCHES = {1: 1.65, 2: 2.2}  # height, by columns
STRIP = 0.4  # height of what is below, over the panel's
BESIDE = 3  # panels in a row over two columns
MARKERS = 6  # on each line
Step = tuple[NDArray[np.float64], NDArray[np.float64]]


def pairwise(
    tables: Tables,
    joint: pd.DataFrame,
    title: str = "Pareto front",
    budgets: str = "",
    objectives: tuple[Objective, ...] = OBJECTIVES,
    columns: int = 2,
) -> Figure:
    """A logarithmic panel for each pair of objectives: side by side over two columns of a page, or
    one above the other in one.

    A line is a variant's exact front in the panel's two objectives; faint points are its front in
    all; outlined points are on the joint front. Over two columns, up to three panels have a strip
    below that shows each line over the best of all variants.

    Args:
      tables: variant -> the designs of its own front in all objectives, with their columns.
      joint: the designs, with a `variant` column, on the front of all variants together, or
        `tables` in one where no more is known.

    Raises:
      InputError: nothing to draw, or fewer than two objectives.
    """
    tables, notes = prepared(tables, joint, objectives)
    every = [_axes_of(a, b) for a, b in itertools.combinations(objectives, 2)]
    pairs = sorted(every, key=lambda pair: pair[0].maximise)  # what is paid comes first
    beside = min(len(pairs), BESIDE) if columns == 2 else 1
    rows = -(-len(pairs) // beside)
    strips = columns == 2 and rows == 1 and len(tables) > 1
    frame = Frame(tables, title, budgets, f"{_meaning(tables, joint, strips)} {notes}", columns)
    inner = PANEL_INCHES[columns] * rows * (1 + STRIP * strips)
    with style.style():
        figure = frame.figure(inner)
        ratios = [1.0, STRIP] if strips else [1.0] * rows
        grid = figure.subplots(
            len(ratios), beside, squeeze=False, height_ratios=ratios,
            sharex="col" if strips else "none",
        )  # fmt: skip
        panels = list((grid[0] if strips else grid.ravel())[: len(pairs)])
        for axes, (x, y) in zip(panels, pairs, strict=True):
            _panel(axes, tables, joint, x, y)
        if strips:
            for axes, (x, y) in zip(grid[1], pairs, strict=True):
                _strip(axes, tables, x, y)
            for axes in panels:
                axes.set_xlabel("")  # the strip below has it
        for axes in grid.ravel():
            if not axes.has_data():
                axes.remove()
        frame.finish(figure, lines=True)
    return figure


def _axes_of(a: Objective, b: Objective) -> tuple[Objective, Objective]:
    """What goes across and up: what is paid across, else the first up."""
    return (a, b) if not a.maximise and b.maximise else (b, a)


def _meaning(tables: Tables, joint: pd.DataFrame, strips: bool) -> str:
    """What lines, points and strips are."""
    below = " Below: each line over the best of all." if strips else ""
    if sum(map(len, tables.values())) > len(joint):
        return (
            "Lines: each variant's front in the panel's two objectives. Faint points: its front in "
            f"all. Outlined points: on the joint front of all variants.{below}"
        )
    return (
        "Only designs of the joint front are drawn. Lines: the best of them in the panel's two "
        f"objectives, by variant.{below}"
    )


def _panel(axes: Any, tables: Tables, joint: pd.DataFrame, x: Objective, y: Objective) -> None:
    for name, axis, objective in (("x", axes.xaxis, x), ("y", axes.yaxis, y)):
        values = np.concatenate([table[objective.column] for table in tables.values()])
        low, high = style.log_limits(values)
        ticks = style.log_ticks(low, high, most=6 if name == "x" else 7)
        getattr(axes, f"set_{name}scale")("log")
        getattr(axes, f"set_{name}lim")(10**low, 10**high)
        getattr(axes, f"set_{name}ticks")(ticks, [style.engineering(tick) for tick in ticks])
        short = high - low < 7  # decades: beyond, minor ticks would only be a grey edge
        axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10))) if short else NullLocator())
        axis.set_minor_formatter(NullFormatter())
        getattr(axes, f"set_{name}label")(style.axis_label(objective))
    for name, table in tables.items():
        look, part = style.variant_style(name), thinned(table, y.column)
        axes.scatter(
            part[x.column], part[y.column], c=look.colour, s=3.0, marker=look.marker, alpha=0.13,
            linewidths=0, rasterized=True, zorder=2,
        )  # fmt: skip
    for name in tables:
        look, part = style.variant_style(name), outlined(joint, name, y.column)
        axes.scatter(
            part[x.column], part[y.column], c=look.colour, s=6, marker=look.marker,
            edgecolors=[style.darker(look.colour)], linewidths=0.35, rasterized=True, zorder=3,
        )  # fmt: skip
    for number, (name, table) in enumerate(tables.items()):
        look, (across, up) = style.variant_style(name), _line(table, x, y)
        # Staggered by variant: lines that lie close would hide each other's markers.
        phase = (number + 0.5) / len(tables)
        spread = (np.arange(MARKERS) + phase) / MARKERS * (len(across) - 1)
        axes.plot(
            across, up, drawstyle=_drawstyle(x), color=look.colour, linewidth=1.0,
            marker=look.marker, markersize=3.0, markeredgecolor="white", markeredgewidth=0.25,
            markevery=np.unique(spread.astype(int)).tolist(),
            zorder=4 if len(across) > 1 else 2.5,  # a lone marker would hide the outlined point
        )  # fmt: skip
    axes.set_title("better ↗" if x.maximise else "↖ better", loc="right" if x.maximise else "left",
                   color=style.MUTED, size=7.5, pad=3)  # fmt: skip


def _strip(axes: Any, tables: Tables, x: Objective, y: Objective) -> None:
    """Each variant's line over the best of all lines, where it reaches."""
    lines = {name: _line(table, x, y) for name, table in tables.items()}
    places = np.unique(np.concatenate([across for across, _ in lines.values()]))
    reached = {name: _reached(line, places, x, y) for name, line in lines.items()}
    best = np.nanmax(np.stack(list(reached.values())), axis=0)
    for name, values in reached.items():
        axes.plot(places, values / best, drawstyle=_drawstyle(x), linewidth=1.0,
                  color=style.variant_style(name).colour)  # fmt: skip
    axes.set_ylim(0.0, 1.06)
    axes.set_yticks([0.0, 0.5, 1.0])
    axes.set_ylabel("over best")
    axes.set_xlabel(style.axis_label(x))


def _reached(line: Step, places: NDArray[np.float64], x: Objective, y: Objective) -> Any:
    """What a line has at `places` [n], the larger the better; NaN where it has no design."""
    across, up = line
    goodness = up if y.maximise else 1.0 / up
    if x.maximise:  # at least so much: the line falls to the right
        at = np.searchsorted(across, places, side="left")
        return np.append(goodness, np.nan)[at]
    at = np.searchsorted(across, places, side="right")
    return np.append(np.nan, goodness)[at]


def _line(table: pd.DataFrame, x: Objective, y: Objective) -> Step:
    """The front of a table in two objectives, from left to right."""
    pair = table[[x.column, y.column]].to_numpy(np.float64)
    pair = pair[non_dominated(pair, maximise=(x.maximise, y.maximise))]
    pair = pair[np.argsort(pair[:, 0])]
    return pair[:, 0], pair[:, 1]


def _drawstyle(x: Objective) -> str:
    # Between two designs the better of those that are affordable holds: a step, not a slope.
    return "steps-pre" if x.maximise else "steps-post"
