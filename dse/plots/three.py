"""A front of three objectives, or of the first three, in three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.front import OBJECTIVES, Objective
from dse.plots import style
from dse.plots.legend import Frame, Tables, outlined, prepared, thinned
from hwmodels.errors import InputError

INCHES = {1: 2.8, 2: 4.3}  # height of the axes, by columns
ABOVE_LEGEND = {1: 0.12, 2: 0.3}
WIDTH = {1: style.ONE_COLUMN_INCHES, 2: 5.6}


def three_dimensional(
    tables: Tables,
    joint: pd.DataFrame,
    title: str = "Pareto front",
    budgets: str = "",
    objectives: tuple[Objective, ...] = OBJECTIVES,
    columns: int = 2,
) -> Figure:
    """The designs of `dse.plots.projections.pairwise` in log10 coordinates, the first objective up;
    grey shadows lie on the floor. `InputError` for nothing to draw, or fewer than three objectives.
    """
    if len(objectives) < 3:
        raise InputError("objectives", len(objectives), "a figure in space needs three")
    tables, notes = prepared(tables, joint, objectives)
    up, *floor_axes = objectives[:3]
    order = (*floor_axes, up)
    own = sum(map(len, tables.values())) > len(joint)
    points = "Faint points: each variant's front. Outlined: on the joint front of all variants."
    meaning = points if own else "Points: designs of the joint front."
    notes = f"{meaning} Grey: shadows on the floor. {notes}"
    frame = Frame(tables, title, budgets, notes, columns, WIDTH[columns])
    with style.style():
        figure = frame.figure(INCHES[columns], constrained=False)
        height = figure.get_size_inches()[1]
        axes: Any = figure.add_axes(
            (0.0, (frame.below + ABOVE_LEGEND[columns]) / height, 0.97, INCHES[columns] / height),
            projection="3d",
            computed_zorder=False,
        )
        for objective, name in zip(order, "xyz", strict=True):
            _axis(axes, name, objective, tables, most=6 if columns == 2 else 4)
        floor = axes.get_zlim()[0]
        for name, table in tables.items():
            part, look = thinned(table, up.column), style.variant_style(name)
            x, y, z = (np.log10(part[o.column]) for o in order)
            common = {"depthshade": False, "rasterized": True, "linewidths": 0}
            axes.scatter(x, y, floor, c="#bbbbbb", s=2, alpha=0.35, zorder=1, **common)
            axes.scatter(
                x, y, z, c=look.colour, s=3.5, alpha=0.22, marker=look.marker, zorder=2, **common
            )
        for name in tables:
            part, look = outlined(joint, name, up.column), style.variant_style(name)
            x, y, z = (np.log10(part[o.column]) for o in order)
            axes.scatter(
                x, y, z, c=look.colour, s=13, marker=look.marker, linewidths=0.5,
                edgecolors=[style.darker(look.colour)], depthshade=False, rasterized=True, zorder=3,
            )  # fmt: skip
        axes.tick_params(pad=1, labelsize=7 if columns == 2 else 6)
        axes.view_init(elev=22, azim=-58)
        axes.set_box_aspect((1.1, 1.1, 0.9), zoom=1.0 if columns == 2 else 0.95)
        frame.finish(figure, lines=False)
    return figure


def _axis(axes: Any, name: str, objective: Objective, tables: Tables, most: int) -> None:
    values = np.concatenate([table[objective.column] for table in tables.values()])
    low, high = style.log_limits(values)
    ticks = style.log_ticks(low, high, most=most)
    getattr(axes, f"set_{name}lim")(low, high)
    getattr(axes, f"set_{name}ticks")(np.log10(ticks), [style.engineering(tick) for tick in ticks])
    getattr(axes, f"set_{name}label")(style.axis_label(objective), labelpad=4 if most > 4 else 0)
    axis = getattr(axes, f"{name}axis")
    axis.set_pane_color((0.97, 0.97, 0.97))
    axis._axinfo["grid"].update(color=style.GRID, linewidth=0.5)
