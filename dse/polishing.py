"""Neighbours of designs: what a step along one parameter makes of them, buildable.

A whole number takes its next values, a choice the others, and a continuous number a step of
random length, log-uniform between `STEPS` of its range: large ones to leave a basin, small ones
to end in it. Some rows are crossed with another first: half of the numbers are that one's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dse.parameter import Parameter

STEPS = (0.003, 0.3)
CROSSED = 0.3  # share of designs
TO_BOUND = 0.2  # share of a continuous number's steps that go to the nearer end of its range


def neighbours(
    parameters: Sequence[Parameter], values: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """At most `count` designs (n, P), each one to three parameters away from a row of `values`
    (r, P), rows in turn, or from a cross of two. Designs that are no move are left out."""
    rows = values[np.arange(count) % len(values)].astype(float)
    mates = values[rng.integers(len(values), size=len(rows))]
    taken = (rng.random(rows.shape) < 0.5) & (rng.random(len(rows)) < CROSSED)[:, None]
    rows = np.where(taken, mates, rows)
    number = rng.choice(3, len(rows), p=(0.6, 0.3, 0.1)) + 1
    order = np.argsort(rng.random(rows.shape), axis=1)
    moved = order < number[:, None]
    made = rows.copy()
    for i, p in enumerate(parameters):
        column, sign = rows[:, i], rng.choice((-1.0, 1.0), len(rows))
        if p.kind == "choice":
            other = rng.integers(1, max(len(p.choices), 2), len(rows))
            step = (column + other) % len(p.choices)
        elif p.kind == "power2":
            step = p.buildable(column * np.exp2(sign))
        else:
            reach = STEPS[0] * (STEPS[1] / STEPS[0]) ** rng.random(len(rows))
            u = np.clip(p.coordinate(column) + sign * reach, 0.0, 1.0)
            u = np.where(rng.random(len(rows)) < TO_BOUND, np.round(p.coordinate(column)), u)
            step = np.asarray(p.relaxed(u))
            if p.kind == "integer":
                step = p.buildable(np.where(np.round(step) == column, column + sign, step))
        made[:, i] = np.where(moved[:, i], step, column)
    made = made.astype(np.float32)
    return made[(made != rows.astype(np.float32)).any(axis=1)]
