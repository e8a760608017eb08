"""The best design of a variant for one product or several, and what a design does in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.evolution import BATCH, Floats, evolve
from experiments.products import SETTINGS, Done, Product, Setting, decoded, performance, silicon

LEAST_SHARE = 1e-3  # what a product counts as that a design cannot be sold for
SMALLER = 1e-3  # of the logarithm of area: of designs that do the same, the smaller
TRIED = (8, 4, 8)  # settings of a design, by axis, in a product that it is not made for


class Design(NamedTuple):
    """The best design for some products: its silicon by name, what it does in each, and the score
    of every seed, then of the search from all of them."""

    variant: str
    number_format: str
    columns: dict[str, Any]
    done: dict[str, Done]
    scores: list[float]

    @property
    def weakest(self) -> float:
        """What the weakest seed reaches of the last search."""
        return float(np.exp(min(self.scores[:-1]) - self.scores[-1]))


def best_design(
    variant: str, products: Sequence[Product], generations: int, seeds: int,
    reference: dict[str, float] | None = None,
) -> Design:  # fmt: skip
    """The design of a variant with the largest geometric mean of what it does in `products`, over
    `reference`."""
    trains = any(p.trains for p in products)
    number_format = "bf16" if trains else products[0].number_format
    space = silicon(variant, number_format)
    size = len(space.numeric)
    functions = [performance(variant, number_format, p) for p in products]
    scale = [1.0 if reference is None else reference[p.scenario] for p in products]

    def does(designs: Floats) -> list[Done]:
        columns = decoded(space, designs)
        settings = np.split(designs[:, size:], len(products), axis=1)
        return [
            f(columns, Setting.of(variant, genes))
            for f, genes in zip(functions, settings, strict=True)
        ]

    def score(designs: Floats) -> Floats:
        done = does(designs)
        logs = [
            np.where(d.margin >= 0, np.log(np.maximum(d.per_s / s, LEAST_SHARE)),
                     np.log(LEAST_SHARE) + np.clip(d.margin, -1.0, 0.0))
            for d, s in zip(done, scale, strict=True)
        ]  # fmt: skip
        return np.mean(logs, axis=0) - SMALLER * np.log(done[0].area_mm2)

    genes = size + SETTINGS * len(products)
    found = [evolve(score, genes, generations, seed) for seed in range(seeds)]
    begin = np.concatenate([evolved.designs for evolved in found])
    last = evolve(score, genes, generations, seeds, begin)
    batch = np.repeat(last.designs[:1], BATCH, axis=0)
    done = {p.scenario: _at(d, 0) for p, d in zip(products, does(batch), strict=True)}
    columns = {k: v[0] for k, v in decoded(space, batch).items()}
    scores = [float(evolved.scores[0]) for evolved in (*found, last)]
    return Design(variant, number_format, columns, done, scores)


def _at(done: Done, i: int) -> Done:
    return Done(*(field[i] for field in done))


def in_product(design: Design, product: Product) -> Done:
    """What a design does in a product, at the best of some settings."""
    if product.scenario in design.done:
        return design.done[product.scenario]
    axes = [np.linspace(0.0, 1.0 - 1e-6, count) for count in TRIED]
    genes = np.stack([axis.ravel() for axis in np.meshgrid(*axes)], axis=1)
    columns = {k: np.full(len(genes), v, np.float32) for k, v in design.columns.items()}
    function = performance(design.variant, design.number_format, product)
    done = function(columns, Setting.of(design.variant, genes))
    fits = done.margin >= 0
    return _at(done, int(np.argmax(done.per_s * fits if fits.any() else done.margin)))
