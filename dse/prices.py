"""What a budget costs: the best design under limits, to first order, and the limits' shadow prices.

From a design of a front one objective is improved alone, all numbers continuous and choices held,
by sequential quadratic programming (SLSQP: Kraft, 1988) on the sharp smooth model. At its end the
conditions of Karush, Kuhn and Tucker hold: the objective's slope is a sum of the slopes of the
limits that bind, and the weights of that sum are their prices: by how much the logarithm of the
objective changes for each part of the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.optimize import minimize

from dse.adjoint import with_gradient
from dse.costing import Costing
from dse.kernel import compiled, loop, strengthened
from dse.program import unroll
from dse.ranges import narrowed
from dse.readings import Constraint
from hwmodels import Relax

SHARPNESS = 300.0
BINDING = 2e-3  # least price, and largest room, of a limit that binds
OPTIONS = {"maxiter": 200, "ftol": 1e-7}


@dataclass(frozen=True)
class Price:
    """A budget that binds: `elasticity`, percent of the objective for one percent of the limit."""

    budget: Constraint
    objective: str
    elasticity: float

    @property
    def per_unit(self) -> float:
        """Share of the objective for one unit (of the metric's name) more room."""
        return self.elasticity / self.budget.limit

    def __str__(self) -> str:
        unit = self.budget.unit or "unit"
        more = f"one more {unit}" if self.budget.at_most else f"one {unit} less asked for"
        return (
            f"{self.budget.text} binds: {more} buys {_percent(self.per_unit)} {self.objective} "
            f"(1% of it: {_percent(self.elasticity / 100.0)})"
        )


@dataclass(frozen=True)
class Optimum:
    """The best of one objective: `logs` (m,) log-objectives (minimised) and `margins` (K,) of the
    relaxed design, `values` (P,), `multipliers` (K,) of the limits, `stationarity`: the largest
    slope, by coordinate, that limits and bounds leave unexplained."""

    values: np.ndarray
    logs: np.ndarray
    margins: np.ndarray
    multipliers: np.ndarray
    stationarity: float


class Local:
    """The smooth model of a structure, at one design with all slopes: a batch of designs that are
    the same, each with another output to differentiate."""

    def __init__(self, costs: Costing):
        engine, self.limits = costs.engine, costs.limits
        self.parameters = engine.space.numeric
        trace = engine.trace(costs.workload)
        self.objectives = len(engine.objectives)
        self.outputs = self.objectives + len(self.limits)

        def model(*inputs: Any) -> list[Any]:
            u, chosen = inputs[: len(self.parameters)], inputs[len(self.parameters) :]
            values = {
                p.name: x if p.kind == "choice" else p.relaxed(x)
                for p, x in zip(self.parameters, u, strict=True)
            }
            readings, margins = engine.one(values, trace, Relax("smooth", SHARPNESS))
            logs = [jnp.sign(x) * jnp.log(jnp.abs(x)) for x in engine.points(readings)]
            made = [*logs, *margins.values()]
            return [sum(c * x for c, x in zip(chosen, made, strict=True)), *made]

        count = len(self.parameters)
        one = jnp.float32(1.0)
        program = unroll(model, *[one] * (count + self.outputs), differentiable=True)
        self._free = [i for i, p in enumerate(self.parameters) if p.kind != "choice"]
        ends = [p.ends if p.kind == "choice" else (0.0, 1.0) for p in self.parameters]
        program = with_gradient(program, self._free)
        program = strengthened(narrowed(program, [*ends, *[(0.0, 1.0)] * self.outputs]))
        self._program = compiled(lambda columns: loop(program, self.outputs, columns), level=0)

    def at(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs (m + K,), log-objectives then margins, at coordinates `u` (P,), a choice's its
        position; and their slopes (m + K, P) by coordinate."""
        same = np.broadcast_to(u.astype(np.float32), (self.outputs, len(u))).T
        _, *made = self._program([*same, *np.eye(self.outputs, dtype=np.float32)])
        values = np.array([column[0] for column in made[: self.outputs]], float)
        slopes = np.zeros((self.outputs, len(u)))
        slopes[:, self._free] = np.stack(made[self.outputs :], axis=1)
        return values, slopes

    def best(self, objective: int, values: np.ndarray, room: np.ndarray | float = 0.0) -> Optimum:
        """Improve one objective from the design `values` (P,). Limits may be missed by `room`."""
        m, free = self.objectives, self._free
        at, begin = self._seen(values)
        found = minimize(
            lambda x: at(x)[0][objective], begin[free],
            jac=lambda x: at(x)[1][objective, free], bounds=[(0.0, 1.0)] * len(free),
            constraints={
                "type": "ineq", "fun": lambda x: at(x)[0][m:] + room,
                "jac": lambda x: at(x)[1][m:, free],
            },
            method="SLSQP", options=OPTIONS,
        )  # fmt: skip
        outputs, slopes = at(found.x)
        multipliers = np.maximum(found.multipliers, 0.0)
        rest = slopes[objective, free] - multipliers @ slopes[m:, free]
        # At a bound a slope may point outwards.
        rest = np.where(found.x < 1e-6, np.minimum(rest, 0.0), rest)
        rest = np.where(found.x > 1 - 1e-6, np.maximum(rest, 0.0), rest)
        return Optimum(
            self._relaxed(begin, found.x), outputs[:m], outputs[m:], multipliers,
            float(np.abs(rest).max(initial=0.0)),
        )  # fmt: skip

    def least_miss(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The relaxed design near `values` whose worst margin is best, and all its margins (K,)."""
        m, free = self.objectives, self._free
        at, begin = self._seen(values)
        worst = -at(begin[free])[0][m:].min()
        found = minimize(
            lambda x: x[-1], [*begin[free], worst], jac=lambda x: np.eye(len(x))[-1],
            bounds=[*[(0.0, 1.0)] * len(free), (None, None)],
            constraints={
                "type": "ineq", "fun": lambda x: at(x[:-1])[0][m:] + x[-1],
                "jac": lambda x: np.column_stack(
                    [at(x[:-1])[1][m:, free], np.ones(len(self.limits))]
                ),
            },
            method="SLSQP", options=OPTIONS,
        )  # fmt: skip
        return self._relaxed(begin, found.x[:-1]), at(found.x[:-1])[0][m:]

    def _seen(self, values: np.ndarray) -> tuple[Any, np.ndarray]:
        """`at` as a function of the free coordinates, which remembers; and where they begin."""
        known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        begin = np.array([
            x if p.kind == "choice" else np.clip(p.coordinate(x), 0.0, 1.0)
            for p, x in zip(self.parameters, values.astype(float), strict=True)
        ])  # fmt: skip

        def at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if x.tobytes() not in known:
                u = begin.copy()
                u[self._free] = x
                known[x.tobytes()] = self.at(u)
            return known[x.tobytes()]

        return at, begin

    def _relaxed(self, begin: np.ndarray, x: np.ndarray) -> np.ndarray:
        u = begin.copy()
        u[self._free] = x
        return np.array([
            v if p.kind == "choice" else float(p.relaxed(v))
            for p, v in zip(self.parameters, u, strict=True)
        ])  # fmt: skip


def local(costs: Costing) -> Local:
    """The local model of a structure on a workload, made once."""
    key, programs = ("local", costs.workload), costs.engine.programs
    if key not in programs:
        programs[key] = Local(costs)
    return programs[key]


def prices(costs: Costing, objective: int, row: pd.Series) -> tuple[list[Price], list[str]]:
    """The budgets that bind at a design of a front, for one objective, dearest first; and the
    other limits that do."""
    values = np.array([float(p.positions([row[p.name]])[0]) for p in costs.engine.space.numeric])
    found = local(costs).best(objective, values)
    label = costs.engine.objectives[objective].label.split(",")[0].lower()
    budgets = {str(c): c for c in costs.engine.space.constraints}
    priced, others = [], []
    for name, multiplier in zip(costs.limits, found.multipliers, strict=True):
        if multiplier < BINDING:
            continue
        if name in budgets:
            priced.append(Price(budgets[name], label, float(multiplier)))
        else:
            others.append(name)
    return sorted(priced, key=lambda price: -price.elasticity), others


class Nearest(NamedTuple):
    """Relaxed designs `values` (n, P) near limits that nothing sampled meets, the best `miss` of a
    worst limit (<= 0 where one meets all), and what holds them back and which design, in words."""

    values: np.ndarray
    miss: float
    held_by: str
    design: str


def nearest(costs: Costing, starts: np.ndarray) -> Nearest:
    """How near a structure comes to meeting its limits, from `starts` (n, P)."""
    model = local(costs)
    tried = [model.least_miss(values) for values in starts]
    values, margins = max(tried, key=lambda found: found[1].min())
    worst = float(margins.min())
    binding = [n for n, x in zip(costs.limits, margins, strict=True) if x < worst + 0.01]
    design = ", ".join(
        f"{p.name}={p.choices[round(x)] if p.kind == 'choice' else format(x, '.3g')}"
        for p, x in zip(model.parameters, values, strict=True)
    )
    return Nearest(
        np.stack([v for v, _ in tried]), -worst, " and ".join(binding),
        f"{costs.engine.space.variant}, {design}",
    )  # fmt: skip


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g}%"
