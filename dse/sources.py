"""Where a sweep's designs come from: a sequence of random points, or a given table.

A `Source` numbers its designs and hands them over in blocks, screened; a grid is one too
(`dse.factorised`). What is known of the front when a block is screened decides how much is left of
it, never what the front will be.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

from dse.costing import Costing
from dse.primitives import numpy_rule
from dse.program import Program, unroll
from dse.samplers import drawing, sampler
from dse.screening import screen

CHUNK = 2**16  # designs a call
FILTER_POINTS = 48  # more cost more than they drop


class Screened(NamedTuple):
    """Of a block: numbers of the designs that may be on the front, how many meet all limits, and
    how many there are."""

    numbers: np.ndarray
    feasible: int
    designs: int


class Source(Protocol):
    """Designs 0 to `designs` - 1 of one structure, in `blocks` blocks of about `chunk` designs; a
    screen is fastest with about `filter_points` points of an archive."""

    designs: int
    chunk: int
    filter_points: int

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        ...

    def screen(self, block: int, archive: np.ndarray) -> Screened:
        """A block, compared with the points (k, d) of an archive."""
        ...

    def values(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Parameters of designs, columns by name."""
        ...


def compile_both(costs: Costing, source: Source, filter_points: int) -> None:
    """Compile what costs designs and what screens them side by side, ahead of their first use."""
    nothing = np.full((filter_points, len(costs.engine.objectives)), np.inf, np.float32)
    with ThreadPoolExecutor(1) as pool:
        table = pool.submit(costs.table, source.values(np.zeros(1, np.int64)))
        source.screen(0, nothing)
        table.result()


class Sequence:
    """The first `designs` points of a sampler's sequence, `block` at a time (rounded down to a
    power of two for `sobol`)."""

    filter_points = FILTER_POINTS

    def __init__(self, costs: Costing, name: str, seed: int, designs: int, block: int):
        if name == "sobol":
            block = max(2 ** (block.bit_length() - 1), 2)
        self.designs = designs
        self._costs, self.chunk = costs, block
        self._sampler = sampler(name, len(costs.names), seed, designs, block)
        draw = drawing(self._sampler.unit, costs.engine.space.numeric)
        given = self._sampler.at(np.zeros(1, np.int64))
        self._draw: Program = unroll(draw, *[jnp.asarray(x[0]) for x in given])
        self._screen = screen(costs, self._sampler.key, lambda: self._draw)

    @property
    def blocks(self) -> int:
        """As `Source.blocks`."""
        return -(-self.designs // self.chunk)

    def screen(self, block: int, archive: np.ndarray) -> Screened:
        """As `Source.screen`."""
        begin = block * self.chunk
        given = self._sampler.given(begin, self.chunk)
        keep, feasible = self._screen(given, archive, self.chunk)
        count = min(self.chunk, self.designs - begin)
        return Screened(
            begin + np.flatnonzero(keep[:count]), int(np.count_nonzero(feasible[:count])), count
        )

    def values(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """As `Source.values`."""
        made = self._draw.run(self._sampler.at(numbers), numpy_rule)
        shape = np.shape(numbers)
        columns = [np.broadcast_to(np.asarray(x, np.float32), shape) for x in made]
        return dict(zip(self._costs.names, columns, strict=True))


class Given:
    """The designs of a table: `columns` of shape (n,) by name."""

    filter_points = FILTER_POINTS

    def __init__(self, costs: Costing, columns: dict[str, np.ndarray], block: int):
        self._columns = [np.asarray(columns[name], np.float32) for name in costs.names]
        self._names, self.chunk = costs.names, block
        self.designs = len(self._columns[0])
        same = unroll(lambda *x: list(x), *[jnp.float32(1)] * len(self._columns))
        self._screen = screen(costs, "given", lambda: same)

    @property
    def blocks(self) -> int:
        """As `Source.blocks`."""
        return -(-self.designs // self.chunk)

    def screen(self, block: int, archive: np.ndarray) -> Screened:
        """As `Source.screen`."""
        begin = block * self.chunk
        count = min(self.chunk, self.designs - begin)
        given = [np.resize(c[begin : begin + count], self.chunk) for c in self._columns]
        keep, feasible = self._screen(given, archive, self.chunk)
        return Screened(
            begin + np.flatnonzero(keep[:count]), int(np.count_nonzero(feasible[:count])), count
        )

    def values(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """As `Source.values`."""
        return {n: c[numbers] for n, c in zip(self._names, self._columns, strict=True)}
