"""A mapping: the loop nest of one contraction over the levels of a memory hierarchy.

Text form, levels from the outermost memory in, loops of a level outermost first, `X` = spatial:

    L3[WIO] K12 - L2[WI] N1 K16X - L1[O] K4 C48 P4 C16X - L0[W] P32

A level names a memory and, in brackets, the tensors it holds there; the others pass it by. A
dimension that is not named has factor 1. One memory may occur several times in a row, holding
different tensors, each at its own depth of the nest.

Factors may cover more than a dimension needs (M5 M4 for a size of 18): the last outer tile is
then partial. A loop therefore has two numbers: `growth`, how much larger the tile outside it is
than the tile inside (18/4 for the outer loop), and `trips`, how often it runs (5). They are equal
where factors divide.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax

from hwmodels.errors import InputError
from hwmodels.mapping.problem import TENSORS, Problem

_LEVEL = re.compile(r"^\s*([A-Za-z][A-Za-z0-9_]*)\[([A-Z]*)\]((?:\s+[A-Z][0-9]{1,12}X?)*)\s*$")
_LOOP = re.compile(r"([A-Z])([0-9]+)(X?)")


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["trips", "growth"],
    meta_fields=["dimension", "spatial"],
)
@dataclass(frozen=True)
class Loop:
    """One loop of a nest over one dimension; both numbers are leaves."""

    dimension: str
    trips: Any
    growth: Any
    spatial: bool = False


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
    for part in text.split(" - "):
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
    extents = dict.fromkeys(problem.shape.dimensions, 1.0)
    levels = []
    for level in reversed(mapping.levels):
        loops = []
        for loop in reversed(level.loops):
            d = loop.dimension
            if d not in extents:
                allowed = ", ".join(problem.shape.dimensions)
                raise InputError(field, f"{level.memory} {d}", f"dimensions: {allowed}")
            if loop.trips < 1:
                raise InputError(
                    field, f"{level.memory} {d}{loop.trips:g}", "allowed: factors >= 1"
                )
            loops.append(partial_loop(loop, extents[d], extents[d] * loop.trips, problem.sizes[d]))
            extents[d] *= loop.trips
        levels.append(dataclasses.replace(level, loops=tuple(reversed(loops))))
    for d, covered in extents.items():
        if covered < problem.sizes[d]:
            raise InputError(
                field,
                f"the factors of {d} make {covered:g}",
                f"dimension {d} has size {problem.sizes[d]:g}",
            )
    return Mapping(tuple(reversed(levels)))


def partial_loop(loop: Loop, inside: float, outside: float, size: float) -> Loop:
    """A loop whose tile grows from `inside` to `outside` elements in a dimension of `size`.

    Tiles nest, so a dimension has ceil(size / tile) tiles of a size in all: trips are the ratio
    of those counts.
    """
    if outside <= size and size % outside == 0:
        return loop
    return dataclasses.replace(
        loop,
        trips=math.ceil(size / inside) / math.ceil(size / outside),
        growth=min(outside, size) / min(inside, size),
    )


def _level_text(level: Level) -> str:
    def number(value: Any) -> str:
        return repr(float(value)) if float(value) % 1 else str(int(value))

    loops = [
        f"{loop.dimension}{number(loop.trips)}{'X' * loop.spatial}"
        for loop in level.loops
        if loop.trips != 1
    ]
    return " ".join([f"{level.memory}[{level.tensors}]", *(loops or ["N1"])])
