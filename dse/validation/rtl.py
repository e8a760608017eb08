"""Cycles of given mappings on Gemmini's RTL, against the model with commands and overlap.

Rows as in the artifact of Hong et al. (DOSA, MICRO 2023, https://github.com/ucb-bar/dosa), measured
in FireSim; they repeat to about 10%. hwmodels.mapping.gemmini_rtl is the model.
"""

from __future__ import annotations

import pandas as pd

from dse.validation.kind import Figures, Kind, Progress, Quantity, mape, spearman
from dse.validation.tables import Table, label, positive
from dse.validation.timeloop import LAYER, problem_of
from hwmodels.mapping.gemmini import gemmini
from hwmodels.mapping.gemmini_rtl import rtl_cycles
from hwmodels.mapping.machine import evaluate_mapping
from hwmodels.mapping.mapping import fit, parse_mapping

CYCLES = "rtl_cycles"


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    found = []
    for row in table.rows():
        array = gemmini(row["pe_dim"], row["accumulator_KB"], row["scratchpad_KB"])
        with table.at(row, "mapping"):
            problem, mapping = problem_of(row), parse_mapping(row["mapping"])
            evaluate_mapping(array, problem, mapping)  # the mapping fits the machine
            cycles = rtl_cycles(problem, fit(mapping, problem), pe_dim=row["pe_dim"])
        found.append(float(cycles.total))
    return pd.DataFrame({"predicted_rtl_cycles": found})


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    return {"mape": mape(table, CYCLES), "spearman": spearman(table, CYCLES)}


KIND = Kind(
    title="Gemmini RTL",
    columns=(*label("network"), *LAYER, *positive(CYCLES)),
    quantities=(Quantity(CYCLES, "time", "cycles"),),
    predict=_predict,
    figures=_figures,
    group="network",
)
