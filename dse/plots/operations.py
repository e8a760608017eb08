"""The operations of a trace, the largest first: FLOPs, bytes and arithmetic intensity of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dse.breakdown import short_name
from dse.plots import style
from hwmodels.workloads.workload import Workload

SHOWN = 16
NAME = 40  # letters
PHASE_COLOURS = {"forward": "#0072B2", "backward": "#E69F00", "optimizer": "#009E73"}


def operation_bars(workload: Workload, title: str = "") -> Figure:
    """Bars of the `SHOWN` largest operations by the larger of their shares of FLOPs and bytes, and
    all others together; logarithmic FLOP per byte beside."""
    table = workload.frame()
    flops = table["count"] * table["flops"]
    moved = table["count"] * (table["read_bytes"] + table["write_bytes"])
    share = np.maximum(flops / max(flops.sum(), 1.0), moved / max(moved.sum(), 1.0))
    order = share.sort_values(ascending=False, kind="stable").index
    top, rest = order[:SHOWN], order[SHOWN:]
    names = [short_name(str(table.loc[i, "operation"]), NAME) for i in top]
    bars = pd.DataFrame({"flops": flops[top], "bytes": moved[top]}).to_numpy(float)
    colours = [PHASE_COLOURS[str(table.loc[i, "phase"])] for i in top]
    if len(rest):
        names.append(f"{len(rest)} others together")
        bars = np.vstack([bars, [flops[rest].sum(), moved[rest].sum()]])
        colours.append(style.MUTED)
    intensity = bars[:, 0] / np.maximum(bars[:, 1], 1.0)
    height = 1.15 + 0.2 * len(names)
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, height))
        bottom, tall = 0.5 / height, 1.0 - 1.08 / height
        y = np.arange(len(names))
        for i, (values, label) in enumerate(
            ((bars[:, 0], "FLOPs a step"), (bars[:, 1], "Bytes a step"),
             (intensity, "FLOP/byte"))
        ):  # fmt: skip
            axes: Any = figure.add_axes((0.36 + 0.215 * i, bottom, 0.185, tall))
            axes.barh(y, values, 0.72, color=colours)
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_xlabel(label)
            axes.grid(visible=False, axis="y")
            axes.set_yticks(y, names if i == 0 else [], size=6.6, parse_math=False)
            axes.tick_params(axis="y", length=0)
            if i < 2:
                axes.locator_params(axis="x", nbins=4)
                axes.set_xticks([t for t in axes.get_xticks() if 0 <= t <= 1.02 * values.max()])
                axes.xaxis.set_major_formatter(lambda tick, _: style.engineering(tick))
            else:
                low, high = style.log_limits(values[values > 0], pad=0.1)
                ticks = style.log_ticks(low, high, most=4)
                axes.set_xscale("log")
                axes.set_xlim(10**low, 10**high)
                axes.set_xticks(ticks, [style.engineering(tick) for tick in ticks])
                axes.minorticks_off()
        seen = [phase for phase in PHASE_COLOURS if phase in set(table["phase"])]
        figure.legend(
            handles=[Patch(color=PHASE_COLOURS[p], label=p) for p in seen],
            loc="upper right", bbox_to_anchor=(0.99, 1.0 - 0.03 / height), ncols=len(seen),
            frameon=False, fontsize=7,
        )  # fmt: skip
        figure.text(0.012, 1.0 - 0.08 / height, title or f"Operations of {workload.name}",
                    va="top", size=9.5, weight="bold", parse_math=False)  # fmt: skip
    return figure
