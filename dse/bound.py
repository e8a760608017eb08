"""The arithmetic bound: how fast these processors could cost designs, if nothing else took time.

Calls of the model's straight-line program (equal ones shared, dead ones gone; sampling and filter
not counted) over the machine's rates, measured in the same run by kernels of independent chains
in registers: additions and multiplications together, divisions, square roots. Comparisons,
selections and roundings count as additions, an exponential, logarithm or power as one
multiplication, which favours the bound.
"""

from __future__ import annotations

import collections
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from dse.kernel import compiled, loop
from dse.program import Call, Program, Value
from dse.sweeping import WORKERS
from dse.timing import rate

CHAINS, LENGTH, SIZE = 8, 40, 2**18  # long enough that the cost of a call is lost in it
KINDS = {"div": "div", "sqrt": "sqrt"}


def bound(program: Program, seconds: float) -> float:
    """Designs a second of `program` at the rates of `WORKERS` threads; measured in `seconds`."""
    counts = collections.Counter(KINDS.get(call.name, "add_mul") for call in program.calls)
    rates = {kind: _rate(kind, seconds / 3) for kind in ("add_mul", "div", "sqrt")}
    return 1.0 / sum(count / rates[kind] for kind, count in counts.items())


def _rate(kind: str, seconds: float) -> float:
    """Operations a second, all threads."""
    program = _chains(kind)
    run = compiled(lambda x: loop(program, SIZE, [x]))
    x = jnp.linspace(1.0, 2.0, SIZE, dtype=jnp.float32)
    jax.block_until_ready(run(x))
    with ThreadPoolExecutor(WORKERS) as pool:

        def once() -> list[object]:
            calls = [pool.submit(lambda: jax.block_until_ready(run(x))) for _ in range(WORKERS)]
            return [call.result() for call in calls]

        return rate(once, WORKERS * SIZE * len(program.calls), seconds)[0]


def _chains(kind: str) -> Program:
    """Independent chains of one kind of operation, whose last values are added up."""
    calls: list[Call] = []

    def add(name: str, *arguments: object) -> Value:
        calls.append(Call(name, None, arguments, Value(1 + len(calls))))
        return calls[-1].result

    ends = []
    for chain in range(CHAINS):
        end = add("add", Value(0), np.float32(0.1 * chain))
        for i in range(LENGTH):
            constant = np.float32(1.0 + 0.01 * (i + chain))
            if kind == "add_mul":
                end = add("add" if i % 2 else "mul", end, constant)
            else:
                end = add("div", constant, end) if kind == "div" else add("sqrt", end)
        ends.append(end)
    total = ends[0]
    for end in ends[1:]:
        total = add("add", total, end)
    return Program(1, tuple(calls), (total,))
