"""Where the watts and the square millimetres of a chip go: bars by part, the largest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.breakdown import Breakdown
from dse.plots import style
from dse.plots.energy import percent
from dse.plots.page import MARGIN, PLAIN, Page
from dse.plots.words import measured, part, typeset, width

LEAST = 0.005  # share of a part that is named
POWER, AREA = "#D55E00", "#0072B2"
LABEL, SHARE = 6.8, 6.5  # points
ROW_INCHES, FOOT = 0.2, 0.43


def part_bars(found: Breakdown, title: str = "", columns: int = 2) -> Figure:
    """Power, averaged over the step, and die area, each by part."""
    metrics = found.metrics
    powers = _largest({k.replace("static_", ""): v for k, v in metrics.power_terms.items()})
    areas = _largest({k: 1e6 * np.asarray(v) for k, v in metrics.area_terms.items()})
    tall = [ROW_INCHES * len(powers), ROW_INCHES * len(areas)]
    below = 0.0 if columns == 2 else tall[0] + FOOT
    body = max(tall[0], below + tall[1]) + FOOT + 0.04
    with style.style():
        page = Page(columns, body, title or f"{found.name} on {found.workload.name}",
                    found.identity)  # fmt: skip
        half = page.width / columns
        label = max(width(name, LABEL) for name in (*powers, *areas)) + MARGIN + 0.06
        for parts, colour, unit, what, left, top in (
            (powers, POWER, "W", "Power, step average", 0.0, 0.0),
            (areas, AREA, "mm2", "Die area", page.width - half, below),
        ):
            high, wide = ROW_INCHES * len(parts), half - label - 0.1
            axes = page.axes(left + label, top, wide, high)
            _bars(axes, parts, colour, unit, what, 0.38 / wide)
    return page.figure


def _largest(parts: Mapping[str, Any]) -> dict[str, float]:
    """Parts by size, as they are called, those under `LEAST` as one."""
    sizes = {name: float(value) for name, value in parts.items()}
    total = sum(sizes.values())
    named = {part(k): v for k, v in sizes.items() if v >= LEAST * total}
    found = dict(sorted(named.items(), key=lambda item: -item[1]))
    rest = total - sum(found.values())
    return {**found, "other": rest} if rest >= 0.0005 * total else found


def _bars(
    axes: Axes, parts: Mapping[str, float], colour: str, unit: str, what: str, room: float
) -> None:
    """A panel; `room`: share of its width for the words behind the longest bar."""
    total, y = sum(parts.values()), np.arange(len(parts))
    axes.barh(y, list(parts.values()), 0.72, color=colour)
    for at, value in zip(y, parts.values(), strict=True):
        axes.annotate(percent(value / total), (value, at), (3, 0), va="center", size=SHARE,
                      textcoords="offset points", color=style.MUTED,
                      bbox=PLAIN)  # fmt: skip
    axes.set_yticks(y, list(parts), size=LABEL, parse_math=False)
    axes.set_ylim(len(parts) - 0.45, -0.55)
    axes.set_xlim(0, max(parts.values()) / (1 - room))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(f"{what} ({typeset(unit)}); {measured(total, unit)} in all")
