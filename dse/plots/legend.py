"""What all figures of a front share: title, notes and legend around them, and what is thinned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dse.front import Objective
from dse.plots import style
from dse.plots.words import wrapped
from hwmodels.errors import InputError

POINTS_DRAWN = 4000  # of each variant: more would only darken the cloud
OUTLINED = 40  # of each variant's designs on the joint front: more would be one black mass
LINE_INCHES = 0.14  # one line of small text
TITLE_INCHES = 0.19
ENTRY_INCHES = 1.42  # of the legend
MARGIN_INCHES = 0.09

Tables = Mapping[str, pd.DataFrame]


def prepared(
    tables: Tables, joint: pd.DataFrame, objectives: tuple[Objective, ...]
) -> tuple[dict[str, pd.DataFrame], str]:
    """The tables that have designs, and remarks on what the figure does not show.

    Raises:
      InputError: no designs, or fewer than two objectives.
    """
    if len(objectives) < 2:
        raise InputError("objectives", len(objectives), "a figure of a front needs at least two")
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


def thinned(table: pd.DataFrame, by: str, most: int = POINTS_DRAWN) -> pd.DataFrame:
    """At most `most` rows, evenly along the order of one column."""
    if len(table) <= most:
        return table
    order = np.argsort(table[by].to_numpy(), kind="stable")
    return table.iloc[order[np.linspace(0, len(table) - 1, most).astype(int)]]


def outlined(joint: pd.DataFrame, variant: str, by: str) -> pd.DataFrame:
    """Of a variant's designs on the joint front, those that are outlined."""
    return thinned(joint[joint["variant"] == variant], by, OUTLINED)


@dataclass(frozen=True)
class Frame:
    """Title and budgets above a figure, legend and notes below it, each line as wide as it may."""

    tables: Tables
    title: str
    budgets: str
    notes: str
    columns: int
    width: float = 0.0  # inches; that of the columns, unless it is given

    @property
    def inches(self) -> float:
        """Width of the figure."""
        return self.width or (
            style.TWO_COLUMN_INCHES if self.columns == 2 else style.ONE_COLUMN_INCHES
        )

    @property
    def _lines(self) -> tuple[list[str], list[str], list[str]]:
        room = self.inches - 2 * MARGIN_INCHES
        return (
            wrapped(self.title, room, 9.5, bold=True), wrapped(self.budgets, room, 7),
            wrapped(self.notes, room, 7),
        )  # fmt: skip

    @property
    def _beside(self) -> int:
        """Entries of the legend in a row."""
        return max(min(int(self.inches / ENTRY_INCHES), len(self.tables) + 1), 1)

    @property
    def below(self) -> float:
        """Inches below the panels."""
        rows = -(-(len(self.tables) + 1) // self._beside)
        return 0.14 + 0.165 * rows + LINE_INCHES * len(self._lines[2])

    def figure(self, inner: float, constrained: bool = True) -> Figure:
        """An empty figure with `inner` inches of height for its panels."""
        title, budgets, _ = self._lines
        below = self.below
        height = inner + 0.1 + TITLE_INCHES * len(title) + LINE_INCHES * len(budgets) + below
        figure = Figure(
            figsize=(self.inches, height), layout="constrained" if constrained else None
        )
        if constrained:
            engine: Any = figure.get_layout_engine()
            engine.set(rect=(0, below / height, 1, inner / height), w_pad=0.05, h_pad=0.02)
        return figure

    def finish(self, figure: Figure, lines: bool) -> None:
        """Write the texts and the legend, of `lines` with markers or markers alone; settle the
        layout."""
        title, budgets, notes = self._lines
        height = figure.get_size_inches()[1]
        left = MARGIN_INCHES / self.inches
        texts: tuple[tuple[list[str], float, str, dict[str, Any]], ...] = (
            (title, 1 - 0.07 / height, "top", {"size": 9.5, "weight": "bold"}),
            (budgets, 1 - (0.07 + TITLE_INCHES * len(title)) / height, "top",
             {"size": 7, "color": style.MUTED}),
            (notes, 0.05 / height, "bottom", {"size": 7, "color": style.MUTED}),
        )  # fmt: skip
        for said, y, side, how in texts:
            figure.text(left, y, "\n".join(said), va=side, parse_math=False, **how)
        self._legend(figure, (0.09 + LINE_INCHES * len(notes)) / height, lines)
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # settled: do not repeat it for each format
            for axes in figure.axes:
                # The solver's last digits differ from run to run, and name clips in an SVG.
                x, y, wide, high = (round(value, 6) for value in axes.get_position().bounds)
                axes.set_position((x, y, wide, high))

    def _legend(self, figure: Figure, bottom: float, lines: bool) -> None:
        handles = []
        for name in self.tables:
            look = style.variant_style(name)
            handles.append(
                Line2D([], [], color=look.colour, marker=look.marker, markersize=4, linewidth=1.0,
                       linestyle="-" if lines else "", label=look.label)
            )  # fmt: skip
        ring = Line2D([], [], linestyle="", marker="o", markersize=4.5, label="on the joint front")
        ring.set(markerfacecolor="#bbbbbb", markeredgecolor=style.INK)
        legend = figure.legend(
            handles=[*handles, ring], loc="lower center", bbox_to_anchor=(0.5, bottom),
            frameon=False, ncols=self._beside, columnspacing=1.2, handlelength=1.6, borderpad=0,
            fontsize=7, labelspacing=0.35,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
