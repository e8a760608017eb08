"""Words in figures: names and units as people write them, and measured, so that nothing is clipped.

Widths are those of the house font's outlines, in inches; they hold for every format.
"""

from __future__ import annotations

import functools
import re

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from dse.amounts import amounts
from hwmodels import VARIANTS
from hwmodels.quantity import quantities

SMALLEST = 6.0  # points: less is not read in print
HINTED = 1.02  # what fitting letters to pixels may add to their outlines' width
LEADING = 1.27  # from line to line, of the font's size
_METRIC_UNITS = ("per_s", "W", "mm2", "USD", "us", "mJ", "GHz")
_WORDS = {
    "dram": "DRAM", "sram": "SRAM", "tdp": "TDP", "phy": "PHY", "pe": "PE", "sm": "SM",
    "sms": "SMs", "mac": "MAC", "macs": "MACs", "adc": "ADC",
}  # fmt: skip
# Parts of breakdowns whose names are short for the tables, as an architect calls them.
_PARTS = {
    "mac": "MAC units", "register": "registers", "local": "local memory", "vector": "vector unit",
    "dram": "DRAM", "link": "links", "network": "on-chip network", "pipeline": "pipeline registers",
    "instruction": "instruction issue", "control": "instruction control",
    "feed": "wires to the units", "align": "alignment, sums", "adc": "A/D converters",
    "write": "writes to cells", "host": "host interface", "waiting": "static while waiting",
    "uncore": "control, routing, space",
}  # fmt: skip


def width(text: str, size: float, bold: bool = False) -> float:
    """Of a line of text [inches]."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    points = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return HINTED * points / 72.0


def wrapped(text: str, inches: float, size: float, bold: bool = False) -> list[str]:
    """Lines of at most a width; a word that is wider is cut, a hard space holds two together."""
    lines: list[str] = []
    for word in filter(None, text.split(" ")):
        if lines and width(f"{lines[-1]} {word}", size, bold) <= inches:
            lines[-1] += f" {word}"
            continue
        while width(word, size, bold) > inches:
            fits = next(n for n in range(len(word) - 1, 0, -1)
                        if n == 1 or width(word[:n], size, bold) <= inches)  # fmt: skip
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return lines


def shortened(text: str, inches: float, size: float) -> str:
    """The text, or what fits of it and an ellipsis; a shape or phase in brackets at its end stays
    where it leaves room for more."""
    if width(text, size) <= inches:
        return text
    found = re.search(r"( \[[^\[\]]*\])?( \([a-z ]*\))?$", text)
    end = found.group() if found and width(found.group(), size) <= 0.7 * inches else ""
    head = text.removesuffix(end)
    while len(head) > 1 and width(f"{head}…{end}", size) > inches:
        head = head[:-1].rstrip(" ,+")
    return f"{head}…{end}"


def typeset(unit: str) -> str:
    """A unit of a name as people write it: "B_per_cycle" -> "B/cycle", "us" -> "µs"."""
    unit = (
        re.sub(r"^per_", "1/", unit)
        .replace("_per_", "/")
        .replace("mm2", "mm²")
        .replace("Bps", "B/s")
    )
    return re.sub(r"^u(?=[sJWm]$)", "µ", unit)


def measured(value: float, unit: str) -> str:
    """A number of three digits with its unit."""
    (number,), found = amounts([float(f"{value:.3g}")], unit)
    return f"{number} {typeset(found)}"


@functools.cache
def _units() -> tuple[str, ...]:
    known = {q.unit for cls in VARIANTS.values() for q in quantities(cls).values() if q.unit}
    return tuple(sorted({*known, *_METRIC_UNITS}, key=len, reverse=True))


def parted(name: str) -> tuple[str, str]:
    """What a number is called and its unit: "sram_capacity_MiB" -> ("SRAM capacity", "MiB")."""
    unit = next((unit for unit in _units() if name.endswith(f"_{unit}")), "")
    stem = name.removesuffix(f"_{unit}") if unit else name
    return " ".join(_WORDS.get(word, word) for word in stem.split("_")), typeset(unit)


def part(name: str) -> str:
    """A part of a chip in words."""
    return _PARTS.get(name) or " ".join(_WORDS.get(word, word) for word in name.split("_"))
