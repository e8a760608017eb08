"""All perfectly factorised tilings of a convolution on the Gemmini-like machine, counted at once.

`hwmodels.mapping.nest` counts one mapping. Here its rule for fills (from the inside out a loop
that does not move a tensor is free until one has) is applied to columns of tilings, for the loop
orders that can be best on `gemmini.gemmini`:

- Loops over P, Q and N as far as the accumulator's tile stand innermost (at L0, N just outside),
  where the weight in the register stays; loops over C, R and S stand at L1 as far as the
  scratchpad's tile, where a sum stays in the accumulator. Anywhere else they move more words.
- At L2 either no loop stands, or those over P, Q, N and K that cut the scratchpad's tile into
  accumulator's tiles; then every outer loop over C takes up sums again.
- At L3 one tensor's own loops are outermost: what stays in its buffer is W (P, Q and N innermost),
  I (K innermost) or O (C, R and S innermost). Of the loops that slide an input's window any may be
  the innermost.

C and K unroll over their largest divisors that fit the array. Sizes of buffers and energies do
not matter here: a tiling is priced for any buffers afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.errors import InputError
from hwmodels.mapping.problem import CONVOLUTION, Problem

Numbers = NDArray[np.float64]
ORDERS = (  # of loops at L3, innermost first
    "PQNKCRS", "QPNKCRS",  # W stays
    "KPQNCRS", "KQPNCRS", "KRSCPQN", "KSRCPQN",  # I stays
    "RSCPQNK", "SRCPQNK",  # O stays
)  # fmt: skip
MIDDLE = "PQNK"  # of loops at L2, innermost first
MOST = 20_000_000  # tilings of one problem
BLOCK = 64.0  # words of a DRAM access
FACTORS = ("P1", "Q1", "N1", "P", "Q", "N", "K", "C", "R", "S", "kept", "order")


class Tilings(NamedTuple):
    """Tilings of one problem, columns (n,). Accesses: `accumulator`, `scratchpad`, `registers`
    words in all, `dram_blocks` words in whole blocks; `cycles`; what a tile needs:
    `accumulator_words` (of a column's bank), `scratchpad_words`; `factors` (n, 12), see `FACTORS`:
    extents of the tiles in the accumulator (P1, Q1, N1) and in the scratchpad, whether K's loops
    stand at L1, so that sums are kept over all of L2, and the number in `ORDERS`."""

    accumulator: Numbers
    scratchpad: Numbers
    registers: Numbers
    dram_blocks: Numbers
    cycles: Numbers
    accumulator_words: Numbers
    scratchpad_words: Numbers
    factors: Numbers

    def rows(self, which: Any) -> Tilings:
        """Some of them."""
        return Tilings(*(column[which] for column in self))


def unrolled(size: float, pe_dim: int) -> int:
    """The largest divisor of a dimension that the array's side takes."""
    return max(d for d in divisors(size) if d <= pe_dim)


def divisors(n: float) -> list[int]:
    """All divisors of a whole number, ascending."""
    small = [d for d in range(1, math.isqrt(int(n)) + 1) if n % d == 0]
    return sorted({*small, *(int(n) // d for d in small)})


def tilings(problem: Problem, pe_dim: int = 16) -> Tilings:
    """All tilings of a convolution (one group) as the module says.

    Raises `InputError` if its sizes have so many divisors that there are more than `MOST`.
    """
    sizes = problem.sizes
    units = {"K": unrolled(sizes["K"], pe_dim), "C": unrolled(sizes["C"], pe_dim)}
    # Tiles in the accumulator and in the scratchpad, of P, Q and N; in the scratchpad, of others.
    axes = [[(a, b) for b in divisors(sizes[d]) for a in divisors(b)] for d in "PQN"]
    axes += [[(b, b) for b in divisors(sizes[d]) if b % units.get(d, 1) == 0] for d in "KCRS"]
    count = math.prod(len(axis) for axis in axes)
    if count > MOST:
        raise InputError("sizes", f"{count:,} tilings", f"allowed: at most {MOST:,}")
    numbers = np.indices([len(axis) for axis in axes]).reshape(len(axes), -1)
    pairs = [np.array(axis, float)[rows].T for axis, rows in zip(axes, numbers, strict=True)]
    tile = dict(zip("PQNKCRS", (pair[1] for pair in pairs), strict=True))
    inner = dict(zip("PQN", (pair[0] for pair in pairs[:3]), strict=True))
    whole = (inner["P"] == tile["P"]) & (inner["Q"] == tile["Q"]) & (inner["N"] == tile["N"])
    parts = []
    for kept in (True, False):
        some = np.flatnonzero(whole if kept else ~whole | (tile["K"] > units["K"]))
        for order in range(len(ORDERS)):
            if not some.size or _same(problem, ORDERS[order]):
                continue
            outside, inside = ({d: x[some] for d, x in t.items()} for t in (tile, inner))
            parts.append(_counted(problem, pe_dim, units, outside, inside, kept, order))
    return Tilings(*map(np.concatenate, zip(*parts, strict=True)))


def _same(problem: Problem, order: str) -> bool:
    """Whether an earlier order is the same without the dimensions of size 1."""
    left = ["".join(d for d in o if problem.sizes[d] > 1) for o in ORDERS]
    return left.index("".join(d for d in order if problem.sizes[d] > 1)) < ORDERS.index(order)


def _counted(
    problem: Problem, pe_dim: int, units: dict[str, int], tile: dict[str, Numbers],
    inner: dict[str, Numbers], kept: bool, order: int,
) -> Tilings:  # fmt: skip
    size, step, macs = problem.sizes, problem.steps, problem.macs
    k, c = units["K"], units["C"]
    outer = [(d, size[d] / tile[d]) for d in ORDERS[order]]
    cut = {d: tile[d] / inner[d] for d in "PQN"} | {"K": 1.0 if kept else tile["K"] / k}
    middle = [(d, cut[d]) for d in MIDDLE]
    weights, outputs = problem.elements("W"), problem.elements("O")
    moved = "W", "I", "O"
    spans = {t: CONVOLUTION.spans[t] for t in moved}
    turns = (tile["C"] > c) | (tile["R"] * tile["S"] > 1) | (kept & (tile["K"] > k))
    register_fills = weights * _again(spans["W"], [*middle, *outer], turns)
    weight_fills = weights * _again(spans["W"], outer, False)
    sum_fills = outputs * _again(spans["O"], [*middle, *outer], False)
    extent = {
        a: (tile[a] - 1) * step[a] + (tile[b] - 1) * step[b] + 1
        for pair in CONVOLUTION.windows
        for a, b in (pair, pair[::-1])
    }
    shares = {
        d: 1.0 - (f - 1.0) / f * np.maximum(extent[d] - tile[d] * step[d], 0.0) / extent[d]
        for d, f in outer
        if d in extent
    }
    tile_input = tile["C"] * tile["N"] * extent["P"] * extent["Q"]
    trips = math.prod(f for d, f in outer if d != "K")
    input_fills = tile_input * trips * _again(spans["I"], outer, False, shares)
    dram = [np.round(x) for x in (weight_fills, input_fills, sum_fills, sum_fills - outputs)]
    registers = macs + register_fills
    accumulator = 2.0 * macs / c - outputs + sum_fills
    scratchpad = dram[0] + dram[1] + register_fills + macs / k
    bounds = (
        macs / (c * k), registers / 1e4, accumulator / (2.0 * k), scratchpad / (2.0 * pe_dim),
        sum(dram) / 8.0,
    )  # fmt: skip
    held = inner["P"] * inner["Q"] * inner["N"] * (tile["K"] / k if kept else 1.0)
    same = np.ones_like(held)
    columns = [*inner.values(), *tile.values(), kept * same, order * same]
    return Tilings(
        accumulator,
        scratchpad,
        registers,
        sum(np.ceil(x / BLOCK) * BLOCK for x in dram),
        np.ceil(np.max(np.broadcast_arrays(*bounds), axis=0)),
        held,
        tile_input + math.prod(tile[d] for d in "KCRS"),
        np.stack(columns, axis=1),
    )


def _again(
    spans: Sequence[str], loops: Sequence[tuple[str, Any]], moving: Any,
    shares: dict[str, Numbers] | None = None,
) -> Any:  # fmt: skip
    """How often a tensor is taken up, over once for each of its tiles, by `loops` (dimension and
    trips, innermost first). `moving`: whether a loop inside has moved the tile. `shares`: of the
    words of a window's tiles, those that are new, should that loop be the first to move them."""
    times: Any = 1.0
    for dimension, trips in loops:
        if dimension in spans:
            if shares and dimension in shares:
                times = times * np.where(moving, 1.0, shares[dimension])
            moving = moving | (trips > 1)
        else:
            times = times * np.where(moving, trips, 1.0)
    return times


def mapping_text(problem: Problem, factors: Numbers, pe_dim: int = 16) -> str:
    """A row of `Tilings.factors` as a mapping's text."""
    f = dict(zip(FACTORS, factors, strict=True))
    k, c = (unrolled(problem.sizes[d], pe_dim) for d in "KC")
    outer = {d: problem.sizes[d] / f[d] for d in "PQNKCRS"}
    middle = {d: f[d] / f[f"{d}1"] for d in "PQN"} | {"K": 1.0}
    lower = {"N": f["N1"], "S": f["S"], "R": f["R"], "C": f["C"] / c, "K": 1.0}
    (lower if f["kept"] else middle)["K"] = f["K"] / k
    levels = (
        ("L3[WIO]", outer, ORDERS[int(f["order"])], ""), ("L2[WI]", middle, MIDDLE, f"K{k}X"),
        ("L1[O]", lower, "NSRCK", f"C{c}X"), ("L0[W]", {"P": f["P1"], "Q": f["Q1"]}, "PQ", ""),
    )  # fmt: skip
    made = []
    for name, loops, order, spatial in levels:
        parts = [f"{d}{int(loops[d])}" for d in reversed(order) if loops[d] > 1]
        parts += [spatial] if spatial and not spatial.endswith("1X") else []
        made.append(" ".join([name, *(parts or ["N1"])]))
    return " - ".join(made)
