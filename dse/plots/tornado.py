"""A tornado: what a metric gains and loses when one number after another changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dse.plots import style
from dse.plots.page import MARGIN, PLAIN, Page, key_height, noted, page_width
from dse.plots.words import parted, shortened, width

MOST = 18  # rows
LEAST = 0.01  # of the widest
LESS, MORE = "#0072B2", "#D55E00"
KEYS = ["to its smaller value", "to its larger value"]
LABEL = 6.8  # points
GAP = 0.12  # inches between a number's name and its values
REASON = 0.5  # inches right of zero, where a bar's absence is explained
FOOT = 0.43


def tornado(
    rows: pd.DataFrame, change: float, title: str, *, metric: str, facts: str = "",
    columns: int = 2,
) -> Figure:  # fmt: skip
    """Bars to either side, the widest first; each row says which values the number takes.

    Args:
      rows: of `dse.elasticity.swings`.
      change: of every number, such as 0.1, for the note.
      metric: what changes, in words.
    """
    wide = rows[["less", "more"]].abs().max(axis=1)
    shown = rows[wide > LEAST * wide.max()].head(MOST)
    names, values = zip(*(_said(row) for _, row in shown.iterrows()), strict=True)
    values_wide = max(width(text, LABEL) for text in values)
    names_wide = max(width(text, LABEL) for text in names)
    if columns == 1:  # one below the other
        names_wide = values_wide = min(max(names_wide, values_wide), 1.6)
        label, row_inches = names_wide, 0.3
    else:
        names_wide = min(names_wide, 1.5)
        label, row_inches = names_wide + GAP + values_wide, 0.23
    names = tuple(shortened(name, names_wide, LABEL) for name in names)
    note = (
        f"Numbers change by {100 * change:.0f}%, whole ones by at least 1, none beyond its limit; "
        f"the others stay. No bar: no change. {_left_out(rows, len(shown))}"
    )
    lines, foot = noted(note, columns)
    keys, left = key_height(KEYS, page_width(columns)), 2 * MARGIN + label
    body = keys + row_inches * len(shown) + FOOT + foot
    y = np.arange(len(shown))
    with style.style():
        page = Page(columns, body, title, facts)
        panel = page.width - left - 0.2
        axes = page.axes(left, keys, panel, row_inches * len(shown))
        # Narrow beside wide: where both changes push the same way, both stay visible.
        for side, built, colour, shift in (
            ("less", "below", LESS, -0.17), ("more", "above", MORE, 0.17),
        ):  # fmt: skip
            axes.barh(y + shift, 100.0 * shown[side], 0.34, color=colour)
            for at in y[(shown[built] == shown["value"]).to_numpy()]:
                axes.annotate("at its limit", (0.0, at + shift), (3, 0), va="center", size=6,
                              textcoords="offset points", color=colour,
                              bbox=PLAIN)  # fmt: skip
        low, high = axes.get_xlim()
        axes.set_xlim(low, max(high, -low * REASON / (panel - REASON)))
        axes.axvline(0.0, color=style.MUTED, linewidth=0.8)
        axes.set_yticks([])
        for at, (name, said) in enumerate(zip(names, values, strict=True)):
            places = [(-label, 0.0, name, style.INK), (-values_wide, 0.0, said, style.MUTED)]
            if columns == 1:
                places = [(-label, 4.2, name, style.INK), (-label, -4.2, said, style.MUTED)]
            for inches, raised, text, colour in places:
                axes.annotate(text, (0.0, at), (72 * inches - 5, raised), size=LABEL,
                              xycoords=("axes fraction", "data"), textcoords="offset points",
                              va="center", color=colour, parse_math=False)  # fmt: skip
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=7 if columns == 2 else 4)
        axes.set_xlabel(f"Change of {metric} (%)", parse_math=False)
        page.key([Patch(color=LESS), Patch(color=MORE)], KEYS, 0.0)
        page.note(lines)
    return page.figure


def _said(row: pd.Series) -> tuple[str, str]:
    """A number's name, and its value with the smaller and larger ones; a limit has none beyond."""
    name, unit = parted(str(row["parameter"]))
    value, below, above = (_number(float(row[x])) for x in ("value", "below", "above"))
    ends = " / ".join(end if end != value else "–" for end in (below, above))
    return name, f"{value} → {ends}{f' {unit}' if unit else ''}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _left_out(rows: pd.DataFrame, shown: int) -> str:
    return f"{shown} of {len(rows)} numbers, those that matter most." if shown < len(rows) else ""
