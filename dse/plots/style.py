"""How every figure looks: sizes, colours by variant, ticks in engineering form, and saving.

Figures are `matplotlib.figure.Figure` objects, never pyplot's: no global state is left behind and
no display is needed. Colours are Okabe and Ito's set, told apart under the common forms of colour
blindness (https://jfly.uni-koeln.de/color/); each variant has its own marker besides.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from dse.front import Objective
from hwmodels.errors import check_choice

FORMATS = ("png", "svg", "pdf")
DPI = 200
TWO_COLUMN_INCHES = 7.16  # the text width of a two-column page
ONE_COLUMN_INCHES = 3.5
INK, MUTED, GRID = "#1a1a1a", "#555555", "#dddddd"

_RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 8,
    "axes.linewidth": 0.6,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "pdf.fonttype": 42,  # whole TrueType fonts: text stays searchable and editable
    "svg.fonttype": "path",  # outlines: the same where the font is not installed
    "svg.hashsalt": "chipgrad",  # the same identifiers in every run
}


@dataclass(frozen=True)
class VariantStyle:
    """Colour, marker and legend label of a variant."""

    colour: str
    marker: str
    label: str


VARIANT_STYLES = {
    "systolic": VariantStyle("#0072B2", "o", "systolic array"),
    "simt": VariantStyle("#D55E00", "^", "SIMT (GPU-like)"),
    "spatial": VariantStyle("#009E73", "s", "spatial PE array"),
    "vector": VariantStyle("#CC79A7", "D", "vector (SIMD CPU)"),
    "in_memory": VariantStyle("#E69F00", "P", "in-memory"),
    "sram_only": VariantStyle("#56B4E9", "v", "SRAM only"),
}


def darker(colour: str) -> tuple[float, ...]:
    """The outline of a marker that is filled with `colour`: told apart, yet never a black mass."""
    return tuple(0.45 * channel for channel in to_rgb(colour))


# For variants of the user's own: dark, so that they stand apart from the six.
_FURTHER = ("#882255", "#117733", "#332288", "#7A5C00", "#555555", "#AA4499", "#225555")
_MARKERS = "X<p>h*d8"


def variant_style(name: str) -> VariantStyle:
    """The style of a variant; one that is not known here has a colour and a marker by its name."""
    if name in VARIANT_STYLES:
        return VARIANT_STYLES[name]
    number = zlib.crc32(name.encode())  # the same in every process
    colour, marker = _FURTHER[number % len(_FURTHER)], _MARKERS[number % len(_MARKERS)]
    return VariantStyle(colour, marker, name)


@contextmanager
def style() -> Iterator[None]:
    """The house style, for building a figure within."""
    with matplotlib.rc_context(_RC):
        yield


def save(figure: Figure, stem: str | Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Write `stem`.png (200 dpi), .svg and .pdf; returns the paths.

    The same figure gives the same bytes: no dates are written. Rasterised artists have the PNG's
    resolution in the vector formats.
    """
    metadata: dict[str, dict] = {
        "png": {"Software": "chipgrad"},
        "svg": {"Creator": "chipgrad", "Date": None},
        "pdf": {"Creator": "chipgrad", "Producer": None, "CreationDate": None},
    }
    paths = []
    with style():
        for kind in formats:
            check_choice("figure format", kind, FORMATS)
            path = Path(f"{stem}.{kind}")
            figure.savefig(path, format=kind, dpi=DPI, metadata=metadata[kind])
            paths.append(path)
    return paths


def axis_label(objective: Objective) -> str:
    """What an axis says: the quantity and its unit."""
    return f"{objective.label} ({objective.unit})"


def log_limits(values: NDArray, pad: float = 0.06, least: float = 0.5) -> tuple[float, float]:
    """Axis limits, in log10, around `values` [n] > 0: padded, and at least `least` decades wide."""
    logs = np.log10(values)
    low, high = float(logs.min()), float(logs.max())
    margin = max(pad * (high - low), (least - (high - low)) / 2, 0.02)
    return low - margin, high + margin


def log_ticks(low: float, high: float, most: int = 6) -> NDArray[np.float64]:
    """Ticks for a logarithmic axis from 10**low to 10**high: round numbers, 3 to `most` of them.

    Decades where they are enough; 1-2-5, then finer steps, on a short axis; every second, third,
    ... decade on a long one.
    """
    decades = np.arange(math.floor(low), math.ceil(high) + 1)
    for steps in (
        [1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7], [1, 1.5, *range(2, 10)], np.arange(1, 10, 0.5)
    ):  # fmt: skip
        ticks = np.unique([m * 10.0**d for d in decades for m in steps])
        ticks = ticks[(np.log10(ticks) >= low) & (np.log10(ticks) <= high)]
        if len(ticks) >= 3:
            break
    stride = -(-len(ticks) // most)
    return ticks[(len(ticks) - 1) % stride :: stride] if stride > 1 else ticks


def engineering(value: float) -> str:
    """12000 -> 12k, 0.25 -> 0.25: a tick's number, its unit being in the axis label."""
    if abs(value) < 1:
        return f"{value:.6g}"
    return EngFormatter(sep="").format_data(float(f"{value:.6g}"))
