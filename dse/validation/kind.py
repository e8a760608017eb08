"""What a kind of validation declares, and the figures that kinds share.

A kind is a file of this package with one `KIND = Kind(...)`, and a line in
`dse.validation.KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dse.validation.tables import Column, Table

Progress = Callable[[str, float], None]
# A figure may be a table of its own, such as the error of each device, and so on within it.
Figures = dict[str, Any]


@dataclass(frozen=True)
class Quantity:
    """A measured column, what to call it, and its unit."""

    column: str
    label: str
    unit: str


@dataclass(frozen=True)
class Kind:
    """One kind of measurements and the model that predicts them.

    columns: that the file must have. quantities: that are predicted, each in a panel of its own.
    predict(table, machine, progress): a frame, a row each row, with `predicted_<column>` for
    every quantity; measured columns that derive from others, and remarks, may be added.
    figures(table, seconds): the figures to print, of the table with predictions and errors and
    the seconds that predicting took. group: column that colours the plot, if any. machine:
    the machine predicted for by default, "" if the rows say it themselves. rival: the numbers
    are not measured but found by a rival, and only an error above 0 is bad.
    """

    title: str
    columns: tuple[Column, ...]
    quantities: tuple[Quantity, ...]
    predict: Callable[[Table, str, Progress], pd.DataFrame]
    figures: Callable[[pd.DataFrame, float], Figures]
    group: str = ""
    machine: str = ""
    rival: bool = False

    @property
    def sides(self) -> tuple[str, str]:
        """What the given numbers and the predictions are called."""
        return ("theirs", "ours") if self.rival else ("measured", "predicted")


def predicted(column: str) -> str:
    """Name of the column with the predictions of a measured one."""
    return f"predicted_{column}"


def error(column: str) -> str:
    """Name of the column with predicted / measured - 1."""
    return f"{column}_error"


def mape(table: pd.DataFrame, column: str) -> float | None:
    """Mean absolute relative error over the rows that have a measurement; None without any."""
    return _finite(table[error(column)].abs().mean())


def largest_error(table: pd.DataFrame, column: str) -> float | None:
    """The largest absolute relative error."""
    return _finite(table[error(column)].abs().max())


def exact(table: pd.DataFrame, columns: Sequence[str]) -> float | None:
    """Share of the rows with measurements where every one of `columns` is met to the last digit."""
    measured = table[table[list(columns)].notna().all(axis=1)]
    right = [measured[column] == measured[predicted(column)] for column in columns]
    return _finite(np.all(right, axis=0).mean()) if len(measured) else None


def spearman(table: pd.DataFrame, column: str) -> float | None:
    """Rank correlation, ties ranked at their mean; None where either side is constant."""
    ranks = table[[column, predicted(column)]].dropna().rank().to_numpy(np.float64)
    if len(ranks) < 2 or (np.ptp(ranks, axis=0) == 0).any():
        return None
    return float(np.corrcoef(ranks, rowvar=False)[0, 1])


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
