"""Speed of counting given mappings: those of a matrix product on three levels, in one order.

Mapping number i is decoded to the factors of its nine loops, the ways to factorise the three
sizes; counts of every tensor at every level and the check of every capacity are returned. Numbers
run on from call to call, so all mappings of a measurement are distinct.
"""

from __future__ import annotations

import functools
import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dse.sweeping import WORKERS
from dse.timing import Figure, rate
from hwmodels.mapping.catalog import load_machine
from hwmodels.mapping.machine import cost
from hwmodels.mapping.mapspace import Slot, Structure
from hwmodels.mapping.nest import count
from hwmodels.mapping.problem import matmul

CHUNK = 65536  # mappings a call
CALLS = 32  # calls between two looks at the clock
PRODUCT = matmul(M=27720, N=6720, K=10080)  # sizes with many divisors
M, N, K = Slot("M"), Slot("N"), Slot("K")
NEST = Structure(
    (
        ("DRAM", "WIO", (M, N, K)),
        ("SRAM", "WIO", (M, N, K, Slot("N", 32.0), Slot("K", 32.0))),
        ("REG", "W", (M,)),
    )
)


def mapping_rate(seconds: float, chunk: int = CHUNK) -> Figure:
    """Mappings counted and checked per second, `WORKERS` calls in flight."""
    program, total = mapping_counter(chunk)
    starts = itertools.cycle(range(0, total - chunk, chunk))
    with ThreadPoolExecutor(WORKERS) as pool:

        def run() -> Any:
            batch = itertools.islice(starts, CALLS)
            return list(pool.map(lambda s: jax.block_until_ready(program(np.int32(s))), batch))

        return rate(run, CALLS * chunk, seconds)


def mapping_counter(chunk: int) -> tuple[Any, int]:
    """A compiled program (first mapping's number -> counts, fits), and how many mappings.

    `chunk` and the first number are multiples of the ways of K.
    """
    machine = load_machine("ws32")
    tables = {d: _table(d) for d in ("M", "N", "K")}
    total = math.prod(table.shape[1] for table in tables.values())

    def counted(factors: dict[str, Any]) -> Any:
        mapping = NEST.mapping(factors, None)
        counts = count(PRODUCT, mapping)
        margins = cost(machine, mapping, counts).margins.values()
        fits = functools.reduce(jnp.logical_and, [jnp.asarray(m >= 0) for m in margins])
        # What is constant (an operand is never drained) is left out of the arrays.
        return [leaf for leaf in jax.tree.leaves(counts) if isinstance(leaf, jax.Array)], fits

    inner = tables["K"].shape[1]
    outer = chunk // inner

    @jax.jit
    def program(start: Any) -> Any:
        # K's ways run fastest: a chunk is some pairs of ways of M and N, with all ways of K.
        number = start // inner + jnp.arange(outer, dtype=jnp.int32)
        ways = {"K": tables["K"][:, None, :]}
        for d in ("N", "M"):
            ways[d] = tables[d][:, number % tables[d].shape[1]][:, :, None]
            number = number // tables[d].shape[1]
        factors = {d: jnp.broadcast_to(w, (len(w), outer, inner)) for d, w in ways.items()}
        return jax.vmap(jax.vmap(counted, in_axes=1), in_axes=1)(factors)

    return program, total


def _table(dimension: str) -> jax.Array:
    """Factors (slots, ways) of one dimension; as many ways as the largest power of two."""
    ways = np.array(_factorisations(int(PRODUCT.sizes[dimension]), NEST.slots(dimension)))
    kept = 2 ** (len(ways).bit_length() - 1)
    return jnp.asarray(ways[np.linspace(0, len(ways) - 1, kept).astype(int)].T, jnp.float32)


def _factorisations(size: int, slots: list[Slot]) -> list[tuple[int, ...]]:
    """All ways to write `size` as a product over the slots, axes not exceeded."""
    if not slots:
        return [()] if size == 1 else []
    most = int(slots[0].axis) or size
    return [
        (factor, *rest)
        for factor in range(1, min(most, size) + 1)
        if size % factor == 0
        for rest in _factorisations(size // factor, slots[1:])
    ]
