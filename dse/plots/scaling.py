"""Throughput and efficiency against the number of chips, with ideal lines.

Efficiency is throughput per chip over that of the curve's own smallest fleet within all limits, and
an ideal line goes on from there in proportion. Fleets that break a limit of the plan (memory, sizes
that do not divide, links) have hollow marks that no line joins; those that cannot be formed (NaN)
have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.plots import style
from dse.plots.page import Page, key_height, noted, page_width

COLOURS = {"weak": ("#0072B2", "o"), "strong": ("#D55E00", "s")}
WORDS = {"weak": "weak scaling (batch grows)", "strong": "strong scaling (batch stays)"}
KEPT = 0.8  # the efficiency that S80 and N80 ask for
SAME = 0.01  # relative: ideal lines that are nearer are one
TALL = {1: 1.5, 2: 1.8}  # inches of a panel
FOOT = 0.43  # inches below a panel


def scaling(
    curves: Mapping[str, pd.DataFrame], title: str, facts: str = "", note: str = "",
    columns: int = 2,
) -> Figure:  # fmt: skip
    """Two panels.

    Args:
      curves: "weak" or "strong" -> columns chips, throughput [samples/s], feasible, as
        `hwmodels.fleet.curves.scaling_curve` gives them.
      note: what else is to be said below.
    """
    bases = {name: _base(table) for name, table in curves.items()}
    rates = [each for _, each in bases.values()]
    most = max(table["throughput"].max() for table in curves.values())
    shared = max(rates) <= min(rates) * (1 + SAME)
    hollow = any((~table["feasible"] & table["throughput"].notna()).any()
                 for table in curves.values())  # fmt: skip
    labels = [*(WORDS[name] for name in curves), "ideal: in proportion to chips"]
    labels += ["breaks a limit of the plan"] if hollow else []
    lines, foot = noted(" ".join(filter(None, (_based(curves, bases), note))), columns)
    tall, keys = TALL[columns], key_height(labels, page_width(columns))
    places = [(0.62, 0.0), (4.1, 0.0)] if columns == 2 else [(0.62, 0.0), (0.62, tall + FOOT)]
    with style.style():
        page = Page(columns, keys + places[-1][1] + tall + FOOT + foot, title, facts)
        left, right = (page.axes(x, keys + y, 2.6, tall) for x, y in places)
        handles = []
        for name, table in curves.items():
            colour, marker = COLOURS[name]
            first, each = bases[name]
            _curve(left, table, table["throughput"], colour, marker)
            handles += _curve(right, table, table["throughput"] / table["chips"] / each, colour,
                              marker)  # fmt: skip
            fits = table["feasible"] & table["throughput"].notna()
            # As far as the fleets reach, and no higher than the panel.
            ends = np.array([first, min(max(table["chips"][fits], default=first), most / each)])
            left.plot(ends, each * ends, "--", linewidth=0.8, zorder=1.5,
                      color=style.MUTED if shared else colour)  # fmt: skip
        handles += right.plot([], [], "--", color=style.MUTED, linewidth=0.8)
        handles += right.plot([], [], "o", color=style.MUTED, markersize=3.2,
                              markerfacecolor="white")  # fmt: skip
        for level, dash in ((1.0, "--"), (KEPT, ":")):
            right.axhline(level, linestyle=dash, color=style.MUTED, linewidth=0.8, zorder=1.5)
        right.annotate(f"{KEPT:.0%}", (1.0, KEPT), (3, 0), xycoords=("axes fraction", "data"),
                       textcoords="offset points", va="center", size=6.5,
                       color=style.MUTED)  # fmt: skip
        for axes in (left, right):
            _log_axis(axes, "x", np.concatenate([table["chips"] for table in curves.values()]))
            axes.set_xlabel("Chips")
        _log_axis(left, "y", np.concatenate([t["throughput"].dropna() for t in curves.values()]))
        left.set_ylabel("Throughput (samples/s)")
        alone = all(first == 1 for first, _ in bases.values())
        right.set_ylabel("Efficiency" if alone else "Efficiency\n(smallest fleet: 1)")
        right.set_ylim(0.0, max(1.08, 1.05 * right.dataLim.y1))
        _unformed((left, right), curves)
        page.key(handles[: len(labels)], labels, 0.0)
        page.note(lines)
    return page.figure


def _base(table: pd.DataFrame) -> tuple[float, float]:
    """The smallest fleet within all limits, else the smallest: chips, and samples/s of each."""
    formed = table[table["throughput"].notna()]
    fits = formed[formed["feasible"]]
    row = (fits if len(fits) else formed).sort_values("chips").iloc[0]
    return float(row["chips"]), float(row["throughput"] / row["chips"])


def _based(
    curves: Mapping[str, pd.DataFrame], bases: Mapping[str, tuple[float, float]]
) -> str:  # fmt: skip
    """What efficiencies are relative to, unless that is one chip."""
    none = [name for name, table in curves.items() if not table["feasible"].any()]
    said = [f"No fleet of {' or '.join(none)} scaling is within all limits."] if none else []
    sizes = {name: first for name, (first, _) in bases.items()}
    if any(size != 1 for size in sizes.values()):
        words = [f"{size:,.0f} chips ({name})" for name, size in sizes.items()]
        if len(set(sizes.values())) == 1:
            words = [f"{next(iter(sizes.values())):,.0f} chips"]
        said.append(f"Efficiency: throughput of a chip over that in {' or '.join(words)}, the "
                    f"smallest fleet{' within all limits' if not none else ''}.")  # fmt: skip
    return " ".join(said)


def _curve(axes: Axes, table: pd.DataFrame, values: pd.Series, colour: str, marker: str) -> list:
    """A line with filled marks through fleets within all limits, hollow marks for the others."""
    feasible = table["feasible"]
    axes.plot(table["chips"], values.where(~feasible), linestyle="none", color=colour,
              marker=marker, markersize=3.2, markerfacecolor="white")  # fmt: skip
    return axes.plot(table["chips"], values.where(feasible), color=colour, marker=marker,
                     markersize=3.2, linewidth=1.1)  # fmt: skip


def _unformed(panels: Sequence[Axes], curves: Mapping[str, pd.DataFrame]) -> None:
    """Grey where no curve has a fleet."""
    every = pd.concat(curves.values())
    formed = every["chips"][every["throughput"].notna()].max()
    beyond = every["chips"][every["chips"] > formed]
    for axes in panels if len(beyond) else ():
        ends = np.array([np.sqrt(formed * beyond.min()), axes.get_xlim()[1]])
        axes.axvspan(*ends, color="#eeeeee", linewidth=0, zorder=0)
        axes.text(np.sqrt(ends.prod()), 0.06, "cannot be\nformed", ha="center", va="bottom",
                  size=6.5, color=style.MUTED,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _log_axis(axes: Axes, which: str, values: np.ndarray) -> None:
    low, high = style.log_limits(values[values > 0])
    ticks = style.log_ticks(low, high)
    set_scale, set_limits, set_ticks = (
        (axes.set_xscale, axes.set_xlim, axes.set_xticks)
        if which == "x"
        else (axes.set_yscale, axes.set_ylim, axes.set_yticks)
    )
    set_scale("log")
    set_limits(10**low, 10**high)
    set_ticks(ticks, [style.engineering(tick) for tick in ticks])
    set_ticks([], minor=True)
