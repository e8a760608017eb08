"""Operations of a step, gathered so that a short table shows most of it.

Equal operations (name, sizes and phase) are one row with their count. Where the rows beyond those
that are shown would still outweigh every one of them, operations that differ in their sizes only
are one row too: a network of many layers repeats few kinds of work.
"""

from __future__ import annotations

import re

import pandas as pd

# "dot 8*(3x5x7) + exp", "conv 12x3x4", "neg, mul [16x4]": the sizes in such names.
_SIZES = re.compile(r" \d[\d.]*\*\([\dx.]+\)| \d[\d.]*(?:x[\d.]+)+| \[[\dx]*\]")

_BRIEF = {"forward": "fwd", "backward": "bwd", "optimizer": "opt"}


def gathered(table: pd.DataFrame, weight: str, shown: int) -> pd.DataFrame:
    """The `shown` heaviest rows, heaviest first, then all others as one.

    Args:
      table: operation, phase, count and numbers, of which the sums are taken; what else is told of
        a row of several is that of the heaviest, and where it differs "several".
      weight: a column, >= 0.

    Returns:
      the same columns, and `sizes`, how many sizes a row has (0 for the others).
    """
    rows = _summed(table.assign(name=table["operation"]), weight)
    if len(rows) > shown + 1 and rows[weight][shown:].sum() > rows[weight].iloc[0]:
        kinds = [_SIZES.sub("", name) for name in table["operation"]]
        rows = _summed(table.assign(name=kinds), weight)
    if len(rows) <= shown + 1:  # one other is shown as itself
        return rows
    rest = rows[shown:]
    numbers = rest.select_dtypes("number").sum()
    others = {"operation": f"{len(rest)} others together", "phase": ""}
    blank = {c: "" for c in rows if c not in numbers and c not in others}
    ends = pd.DataFrame([{**others, **blank, **numbers, "sizes": 0}])
    return pd.concat([rows[:shown], ends[list(rows)]], ignore_index=True)


def counted(row: pd.Series) -> str:
    """What a row is called: "4× conv 12x3x4 + exp", "9× (3 sizes) conv"."""
    count = f"{row['count']:.0f}× " if row["count"] > 1 and row["sizes"] else ""
    sizes = f"({row['sizes']} sizes) " if row["sizes"] > 1 else ""
    return f"{count}{sizes}{row['operation']}"


def phased(row: pd.Series, brief: bool = False) -> str:
    """The same with its phase: "4× conv 12x3x4 + exp (forward)"."""
    phase = _BRIEF.get(row["phase"], row["phase"]) if brief else row["phase"]
    return f"{counted(row)}{f' ({phase})' if phase else ''}"


def _summed(table: pd.DataFrame, weight: str) -> pd.DataFrame:
    """A row for each name and phase, the heaviest first."""
    heaviest = table.sort_values(weight, ascending=False, kind="stable")
    found = []
    for (name, phase), part in heaviest.groupby(["name", "phase"], sort=False):
        row = {c: _common(part[c]) for c in part if c not in ("name", "operation", "phase")}
        sizes = part["operation"].nunique()
        only = part["operation"].iloc[0] if sizes == 1 else name
        found.append({"operation": only, "phase": phase, **row, "sizes": sizes})
    rows = pd.DataFrame(found)
    return rows.sort_values(weight, ascending=False, kind="stable", ignore_index=True)


def _common(values: pd.Series) -> object:
    if pd.api.types.is_numeric_dtype(values):
        return values.sum()
    return values.iloc[0] if len(set(values)) == 1 else "several"
