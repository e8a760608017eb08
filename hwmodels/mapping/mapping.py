"""A mapping: the loop nest of one contraction over the levels of a memory hierarchy.

Text form, levels from the outermost memory in, loops of a level outermost first, `X` = spatial:

    L3[WIO] K12 - L2[WI] N1 K16X - L1[O] K4 C48 P4 C16X - L0[W] P32

A level names a memory and, in brackets, the tensors it holds there; the others pass it by. A
dimension that is not named has factor 1. One memory may occur several times in a row, holding
different tensors, each at its own depth of the nest.

Factors may cover more than a dimension needs (M5 M4 for a size of 18): the last outer tile is
then partial. A loop therefore has several numbers, all equal to its factor where factors divide:
see `Loop`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from hwmodels.errors import InputError
from hwmodels.mapping.problem import TENSORS, Problem

_LEVEL = re.compile(r"^\s*([A-Za-z][A-Za-z0-9_]*)\[([A-Z]*)\]((?:\s+[A-Z][0-9]{1,12}X?)*)\s*$")
_LOOP = re.compile(r"([A-Z])([0-9]+)(X?)")


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["trips", "growth", "most", "steps"],
    meta_fields=["dimension", "spatial"],
)
@dataclass(frozen=True)
class Loop:
    """One loop of a nest over one dimension; its numbers are leaves.

    trips: how often it runs, on average over the runs of the loops outside it. growth: how much
    larger the tile outside it is than the tile inside. most: how often it runs in a full tile.
    steps: its share of the time steps, in which all instances wait for the one with most to do.
    None for the last two: as trips.
    """

    dimension: str
    trips: Any
    growth: Any
    spatial: bool = False
    most: Any = None
    steps: Any = None

    @property
    def full_trips(self) -> Any:
        """`most`, or `trips` where tiles are never partial."""
        return self.trips if self.most is None else self.most

    @property
    def time_steps(self) -> Any:
        """`steps`, or `trips`; 1 for a spatial loop."""
        if self.spatial:
            return 1.0
        return self.trips if self.steps is None else self.steps


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["loops"], meta_fields=["memory", "tensors"]
)
@dataclass(frozen=True)
class Level:
    """The loops that stand directly inside one memory, outermost first."""

    memory: str
    tensors: str
    loops: tuple[Loop, ...]


@functools.partial(jax.tree_util.register_dataclass, data_fields=["levels"], meta_fields=[])
@dataclass(frozen=True)
class Mapping:
    """Levels from the outermost memory in. `vmap` over the loops' numbers batches it."""

    levels: tuple[Level, ...]

    def loops(self) -> Iterator[Loop]:
        """All loops, outermost first."""
        for level in self.levels:
            yield from level.loops

    def __str__(self) -> str:
        """The text form; factors that are not whole numbers are written as they are."""
        return " - ".join(_level_text(level) for level in self.levels)


def parse_mapping(text: str, field: str = "mapping") -> Mapping:
    """Read the text form; raises `InputError` that names the level that does not parse."""
    levels = []
    for part in str(text).split(" - "):
        match = _LEVEL.match(part)
        if match is None or any(letter not in TENSORS for letter in match[2]):
            raise InputError(
                field, part, "allowed: NAME[TENSORS] then loops, such as L1[O] K4 C48 C16X"
            )
        found = [(d, float(factor), mark == "X") for d, factor, mark in _LOOP.findall(match[3])]
        loops = tuple(Loop(d, factor, factor, spatial) for d, factor, spatial in found)
        levels.append(Level(match[1], match[2], loops))
    return Mapping(tuple(levels))


def fit(mapping: Mapping, problem: Problem, field: str = "mapping") -> Mapping:
    """The mapping on a problem's sizes, partial outer tiles included.

    Where the factors' product is the size, nothing changes. Raises `InputError` if a loop's
    dimension is unknown, a factor is below 1, or factors do not cover a dimension (naming both
    numbers).
    """
    nests: dict[str, list[Loop]] = {d: [] for d in problem.shape.dimensions}  # innermost first
    for level in reversed(mapping.levels):
        for loop in reversed(level.loops):
            d, factor = loop.dimension, loop.trips
            if d not in nests:
                allowed = ", ".join(problem.shape.dimensions)
                raise InputError(field, f"{level.memory} {d}", f"dimensions: {allowed}")
            if factor < 1:
                raise InputError(field, f"{level.memory} {d}{factor:g}", "allowed: factors >= 1")
            nests[d].append(loop)
    fitted = {}
    for d, loops in nests.items():
        size, covered = problem.sizes[d], math.prod(loop.trips for loop in loops)
        if covered < size:
            raise InputError(
                field,
                f"the factors of {d} make {covered:g}",
                f"dimension {d} has size {size:g}",
            )
        fitted[d] = iter(loops if covered == size else partial_loops(loops, size))
    levels = [
        dataclasses.replace(
            level, loops=tuple(next(fitted[x.dimension]) for x in reversed(level.loops))[::-1]
        )
        for level in reversed(mapping.levels)
    ]
    return Mapping(tuple(reversed(levels)))


def partial_loops(loops: Sequence[Loop], size: Any) -> list[Loop]:
    """The loops of one dimension, innermost first, with factors as `trips`, on its size.

    Tiles nest, so a dimension has ceil(size / tile) tiles of a size in all, and average trips
    are the ratio of those counts. Time steps: full tiles take the product of their temporal
    factors; what remains descends to the tile inside, and under a spatial loop counts as a full
    tile unless it is the only one. The outermost temporal loop carries the difference.
    """
    tiles, full = [1.0], [1.0]  # extent inside each loop, and time steps of it
    for loop in loops:
        tiles.append(tiles[-1] * loop.trips)
        full.append(full[-1] * (1.0 if loop.spatial else loop.trips))
    rest, total = size, 0.0
    for i in reversed(range(len(loops))):
        count = np.floor(rest / tiles[i])
        if loops[i].spatial:
            count = np.minimum(count, 1.0)
            rest = np.where(count > 0, 0.0, rest)
        else:
            rest = rest - count * tiles[i]
        total = total + count * full[i]
    outermost = max((i for i, loop in enumerate(loops) if not loop.spatial), default=-1)
    found = []
    for i, loop in enumerate(loops):
        inside, outside = np.ceil(size / tiles[i]), np.ceil(size / tiles[i + 1])
        steps = total / full[i] if i == outermost else loop.trips
        found.append(
            dataclasses.replace(
                loop,
                trips=inside / outside,
                growth=np.minimum(tiles[i + 1], size) / np.minimum(tiles[i], size),
                most=np.minimum(loop.trips, inside),
                steps=steps,
            )
        )
    return found


def _level_text(level: Level) -> str:
    def number(value: Any) -> str:
        return repr(float(value)) if float(value) % 1 else str(int(value))

    loops = [
        f"{loop.dimension}{number(loop.full_trips)}{'X' * loop.spatial}"
        for loop in level.loops
        if loop.full_trips != 1
    ]
    return " ".join([f"{level.memory}[{level.tensors}]", *(loops or ["N1"])])
