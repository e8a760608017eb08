"""The buffers of a Gemmini-like array and the mappings of a network of least energy x cycles.

For every layer all perfect factorisations are counted in closed form
(`hwmodels.mapping.gemmini_tiles`) and the dominated ones dropped. For given buffers a layer's
mapping is then a point of energy and cycles; the product of two sums is least where the sum of
energy + x cycles is, for the x that equals total energy over total cycles: a few steps to a fixed
point. Pairs of buffers are searched on a grid of the sizes that some tile needs, then around its
best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dse.front import non_dominated
from hwmodels.mapping.gemmini import (
    DRAM_pJ,
    MAC_pJ,
    REGISTER_pJ,
    accumulator_pJ,
    scratchpad_pJ,
)
from hwmodels.mapping.gemmini_tiles import Tilings, tilings
from hwmodels.mapping.problem import Problem

PE_DIM = 16
GRID = 24, 40  # sizes of accumulator and scratchpad that the first grid has, at most
BEST = 4  # pairs of the grid whose surroundings are searched
BLOCK = 2048  # tilings whose dominated ones are dropped at once


class Layer(NamedTuple):
    """A layer of a network: its problem and how often it occurs."""

    name: str
    problem: Problem
    count: int


class Choices(NamedTuple):
    """What is left of all layers' tilings: one table, the layers' rows one after another."""

    tilings: Tilings
    fixed_pJ: np.ndarray  # energy that no buffer's size changes
    needs_KB: np.ndarray  # (n, 2): accumulator, scratchpad
    begins: np.ndarray  # first row of each layer
    counts: np.ndarray  # of each layer


def choices(layers: Sequence[Layer]) -> Choices:
    """All tilings that may be best for some buffers; `InputError` if a layer has too many."""
    parts = []
    for layer in layers:
        found = tilings(layer.problem, PE_DIM)
        fixed = MAC_pJ * layer.problem.macs + REGISTER_pJ * found.registers
        fixed += DRAM_pJ * found.dram_blocks
        needs = np.ceil(np.stack([
            found.accumulator_words * PE_DIM / 256.0, found.scratchpad_words / 1024.0
        ], axis=1))  # fmt: skip
        columns = [found.accumulator, found.scratchpad, fixed, found.cycles, *needs.T]
        kept = _useful(np.stack(columns, axis=1))
        parts.append((found.rows(kept), fixed[kept], needs[kept]))
    table = Tilings(*map(np.concatenate, zip(*(part[0] for part in parts), strict=True)))
    sizes = [len(part[1]) for part in parts]
    return Choices(
        table, np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]), np.cumsum([0, *sizes[:-1]]),
        np.array([layer.count for layer in layers], float),
    )  # fmt: skip


def _useful(points: np.ndarray) -> np.ndarray:
    """Rows of `points` (n, d), minimised, that no other dominates; few pass the blocks."""
    rows = np.argsort(np.log(points).sum(axis=1))
    while len(rows) > BLOCK:
        blocks = [rows[i :: -(-len(rows) // BLOCK)] for i in range(-(-len(rows) // BLOCK))]
        left = np.concatenate([block[non_dominated(points[block])] for block in blocks])
        if len(left) > 0.7 * len(rows):
            break
        rows = left[np.argsort(np.log(points[left]).sum(axis=1))]
    return rows[non_dominated(points[rows])]


def mapped(table: Choices, accumulator_KB: float, scratchpad_KB: float) -> tuple[float, np.ndarray]:
    """The least pJ x cycles with these buffers, and each layer's row; infinite if some layer has
    no mapping that fits."""
    energy, cycles = costs(table, accumulator_KB, scratchpad_KB)
    rows = _least(table, energy * cycles)
    if not np.isfinite(energy[rows]).all():
        return np.inf, rows
    best = np.inf
    while True:
        total = table.counts @ energy[rows], table.counts @ cycles[rows]
        if not total[0] * total[1] < best:
            return best, rows
        best, kept = total[0] * total[1], rows
        rows = _least(table, energy + total[0] / total[1] * cycles)
        if (rows == kept).all():
            return best, rows


def costs(
    table: Choices, accumulator_KB: float, scratchpad_KB: float
) -> tuple[np.ndarray, np.ndarray]:
    """pJ and cycles of every tiling; infinite energy where it does not fit."""
    t = table.tilings
    energy = table.fixed_pJ + accumulator_pJ(accumulator_KB, PE_DIM) * t.accumulator
    energy = energy + scratchpad_pJ(scratchpad_KB) * t.scratchpad
    fits = (table.needs_KB <= [accumulator_KB, scratchpad_KB]).all(axis=1)
    return np.where(fits, energy, np.inf), t.cycles


def _least(table: Choices, ranks: np.ndarray) -> np.ndarray:
    ends = [*table.begins[1:], len(ranks)]
    return np.array([
        begin + np.argmin(ranks[begin:end])
        for begin, end in zip(table.begins, ends, strict=True)
    ])  # fmt: skip


def exchanged(
    table: Choices, rows: np.ndarray, energy: np.ndarray, cycles: np.ndarray
) -> np.ndarray:
    """Rows improved one layer at a time, beyond what a weighted sum of both totals can find."""
    ends, n = [*table.begins[1:], len(energy)], table.counts
    rows, best = rows.copy(), np.inf
    while (now := (n @ energy[rows]) * (n @ cycles[rows])) < best:
        best = now
        for i, (begin, end) in enumerate(zip(table.begins, ends, strict=True)):
            others = [
                n @ x[rows] - n[i] * x[rows[i]] + n[i] * x[begin:end] for x in (energy, cycles)
            ]
            rows[i] = begin + np.argmin(others[0] * others[1])
    return rows


def best_buffers(table: Choices) -> tuple[int, int]:
    """KB of accumulator and scratchpad of least product: the best of a grid of sizes that some
    tile needs, and of all such sizes around its best ones."""
    sizes = [np.unique(column) for column in table.needs_KB.T]
    seen: dict[tuple[int, int], float] = {}

    def look(pairs: Any) -> None:
        for i, j in pairs:
            if (i, j) not in seen:
                seen[i, j] = mapped(table, sizes[0][i], sizes[1][j])[0]

    grid = [
        np.unique(np.linspace(0, len(s) - 1, n).astype(int))
        for s, n in zip(sizes, GRID, strict=True)
    ]
    look((i, j) for i in grid[0] for j in grid[1])
    for i, j in sorted(seen, key=seen.__getitem__)[:BEST]:
        around = [
            range(max(g[g < x], default=0), min(g[g > x], default=x) + 1)
            for g, x in zip(grid, (i, j), strict=True)
        ]
        look((a, b) for a in around[0] for b in around[1])
    i, j = min(seen, key=seen.__getitem__)
    return int(sizes[0][i]), int(sizes[1][j])
