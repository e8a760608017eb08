"""A step's operations under the roofs of a chip: FLOP/s against FLOP per byte, both logarithmic.

Each operation stands twice at its rate: filled at its FLOP per byte that crosses to DRAM, hollow
at its FLOP per byte through the shared buffer (one that stays on chip has the hollow mark only).
Areas of marks go with the share of the step's time. Left out: operations without arithmetic, and
those below `SMALLEST` of the step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, NullFormatter, NullLocator

from dse.breakdown import TERMS, Breakdown
from dse.plots import style
from dse.plots.page import CASING, MARGIN, Page, key_height, page_width
from dse.plots.placing import Field, Segment
from dse.plots.words import shortened, width
from hwmodels.errors import InputError

# Okabe and Ito's set, and a shape each; what nothing hides (launch, latency, fill) shares grey.
LOOKS = {
    "compute": ("#0072B2", "o"), "on_chip": ("#E69F00", "s"), "dram": ("#D55E00", "^"),
    "vector": ("#CC79A7", "D"),
}  # fmt: skip
OTHER = ("#777777", "X")
LABELLED = 7
SMALLEST = 0.003  # share of the step below which an operation is not drawn
LEAST, MOST = 14.0, 260.0  # area of marks [pt2] at no time and the whole step
NEAR = 7.0  # points: marks nearer share a label
ROOF, NUMBER, NAME, PHASE = 6.5, 7.0, 6.6, 6.2  # points
PANEL = (3.65, 2.75)  # inches
FOOT, ROW_INCHES = 0.42, 0.265
_ROOFS = {  # label, dash, side of the label (1: above), where it is best along its line
    "compute": ("matrix units", "-", 1, 1.0), "vector": ("vector unit", "--", 1, 1.0),
    "dram": ("DRAM", "-", -1, 0.0), "buffer": ("buffer", "-.", 1, 0.0),
}  # fmt: skip


def roofline(found: Breakdown, title: str = "", columns: int = 2) -> Figure:
    """The figure; `InputError` if no operation does arithmetic."""
    table = found.table[(found.table["flops"] > 0) & (found.table["buffer_bytes"] > 0)]
    if not len(table):
        raise InputError("roofline", "0 operations with arithmetic", "needed: at least one")
    table = table.sort_values("time_s", ascending=False, kind="stable")
    drawn = max(int((table["share"] >= SMALLEST).sum()), 1)
    hidden, table = len(table) - drawn, table[:drawn].reset_index(drop=True)
    table["rate"] = table["flops"] / table["time_s"]
    table["on_chip"] = table["flops"] / table["buffer_bytes"]
    crossing = table["dram_bytes"].where(table["dram_bytes"] > 0)
    table["off_chip"] = table["flops"] / crossing
    handles, labels = _key(table, hidden)
    named = min(len(table), LABELLED)
    wide, high = PANEL if columns == 2 else (page_width(1) - 0.67, 2.3)
    # Beside the panel, or below it.
    left, top = (0.62 + wide + 0.2, 0.0) if columns == 2 else (MARGIN, high + FOOT + 0.06)
    room = page_width(columns) - left
    listed = 0.2 + ROW_INCHES * named + 0.06
    body = max(high + FOOT, top + listed + key_height(labels, room) + 0.04)
    with style.style():
        page = Page(columns, body, title or f"{found.name} on {found.workload.name}",
                    found.identity)  # fmt: skip
        high = body - FOOT if columns == 2 else high
        _panel(page.axes(0.59, 0.02, wide, high - 0.02), _roofs(found), table,
               (72 * wide, 72 * (high - 0.02)))  # fmt: skip
        page.text(left, top, "Largest operations, share of the step", size=7.5, weight="bold")
        for i, row in table[:named].iterrows():
            y = top + 0.2 + ROW_INCHES * i
            name = shortened(str(row["operation"]), room - 0.24, NAME)
            page.text(left, y, f"{i + 1}", size=NUMBER, weight="bold")
            page.text(left + 0.14, y, name, size=NAME)
            page.text(left + 0.14, y + 0.115, f"{row['phase']}, {100 * row['share']:.3g}%",
                      size=PHASE, color=style.MUTED)  # fmt: skip
        page.key(handles, labels, top + listed, left - MARGIN, room)
    return page.figure


def _panel(
    axes: Any, roofs: dict[str, float], table: pd.DataFrame, size: tuple[float, float]
) -> None:
    """Roofs, marks, and their labels where they hide least; `size` of the panel in points."""
    reached = np.append(table["off_chip"].dropna(), table["on_chip"])
    ridges = [roofs["compute"] / roofs[w] for w in ("dram", "buffer") if roofs[w] > 0]
    x = style.log_limits(np.append(reached, ridges), pad=0.08)
    y = style.log_limits(np.append(table["rate"], roofs["compute"] * 1.6), pad=0.06)
    y = (y[0] - 0.07 * (y[1] - y[0]), y[1])
    _axis(axes, "x", *x)
    _axis(axes, "y", *y)
    axes.set_xlabel("Arithmetic intensity (FLOP/byte)")
    axes.set_ylabel("Rate (FLOP/s)")

    def place(intensity: float, rate: float) -> tuple[float, float]:
        across = (np.log10(intensity) - x[0]) / (x[1] - x[0]) * size[0]
        return across, (np.log10(rate) - y[0]) / (y[1] - y[0]) * size[1]

    free = Field(size)
    for i, row in table.iterrows():
        colour, marker = LOOKS.get(row["bound"], OTHER)
        area = LEAST + (MOST - LEAST) * row["share"]
        common = {"marker": marker, "s": area, "zorder": 4 - 0.001 * (len(table) - i)}
        axes.scatter(row["on_chip"], row["rate"], facecolors="white", edgecolors=colour,
                     linewidths=1.0, **common)  # fmt: skip
        free.discs.append((*place(row["on_chip"], row["rate"]), 0.6 * np.sqrt(area)))
        if np.isfinite(row["off_chip"]):
            axes.plot([row["on_chip"], row["off_chip"]], [row["rate"]] * 2, color=colour,
                      linewidth=0.5, alpha=0.5, zorder=2)  # fmt: skip
            axes.scatter(row["off_chip"], row["rate"], c=colour, linewidths=0.4,
                         edgecolors=[style.darker(colour)], alpha=0.85, **common)  # fmt: skip
            free.discs.append((*place(row["off_chip"], row["rate"]), 0.6 * np.sqrt(area)))
    lines = _lines(roofs, x, y)
    spots: dict[str, Segment] = {}
    for name, ((x0, y0), (x1, y1)) in lines.items():
        axes.plot([x0, x1], [y0, y1], _ROOFS[name][1], color=style.INK, linewidth=0.9, zorder=1.6)
        spots[name] = (*place(x0, y0), *place(x1, y1))
        free.segments.append(spots[name])
    for name, spot in spots.items():
        label, _, side, start = _ROOFS[name]
        said = f"{label} {_si(roofs[name], 'B/s' if name in ('dram', 'buffer') else 'FLOP/s')}"
        across, up, wide = spot[2] - spot[0], spot[3] - spot[1], 72 * width(said, ROOF)
        if np.hypot(across, up) < wide:  # a corner of the panel only
            angle = 0.0
            middle = spot[0] + across / 2, spot[1] + up / 2
            at = free.beside(middle, 0.0, wide, ROOF)
        else:
            angle = np.degrees(np.arctan2(up, across))
            at = free.along(spot, wide, ROOF, side, start)
        axes.annotate(said, at, xycoords="axes points", rotation=angle, rotation_mode="anchor",
                      ha="center", va="center", size=ROOF, color=style.MUTED, zorder=1.7,
                      path_effects=CASING)  # fmt: skip
    _numbers(axes, free, [place(*_mark(row)) for _, row in table[:LABELLED].iterrows()],
             [0.6 * np.sqrt(LEAST + (MOST - LEAST) * s) for s in table["share"]])  # fmt: skip


def _mark(row: pd.Series) -> tuple[float, float]:
    """Where an operation's number points to."""
    return (row["off_chip"] if np.isfinite(row["off_chip"]) else row["on_chip"]), row["rate"]


def _numbers(axes: Any, free: Field, places: list[tuple[float, float]], radii: list[float]) -> None:
    """Numbers of operations; those that lie on one another share a label."""
    left = list(range(len(places)))
    while left:
        x, y = places[left[0]]
        near = [i for i in left if max(abs(places[i][0] - x), abs(places[i][1] - y)) < NEAR]
        left = [i for i in left if i not in near]
        said = ", ".join(str(i + 1) for i in near)
        wide = 72 * width(said, NUMBER, bold=True)
        at = free.beside((x, y), radii[near[0]], wide, NUMBER)
        axes.annotate(
            said, (x, y), at, xycoords="axes points", textcoords="axes points", ha="center",
            va="center", size=NUMBER, weight="bold", zorder=6, path_effects=CASING,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": style.INK, "shrinkA": 0.0,
                        "shrinkB": radii[near[0]] - 1.0, "relpos": (0.5, 0.5)},
        )  # fmt: skip


def _roofs(found: Breakdown) -> dict[str, float]:
    """Rates [FLOP/s] of compute and vector units, bandwidths [B/s] of DRAM and buffer."""
    chip, clock = found.chip, float(found.metrics.clock)
    tuned = chip.tuning
    dram = float(chip.dram.total_bandwidth) * float(tuned.dram_efficiency)
    return {
        "compute": 2.0 * float(chip.macs_per_cycle) * clock * float(tuned.compute_efficiency),
        "vector": float(chip.vector_rate) * clock,
        "dram": dram if chip.HAS_DRAM else 0.0,
        "buffer": float(chip.sram.bandwidth) * clock,
    }


def _lines(
    roofs: dict[str, float], x: tuple[float, float], y: tuple[float, float]
) -> dict[str, tuple[tuple[float, float], tuple[float, float]]]:
    """Ends of the roofs that the panel shows: FLOP/byte and FLOP/s."""
    left, right, bottom = 10.0 ** x[0], 10.0 ** x[1], 10.0 ** y[0]
    found = {name: ((left, roofs[name]), (right, roofs[name]))
             for name in ("compute", "vector") if roofs[name] > bottom}  # fmt: skip
    for name in ("dram", "buffer"):
        if roofs[name]:
            start, end = max(left, bottom / roofs[name]), min(right, roofs["compute"] / roofs[name])
            if start < end:
                found[name] = (start, roofs[name] * start), (end, roofs[name] * end)
    return found


def _axis(axes: Any, name: str, low: float, high: float) -> None:
    ticks = style.log_ticks(low, high, most=7)
    getattr(axes, f"set_{name}scale")("log")
    getattr(axes, f"set_{name}lim")(10**low, 10**high)
    getattr(axes, f"set_{name}ticks")(ticks, [style.engineering(tick) for tick in ticks])
    axis = getattr(axes, f"{name}axis")
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _si(value: float, unit: str) -> str:
    return EngFormatter(unit)(float(f"{value:.3g}"))


def _key(table: pd.DataFrame, hidden: int) -> tuple[list[Any], list[str]]:
    """What is drawn, and no more."""
    seen = list(dict.fromkeys(b if b in LOOKS else "other" for b in table["bound"]))
    common: dict[str, Any] = {"linestyle": "", "markersize": 5}
    handles, labels = [], []
    for bound in [b for b in (*LOOKS, "other") if b in seen]:
        colour, marker = LOOKS.get(bound, OTHER)
        handles.append(Line2D([], [], color=colour, marker=marker, **common))
        labels.append(f"bound by {TERMS[bound]}" if bound in LOOKS
                      else "bound by launch, latency or fill")  # fmt: skip
    if table["off_chip"].notna().any():
        handles.append(Line2D([], [], marker="o", color=style.MUTED, **common))
        labels.append("filled: per byte of DRAM")
    handles.append(Line2D([], [], marker="o", color=style.MUTED, markerfacecolor="white", **common))
    labels.append("hollow: per byte of the buffer")
    blank = Line2D([], [], linestyle="")
    handles.append(blank)
    labels.append("area of a mark: share of the step's time")
    if hidden:
        handles.append(blank)
        labels.append(f"not drawn: {hidden} below {100 * SMALLEST:g}% of the step")
    return handles, labels
