"""Costed designs in archives, and archives as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dse.archive import Archive, Survivors
from dse.costing import Costed, Costing
from dse.screening import beaten
from dse.space import Space

VALUE, METRIC = "value ", "metric "  # what begins the name of a payload column


def keep(
    archive: Archive,
    costs: Costing,
    costed: Costed,
    labels: np.ndarray,
    sieve: np.ndarray | None = None,
    **more: Any,
) -> None:
    """Add the designs that meet every limit, numbered `labels`.

    sieve: points (k, d) of the archive; what they beat is left out at once. more: further columns.
    """
    kept = costed.feasible
    if sieve is not None:
        kept = kept & ~beaten(costs.engine.points(costed.readings), sieve)
    rows = np.flatnonzero(kept)
    payload = {f"{VALUE}{name}": column[rows] for name, column in costed.parameters.items()}
    payload |= {f"{METRIC}{name}": column[rows] for name, column in costed.readings.items()}
    payload |= {name: np.full(len(rows), value) for name, value in more.items()}
    points = costs.engine.points({name: column[rows] for name, column in costed.readings.items()})
    archive.add(np.stack(points, axis=-1), labels[rows], payload)


def columns_of(costs: Costing) -> list[str]:
    """The names of the payload of a structure's designs."""
    return [*[f"{VALUE}{k}" for k in costs.names], *[f"{METRIC}{k}" for k in costs.readings]]


def as_table(
    space: Space, static: dict[str, str], survivors: Survivors, source: str
) -> pd.DataFrame:
    """Designs as a table: variant, number, source, parameters, metrics."""
    indices, _, payload = survivors
    if not len(indices):
        return pd.DataFrame()
    values = {k.removeprefix(VALUE): v for k, v in payload.items() if k.startswith(VALUE)}
    columns: dict[str, Any] = {"variant": space.variant, "design": indices, "source": source}
    columns |= space.readable(values, static)
    for name, column in payload.items():
        if name.startswith(METRIC):
            columns[name.removeprefix(METRIC)] = column.astype(float)
    return pd.DataFrame(columns)
