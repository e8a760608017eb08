"""Flat evaluation: designs of one structure on one workload, by one kernel.

The scalar model is unrolled over the workload's operations (`dse.program`) and compiled into a
single loop over designs (`dse.kernel`) that draws or reads the parameters, costs the design, tests
its limits and whether a point of an archive beats it. Every number shown of a random or given
design comes from this program, whatever the chunk.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dse.evaluating import Evaluator
from dse.kernel import OPTIONS, loop, strengthened
from dse.program import Builder, Program, unroll
from hwmodels.workloads.workload import Workload

CHUNK = 16384  # designs a call: some 100 bytes each stay in the second-level cache
FILTER_POINTS = 32  # archive points compared in the kernel; more cost more than they drop


class Costed(NamedTuple):
    """A chunk of designs: columns of `parameters` and `readings` by name; the masks `keep`, what
    may be on the front, and `feasible`."""

    parameters: dict[str, Any]
    readings: dict[str, Any]
    keep: Any
    feasible: Any


class Costing:
    """The compiled programs of a structure on a workload; get it from `costing`."""

    def __init__(self, engine: Evaluator, workload: Workload):
        self.engine = engine
        self.names = tuple(p.name for p in engine.space.numeric)
        self._trace = trace = engine.trace(workload)
        names: tuple[str, ...] = ()

        def model(*values: Any) -> list[Any]:
            nonlocal names
            readings, margins = engine.one(dict(zip(self.names, values, strict=True)), trace)
            names = tuple(readings)
            worst = functools.reduce(jnp.minimum, margins.values())
            return [*readings.values(), *engine.points(readings), worst]

        self.program = unroll(model, *[jnp.float32(1.0)] * len(self.names))
        self.readings = names
        self._table = self._compiled(None)
        self._random = self._compiled(unroll(self._drawn, jnp.uint32(1), jnp.uint32(1)))
        self._margins = jax.jit(jax.vmap(lambda values: engine.one(values, trace)[1]))

    def table(self, values: dict[str, Any], count: int, archive: Any) -> Costed:
        """Given designs, columns of shape (n,) by name; those from `count` on are padding.

        `archive`: points (k, d) of other designs, minimised; what one of them beats is not kept.
        """
        columns = [np.asarray(values[name], np.float32) for name in self.names]
        return self._named(self._table(columns, np.int32(count), archive, size=len(columns[0])))

    def random(self, first: int, seed: int, count: int, archive: Any, size: int = CHUNK) -> Costed:
        """Designs `first` to `first + count` of the random sequence `seed`, padded to `size`.

        Counter-based: each coordinate is a hash of (seed, design, axis), murmur3's finaliser
        (Appleby, 2011), so that a design's values depend on its index only.
        """
        given = [np.uint32(first), np.uint32(seed)]
        return self._named(self._random(given, np.int32(count), archive, size=size))

    def margins(self, values: dict[str, Any]) -> dict[str, np.ndarray]:
        """Every limit's margin of given designs: why none is feasible. Not the fast path."""
        columns = {name: jnp.asarray(values[name], jnp.float32) for name in self.names}
        return {name: np.asarray(margin) for name, margin in self._margins(columns).items()}

    def _named(self, columns: list[Any]) -> Costed:
        end = len(self.names) + len(self.readings)
        names = (*self.names, *self.readings)
        named = dict(zip(names, map(np.asarray, columns[:end]), strict=True))
        values = {name: named.pop(name) for name in self.names}
        return Costed(values, named, np.asarray(columns[end]), np.asarray(columns[end + 1]))

    def _drawn(self, design: Any, seed: Any) -> list[Any]:
        index = _mix(design ^ _mix(seed))
        hashes = [
            _mix(index + jnp.uint32((i + 1) * 0x9E3779B9 % 2**32)) for i in range(len(self.names))
        ]
        return [
            p.value((h >> 8).astype(jnp.float32) * jnp.float32(2**-24))
            for p, h in zip(self.engine.space.numeric, hashes, strict=True)
        ]

    def _compiled(self, draw: Program | None) -> Any:
        """Compiled: (columns, or first design and seed; count; archive) -> columns and masks."""

        def run(given: Any, count: Any, archive: Any, size: int) -> list[Any]:
            position = lax.iota(jnp.uint32, size)
            k, d = archive.shape
            rows = [archive[i, j] for i in range(k) for j in range(d)]
            program = self._whole(draw, len(given), k, d)
            return loop(program, size, [*given, position, count, *rows])

        return jax.jit(run, static_argnames="size", compiler_options=OPTIONS)

    def _whole(self, draw: Program | None, given: int, k: int, d: int) -> Program:
        """Inputs: what is given, position in the chunk, count of designs, archive points."""
        builder = Builder(given + 2 + k * d)
        inputs, (position, count, *rows) = builder.given[:given], builder.given[given:]
        values: Any = inputs
        if draw is not None:
            at = unroll(lambda first, seed, i: [first + i, seed], *[jnp.uint32(1)] * 3)
            values = builder.inline(draw, builder.inline(at, [*inputs, position]))
        *outputs, worst = builder.inline(self.program, values)
        readings, points = outputs[:-d], outputs[-d:]
        masks = unroll(_masks(k, d), *_like(jnp.float32, d + 1), *_like(jnp.int32, 2),
                       *_like(jnp.float32, k * d))  # fmt: skip
        at = unroll(lambda i: [i.astype(jnp.int32)], jnp.uint32(1))
        (place,) = builder.inline(at, [position])
        keep = builder.inline(masks, [worst, *points, place, count, *rows])
        return strengthened(builder.build([*values, *readings, *keep]))


def _like(dtype: Any, count: int) -> list[Any]:
    return [dtype(1)] * count


def _masks(k: int, d: int) -> Any:
    """(worst margin, points, place, count, archive points) -> keep, feasible.

    Equal points pass, as in `Archive`.
    """

    def masks(worst: Any, *rest: Any) -> list[Any]:
        points, (place, count), rows = rest[:d], rest[d : d + 2], rest[d + 2 :]
        feasible = (worst >= 0) & (place < count)
        beaten = jnp.bool_(False)
        for i in range(k):
            row = rows[i * d : (i + 1) * d]
            pairs = list(zip(row, points, strict=True))
            no_worse = functools.reduce(jnp.logical_and, [a <= b for a, b in pairs])
            better = functools.reduce(jnp.logical_or, [a < b for a, b in pairs])
            beaten = beaten | (no_worse & better)
        return [feasible & ~beaten, feasible]

    return masks


def costing(engine: Evaluator, workload: Workload) -> Costing:
    """The costing of a structure on a workload, made once."""
    if workload not in engine.programs:
        engine.programs[workload] = Costing(engine, workload)
    return engine.programs[workload]


def no_archive(dimensions: int = 3) -> np.ndarray:
    """Archive points that drop nothing."""
    return np.full((FILTER_POINTS, dimensions), np.inf, np.float32)


def _mix(x: Any) -> Any:
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
