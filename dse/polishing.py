"""Neighbours of designs: what a step along one to three parameters makes of them, buildable.

Steps are of random length, log-uniform between `STEPS` of a parameter's range: large ones to leave
a basin, small ones to end in it; at least to the next value of a discrete number. A choice takes
any other. Some designs are crossed with another first: half of the numbers are that one's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dse.parameter import Parameter

STEPS = (0.003, 0.3)
MOVES = (0.6, 0.3, 0.1)  # shares of designs that one, two and three parameters are moved of
CROSSED = 0.3  # share of designs
TO_BOUND = 0.2  # share of the steps that go to the nearer end of the range


def neighbours(
    parameters: Sequence[Parameter], values: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """At most `count` designs (n, P), each one to three parameters away from a row of `values`
    (r, P), rows in turn, or from a cross of two. Designs that are no move are left out."""
    columns = zip(parameters, values.T, strict=True)
    coordinates = np.stack([p.coordinate(column) for p, column in columns], axis=1)
    shape = count, len(parameters)
    own, mates = np.arange(count) % len(values), rng.integers(len(values), size=count)
    crossed = rng.random(shape) < np.where(rng.random(count) < CROSSED, 0.5, 0.0)[:, None]
    source = np.where(crossed, mates[:, None], own[:, None])
    rows, u = (np.take_along_axis(table, source, axis=0) for table in (values, coordinates))
    number = rng.choice(len(MOVES), count, p=MOVES) + 1
    ranks = np.argsort(np.argsort(rng.random(shape), axis=1), axis=1)
    moved = ranks < number[:, None]
    reach = STEPS[0] * (STEPS[1] / STEPS[0]) ** rng.random(shape)
    reach = np.maximum(reach, [_step(p) for p in parameters])
    stepped = np.clip(u + np.where(rng.random(shape) < 0.5, -reach, reach), 0.0, 1.0)
    stepped = np.where(rng.random(shape) < TO_BOUND, np.round(u), stepped)
    made = rows.astype(np.float32)
    for i, p in enumerate(parameters):
        at = np.flatnonzero(moved[:, i])
        if p.kind == "choice":
            other = rng.integers(1, max(len(p.choices), 2), len(at))
            made[at, i] = (rows[at, i] + other) % len(p.choices)
        else:
            made[at, i] = p.buildable(p.relaxed(stepped[at, i]))
    return made[(made != rows.astype(np.float32)).any(axis=1)]


def _step(p: Parameter) -> float:
    """From a value of a discrete number to the next, in coordinates; 0 if continuous."""
    return 0.0 if p.steps is None else 1.0 / max(p.steps - 1, 1)
