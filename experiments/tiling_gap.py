"""How far is the closed-form tiling from the optimum? `python -m experiments.tiling_gap`

Draws random products and buffers, and compares the operand traffic of `hwmodels.mapping.tiling`
with the least that any loop nest of two levels,

    DRAM[WIO] M. N. K. - BUF[WIO] M. N. K.

reaches whose tiles fit the buffer, as counted by `hwmodels.mapping.nest`: every integer tile size
and every order of the outer loops, partial tiles included. A partial sum that leaves and comes
back costs 4 bytes each way; the result's own write is the same for all and left out, so that the
ratios below are those of what a tiling can change. Buffers that cannot hold 1 x 1 x 1 are not
drawn: there is nothing to compare.

Groups: operands as wide in DRAM as in the buffer (the case that the closed form is meant for),
with tiles held once or twice, and one operand kept at 4 bytes in DRAM; of the former also the
contested cases alone, where even the optimum reads some operand more than once.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
from typing import Any, NamedTuple

import jax
import numpy as np

from hwmodels.mapping.mapping import Level, Loop, Mapping
from hwmodels.mapping.nest import count
from hwmodels.mapping.problem import matmul
from hwmodels.mapping.tiling import dram_passes
from hwmodels.parts.mac import ACCUMULATOR_BYTES
from hwmodels.relax import EXACT

INNERMOST = (("M", "N", "K"), ("K", "M", "N"), ("K", "N", "M"))  # one order for each innermost loop
LARGEST = (4096, 4096, 64, 12)  # sizes are drawn up to these in turn


class Case(NamedTuple):
    """One product in one buffer. `left`, `right`: DRAM bytes of one pass over the operands."""

    m: int
    n: int
    k: int
    word: int
    capacity: int
    left: float
    right: float


def draw(number: int, seed: int, copies: int = 1, wide: bool = False) -> list[Case]:
    """Random cases: sizes log-uniform, words of 1, 2 or 4 bytes, 16 B to 64 MB a buffer.

    Half of the buffers are drawn between the smallest and 1.2 times what would let one operand
    or the sums stay, where tiling matters. `copies`: how often each tile is held. `wide`: one
    of the operands, or both, have 4 bytes an element in DRAM.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(number):
        sizes = np.exp(rng.uniform(0, np.log(LARGEST[i % len(LARGEST)] + 1), 3))
        m, n, k = (int(size) for size in sizes)
        word = int(rng.choice([1, 2, 4]))
        least = max(16, copies * (2 * word + int(ACCUMULATOR_BYTES)))
        most = 2.0**26
        if rng.random() < 0.5:
            one_stays = min(word * m * k, word * k * n, ACCUMULATOR_BYTES * m * n)
            most = max(1.2 * copies * one_stays, least)
        # As float32 has it: that is what the closed form sees.
        capacity = int(np.float32(np.floor(np.exp(rng.uniform(np.log(least), np.log(most))))))
        widths = rng.choice([word, 4], 2) if wide else (word, word)
        left, right = float(widths[0] * m * k), float(widths[1] * k * n)
        cases.append(Case(m, n, k, word, max(capacity, least), left, right))
    return cases


def optimum(case: Case, copies: int = 1, everything: bool = False) -> float:
    """Least DRAM bytes of operands and of partial sums that come and go, over all nests.

    Two reductions lose nothing. Of tile sizes with the same number of tiles only the smallest is
    tried. What moves does not depend on the tile of the innermost loop's dimension nor on the
    order of the other two loops (unless the innermost has one trip; then the nest is among those
    with another loop innermost): one order for each innermost loop, its tile 1. `everything`
    leaves the second reduction out.
    """
    orders = tuple(itertools.permutations("MNK")) if everything else INNERMOST
    return min(_least(case, copies, order, everything) for order in orders)


def _least(case: Case, copies: int, order: tuple[str, ...], everything: bool) -> float:
    problem = matmul(case.m, case.n, case.k)
    extents = {"M": case.m, "N": case.n, "K": case.k}
    choices = [_sides(extents[d]) for d in order]
    if not everything:
        choices[-1] = np.ones(1)
    tiles = dict(zip(order, np.meshgrid(*choices, indexing="ij", sparse=True), strict=True))
    outer = tuple(Loop(d, np.ceil(extents[d] / tiles[d]), extents[d] / tiles[d]) for d in order)
    inner = tuple(Loop(d, tiles[d], tiles[d]) for d in order)
    counts = count(problem, Mapping((Level("DRAM", "WIO", outer), Level("BUF", "WIO", inner))))
    dram, buffer = counts.traffic
    held = case.word * (buffer["W"].tile + buffer["I"].tile) + ACCUMULATOR_BYTES * buffer["O"].tile
    moved = (
        dram["I"].reads * (case.left / problem.elements("I"))
        + dram["W"].reads * (case.right / problem.elements("W"))
        + ACCUMULATOR_BYTES * (dram["O"].reads + dram["O"].updates - problem.elements("O"))
    )
    return float(np.where(copies * held <= case.capacity, moved, np.inf).min())


@functools.lru_cache(maxsize=4096)
def _sides(size: int) -> np.ndarray:
    """The smallest tile side for each number of tiles that a dimension can be cut into."""
    return np.unique(-(-size // np.arange(1, size + 1))).astype(float)


def closed_form(cases: list[Case], copies: int = 1) -> np.ndarray:
    """DRAM bytes of operands by the closed form, as the models run it: float32, exact mode."""

    def one(case: Case) -> Any:
        whole = case.left, case.right
        return dram_passes(
            case.m, case.n, case.k, whole, whole, case.word, case.capacity, EXACT,
            double_buffered=copies == 2,
        )  # fmt: skip

    columns: Any = Case(*np.asarray(cases, np.float64).T)
    narrow: Any = jax.tree.map(np.float32, columns)
    left, right = jax.jit(jax.vmap(one))(narrow)
    return np.asarray(left, float) * columns.left + np.asarray(right, float) * columns.right


def ratios(cases: list[Case], copies: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Closed form over optimum, and which cases are contested (one pass each is out of reach)."""
    best = np.asarray([optimum(case, copies) for case in cases])
    once = np.asarray([case.left + case.right for case in cases])
    return closed_form(cases, copies) / best, best > once * (1 + 1e-9)


def summary(ratio: np.ndarray) -> dict[str, float]:
    """The distribution of a group; `below` counts results under the optimum (none may be)."""
    marks = {"median": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        "cases": len(ratio),
        "below": int(np.sum(ratio < 1 - 1e-9)),
        "optimal": float(np.mean(ratio < 1 + 1e-9)),
        "mean": float(ratio.mean()),
        **{name: float(np.quantile(ratio, mark)) for name, mark in marks.items()},
    }


def distribution(number: int, seed: int) -> dict[str, dict[str, float]]:
    """`summary` of every group, `number` cases drawn for each of the three settings."""
    groups = {}
    for name, copies, wide in (
        ("held once", 1, False),
        ("double-buffered", 2, False),
        ("4 bytes in DRAM", 1, True),
    ):
        ratio, contested = ratios(draw(number, seed, copies, wide), copies)
        groups[name] = summary(ratio)
        if contested.any():
            groups[f"{name}, contested"] = summary(ratio[contested])
    return groups


def main() -> None:
    """Print the distribution as a table, or as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=4000, help="cases a setting (default 4000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.cases < 1:
        parser.error("--cases: allowed: >= 1")
    groups = distribution(options.cases, options.seed)
    if options.json:
        print(json.dumps(groups, indent=2))
        return
    names = list(next(iter(groups.values())))
    print(f"{'closed form / optimum':28}" + "".join(f"{name:>9}" for name in names))
    for group, row in groups.items():
        cells = (f"{v:9d}" if isinstance(v, int) else f"{v:9.4f}" for v in row.values())
        print(f"{group:28}" + "".join(cells))


if __name__ == "__main__":
    main()
