"""Where the watts and the square millimetres of a chip go: bars by part, the largest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.amounts import amount
from dse.breakdown import Breakdown
from dse.plots import style

LEAST = 0.005  # share of a part that is named
POWER, AREA = "#D55E00", "#0072B2"
ROW_INCHES, HEAD_INCHES, FOOT_INCHES = 0.2, 0.42, 0.48


def part_bars(found: Breakdown, title: str = "") -> Figure:
    """Power, averaged over the step, and die area, each by part."""
    metrics = found.metrics
    powers = _largest({k.replace("static_", ""): v for k, v in metrics.power_terms.items()})
    areas = _largest({k: 1e6 * np.asarray(v) for k, v in metrics.area_terms.items()})
    rows = max(len(powers), len(areas))
    height = HEAD_INCHES + FOOT_INCHES + ROW_INCHES * rows
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, height))
        for i, (parts, colour, unit, what) in enumerate(
            ((powers, POWER, "W", "Power, step average"), (areas, AREA, "mm2", "Die area"))
        ):
            share = ROW_INCHES * len(parts) / height
            place = (0.135 + 0.5 * i, 1 - HEAD_INCHES / height - share, 0.33, share)
            _bars(figure.add_axes(place), parts, colour, unit, what)
        heading = title or f"{found.name} on {found.workload.name}"
        figure.text(0.012, 1 - 0.09 / height, heading, va="top", size=9.5, weight="bold",
                    parse_math=False)  # fmt: skip
    return figure


def _largest(parts: Mapping[str, Any]) -> dict[str, float]:
    """Parts by size, those under `LEAST` as one."""
    sizes = {name: float(value) for name, value in parts.items()}
    total = sum(sizes.values())
    named = {k: v for k, v in sizes.items() if v >= LEAST * total}
    found = dict(sorted(named.items(), key=lambda item: -item[1]))
    rest = total - sum(found.values())
    return {**found, "other": rest} if rest > 1e-6 * total else found


def _bars(axes: Axes, parts: Mapping[str, float], colour: str, unit: str, what: str) -> None:
    total, y = sum(parts.values()), np.arange(len(parts))
    axes.barh(y, list(parts.values()), 0.72, color=colour)
    for at, value in zip(y, parts.values(), strict=True):
        share = f"{100 * value / total:.2g}%" if value < total else "100%"
        axes.annotate(share, (value, at), (3, 0), va="center", size=6.5,
                      textcoords="offset points", color=style.MUTED)  # fmt: skip
    axes.set_yticks(y, [name.replace("_", " ") for name in parts], size=6.8, parse_math=False)
    axes.set_ylim(len(parts) - 0.45, -0.55)
    axes.set_xlim(0, 1.17 * max(parts.values()))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    total_said = amount(float(f"{total:.3g}"), unit)
    axes.set_xlabel(f"{what} ({unit}); {total_said} in all".replace("mm2", "mm²"))
