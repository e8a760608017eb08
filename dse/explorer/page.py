"""Make `front.html`: data, style and program of the explorer in one file.

Numbers are embedded as float32 in base64, texts as numbers into a list of labels. Everything that
comes from a file is data in a JSON island, in which no character can end the island; the program
puts it on the page as text only.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dse.front import Objective
from dse.plots import style
from hwmodels.errors import InputError

MOST = 200_000  # designs of one page
_FOLDER = Path(__file__).parent
_HIDDEN = ("design", "workload", "source")  # not an axis of the parallel coordinates
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def explorer(
    table: pd.DataFrame, objectives: Sequence[Objective], title: str = "Pareto front"
) -> str:
    """The page as text.

    Args:
      table: a row a design; a `variant` column gives the colours.
      objectives: two or more, columns of the table; the first three make the projections.
      title: shown as text.

    Raises:
      InputError: no designs, too many, or an objective that the table lacks.
    """
    if not 1 <= len(table) <= MOST:
        raise InputError("designs", len(table), f"allowed: 1 to {MOST:,} on a page")
    axes = {objective.column: objective for objective in objectives}
    for column in axes:
        if column not in table:
            raise InputError("objective", column, f"allowed: a column of {', '.join(table)}")
    names = [*axes, *[str(name) for name in table.columns if name not in axes]]
    columns = [_column(name, table[name], axes.get(name)) for name in names]
    data = {
        "title": title,
        "count": len(table),
        "columns": [column for column in columns if column],
        "looks": {name: [look.colour, look.label] for name, look in style.VARIANT_STYLES.items()},
    }
    parts = {
        "STYLE": (_FOLDER / "explorer.css").read_text(encoding="utf-8"),
        "POLICY": _POLICY,
        "DATA": island(data),
        "PROGRAM": "\n".join(
            (_FOLDER / name).read_text(encoding="utf-8")
            for name in ("model.js", "views.js", "page.js")
        ),
    }
    page = (_FOLDER / "explorer.html").read_text(encoding="utf-8")
    # In one pass: what is put in is not looked at again.
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda found: parts[found[1]], page)


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


def _column(name: str, values: pd.Series, objective: Objective | None) -> dict[str, Any] | None:
    """A column as the page takes it, or None where it says nothing."""
    common = {
        "name": name,
        "label": objective.label if objective else name,
        "unit": objective.unit if objective else "",
        "objective": objective is not None,
        "maximise": bool(objective.maximise) if objective else False,
        "axis": name not in _HIDDEN,
    }
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(np.float64)
        if not np.isfinite(numbers).any():
            return None
        return common | {"labels": None, "data": _packed(numbers)}
    texts = [
        "-" if missing else str(value) for value, missing in zip(values, values.isna(), strict=True)
    ]
    codes, labels = pd.factorize(np.array(texts, object), sort=True)
    return common | {"labels": [str(label) for label in labels], "data": _packed(codes)}


def _packed(numbers: Any) -> str:
    return base64.b64encode(np.asarray(numbers, "<f4").tobytes()).decode("ascii")
