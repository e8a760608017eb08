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
            calls = [pool.submit(program, np.int32(next(starts))) for _ in range(WORKERS)]
            return [jax.block_until_ready(call.result()) for call in calls]

        return rate(run, WORKERS * chunk, seconds)


def mapping_counter(chunk: int) -> tuple[Any, int]:
    """A compiled program (first mapping's number -> counts, fits), and how many mappings."""
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

    @jax.jit
    def program(start: Any) -> Any:
        number = start + jnp.arange(chunk, dtype=jnp.int32)
        factors = {}
        for d, table in tables.items():
            factors[d] = table[:, number & (table.shape[1] - 1)]
            number = number >> (table.shape[1].bit_length() - 1)
        return jax.vmap(counted, in_axes=(dict.fromkeys(tables, 1),))(factors)

    return program, total


def _table(dimension: str) -> jax.Array:
    """Factors (slots, ways) of one dimension; as many ways as the largest power of two, so that
    numbers are decoded by shifts."""
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
