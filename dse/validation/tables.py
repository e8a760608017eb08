"""Tables of measurements: CSV files read as text, every declared cell checked before use.

A kind of validation declares its columns; others are ignored. What is wrong is one `InputError`
that names the file, the line as an editor counts it (the header is line 1), the column, the cell
and what is allowed. Nothing is guessed: no cell is skipped, and no number is read from "1,000",
"1_000" or "12 MB".
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hwmodels.errors import InputError, check_choice

LINE = "line"
MOST = 2.0**53  # whole numbers beyond are not exact in float64
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Column:
    """One column of a file; build it with `whole`, `positive`, `text`, ....

    kind: "whole", "number" or "text". low: least number allowed (a "number" lies above it).
    choices: of a text, if not any. blank: an empty cell is allowed, and becomes NaN, or "" in a
    text. optional: so is a file without the column.
    """

    name: str
    kind: str
    low: float = 0.0
    choices: tuple[str, ...] = ()
    blank: bool = False
    optional: bool = False

    def read(self, cell: str, field: str) -> Any:
        """The cell's value; `InputError` names `field`."""
        if not cell:
            if self.blank:
                return "" if self.kind == "text" else float("nan")
            raise InputError(field, "a blank cell", self._allowed())
        if self.kind == "text":
            if self.choices:
                check_choice(field, cell, self.choices)
            return cell
        value = float(cell) if _NUMBER.fullmatch(cell) else float("nan")
        if self.kind == "whole" and self.low <= value <= MOST and value % 1 == 0:
            return int(value)
        if self.kind == "number" and self.low < value < float("inf"):
            return value
        raise InputError(field, cell, self._allowed())

    def _allowed(self) -> str:
        if self.kind == "whole":
            return f"allowed: a whole number, {self.low:g} to 2^53"
        if self.kind == "number":
            return f"allowed: a number > {self.low:g}"
        return f"allowed: {', '.join(self.choices) or 'text'}"


def whole(*names: str, low: int = 1, blank: bool = False) -> tuple[Column, ...]:
    """Columns of whole numbers from `low` on."""
    return tuple(Column(name, "whole", low, blank=blank) for name in names)


def positive(*names: str, blank: bool = False) -> tuple[Column, ...]:
    """Columns of finite numbers above 0."""
    return tuple(Column(name, "number", blank=blank) for name in names)


def text(*names: str) -> tuple[Column, ...]:
    """Columns of text that is not empty."""
    return tuple(Column(name, "text") for name in names)


def label(name: str) -> tuple[Column, ...]:
    """A text that models do not need: it may be empty, and the column missing."""
    return (Column(name, "text", blank=True, optional=True),)


def choice(name: str, *choices: str) -> tuple[Column, ...]:
    """A column of names out of `choices`."""
    return (Column(name, "text", choices=choices),)


@dataclass(frozen=True)
class Table:
    """The declared columns of a file, one row each record, and its line in column `line`."""

    path: Path
    frame: pd.DataFrame

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries of plain Python values."""
        names = list(self.frame)
        for values in zip(*(self.frame[name].tolist() for name in names), strict=True):
            yield dict(zip(names, values, strict=True))

    @contextlib.contextmanager
    def at(self, row: dict[str, Any], column: str) -> Iterator[None]:
        """Make an `InputError` raised inside name this file, the row's line and the column."""
        try:
            yield
        except InputError as error:
            # The model's own field often starts with the column's name: say it once.
            inner = error.field.removeprefix(column).lstrip(", ")
            where = ", ".join(
                part for part in (_place(self.path, row[LINE], column), inner) if part
            )
            raise InputError(where, error.value, error.allowed) from None


def read_table(path: str | Path, columns: tuple[Column, ...]) -> Table:
    """Read and check `columns` of a CSV file with a header.

    Raises:
      InputError: no readable text file, a header that lacks columns or repeats one, no rows, a
        row of the wrong length, or a cell that its column does not allow.
    """
    path = Path(path)
    records = _records(path)
    _, header = next(records, (1, []))
    header = [name.strip() for name in header]
    if not any(header):
        raise InputError(str(path), "no header", f"needed: columns {_names(columns)}")
    for name in header:
        if name and header.count(name) > 1:
            raise InputError(f"{path}, header", name, "stands there more than once")
    missing = [c for c in columns if c.name not in header and not c.optional]
    if missing:
        raise InputError(f"{path}, header", ", ".join(header), f"missing: {_names(missing)}")
    places = {name: place for place, name in enumerate(header)}
    lines: list[int] = []
    values: dict[str, list[Any]] = {column.name: [] for column in columns}
    for line, record in records:
        if len(record) != len(header):
            raise InputError(
                f"{path}, line {line}", f"{len(record)} cells", f"the header has {len(header)}"
            )
        lines.append(line)
        for column in columns:
            cell = record[places[column.name]].strip() if column.name in places else ""
            values[column.name].append(column.read(cell, _place(path, line, column.name)))
    if not lines:
        raise InputError(str(path), "no rows", "needed: at least one row below the header")
    return Table(path, pd.DataFrame({LINE: lines, **values}))


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file, each with the line it starts on; blank lines are passed over."""
    try:
        content = path.read_bytes().decode("utf-8-sig")  # with or without a spreadsheet's mark
    except OSError as error:
        raise InputError("FILE", path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        content = "\0"
    if "\0" in content:
        raise InputError("FILE", path, "needed: a CSV file, text in UTF-8")
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    line = 1
    try:
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {line}", "no CSV record", str(error)) from None


def _place(path: Path, line: int, column: str) -> str:
    return f"{path}, line {line}, {column}"


def _names(columns: tuple[Column, ...] | list[Column]) -> str:
    return ", ".join(column.name for column in columns)
