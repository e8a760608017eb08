"""The operations of a trace, the largest first: FLOPs, bytes and arithmetic intensity of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dse.grouping import counted, gathered
from dse.plots import style
from dse.plots.page import MARGIN, Page
from dse.plots.words import shortened, width
from hwmodels.workloads.workload import Workload

SHOWN = 18
LABEL = 6.6  # points
PHASE_COLOURS = {"forward": "#0072B2", "backward": "#E69F00", "optimizer": "#009E73"}
ROW_INCHES, KEY, FOOT, GAP = 0.2, 0.22, 0.43, 0.14


def operation_bars(workload: Workload, title: str = "") -> Figure:
    """Bars of the `SHOWN` largest operations by the larger of their shares of FLOPs and bytes, and
    all others together, equal ones as one; logarithmic FLOP per byte beside, as dots: on such an
    axis bars have no length."""
    table = workload.frame()
    table["made"] = table["count"] * table["flops"]
    table["moved"] = table["count"] * (table["read_bytes"] + table["write_bytes"])
    shares = table[["made", "moved"]] / table[["made", "moved"]].sum().clip(lower=1.0)
    table["share"] = shares.max(axis=1)
    rows = gathered(
        table[["operation", "phase", "count", "made", "moved", "share"]], "share", SHOWN
    )
    labels = [shortened(counted(row), 2.6, LABEL) for _, row in rows.iterrows()]
    colours = [PHASE_COLOURS.get(phase, style.MUTED) for phase in rows["phase"]]
    intensity = (rows["made"] / rows["moved"].clip(lower=1.0)).to_numpy()
    y = np.arange(len(rows))
    with style.style():
        page = Page(2, KEY + ROW_INCHES * len(rows) + FOOT + 0.04,
                    title or f"Operations of {workload.name}")  # fmt: skip
        left = max(width(label, LABEL) for label in labels) + MARGIN + 0.06
        each = (page.width - left - 0.1 - 2 * GAP) / 3
        for i, (values, label) in enumerate((
            (rows["made"].to_numpy(), "FLOPs a step"), (rows["moved"].to_numpy(), "Bytes a step"),
            (intensity, "FLOP/byte"),
        )):  # fmt: skip
            axes: Any = page.axes(left + i * (each + GAP), KEY, each, ROW_INCHES * len(rows))
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.set_xlabel(label)
            axes.set_yticks(y, labels if i == 0 else [], size=LABEL, parse_math=False)
            axes.tick_params(axis="y", length=0)
            if i < 2:
                axes.grid(visible=False, axis="y")
                axes.barh(y, values, 0.72, color=colours)
                axes.locator_params(axis="x", nbins=4)
                axes.set_xticks([t for t in axes.get_xticks() if 0 <= t <= 1.02 * values.max()])
                axes.xaxis.set_major_formatter(lambda tick, _: style.engineering(tick))
            else:
                axes.set_yticks(y, [])
                axes.grid(visible=True, axis="y", linestyle=":")
                axes.scatter(values, y, c=colours, s=16, zorder=3)
                low, high = style.log_limits(values[values > 0], pad=0.1)
                ticks = style.log_ticks(low, high, most=4)
                axes.set_xscale("log")
                axes.set_xlim(10**low, 10**high)
                axes.set_xticks(ticks, [style.engineering(tick) for tick in ticks])
                axes.minorticks_off()
        seen = [phase for phase in PHASE_COLOURS if phase in set(table["phase"])]
        page.key([Patch(color=PHASE_COLOURS[p]) for p in seen], seen, 0.0)
    return page.figure
