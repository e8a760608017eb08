"""Places for labels in a panel full of marks and lines, chosen by what they would hide.

`Field` weighs every place, in points (1/72 inch) from the lower left corner of the panel;
`place_labels` names the marks of a scatter and leaves out what finds no room.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from dse.plots import style

Place = tuple[float, float]
Segment = tuple[float, float, float, float]
_DIRECTIONS = [(0, -1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (1, 1), (-1, 1)]
_GAPS = (2.0, 6.0, 11.0, 17.0, 24.0, 32.0)
_STEPS = 41  # places tried along a line


@dataclass
class Field:
    """A panel of a size, with `discs` (x, y, radius) and `segments` that labels keep away from."""

    size: tuple[float, float]
    discs: list[tuple[float, float, float]] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    def beside(self, at: Place, radius: float, wide: float, high: float) -> Place:
        """The centre of a label for the mark at `at`; it is taken from then on."""
        best, least = at, math.inf
        for gap, (dx, dy) in itertools.product(_GAPS, _DIRECTIONS):
            scale = (radius + gap) / math.hypot(dx, dy)
            x, y = at[0] + dx * (scale + wide / 2), at[1] + dy * (scale + high / 2)
            boxes = _along((x - wide / 2, y), (x + wide / 2, y), high)
            leader = _along(at, (x, y), 2.0)
            cost = 10.0 * self._hidden(boxes) + 0.06 * gap + self._crossed(boxes)
            # The leader starts in its own mark; what it passes besides is a smaller evil.
            cost += 0.5 * self._hidden(leader, but=at)
            if cost < least:
                best, least = (x, y), cost
        self._take(best, wide, high)
        return best

    def along(self, segment: Segment, wide: float, high: float, side: int, start: float) -> Place:
        """The centre of a label that runs along a line, as near to the share `start` of its length
        as is free, rather on its `side` (1: above, -1: below); it is taken from then on."""
        x0, y0, x1, y1 = segment
        length = max(math.hypot(x1 - x0, y1 - y0), 1e-9)
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        inset = min(0.5 * wide / length, 0.5)
        best, least = (x0, y0), math.inf
        shares = np.linspace(inset, 1.0 - inset, _STEPS)
        for t, on in itertools.product(shares, (side, -side)):
            away = on * (0.5 * high + 2.0)
            x, y = x0 + t * (x1 - x0) - away * uy, y0 + t * (y1 - y0) + away * ux
            half = 0.5 * wide
            boxes = _along((x - half * ux, y - half * uy), (x + half * ux, y + half * uy), high)
            cost = 10.0 * self._hidden(boxes) + 2.0 * self._crossed(boxes) + abs(t - start)
            cost += on != side
            if cost < least:
                best, least, taken = (x, y), cost, boxes
        self.discs += taken
        return best

    def _take(self, centre: Place, wide: float, high: float) -> None:
        x, y = centre
        self.discs += _along((x - wide / 2, y), (x + wide / 2, y), high)

    def _hidden(self, label: list[tuple[float, float, float]], but: Place | None = None) -> float:
        """How many of a label's discs lie on others, by depth, or outside the panel."""
        found = 0.0
        for x, y, radius in label:
            if not (radius <= x <= self.size[0] - radius and radius <= y <= self.size[1] - radius):
                found += 5.0
            for x1, y1, other in self.discs:
                if but == (x1, y1):
                    continue
                overlap = radius + other - math.hypot(x - x1, y - y1)
                found += min(max(overlap, 0.0) / radius, 1.0)
        return found

    def _crossed(self, label: list[tuple[float, float, float]]) -> float:
        """How many of a label's discs a segment passes."""
        return float(
            sum(
                _distance((x, y), segment) < radius
                for (x, y, radius), segment in itertools.product(label, self.segments)
            )
        )


# Where a label may stand from its mark, in points, and how it is aligned; the first that is free.
_SIDES = (
    (4, 1, "left", "bottom"), (4, -1, "left", "top"), (-4, 1, "right", "bottom"),
    (-4, -1, "right", "top"), (0, 4, "center", "bottom"), (0, -4, "center", "top"),
)  # fmt: skip


def place_labels(
    figure: Figure, axes: Axes, places: NDArray, labels: Sequence[str], marks: NDArray
) -> None:
    """Name `places` [n, 2] of `axes`, whose limits are final, beside them: clear of `marks`
    [m, 2], of each other and of the frame. A label that finds no room is left out."""
    figure.draw_without_rendering()
    taken = [Bbox.from_bounds(x - 2, y - 2, 4, 4) for x, y in axes.transData.transform(marks)]
    frame = axes.get_window_extent()
    for place, label in zip(places, labels, strict=True):
        for dx, dy, across, up in _SIDES:
            text = axes.annotate(
                label, tuple(place), (dx, dy), textcoords="offset points", ha=across, va=up,
                size=6, color=style.MUTED, parse_math=False,
            )  # fmt: skip
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            if inside and frame.y0 <= box.y0 and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


def _along(a: Place, b: Place, high: float) -> list[tuple[float, float, float]]:
    """Discs that cover a label from end to end."""
    count = max(int(math.hypot(b[0] - a[0], b[1] - a[1]) / high) + 1, 2)
    ends = high / 2 / max(math.hypot(b[0] - a[0], b[1] - a[1]), high)
    shares = np.linspace(ends, 1 - ends, count)
    return [(a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), high / 2) for t in shares]


def _distance(at: Place, segment: Segment) -> float:
    x0, y0, x1, y1 = segment
    square = (x1 - x0) ** 2 + (y1 - y0) ** 2
    t = ((at[0] - x0) * (x1 - x0) + (at[1] - y0) * (y1 - y0)) / max(square, 1e-9)
    t = min(max(t, 0.0), 1.0)
    return math.hypot(at[0] - x0 - t * (x1 - x0), at[1] - y0 - t * (y1 - y0))
