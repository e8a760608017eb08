"""Timeloop's cycles and energy of given mappings on a Gemmini-like array.

Rows as in the artifact of Hong et al. (DOSA, MICRO 2023, https://github.com/ucb-bar/dosa): layer,
mapping and buffer sizes; hwmodels.mapping.gemmini is the machine.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from dse.validation.kind import Figures, Kind, Progress, Quantity, largest_error, mape
from dse.validation.tables import Table, positive, text, whole
from hwmodels.mapping.gemmini import gemmini
from hwmodels.mapping.machine import evaluate_mapping
from hwmodels.mapping.mapping import parse_mapping
from hwmodels.mapping.problem import Problem, convolution

MICRO = 1e-6
SIZES = ("R", "S", "P", "Q", "C", "K", "N")
STEPS = ("Wstride", "Hstride", "Wdilation", "Hdilation")
LAYER = (
    *whole(*SIZES, *STEPS),
    *text("mapping"),
    *whole("pe_dim"),
    *positive("accumulator_KB", "scratchpad_KB"),
)


def problem_of(row: dict[str, Any]) -> Problem:
    """The convolution of a row with the columns `LAYER`."""
    return convolution(
        **{name: row[name] for name in SIZES},
        stride=(row["Wstride"], row["Hstride"]),
        dilation=(row["Wdilation"], row["Hdilation"]),
    )


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    found = []
    for i, row in enumerate(table.rows()):
        array = gemmini(row["pe_dim"], row["accumulator_KB"], row["scratchpad_KB"])
        with table.at(row, "mapping"):
            _, cost = evaluate_mapping(array, problem_of(row), parse_mapping(row["mapping"]))
        found.append((float(cost.cycles), float(cost.energy) / MICRO))
        if i % 256 == 0:
            progress("counting mappings", i / len(table.frame))
    progress("counting mappings", 1.0)
    return pd.DataFrame(found, columns=["predicted_cycles", "predicted_energy_uJ"])


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    return {
        "cycles_mape": mape(table, "cycles"),
        "energy_mape": mape(table, "energy_uJ"),
        "cycles_max": largest_error(table, "cycles"),
        "energy_max": largest_error(table, "energy_uJ"),
    }


KIND = Kind(
    title="Timeloop",
    columns=(*LAYER, *positive("cycles", "energy_uJ")),
    quantities=(Quantity("cycles", "time", "cycles"), Quantity("energy_uJ", "energy", "µJ")),
    predict=_predict,
    figures=_figures,
)
