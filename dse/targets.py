"""What must improve, and by how much, for a chip to reach a target: `reach(point, targets, free)`.

Of all changes of the free numbers that reach the targets the least is sought: the smallest sum of
squared logarithms of their factors, each within `MOST` either way and within its own range. There
every other factor's logarithm is proportional to how much the target answers to it (Karush, Kuhn
and Tucker), so what matters most changes most. Sequential quadratic programming finds it on the
sharp smooth model; the answer is then stretched until the exact model reaches the targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize

from dse.point import METRICS, SHARP, Point
from dse.readings import Constraint, objective
from hwmodels import InputError

MOST = 10.0  # factor, either way
FARTHEST = 1.5  # of the smooth model's answer, in logarithms, that the exact one may need
MET = 1e-5
UNCHANGED = 1e-3  # a factor's logarithm that is none


@dataclass(frozen=True)
class Reached:
    """The least change that reaches the targets.

    factors: of the numbers that change, by name, the strongest first. metrics: exact, after it.
    """

    targets: tuple[Constraint, ...]
    factors: dict[str, float]
    metrics: dict[str, float]

    @property
    def total(self) -> float:
        """The change as one factor: e to the root of the sum of squared logarithms."""
        return math.exp(math.sqrt(sum(math.log(f) ** 2 for f in self.factors.values())))


def target(text: str) -> Constraint:
    """From "power=100": at most, or at least, as the metric is better small or large."""
    name, equals, number = text.partition("=")
    if not equals:
        raise InputError("--target", text, "allowed: METRIC=NUMBER, such as power=100")
    known = Constraint.parse(name, "at_most", number)
    if known.metric not in METRICS:
        raise InputError("--target", name, f"allowed: {', '.join(METRICS)}")
    return Constraint(known.metric, known.limit, not objective(known.metric).maximise)


def reach(point: Point, targets: Sequence[Constraint], free: Sequence[str]) -> Reached:
    """The least change of the numbers that `free` names, or groups of them, to reach `targets`.

    Raises:
      InputError: an unknown name, targets that are met already, or that no factors within `MOST`
        reach; then it tells the nearest.
    """
    chosen = point.chosen(free)
    signs = np.array([1.0 if t.at_most else -1.0 for t in targets])
    rows = [METRICS.index(t.metric) for t in targets]
    limits = np.log([t.limit for t in targets])

    ranges = np.array([point.numbers[i].range for i in chosen])
    low, high = np.log(ranges.clip(1.0 / MOST, MOST)).T

    def whole(x: np.ndarray) -> np.ndarray:
        u = np.zeros(len(point.numbers))
        u[chosen] = np.clip(x, low, high)
        return u

    def exact(x: np.ndarray) -> np.ndarray:
        return signs * (limits - point.exact(whole(x)[None])[0, rows])  # room, >= 0 if met

    none = np.zeros(len(chosen))
    if (exact(none) >= -MET).all():
        now = np.exp(point.exact(whole(none)[None])[0])
        told = ", ".join(f"{t.metric} is {now[r]:.4g}" for t, r in zip(targets, rows, strict=True))
        raise InputError("--target", " and ".join(t.text for t in targets), f"already met: {told}")
    seen: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def smooth(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if x.tobytes() not in seen:
            seen[x.tobytes()] = point.slopes(whole(x), SHARP)
        values, slopes = seen[x.tobytes()]
        return signs * (limits - values[rows]), -signs[:, None] * slopes[np.ix_(rows, chosen)]

    found = minimize(
        lambda x: 0.5 * x @ x, none, jac=lambda x: x, bounds=np.stack([low, high], axis=1),
        constraints={"type": "ineq", "fun": lambda x: smooth(x)[0], "jac": lambda x: smooth(x)[1]},
        method="SLSQP", options={"maxiter": 60, "ftol": 1e-6},
    )  # fmt: skip

    def room(stretch: float) -> float:
        return float(exact(found.x * stretch).min())

    if room(FARTHEST) < -MET and room(1.0) < -MET:
        values = np.exp(point.exact(whole(found.x)[None])[0])
        near = ", ".join(f"{t.metric} {values[r]:.4g}" for t, r in zip(targets, rows, strict=True))
        told = (
            f"out of reach with {', '.join(free)} within a factor of {MOST:g}; the nearest: {near}"
        )
        raise InputError("--target", " and ".join(t.text for t in targets), told)
    end = 1.0 if room(1.0) >= -MET else FARTHEST
    stretch = brentq(lambda s: room(s) + 0.5 * MET, 0.0, end, xtol=1e-6) if room(end) > 0 else end
    u = whole(found.x * stretch)
    order = sorted(chosen, key=lambda i: -abs(u[i]))
    factors = {point.names[i]: math.exp(u[i]) for i in order if abs(u[i]) > UNCHANGED}
    values = np.exp(point.exact(u[None])[0])
    return Reached(tuple(targets), factors, dict(zip(METRICS, values.tolist(), strict=True)))
