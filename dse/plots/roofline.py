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
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import EngFormatter, NullFormatter, NullLocator

from dse.breakdown import TERMS, Breakdown, short_name
from dse.plots import style
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
NAME = 43  # letters
NEAR = 0.09  # decades: marks nearer share a label


def roofline(found: Breakdown, title: str = "") -> Figure:
    """The figure; `InputError` if no operation does arithmetic."""
    table = found.table[(found.table["flops"] > 0) & (found.table["buffer_bytes"] > 0)]
    if not len(table):
        raise InputError("roofline", "0 operations with arithmetic", "needed: at least one")
    table = table.sort_values("time_s", ascending=False, kind="stable")
    drawn = max(int((table["share"] >= SMALLEST).sum()), 1)
    hidden, table = len(table) - drawn, table[:drawn]
    rate = (table["flops"] / table["time_s"]).to_numpy()
    on_chip = (table["flops"] / table["buffer_bytes"]).to_numpy()
    crossing = table["dram_bytes"].to_numpy()
    off_chip = np.where(crossing > 0, table["flops"] / np.maximum(crossing, 1e-9), np.nan)
    roofs = _roofs(found)
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 3.7))
        axes: Any = figure.add_axes((0.085, 0.13, 0.515, 0.755))
        ridge = roofs["compute"] / np.array([w for w in (roofs["dram"], roofs["buffer"]) if w > 0])
        xs = np.concatenate([on_chip, off_chip[np.isfinite(off_chip)], ridge])
        x = style.log_limits(xs, pad=0.08)
        y = style.log_limits(np.append(rate, roofs["compute"] * 1.6), pad=0.06)
        y = (y[0] - 0.07 * (y[1] - y[0]), y[1])  # labels hang below their marks
        _axis(axes, "x", *x)
        _axis(axes, "y", *y)
        axes.set_xlabel("Arithmetic intensity (FLOP/byte)")
        axes.set_ylabel("Rate (FLOP/s)")
        _draw_roofs(axes, roofs, x, y)
        for i, (_, row) in enumerate(table.iterrows()):
            colour, marker = LOOKS.get(row["bound"], OTHER)
            area = LEAST + (MOST - LEAST) * row["share"]
            common = {"marker": marker, "s": area, "zorder": 4 - 0.001 * (len(table) - i)}
            axes.scatter(on_chip[i], rate[i], facecolors="white", edgecolors=colour,
                         linewidths=1.0, **common)  # fmt: skip
            if np.isfinite(off_chip[i]):
                axes.plot([on_chip[i], off_chip[i]], [rate[i]] * 2, color=colour, linewidth=0.5,
                          alpha=0.5, zorder=2)  # fmt: skip
                axes.scatter(off_chip[i], rate[i], c=colour, linewidths=0.4,
                             edgecolors=[style.darker(colour)], alpha=0.85, **common)  # fmt: skip
        at = np.where(np.isfinite(off_chip), off_chip, on_chip)
        _labels(axes, np.log10(at), np.log10(rate), min(LABELLED, len(table)))
        _key(figure, table, hidden)
        heading = title or f"{found.name} on {found.workload.name}"
        figure.text(0.012, 0.975, heading, va="top", size=9.5, weight="bold", parse_math=False)
    return figure


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


def _axis(axes: Any, name: str, low: float, high: float) -> None:
    ticks = style.log_ticks(low, high, most=7)
    getattr(axes, f"set_{name}scale")("log")
    getattr(axes, f"set_{name}lim")(10**low, 10**high)
    getattr(axes, f"set_{name}ticks")(ticks, [style.engineering(tick) for tick in ticks])
    axis = getattr(axes, f"{name}axis")
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _draw_roofs(
    axes: Any, roofs: dict[str, float], x: tuple[float, float], y: tuple[float, float]
) -> None:
    left, right, bottom = 10.0 ** x[0], 10.0 ** x[1], 10.0 ** y[0]
    small = {"size": 6.5, "color": style.MUTED, "zorder": 1.7}
    casing = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    for name, label, dash in (("compute", "matrix units", "-"), ("vector", "vector unit", "--")):
        level = roofs[name]
        if level <= bottom:
            continue
        axes.plot([left, right], [level] * 2, dash, color=style.INK, linewidth=0.9, zorder=1.6)
        axes.annotate(f"{label} {_si(level, 'FLOP/s')}", (right, level),
                      (-3, 3), textcoords="offset points", ha="right", **small)  # fmt: skip
    box = axes.get_position()
    width, height = axes.figure.get_size_inches() * (box.width, box.height)
    angle = np.degrees(np.arctan2(height / (y[1] - y[0]), width / (x[1] - x[0])))
    for name, label, dash in (("dram", "DRAM", "-"), ("buffer", "buffer", "-.")):
        width_Bps = roofs[name]
        if not width_Bps:
            continue
        start, end = max(left, bottom / width_Bps), min(right, roofs["compute"] / width_Bps)
        if start >= end:
            continue
        axes.plot([start, end], [width_Bps * start, width_Bps * end], dash, color=style.INK,
                  linewidth=0.9, zorder=1.6)  # fmt: skip
        # DRAM's name below its line, the buffer's above: the lines may lie close together.
        at, below = start * (end / start) ** 0.3, name == "dram"
        axes.annotate(
            f"{label} {_si(width_Bps, 'B/s')}", (at, width_Bps * at), (0, -10 if below else 4),
            textcoords="offset points", rotation=angle, rotation_mode="anchor", bbox=casing,
            **small,
        )  # fmt: skip


def _si(value: float, unit: str) -> str:
    return EngFormatter(unit)(float(f"{value:.3g}"))


def _labels(axes: Any, x: Any, y: Any, count: int) -> None:
    """Numbers of the largest operations; those that lie on one another share a label."""
    left = list(range(count))
    while left:
        first = left[0]
        near = [i for i in left if max(abs(x[i] - x[first]), abs(y[i] - y[first])) < NEAR]
        left = [i for i in left if i not in near]
        casing = [Stroke(linewidth=2.0, foreground="white"), Normal()]
        axes.annotate(
            ", ".join(str(i + 1) for i in near), (10 ** x[first], 10 ** y[first]), (0, -13),
            textcoords="offset points", ha="center", size=7, weight="bold", zorder=6,
            path_effects=casing,
        )  # fmt: skip


def _key(figure: Figure, table: pd.DataFrame, hidden: int) -> None:
    left, line, top = 0.625, 0.052, 0.885
    rows = table.head(LABELLED)
    figure.text(left, top, "Largest operations, share of the step", size=7.5, weight="bold",
                va="top")  # fmt: skip
    for i, (_, row) in enumerate(rows.iterrows()):
        name = short_name(str(row["operation"]), NAME)
        y = top - 0.062 - line * 1.5 * i
        figure.text(left, y, f"{i + 1}", size=7, weight="bold", va="top")
        figure.text(left + 0.02, y, name, size=6.6, va="top", parse_math=False)
        figure.text(left + 0.02, y - 0.036, f"{row['phase']}, {100 * row['share']:.3g}%", size=6.2,
                    color=style.MUTED, va="top")  # fmt: skip
    seen = list(dict.fromkeys(b if b in LOOKS else "other" for b in table["bound"]))
    handles = []
    for bound in [b for b in (*LOOKS, "other") if b in seen]:
        colour, marker = LOOKS.get(bound, OTHER)
        label = f"bound by {TERMS[bound]}" if bound in LOOKS else "bound by launch, latency or fill"
        handles.append(Line2D([], [], linestyle="", color=colour, marker=marker, markersize=5,
                              label=label))  # fmt: skip
    handles += [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=style.MUTED,
               label="filled: per byte of DRAM"),
        Line2D([], [], linestyle="", marker="o", markersize=5, markerfacecolor="white",
               color=style.MUTED, label="hollow: per byte of the buffer"),
    ]  # fmt: skip
    if hidden:
        label = f"not drawn: {hidden} below {100 * SMALLEST:g}% of the step"
        handles.append(Line2D([], [], linestyle="", label=label))
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(left - 0.012, 0.02),
                  frameon=False, fontsize=6.6, labelspacing=0.25, handletextpad=0.3,
                  borderpad=0.1)  # fmt: skip
