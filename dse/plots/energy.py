"""Energy of a step by operation and part: one stacked bar an operation, the largest first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.amounts import amounts
from dse.breakdown import Breakdown, energy_by_part
from dse.grouping import gathered, phased
from dse.plots import style
from dse.plots.page import MARGIN, PLAIN, Page, key_height, noted, page_width
from dse.plots.words import measured, part, shortened, typeset, width

SHOWN = 12
LEAST = 0.001  # of the step: operations, and parts, below are not told apart
LABEL, SHARE = 6.6, 6.5  # points
ROW_INCHES, FOOT = 0.215, 0.43
# Okabe and Ito's set for the parts that most variants have; others take the rest, hatched.
COLOURS = {
    "mac": "#0072B2", "register": "#56B4E9", "local": "#009E73", "vector": "#CC79A7",
    "buffer": "#E69F00", "dram": "#D55E00", "static": "#999999", "other": "#333333",
}  # fmt: skip
FURTHER = (("#F0E442", ""), ("#009E73", "////"), ("#56B4E9", "////"), ("#E69F00", "////"))


def energy_bars(found: Breakdown, title: str = "", columns: int = 2) -> Figure:
    """Joules by part for the `SHOWN` largest operations, and for all others together."""
    parts = energy_by_part(found)
    parts = parts[[*[p for p in COLOURS if p in parts and p != "static"],
                   *[p for p in parts if p not in COLOURS], "static"]]  # fmt: skip
    step = float(parts.sum(axis=None))
    small = parts.columns[parts.sum() < LEAST * step]
    parts = parts.drop(columns=small).assign(other=parts[small].sum(axis=1))
    parts = parts.loc[:, parts.sum() > 0]
    table = pd.concat(
        [found.table[["operation", "phase", "count"]], parts.assign(size=parts.sum(axis=1))], axis=1
    )
    table = table[table["size"] > 0]
    told = int((gathered(table, "size", len(table))["size"] >= LEAST * step).sum())
    rows = gathered(table, "size", min(max(told, 1), SHOWN))
    values = rows[list(parts)].to_numpy(np.float64)
    wide = page_width(columns)
    size, share = (LABEL, 0.42) if columns == 2 else (LABEL - 0.4, 0.54)
    labels = [shortened(phased(row, columns == 1), share * wide, size)
              for _, row in rows.iterrows()]  # fmt: skip
    left = max(width(label, size) for label in labels) + MARGIN + 0.06
    names = [part(name) for name in parts]
    keys = key_height(names, wide)
    lines, foot = noted("Static: leakage, clock tree, idle power, links.", columns)
    heading = title or f"{found.name} on {found.workload.name}"
    heading = f"{heading}: {measured(step, 'J')} a step"
    body = keys + ROW_INCHES * len(rows) + FOOT + foot
    with style.style():
        page = Page(columns, body, heading, found.identity)
        axes = page.axes(left, keys, wide - left - 0.1, ROW_INCHES * len(rows))
        y = np.arange(len(rows))
        start = np.zeros(len(rows))
        further = iter(FURTHER * len(parts.columns))
        handles = []
        for i, name in enumerate(parts):
            colour, hatch = (COLOURS[name], "") if name in COLOURS else next(further)
            handles.append(axes.barh(y, values[:, i], 0.74, left=start, color=colour, hatch=hatch,
                                     edgecolor="white", linewidth=0.3))  # fmt: skip
            start = start + values[:, i]
        for at, end in zip(y, start, strict=True):
            axes.annotate(percent(end / step), (end, at), (3, 0), va="center", size=SHARE,
                          textcoords="offset points", color=style.MUTED,
                          bbox=PLAIN)  # fmt: skip
        room = 0.42 / (wide - left - 0.1)  # for the shares
        axes.set_xlim(0, start.max() / (1 - room))
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.set_yticks(y, labels, size=size, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=7 if columns == 2 else 4)
        ticks = [tick for tick in axes.get_xticks() if tick <= axes.get_xlim()[1]]
        said, unit = amounts(ticks, "J")
        axes.set_xticks(ticks, said)
        axes.set_xlabel(f"Energy of a step ({typeset(unit)})")
        page.key(handles, names, 0.0)
        page.note(lines)
    return page.figure


def percent(share: float) -> str:
    """One decimal, never "0.0%"."""
    return f"{100 * share:.1f}%" if share >= 0.0005 else "<0.1%"
