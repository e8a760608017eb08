"""Tables and numbers as a person reads them in a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

TURNED = 12  # rows, at most, of a table that is turned where a terminal is too narrow
FOLDED = 12  # letters from which a text may be folded


def print_table(frame: pd.DataFrame, title: str) -> None:
    """A table a person reads: three significant digits, right-aligned numbers, one form a column.

    Where output is no terminal it is as wide as it takes. In a terminal that is too narrow, a
    table of a few rows is turned, a row a column, in as many blocks as it takes; of a longer one
    the words are folded, never the numbers.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    folded = len(frame) > TURNED
    table = _rendered(frame, folded)
    if title:
        console.print(f"[italic]{escape(title)}[/]", highlight=False)
    if folded or _width(table) <= console.width:
        console.print(table)
        return
    names = [str(name) for name in frame.columns]
    turned = pd.DataFrame({"": names})
    for number, row in enumerate(_cells(frame)):
        wider = turned.assign(**{f"{number}": row})
        if len(turned.columns) > 1 and _width(_plain(wider)) > console.width:
            console.print(_plain(turned), "")
            wider = pd.DataFrame({"": names, f"{number}": row})
        turned = wider
    console.print(_plain(turned))


def _width(table: Table) -> int:
    """Letters that a table takes where nothing is folded."""
    return Console(width=10_000).measure(table).maximum


def _rendered(frame: pd.DataFrame, folded: bool) -> Table:
    """The table as it is, numbers to the right; words may be `folded`."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for i, name in enumerate(frame.columns):
        column = frame.iloc[:, i]
        numeric = pd.api.types.is_numeric_dtype(column)
        words = folded and any(isinstance(v, str) and len(v) > FOLDED for v in column)
        table.add_column(
            str(name), justify="right" if numeric else "left", overflow="fold", no_wrap=not words
        )
    for row in _cells(frame):
        table.add_row(*[escape(cell) for cell in row])
    return table


def _plain(frame: pd.DataFrame) -> Table:
    """A turned table: what each line is, then its values; no head."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for i in range(len(frame.columns)):
        table.add_column(style="bold" if i == 0 else "", justify="right" if i else "left",
                         no_wrap=True)  # fmt: skip
    for row in frame.itertuples(index=False):
        table.add_row(*[escape(cell) for cell in row])
    return table


def _cells(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """Rows as texts."""
    columns = []
    for i in range(len(frame.columns)):
        column = frame.iloc[:, i]
        # Beside fractions, a number that happens to be whole is rounded as they are.
        fractions = column.dtype.kind == "f" and (column.dropna() % 1 != 0).any()
        columns.append([(short if fractions else human)(value) for value in column])
    return list(zip(*columns, strict=True))


def human(value: Any) -> str:
    """A whole number below ten million in full, others with three digits and an SI prefix."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "-"
    if abs(value) < 1e7 and float(value).is_integer():
        return f"{int(value):,}"
    return short(value)


def short(value: float) -> str:
    """Three significant digits and an SI prefix from 1000 on."""
    if pd.isna(value):
        return "-"
    size = abs(value)
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= factor * 0.9995:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"
