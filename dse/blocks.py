"""How a grid is cut into blocks of nested `vmap` levels; see `dse.grid` for why."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from hwmodels import Accelerator
from hwmodels.accelerators.entry import PART_KINDS
from hwmodels.quantity import quantities


class Block:
    """How a grid is cut: `levels` of axes under one `vmap` each, the rest looped over outside.

    An axis that does not fit whole is cut into equal parts.
    """

    def __init__(self, axes: dict[str, np.ndarray], most: int):
        self.axes = axes
        shared = {*quantities(Accelerator), *PART_KINDS}
        own = [name for name in axes if name not in shared]
        self.part: dict[str, int] = {}
        room = most
        for name in [*reversed(own), *[name for name in axes if name in shared]]:
            length = len(axes[name])
            self.part[name] = max(d for d in range(1, length + 1) if length % d == 0 and d <= room)
            room //= self.part[name]
        inner = [name for name in own if self.part[name] > 1] or own[-1:]
        outer = [name for name in axes if name in shared and self.part[name] > 1]
        self.levels = [*[[name] for name in outer], *([inner] if inner else [])]
        self.looped = [name for name in axes if not any(name in level for level in self.levels)]
        self.size = math.prod(self.part.values())
        self.shape = tuple(math.prod(self.part[n] for n in level) for level in self.levels)

    @property
    def designs(self) -> int:
        """Designs of the whole grid."""
        return math.prod(map(len, self.axes.values()))

    def __iter__(self) -> Iterator[tuple[dict[str, slice], list[Any], dict[str, Any]]]:
        """Per block: the slice of every axis, values by level, scalars of the looped axes."""
        ranges = [range(0, len(self.axes[name]), self.part[name]) for name in self.axes]
        for corner in np.ndindex(*map(len, ranges)):
            slices = {
                name: slice(r[i], r[i] + self.part[name])
                for name, r, i in zip(self.axes, ranges, corner, strict=True)
            }
            levels = []
            for level in self.levels:
                mesh = np.meshgrid(*[self.axes[n][slices[n]] for n in level], indexing="ij")
                levels.append(dict(zip(level, map(np.ravel, mesh), strict=True)))
            scalars = {name: self.axes[name][slices[name]][0] for name in self.looped}
            yield slices, levels, scalars

    def indices(self, positions: np.ndarray, slices: dict[str, slice]) -> np.ndarray:
        """Row-major design numbers of flat `positions` within a block."""
        order = [name for level in self.levels for name in level]
        where = np.unravel_index(positions, [self.part[name] for name in order])
        at = {name: np.full(len(positions), s.start) for name, s in slices.items()}
        for name, index in zip(order, where, strict=True):
            at[name] = at[name] + index
        lengths = [len(axis) for axis in self.axes.values()]
        return np.ravel_multi_index([at[name] for name in self.axes], lengths)

    def values(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Values of the designs with these row-major numbers."""
        where = np.unravel_index(indices, [len(axis) for axis in self.axes.values()])
        return {name: axis[i] for (name, axis), i in zip(self.axes.items(), where, strict=True)}
