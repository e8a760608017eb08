"""Fronts under uncertain technology: which designs stay good if the process is not as tabled?

The constants of `UNCERTAIN` are drawn together, each log-normal about its tabled value, with a
deviation by the confidence in its source. A draw is one world: all designs are evaluated in the
same worlds, so that an error common to two designs does not tell them apart. In every world the
designs that meet all limits have a front; the share of worlds in which a design is on it is its
chance of being non-dominated. A process slower than the tables breaks the clock of designs that
leave no room: their chance of meeting the limits says so.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from dse.evaluating import Evaluator, Options, evaluator
from dse.front import Objective, non_dominated
from dse.kernel import compiled, loop, strengthened
from dse.program import unroll
from dse.sampling import Table
from dse.space import Space
from hwmodels import VARIANTS, InputError
from hwmodels.errors import check_choice
from hwmodels.quantity import quantities
from hwmodels.workloads.workload import Workload

# Deviation of the logarithm, by confidence in a source.
VERIFIED, PARTLY, MEMORY, ASSUMED = 0.1, 0.2, 0.3, 0.5
# Number -> deviation, and what the confidence rests on.
UNCERTAIN: dict[str, tuple[float, str]] = {
    "scale_logic_energy": (PARTLY, "published at 7 and 45 nm, ratios of nodes in between"),
    "scale_wire_energy": (MEMORY, "four publications, 0.3 apart"),
    "scale_sram_energy": (PARTLY, "fitted to CACTI, which is itself a model"),
    "scale_leakage": (ASSUMED, "no public measurement"),
    "scale_delay": (VERIFIED, "clocks of products by node"),
    "scale_logic_area": (PARTLY, "node ratios verified, layout fitted to dies"),
    "scale_sram_area": (VERIFIED, "cells as published"),
    "scale_defect_density": (MEMORY, "the foundry's word, at two nodes"),
    "scale_wafer_price": (PARTLY, "one study"),
    "dram_energy_pJ_per_bit": (PARTLY, "vendors' figures and published ranges"),
    "dram_idle_power_W": (MEMORY, "estimates"),
    "link_energy_pJ_per_bit": (MEMORY, "ranges"),
}
LOW, HIGH = 0.05, 0.95  # quantiles of bands
GRID = 64  # values of one objective at which a band tells another
MOST = 50_000_000  # evaluations


@dataclass(frozen=True)
class Robust:
    """Designs in many worlds.

    table: the given designs, the safest first: `chance` of being non-dominated, `chance_of_limits`,
    and of every objective its `<column>_low`, `<column>_median` and `<column>_high`, the quantiles
    5, 50 and 95%. points: objectives (worlds, designs, m), minimised, in the order of `table`;
    feasible: (worlds, designs).
    """

    table: pd.DataFrame
    objectives: tuple[Objective, ...]
    points: np.ndarray
    feasible: np.ndarray

    def band(self, x: str, y: str) -> pd.DataFrame:
        """Best `y` among designs that are no worse than a value of `x`, over worlds: columns x,
        low, median, high, NaN where so many worlds have no such design."""
        i, j = ([o.column for o in self.objectives].index(name) for name in (x, y))
        values = np.where(self.feasible[:, :, None], self.points, np.inf)
        middle = self.table[f"{x}_median"].to_numpy()
        signs = [-1.0 if o.maximise else 1.0 for o in self.objectives]
        grid = signs[i] * np.geomspace(middle.min(), middle.max(), GRID)
        best = np.array([
            np.where(values[:, :, i] <= limit, values[:, :, j], np.inf).min(axis=1)
            for limit in grid
        ])  # fmt: skip
        told = np.quantile(best, (LOW, 0.5, HIGH), axis=1, method="nearest") * signs[j]
        told = np.where(np.isfinite(told), told, np.nan)
        low, median, high = told if signs[j] > 0 else told[::-1]
        return pd.DataFrame({x: signs[i] * grid, "low": low, "median": median, "high": high})


def robust_front(
    designs: pd.DataFrame, spaces: Space | Sequence[Space], workload: Workload, *,
    worlds: int = 256, seed: int = 0, options: Options | None = None,
    uncertain: dict[str, float] | None = None,
) -> Robust:  # fmt: skip
    """Evaluate designs, a table as of a front, in `worlds` of `uncertain` technology: deviations of
    logarithms by number, those of `UNCERTAIN` by default.

    Raises:
      InputError: a table that does not fit the spaces, an unknown number, too few or too many
        worlds, no design that meets the limits in any world.
    """
    spaces = [spaces] if isinstance(spaces, Space) else list(spaces)
    options = options or Options()
    if uncertain is None:
        uncertain = {name: deviation for name, (deviation, _) in UNCERTAIN.items()}
    known = {name for space in spaces for name in quantities(VARIANTS[space.variant])}
    for name in uncertain:
        check_choice("uncertain", name, {*known, *UNCERTAIN})
    if not 2 <= worlds <= MOST // max(len(designs), 1):
        most = MOST // max(len(designs), 1)
        raise InputError("worlds", worlds, f"allowed: 2 to {most:,} for so many designs")
    table = Table(designs.reset_index(drop=True))
    structures = [(s, static) for s in spaces for static in s.structures()]
    table.sizes(structures)
    normal = np.random.default_rng(seed).standard_normal((worlds, len(uncertain)))
    factors = dict(zip(uncertain, np.exp(normal * list(uncertain.values())).T, strict=True))
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for space, static in structures:
        rows = table.rows(space, static)
        if not len(rows):
            continue
        engine = evaluator(space, static, workload.training, options)
        made = _evaluated(engine, workload, table.columns(space, static), factors)
        found |= {row: (made[0][:, i], made[1][:, i]) for i, row in enumerate(rows)}
    points = np.stack([found[i][0] for i in range(len(designs))], axis=1)
    feasible = np.stack([found[i][1] for i in range(len(designs))], axis=1)
    if not feasible.any():
        raise InputError("designs", f"{len(designs)}", "none meets its limits in any world")
    return _ranked(table.frame, options.objectives, points, feasible)


def _evaluated(
    engine: Evaluator, workload: Workload, values: dict[str, np.ndarray],
    factors: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Objectives (worlds, n, m), minimised, and which designs meet their limits (worlds, n)."""
    known = quantities(VARIANTS[engine.space.variant])
    factors = {name: column for name, column in factors.items() if name in known}
    trace, names = engine.trace(workload), list(values)

    def model(*inputs: Any) -> list[Any]:
        given = dict(zip(names, inputs, strict=False))
        scale = dict(zip(factors, inputs[len(names) :], strict=True))
        readings, margins = engine.one(given, trace, factors=scale)
        return [*engine.points(readings), functools.reduce(jnp.minimum, margins.values())]

    program = strengthened(unroll(model, *[jnp.float32(1.0)] * (len(names) + len(factors))))
    worlds, count = len(next(iter(factors.values()))), len(values[names[0]])
    columns = [np.tile(values[name], worlds).astype(np.float32) for name in names]
    columns += [np.repeat(column, count).astype(np.float32) for column in factors.values()]
    run = compiled(lambda columns: loop(program, worlds * count, columns))
    *points, worst = (np.asarray(column).reshape(worlds, count) for column in run(columns))
    told = np.stack(points, axis=2).astype(float)
    return told, (worst >= 0) & np.isfinite(told).all(axis=2)


def _ranked(
    designs: pd.DataFrame, objectives: tuple[Objective, ...], points: np.ndarray,
    feasible: np.ndarray,
) -> Robust:  # fmt: skip
    on = np.zeros(feasible.shape, bool)
    for world, meets in enumerate(feasible):
        rows = np.flatnonzero(meets)
        if len(rows):
            on[world, rows[non_dominated(points[world, rows])]] = True
    columns = {"chance": on.mean(axis=0), "chance_of_limits": feasible.mean(axis=0)}
    for i, axis in enumerate(objectives):
        sign = -1.0 if axis.maximise else 1.0
        told = np.quantile(sign * points[:, :, i], (LOW, 0.5, HIGH), axis=0)
        columns |= {
            f"{axis.column}_{name}": quantile
            for name, quantile in zip(("low", "median", "high"), told, strict=True)
        }
    table = pd.concat([designs.drop(columns=list(columns), errors="ignore"),
                       pd.DataFrame(columns)], axis=1)  # fmt: skip
    order = np.argsort(-table["chance"].to_numpy(), kind="stable")
    return Robust(
        table.iloc[order].reset_index(drop=True), objectives, points[:, order], feasible[:, order]
    )
