"""Fronts as pictures: three pairwise panels, and the front in three dimensions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from dse.explorer import MOST as MOST_EXPLORED
from dse.explorer import write_explorer
from dse.front import OBJECTIVES, THROUGHPUT, Objective, non_dominated
from dse.plots import style
from dse.plots.parallel import parallel
from hwmodels.errors import InputError, check_choice

POINTS_DRAWN = 4000  # of each variant: more would only darken the cloud
OUTLINED = 200  # of each variant's designs on the joint front: more would hide the cloud
_LINE_INCHES = 0.165  # one line of small text

Tables = Mapping[str, pd.DataFrame]
Objectives = tuple[Objective, ...]  # throughput, power, scalability


def pairwise(
    tables: Tables,
    joint: pd.DataFrame,
    title: str = "Pareto front",
    budgets: str = "",
    objectives: Objectives = OBJECTIVES,
    columns: int = 2,
) -> Figure:
    """Three panels, one for each pair of objectives, logarithmic: side by side over two columns
    of a page, or one above the other in one.

    `tables`: variant -> the designs of its own three-objective front, with the objective columns;
    `joint`: the designs, with a `variant` column, on the front of all variants together. A line is
    a variant's exact front in the panel's two objectives; faint points are its three-objective
    front; outlined points are on the joint front. `InputError` if there is nothing to draw.
    """
    tables, notes = _prepare(tables, joint)
    meaning = (
        "Lines: each variant's front in the panel's two objectives (all designs). Faint points: "
        "its front in all three. Outlined points: on the joint front of all variants. "
    )
    beside, letters, grid = (5, 120, (1, 3)) if columns == 2 else (2, 56, (3, 1))
    rows = _legend_rows(tables, beside)
    head, foot = textwrap.wrap(budgets, letters), textwrap.wrap(meaning + notes, letters)
    top, bottom = 0.32 + _LINE_INCHES * len(head), 0.16 + 0.18 * rows + _LINE_INCHES * len(foot)
    width = style.TWO_COLUMN_INCHES if columns == 2 else style.ONE_COLUMN_INCHES
    height = 2.35 * grid[0] + top + bottom
    with style.style():
        figure = Figure(figsize=(width, height), layout="constrained")
        engine: Any = figure.get_layout_engine()
        engine.set(
            rect=(0, bottom / height, 1, (height - top - bottom) / height), w_pad=0.06, h_pad=0.02
        )
        throughput, power, scalability = objectives
        panels = (power, throughput), (power, scalability), (scalability, throughput)  # x, y
        for axes, (x, y) in zip(figure.subplots(*grid), panels, strict=True):
            _panel(axes, tables, joint, x, y)
        figure.text(0.012, 1 - 0.08 / height, title, va="top", size=9.5, weight="bold")
        figure.text(0.012, 1 - 0.27 / height, "\n".join(head), va="top", size=7, color=style.MUTED)
        figure.text(0.012, 0.06 / height, "\n".join(foot), va="bottom", size=7, color=style.MUTED)
        _legend(figure, tables, (0.11 + _LINE_INCHES * len(foot)) / height, beside)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout is settled: do not repeat it for each format
    return figure


def three_dimensional(
    tables: Tables,
    joint: pd.DataFrame,
    title: str = "Pareto front",
    budgets: str = "",
    objectives: Objectives = OBJECTIVES,
) -> Figure:
    """The same designs in three dimensions, log10 coordinates; grey shadows lie on the floor."""
    tables, notes = _prepare(tables, joint)
    meaning = (
        "Faint points: each variant's front. Outlined: on the joint front of all variants. Grey: "
        "shadows on the floor. "
    )
    rows = _legend_rows(tables, 3)
    head, foot = textwrap.wrap(budgets, 93), textwrap.wrap(meaning + notes, 93)
    top, bottom = 0.3 + _LINE_INCHES * len(head), 0.16 + 0.18 * rows + _LINE_INCHES * len(foot)
    width, height = 5.6, 4.2 + top + bottom
    with style.style():
        figure = Figure(figsize=(width, height))
        axes: Any = figure.add_axes(
            (0.0, (bottom + 0.32) / height, 0.97, 4.2 / height),
            projection="3d",
            computed_zorder=False,
        )
        throughput, power, scalability = objectives
        order = (power, scalability, throughput)
        for objective, name in zip(order, "xyz", strict=True):
            values = np.concatenate([t[objective.column] for t in tables.values()])
            low, high = style.log_limits(values)
            ticks = style.log_ticks(low, high, most=6)
            getattr(axes, f"set_{name}lim")(low, high)
            getattr(axes, f"set_{name}ticks")(
                np.log10(ticks), [style.engineering(tick) for tick in ticks]
            )
            getattr(axes, f"set_{name}label")(axis_label(objective), labelpad=4)
            axis = getattr(axes, f"{name}axis")
            axis.set_pane_color((0.97, 0.97, 0.97))
            axis._axinfo["grid"].update(color=style.GRID, linewidth=0.5)
        floor = axes.get_zlim()[0]
        for name, table in tables.items():
            x, y, z = (np.log10(_thinned(table, POINTS_DRAWN)[o.column]) for o in order)
            common = {"depthshade": False, "rasterized": True, "linewidths": 0}
            axes.scatter(x, y, floor, c="#bbbbbb", s=2, alpha=0.35, zorder=1, **common)
            look = style.variant_style(name)
            axes.scatter(
                x, y, z, c=look.colour, s=5, alpha=0.3, marker=look.marker, zorder=2, **common
            )
        for name in tables:
            part = _outlined(joint, name)
            x, y, z = (np.log10(part[o.column]) for o in order)
            look = style.variant_style(name)
            axes.scatter(
                x, y, z, c=look.colour, s=13, marker=look.marker, linewidths=0.5,
                edgecolors=[style.darker(look.colour)], depthshade=False, rasterized=True, zorder=3,
            )  # fmt: skip
        axes.tick_params(pad=1)
        axes.view_init(elev=22, azim=-58)
        axes.set_box_aspect((1.1, 1.1, 0.9), zoom=1.0)
        figure.text(0.016, 1 - 0.08 / height, title, va="top", size=9.5, weight="bold")
        figure.text(0.016, 1 - 0.27 / height, "\n".join(head), va="top", size=7, color=style.MUTED)
        figure.text(0.016, 0.06 / height, "\n".join(foot), va="bottom", size=7, color=style.MUTED)
        _legend(figure, tables, (0.1 + _LINE_INCHES * len(foot)) / height, 3)
    return figure


def draw_front(
    tables: Tables,
    joint: pd.DataFrame,
    folder: str | Path,
    stem: str = "front",
    title: str = "Pareto front",
    budgets: str = "",
    objectives: Objectives = OBJECTIVES,
) -> list[Path]:
    """Write `stem`_pairwise and `stem`_3d as PNG, SVG and PDF, and the explorer `stem`.html of
    `tables`, into an existing folder."""
    figures = {
        "pairwise": pairwise(tables, joint, title, budgets, objectives),
        "3d": three_dimensional(tables, joint, title, budgets, objectives),
    }
    every = pd.concat(tables.values(), ignore_index=True)
    page = write_explorer(
        Path(folder) / f"{stem}.html", _thinned(every, MOST_EXPLORED), objectives, title
    )
    return [page] + [
        path
        for name, figure in figures.items()
        for path in style.save(figure, Path(folder) / f"{stem}_{name}")
    ]


def draw(
    tables: Tables,
    joint: pd.DataFrame,
    path: str | Path,
    title: str,
    budgets: str = "",
    objectives: Objectives = OBJECTIVES,
) -> list[Path]:
    """Draw into a folder (made if missing), parallel coordinates too, or, for a file name, the
    pairwise panels alone."""
    path = Path(path)
    if not path.suffix:
        path.mkdir(parents=True, exist_ok=True)
        lines = style.save(parallel(joint, objectives, title), path / "front_parallel")
        return lines + draw_front(
            tables, joint, path, title=title, budgets=budgets, objectives=objectives
        )
    check_choice("figure format", path.suffix[1:], style.FORMATS)
    figure = pairwise(tables, joint, title, budgets, objectives)
    return style.save(figure, path.with_suffix(""), (path.suffix[1:],))


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
        getattr(axes, f"set_{name}label")(axis_label(objective))
    for name, table in tables.items():
        look, part = style.variant_style(name), _thinned(table, POINTS_DRAWN)
        axes.scatter(
            part[x.column], part[y.column], c=look.colour, s=3.5, marker=look.marker, alpha=0.16,
            linewidths=0, rasterized=True, zorder=2,
        )  # fmt: skip
    for name in tables:
        look, part = style.variant_style(name), _outlined(joint, name)
        axes.scatter(
            part[x.column], part[y.column], c=look.colour, s=7, marker=look.marker,
            edgecolors=[style.darker(look.colour)],
            linewidths=0.4, rasterized=True, zorder=3,
        )  # fmt: skip
    for name, table in tables.items():
        pair = table[[x.column, y.column]].to_numpy(np.float64)
        pair = pair[non_dominated(pair, maximise=(x.maximise, y.maximise))]
        pair = pair[np.argsort(pair[:, 0])]
        look = style.variant_style(name)
        # Between two designs the better of those that are affordable holds: a step, not a slope.
        casing = [Stroke(linewidth=2.8, foreground="white"), Normal()]  # apart from its own cloud
        axes.plot(
            pair[:, 0], pair[:, 1], drawstyle="steps-pre" if x.maximise else "steps-post",
            color=look.colour, linewidth=1.4, path_effects=casing,
            marker=look.marker, markersize=3.2,
            markevery=np.unique(np.linspace(0, len(pair) - 1, 6).astype(int)).tolist(),
            zorder=4 if len(pair) > 1 else 2.5,  # a lone marker would hide the outlined point
        )  # fmt: skip
    axes.set_title("better ↗" if x.maximise else "↖ better", loc="right" if x.maximise else "left",
                   color=style.MUTED, size=7.5, pad=3)  # fmt: skip


def _prepare(tables: Tables, joint: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], str]:
    """The tables that have designs, and remarks on what the figure does not show."""
    full = {name: table for name, table in tables.items() if len(table)}
    if not full:
        raise InputError("front", "0 designs", "a figure needs at least one")
    remarks = []
    if len(full) < len(tables):
        remarks.append(f"No designs: {', '.join(n for n in tables if n not in full)}.")
    many = ", ".join(f"{n} {len(t):,}" for n, t in full.items() if len(t) > POINTS_DRAWN)
    if many:
        remarks.append(f"Faint points thinned evenly to {POINTS_DRAWN:,} a variant, of: {many}.")
    if (joint["variant"].value_counts() > OUTLINED).any():
        remarks.append(f"Outlined: {OUTLINED} a variant at most, of {len(joint):,} in total.")
    return full, " ".join(remarks)


def _thinned(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows, evenly along the order of throughput."""
    if len(table) <= most:
        return table
    order = np.argsort(table[THROUGHPUT.column].to_numpy(), kind="stable")
    return table.iloc[order[np.linspace(0, len(table) - 1, most).astype(int)]]


def _outlined(joint: pd.DataFrame, variant: str) -> pd.DataFrame:
    return _thinned(joint[joint["variant"] == variant], OUTLINED)


def _legend_rows(tables: Tables, columns: int) -> int:
    return -(-(len(tables) + 1) // columns)


def _legend(figure: Figure, tables: Tables, bottom: float, columns: int) -> None:
    handles = []
    for name in tables:
        look = style.variant_style(name)
        handles.append(
            Line2D([], [], color=look.colour, marker=look.marker, markersize=4, label=look.label)
        )
    ring = Line2D([], [], linestyle="", marker="o", markersize=4.5, label="on the joint front")
    ring.set(markerfacecolor="#bbbbbb", markeredgecolor=style.INK)
    figure.legend(
        handles=[*handles, ring], loc="lower center", bbox_to_anchor=(0.5, bottom), frameon=False,
        ncols=min(columns, len(handles) + 1), columnspacing=1.4, handlelength=1.8, borderpad=0,
    )  # fmt: skip


def axis_label(objective: Objective) -> str:
    return f"{objective.label} ({objective.unit})"
