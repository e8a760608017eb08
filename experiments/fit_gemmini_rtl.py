"""Fit the RTL latency model's constants, and say how far they can be trusted.

    python -m experiments.fit_gemmini_rtl FILE

FILE: a CSV table with the columns of `dse validate rtl`, and `network` and `predictor`. Minimises a
robust log error (soft L1, linear beyond 10%, the labels' repeatability) over issue, load and
overlap. Prints the constants, the error in sample and with groups left out (network and search;
network; search; layer), and the range of the constants over those folds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from hwmodels.mapping.gemmini_rtl import ISSUE, LOAD, OVERLAP, Timing, rtl_cycles
from hwmodels.mapping.mapping import Mapping, fit, parse_mapping
from hwmodels.mapping.problem import Problem, convolution

LAYER = ["R", "S", "P", "Q", "C", "K", "N", "Wstride", "Hstride"]
GROUPS = {
    "network and search": ["network", "predictor"],
    "network": ["network"],
    "search": ["predictor"],
    "layer": LAYER,
}
Case = tuple[Problem, Mapping, float]


def cases(rows: pd.DataFrame) -> list[Case]:
    """Problem, mapping and array size of every row."""
    found = []
    for row in rows.to_dict("records"):
        problem = convolution(
            **{d: row[d] for d in "NKCPQRS"},
            stride=(row["Wstride"], row["Hstride"]),
            dilation=(row["Wdilation"], row["Hdilation"]),
        )
        found.append((problem, fit(parse_mapping(row["mapping"]), problem), float(row["pe_dim"])))
    return found


def predict(found: Sequence[Case], constants: Sequence[float] | np.ndarray) -> np.ndarray:
    """Cycles of every case; `constants`: issue, load, overlap."""
    timing = Timing(*(float(value) for value in constants))
    return np.array([rtl_cycles(p, m, pe_dim=size, timing=timing).total for p, m, size in found])


def fitted(found: Sequence[Case], cycles: np.ndarray) -> np.ndarray:
    """The constants that fit best."""
    start = np.log([ISSUE, LOAD, OVERLAP])
    answer = least_squares(
        lambda x: np.log(predict(found, np.exp(x)) / cycles), start, loss="soft_l1", f_scale=0.1
    )
    return np.exp(answer.x)


def scores(predicted: np.ndarray, cycles: np.ndarray) -> str:
    """Mean absolute percentage error and rank correlation."""
    mape = np.abs(predicted / cycles - 1.0).mean()
    ranks = pd.Series(predicted).corr(pd.Series(cycles), method="spearman")
    return f"mape {mape:.4f}  spearman {ranks:.4f}"


def mean_size(error: pd.Series) -> float:
    """Mean absolute value."""
    return float(error.abs().mean())


def main(path: str) -> None:
    """Print the report on the rows of a file."""
    rows = pd.read_csv(path)
    found, cycles = cases(rows), rows["rtl_cycles"].to_numpy(float)
    constants = fitted(found, cycles)
    print("issue {:.3f} cycles  load {:.3f} B/cycle  overlap {:.3f}".format(*constants))
    print(f"{'in sample':28}{scores(predict(found, constants), cycles)}")
    for name, columns in GROUPS.items():
        folds = rows.groupby(columns).ngroup().to_numpy()
        predicted, seen = np.empty_like(cycles), []
        for fold in np.unique(folds):
            inside = np.flatnonzero(folds != fold)
            outside = np.flatnonzero(folds == fold)
            seen.append(fitted([found[i] for i in inside], cycles[inside]))
            predicted[outside] = predict([found[i] for i in outside], seen[-1])
        low, high = np.min(seen, axis=0).round(2), np.max(seen, axis=0).round(2)
        print(f"{'without ' + name:28}{scores(predicted, cycles)}  constants {low} to {high}")
    error = predict(found, constants) / cycles - 1.0
    table = rows.assign(error=error).groupby(["network", "predictor"])["error"]
    print(table.agg(["mean", mean_size, "min", "max"]).round(3).to_string())
    worst = rows.assign(error=error).iloc[np.argsort(-np.abs(error))[:10]]
    print(worst[["network", "predictor", *LAYER, "mapping", "error"]].round(3).to_string())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m experiments.fit_gemmini_rtl FILE")
    main(sys.argv[1])
