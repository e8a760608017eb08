"""A figure laid out in inches from its upper left corner: a heading, then a body of panels.

The heading is a bold title and muted facts below it, both wrapped by their measured width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from dse.plots import style
from dse.plots.words import LEADING, width, wrapped

MARGIN = 0.086
TITLE, SMALL, NOTE = 9.5, 7.0, 6.6  # points
# Of text that crosses marks: its letters become outlines, which a reader of a PDF cannot search.
CASING = (Stroke(linewidth=2.0, foreground="white"), Normal())
# Of text that crosses grid lines only.
PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
_KEY_GAP = 0.36  # a legend's handle and the gap to the next column


class Page:
    """A figure of one or two columns' width, `body` inches high below its heading.

    To be made and filled within `style.style()`.
    """

    def __init__(self, columns: int, body: float, title: str, facts: str = "") -> None:
        self.width = page_width(columns)
        inside, size = self.width - 2 * MARGIN, TITLE if columns == 2 else TITLE - 1.0
        lines, small = wrapped(title, inside, size, bold=True), wrapped(facts, inside, SMALL)
        heights = [_lines(len(lines), size), _lines(len(small), SMALL)]
        self.head = MARGIN + sum(heights) + 0.07
        self.height = self.head + body
        self.figure = Figure(figsize=(self.width, self.height))
        looks: tuple[dict[str, Any], ...] = (
            {"size": size, "weight": "bold"}, {"size": SMALL, "color": style.MUTED}
        )  # fmt: skip
        top = MARGIN
        for words, high, look in zip((lines, small), heights, looks, strict=True):
            self.figure.text(MARGIN / self.width, 1 - top / self.height, "\n".join(words),
                             va="top", parse_math=False, linespacing=1.12, **look)  # fmt: skip
            top += high

    def axes(self, left: float, top: float, wide: float, high: float) -> Any:
        """A panel; `top` counts from below the heading."""
        bottom = self.height - self.head - top - high
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, wide / self.width, high / self.height)
        )

    def text(self, left: float, top: float, text: str, **look: Any) -> None:
        """Text that hangs from a place of the body."""
        place = left / self.width, 1 - (self.head + top) / self.height
        self.figure.text(*place, text, va="top", parse_math=False, **look)

    def key(
        self, handles: Sequence[Any], labels: Sequence[str], top: float, left: float = 0.0,
        wide: float = 0.0,
    ) -> None:  # fmt: skip
        """A legend in as many columns as a width holds, that of the page by default."""
        columns = key_columns(labels, wide or self.width - left)
        found = self.figure.legend(
            handles, labels, loc="upper left", ncols=columns, frameon=False, fontsize=SMALL,
            bbox_to_anchor=((left + MARGIN) / self.width, 1 - (self.head + top) / self.height),
            borderpad=0.0, borderaxespad=0.0, labelspacing=0.35, columnspacing=1.1,
            handlelength=1.6, handletextpad=0.5,
        )  # fmt: skip
        for text in found.get_texts():
            text.set_parse_math(False)

    def note(self, lines: Sequence[str]) -> None:
        """Muted lines at the foot."""
        self.figure.text(
            MARGIN / self.width, 0.06 / self.height, "\n".join(lines), va="bottom", size=NOTE,
            color=style.MUTED, parse_math=False, linespacing=1.15,
        )  # fmt: skip


def page_width(columns: int) -> float:
    """Of a figure [inches]."""
    return style.ONE_COLUMN_INCHES if columns == 1 else style.TWO_COLUMN_INCHES


def noted(text: str, columns: int) -> tuple[list[str], float]:
    """A note's lines, and the height that they take at the foot [inches]."""
    lines = wrapped(text, page_width(columns) - 2 * MARGIN, NOTE)
    return lines, (_lines(len(lines), NOTE) + 0.08 if lines else 0.0)


def key_columns(labels: Sequence[str], inches: float) -> int:
    """Columns of a legend that fit into a width, filled one after the other."""
    wide = [width(label, SMALL) + _KEY_GAP for label in labels]
    for columns in range(len(labels), 1, -1):
        if sum(max(part) for part in np.array_split(wide, columns)) <= inches:
            return columns
    return 1


def key_height(labels: Sequence[str], inches: float) -> float:
    """What a legend takes [inches]."""
    return -(-len(labels) // key_columns(labels, inches)) * 0.15 + 0.06


def _lines(count: int, size: float) -> float:
    return count * LEADING * size / 72.0
