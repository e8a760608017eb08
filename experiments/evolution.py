"""The best of one number over a box: a population, crossed and mutated, the best kept.

For measures that no front of `dse.search` has, such as the mean of what one design does in several
products with a different number of copies in each: steps and ties, whose slopes say little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BATCH = 256  # children of a generation
PARENTS = 64
FIRST = 16  # batches of random designs
STEPS = (0.3, 0.1, 0.03, 0.01)  # deviations of a mutation, in the unit box
CROSSED = 0.5  # share of children of two parents
CHANGED = 2.0  # genes of a child that mutate, on average
RENEWED = 0.2  # of them drawn anew: the way from one kind of memory to another


class Evolved(NamedTuple):
    """Designs (PARENTS, genes) in the unit box and their scores (PARENTS,), best first."""

    designs: Floats
    scores: Floats


def evolve(
    score: Callable[[Floats], Floats], genes: int, generations: int, seed: int,
    start: Floats | None = None,
) -> Evolved:  # fmt: skip
    """Maximise `score`, which takes (BATCH, genes) in [0, 1), from random designs and `start`."""
    rng = np.random.default_rng(seed)
    designs = rng.random((FIRST * BATCH, genes))
    if start is not None:
        designs[: len(start)] = start
    scores = np.concatenate([score(part) for part in np.split(designs, FIRST)])
    kept = _best(designs, scores)
    for _ in range(generations):
        children = _children(kept, rng)
        both = np.concatenate([kept.designs, children])
        kept = _best(both, np.concatenate([kept.scores, score(children)]))
    return kept


def _best(designs: Floats, scores: Floats) -> Evolved:
    """The best that differ in score: equal ones are most often the same design."""
    _, first = np.unique(scores, return_index=True)
    order = first[np.argsort(-scores[first])][:PARENTS]
    order = np.resize(order, PARENTS)
    return Evolved(designs[order], scores[order])


def _children(parents: Evolved, rng: np.random.Generator) -> Floats:
    # The smaller of two ranks: better parents more often.
    one = rng.integers(PARENTS, size=(BATCH, 2)).min(axis=1)
    other = rng.integers(PARENTS, size=BATCH)
    designs = parents.designs
    genes = designs.shape[1]
    taken = (rng.random((BATCH, 1)) < CROSSED) & (rng.random((BATCH, genes)) < 0.5)
    children = np.where(taken, designs[other], designs[one])
    step = rng.choice(STEPS, (BATCH, 1)) * rng.standard_normal((BATCH, genes))
    changes = rng.random((BATCH, genes)) < CHANGED / genes
    anew = changes & (rng.random((BATCH, genes)) < RENEWED)
    children = np.where(changes, children + step, children)
    children = np.where(anew, rng.random((BATCH, genes)), children)
    return np.clip(children, 0.0, 1.0 - 1e-9)
