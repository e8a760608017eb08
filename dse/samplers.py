"""Sequences of points in the unit cube, one coordinate an axis, in kernels.

A point is a function of its number and the seed alone, so that chunks may be made in any order, on
any machine. All three reach some tens of millions of points a second.

* `random`: a hash of (seed, number, axis), murmur3's finaliser (Appleby, 2011);
* `latin`: Latin hypercubes (McKay, Beckman and Conover, 1979) of 65,536 points, or the largest
  power of two in a smaller sweep, one after the other: each has one point in every slice of every
  axis, in an order that a keyed bijection of the slices decides;
* `sobol`: Sobol's sequence with scrambling (Owen, 1998; `scipy.stats.qmc`). In Gray-code order the
  points of an aligned block are its first point, by exclusive or, with those of block 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.stats import qmc

SAMPLERS = ("random", "latin", "sobol")
LARGEST = {"random": 2**32, "latin": 2**32, "sobol": 2**30}
SLICES = 2**16  # of an axis, in a Latin hypercube
SOBOL_BITS = 30


class Counted:
    """`random` and `latin`: a coordinate is a hash of (seed, number, axis).

    A sampler's `given` are the columns, one entry a point, and shared scalars of a block, `unit`
    the scalar function from them to the coordinates, `at` the columns of any numbers.
    """

    def __init__(self, axes: int, seed: int, designs: int, name: str):
        self.axes, self.seed, self.name = axes, np.uint32(seed), name
        self.slices = min(SLICES, 2 ** (designs.bit_length() - 1))
        self.key = (name, self.slices if name == "latin" else 0)

    def given(self, first: int, size: int) -> list[Any]:
        """What `unit` reads for the points `first` to `first + size`."""
        return [np.uint32(first), self.seed, np.arange(size, dtype=np.uint32)]

    def at(self, numbers: np.ndarray) -> list[Any]:
        """What `unit` reads for the points `numbers`."""
        none = np.zeros(len(numbers), np.uint32)
        return [numbers.astype(np.uint32), np.full(len(numbers), self.seed), none]

    def unit(self, first: Any, seed: Any, position: Any) -> list[Any]:
        """Coordinates in [0, 1)."""
        number, key = first + position, _mix(seed)
        if self.name == "random":
            index = _mix(number ^ key)
            return [_fraction(_mix(index + _odd(i))) for i in range(self.axes)]
        return [self._slice(number, key, i) for i in range(self.axes)]

    def _slice(self, number: Any, key: Any, axis: int) -> Any:
        bits, last = self.slices.bit_length() - 1, jnp.uint32(self.slices - 1)
        inside, key = number & last, _mix(_mix((number >> bits) ^ key) + _odd(axis))
        # Each line is a bijection of the slices.
        for turn in range(4):
            inside = (inside ^ (key >> (8 * turn % 24))) & last
            inside = (inside * jnp.uint32(0x85EBCA6B)) & last
            inside = inside ^ (inside >> ((bits + 1) // 2))
        # The slice in the upper bits, a place within it in the lower ones.
        within = _mix(number ^ key)
        return _fraction((inside << (32 - bits)) | (within >> bits) if bits else within)


class Sobol:
    """`sobol`, as `Counted`; blocks are of `size` points, a power of two from 2."""

    def __init__(self, axes: int, seed: int, designs: int, size: int):
        self.axes, self.size, self.key = axes, size, ("sobol",)
        engine = qmc.Sobol(axes, scramble=True, bits=SOBOL_BITS, rng=seed)
        self._block = self._whole(engine.random(size))
        # The direction numbers from that of a block's upper half on.
        self._steps = [self._block[size // 2] ^ self._block[size // 2 - 1]]
        done, last = size, self._block[-1]
        while done < designs:
            first = self._whole(engine.random(1))[0]
            self._steps.append(last ^ first)
            if 2 * done < designs:
                engine.fast_forward(done - 2)
                last = self._whole(engine.random(1))[0]
            done *= 2

    def _whole(self, unit: np.ndarray) -> np.ndarray:
        return np.round(unit * 2**SOBOL_BITS).astype(np.uint32)

    def given(self, first: int, size: int) -> list[Any]:
        """As `Counted.given`; `first` is a block's first point."""
        return [*self._block.T[:, :size], *self._base(first // self.size)]

    def at(self, numbers: np.ndarray) -> list[Any]:
        """As `Counted.at`."""
        blocks, places = np.unique(numbers // self.size, return_inverse=True)
        bases = np.asarray([self._base(int(b)) for b in blocks]).reshape(len(blocks), self.axes)
        return [*self._block[numbers % self.size].T, *bases[places].T]

    def _base(self, block: int) -> np.ndarray:
        gray, base = block ^ 2 * block, np.zeros(self.axes, np.uint32)
        for bit, step in enumerate(self._steps):
            if gray >> bit & 1:
                base = base ^ step
        return base

    def unit(self, *given: Any) -> list[Any]:
        """Coordinates in [0, 1)."""
        pairs = zip(given[: self.axes], given[self.axes :], strict=True)
        # 24 bits are what a float holds below 1.
        return [_fraction((a ^ b) << jnp.uint32(2)) for a, b in pairs]


Sampler = Counted | Sobol


def sampler(name: str, axes: int, seed: int, designs: int, size: int) -> Sampler:
    """One of `SAMPLERS` for `designs` points in blocks of `size`, a power of two."""
    if name == "sobol":
        return Sobol(axes, seed, designs, size)
    return Counted(axes, seed, designs, name)


def drawing(unit: Callable[..., list[Any]], parameters: Sequence[Any]) -> Callable[..., list[Any]]:
    """From what a sampler gives to the values of `parameters`."""

    def draw(*given: Any) -> list[Any]:
        return [p.value(u) for p, u in zip(parameters, unit(*given), strict=True)]

    return draw


def _odd(axis: int) -> Any:
    return jnp.uint32((axis + 1) * 0x9E3779B9 % 2**32)


def _fraction(x: Any) -> Any:
    return (x >> 8).astype(jnp.float32) * jnp.float32(2**-24)


def _mix(x: Any) -> Any:
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
