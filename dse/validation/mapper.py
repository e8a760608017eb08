"""Best mappings that another mapper found, against ours: cycles and energy, ours over theirs.

A row is one matrix product and the cycles and energy of the mapping found for it, for whatever
objective. Ours is the best of each objective on its own, so a ratio above 1 means that the other
mapper found something better in that row.
"""

from __future__ import annotations

import pandas as pd

from dse.validation.kind import Figures, Kind, Progress, Quantity
from dse.validation.tables import Table, label, positive, whole
from hwmodels.mapping.catalog import load_machine
from hwmodels.mapping.mapper import best_mappings
from hwmodels.mapping.problem import matmul

PICO = 1e-12
SIZES = ("batch", "M", "K", "N")


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    hardware = load_machine(machine)
    products = list(dict.fromkeys(table.frame[list(SIZES)].itertuples(index=False, name=None)))
    found = {}
    for i, sizes in enumerate(products):
        progress("mapping", i / len(products))
        batch, m, k, n = map(int, sizes)
        best = best_mappings(matmul(m, n, k, batch), hardware)
        fastest, thriftiest = best["latency"], best["energy"]
        found[sizes] = {
            "predicted_cycles": fastest.cycles,
            "predicted_energy_pJ": thriftiest.energy / PICO,
            "fastest_mapping": fastest.text,
            "thriftiest_mapping": thriftiest.text,
        }
    progress("mapping", 1.0)
    rows = table.frame[list(SIZES)].itertuples(index=False, name=None)
    return pd.DataFrame([found[sizes] for sizes in rows])


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    return {
        "cycles_ratio_max": float((table["predicted_cycles"] / table["cycles"]).max()),
        "energy_ratio_max": float((table["predicted_energy_pJ"] / table["energy_pJ"]).max()),
        "wall_s_per_row": seconds / len(table),
    }


KIND = Kind(
    title="another mapper",
    columns=(*whole(*SIZES), *label("objective"), *positive("cycles", "energy_pJ")),
    quantities=(Quantity("cycles", "time", "cycles"), Quantity("energy_pJ", "energy", "pJ")),
    predict=_predict,
    figures=_figures,
    group="objective",
    machine="ws32",
    rival=True,
)
