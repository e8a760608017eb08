"""How every metric of a chip answers to every number behind it: `sensitivity(chip, workload)`.

An elasticity is d ln(metric) / d ln(number): percent for one percent. It is taken twice, since a
person must be able to trust it: by differentiation of the exact model, whose ceilings hand on the
slope of what they round, and by re-evaluation of the exact model at the next smaller and larger
values that can be built: a whole number's neighbours, a percent to either side of any other. Where
these disagree the design stands at a step or on the edge between two bounds (a power cap that just
binds), and `agrees` is False. Process node and batch are re-evaluated only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dse.point import METRICS, NODE, Point
from dse.readings import read
from hwmodels import Workload, evaluate
from hwmodels.accelerators.base import Accelerator
from hwmodels.errors import check_choice
from hwmodels.quantity import multiplied, quantities, read_quantities

NODE_STEP = 0.05
AGREEING = 0.15  # of the largest elasticity, or of 1
PAIR_STEP = 0.1  # of second-order interactions


@dataclass(frozen=True)
class Sensitivity:
    """A chip's elasticities on a workload.

    metrics: values by name. table: rows of metric, parameter, group, value; elasticity (NaN for
    the batch); `smaller` and `larger`, elasticities by re-evaluation at the next values, NaN where
    there is none; agrees.
    """

    metrics: dict[str, float]
    table: pd.DataFrame

    def of(self, metric: str) -> pd.DataFrame:
        """The rows of one metric that it answers to, the strongest first."""
        check_choice("metric", metric, list(self.metrics))
        rows = self.table[self.table["metric"] == metric]
        strength = rows[["elasticity", "smaller", "larger"]].abs().mean(axis=1)
        order = strength.sort_values(ascending=False, kind="stable").index
        return rows.loc[order][strength.loc[order] > 1e-6].reset_index(drop=True)


def sensitivity(
    chip: Accelerator, workload: Workload, larger: Workload | None = None, *,
    runtime: str = "graph", residency: str = "warm",
) -> Sensitivity:  # fmt: skip
    """Elasticities of all metrics of one chip alone; `larger`: the workload with twice the batch.

    Raises:
      InputError: as `hwmodels.evaluate`.
    """
    point = Point(chip, workload, runtime, residency)
    count = len(point.numbers)
    steps = np.log([number.factors for number in point.numbers])  # (n, 2)
    moves = np.concatenate([np.zeros((1, count)), *(np.diag(side) for side in steps.T)])
    logs = point.exact(moves)
    base, (down, up) = logs[0], logs[1:].reshape(2, count, -1)
    with np.errstate(invalid="ignore"):  # a number that has no smaller or larger value
        smaller, larger_ = ((side - base) / steps[:, i, None] for i, side in enumerate((down, up)))
    slopes = point.slopes(np.zeros(count))[1]
    rows = [
        {
            "metric": metric, "parameter": number.name, "group": number.group,
            "value": number.value, "elasticity": slopes[j, i], "smaller": smaller[i, j],
            "larger": larger_[i, j],
        }
        for j, metric in enumerate(METRICS)
        for i, number in enumerate(point.numbers)
    ]  # fmt: skip
    settings = {"runtime": runtime, "residency": residency}

    def moved(group: str, name: str, value: float, sides: Sequence[tuple[Any, Any, float]]) -> None:
        """Rows from other chips or workloads, each with its factor, smaller and larger."""
        told = [
            (_logs(other, work, **settings) - base) / math.log(factor)
            for other, work, factor in sides
        ]  # fmt: skip
        rows.extend(
            {
                "metric": metric, "parameter": name, "group": group, "value": value,
                "elasticity": math.nan, "smaller": told[0][j] if len(told) > 1 else math.nan,
                "larger": told[-1][j],
            }
            for j, metric in enumerate(METRICS)
        )  # fmt: skip

    node = float(read_quantities(chip)[NODE])
    low, high = (quantities(type(chip))[NODE].low, quantities(type(chip))[NODE].high)
    around = [f for f in (1.0 - NODE_STEP, 1.0 + NODE_STEP) if low <= node * f <= high]
    moved("technology", NODE, node, [(multiplied(chip, {NODE: f}), workload, f) for f in around])
    if larger is not None:
        more = larger.samples / workload.samples
        moved("workload", "batch", workload.samples, [(chip, larger, more)])
    table = pd.DataFrame(rows)
    told = table[["elasticity", "smaller", "larger"]]
    apart = told.max(axis=1) - told.min(axis=1)
    table["agrees"] = apart <= AGREEING * np.maximum(told.abs().max(axis=1), 1.0)
    return Sensitivity(dict(zip(METRICS, np.exp(base).tolist(), strict=True)), table)


def _logs(chip: Accelerator, workload: Workload, **settings: Any) -> np.ndarray:
    found = read(evaluate(chip, workload, **settings))
    return np.log([float(found[name]) for name in METRICS])


def interactions(point: Point, metric: str, parameters: Sequence[str]) -> pd.DataFrame:
    """Second order, by re-evaluation: parameter_a, parameter_b and `gain`, what `PAIR_STEP` more
    of both changes the logarithm of `metric` by beyond the changes that each makes alone; largest
    first."""
    check_choice("metric", metric, METRICS)
    places = [point.names.index(name) for name in parameters]
    pairs = list(itertools.combinations(range(len(places)), 2))
    step = math.log1p(PAIR_STEP)
    moves = np.zeros((1 + len(places) + len(pairs), len(point.numbers)), np.float32)
    for i, place in enumerate(places):
        moves[1 + i, place] = step
    for i, (a, b) in enumerate(pairs):
        moves[1 + len(places) + i, [places[a], places[b]]] = step
    logs = point.exact(moves)[:, METRICS.index(metric)]
    alone, both = logs[1 : 1 + len(places)] - logs[0], logs[1 + len(places) :] - logs[0]
    table = pd.DataFrame([
        {"parameter_a": parameters[a], "parameter_b": parameters[b],
         "gain": both[i] - alone[a] - alone[b]}
        for i, (a, b) in enumerate(pairs)
    ], columns=["parameter_a", "parameter_b", "gain"])  # fmt: skip
    order = table["gain"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def swings(point: Point, metric: str, change: float) -> pd.DataFrame:
    """What `change` (a share) less and more of each number makes of `metric`, re-evaluated: rows of
    parameter, value, below and above (the values that it takes), less and more (relative changes of
    the metric), the widest first. Whole numbers come as near as they can, and move by 1 at least;
    none goes beyond its range: at a limit, `below` or `above` is the value itself.
    """
    check_choice("metric", metric, METRICS)
    values = np.array([number.value for number in point.numbers])
    whole = np.array([number.whole for number in point.numbers])
    factors = np.stack([np.full(len(values), 1.0 - change), np.full(len(values), 1.0 + change)])
    steps = np.maximum(np.round(change * values), 1.0) * [[-1.0], [1.0]]
    built = np.maximum(values + steps, 1.0) / values
    low, high = np.array([number.range for number in point.numbers]).T
    factors = np.clip(np.where(whole, built, factors), low, high)
    moves = np.log(factors)
    logs = point.exact(np.concatenate([0.0 * moves[:1], *(np.diag(side) for side in moves)]))
    gains = np.expm1(logs[1:] - logs[0])[:, METRICS.index(metric)].reshape(2, -1)
    below, above = np.where(whole, np.round(values * factors), values * factors)
    table = pd.DataFrame({
        "parameter": point.names, "value": values, "below": below, "above": above,
        "less": gains[0], "more": gains[1],
    })  # fmt: skip
    order = table[["less", "more"]].abs().max(axis=1).sort_values(ascending=False, kind="stable")
    return table.loc[order.index].reset_index(drop=True)
