"""Make `front.html`: data, style and program of the explorer in one file.

Measurements are embedded as float32 in base64, numbers of which few differ as a byte each, texts
as numbers into a list of labels; whole numbers keep every digit. Everything that comes from a file
is data in a JSON island, in which no character can end the island; the program puts it on the page
as text only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dse.explorer.columns import column
from dse.front import Objective, non_dominated
from hwmodels.errors import InputError

MOST = 200_000  # designs of one page
JOINT = "joint_front"
_FOLDER = Path(__file__).parent
_PROGRAM = ("numbers", "model", "plot", "panel", "parallel", "tables", "page")  # in this order
_FIRST = ("variant", "design", "area_mm2", "cost_USD", "peak_power_W")  # after the objectives
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def explorer(
    table: pd.DataFrame, objectives: Sequence[Objective], title: str = "Pareto front"
) -> str:
    """The page as text.

    Args:
      table: a row a design; a `variant` column gives the colours. Where rows dominate others, as
        in a table of each variant's own front, the page tells the joint front apart.
      objectives: two or more, columns of the table; the first four make the projections.
      title: shown as text.

    Raises:
      InputError: no designs, too many, or an objective that the table lacks.
    """
    if not 1 <= len(table) <= MOST:
        raise InputError("designs", len(table), f"allowed: 1 to {MOST:,} on a page")
    axes = {objective.column: objective for objective in objectives}
    for name in axes:
        if name not in table:
            raise InputError("objective", name, f"allowed: a column of {', '.join(table)}")
    joint = _joint(table, objectives)
    if not joint.all():
        table = table.assign(**{JOINT: np.where(joint, "yes", "no")})
    names = [*axes, *_FIRST, JOINT, *[str(name) for name in table.columns]]
    names = [name for name in dict.fromkeys(names) if name in table]
    columns = [column(name, table[name], axes.get(name)) for name in names]
    data = {"title": title, "count": len(table), "columns": [found for found in columns if found]}
    parts = {
        "STYLE": _read("explorer.css"),
        "POLICY": _POLICY,
        "DATA": island(data),
        "PROGRAM": "\n".join(_read(f"{name}.js") for name in _PROGRAM),
    }
    # In one pass: what is put in is not looked at again.
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda found: parts[found[1]], _read("explorer.html"))


def write_explorer(
    path: str | Path,
    table: pd.DataFrame,
    objectives: Sequence[Objective],
    title: str = "Pareto front",
) -> Path:
    """Write the page; `InputError` as `explorer`."""
    path = Path(path)
    path.write_text(explorer(table, objectives, title), encoding="utf-8")
    return path


def island(data: Any) -> str:
    """JSON that is safe within a script element: nothing in it can close or open a tag."""
    text = json.dumps(data, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _joint(table: pd.DataFrame, objectives: Sequence[Objective]) -> np.ndarray:
    """Mask of the rows that no other row dominates; a row without a value is dominated."""
    points = table[[o.column for o in objectives]].to_numpy(np.float64)
    joint = np.isfinite(points).all(axis=1)
    joint[joint] = non_dominated(points[joint], maximise=[o.maximise for o in objectives])
    return joint


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
