"""A program over a grid, factorised: what depends on few axes is computed once for those axes.

The axes are split into an inner and an outer set. Calls that read inner axes only are done once for
all inner points, calls that read outer axes only once for each outer point, and what is left,
`mixed`, for every design: it reads columns of the first kind and scalars of the second. The split
with the least work a design is found by trying every inner set of a fitting size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dse.program import Call, Program, Value

INNER = (2**11, 2**13)  # inner points: long loops, whose columns stay in the second-level cache
COSTS = {"div": 6.0, "sqrt": 10.0, "exp": 12.0, "log": 16.0}  # in multiplications


class Factored(NamedTuple):
    """`inside` and `outside` map the inner and the outer axes to what `mixed` reads: first the
    results of `inside`, then those of `outside`. `inner`, `outer`: numbers of the axes."""

    inner: tuple[int, ...]
    outer: tuple[int, ...]
    inside: Program
    outside: Program
    mixed: Program


def factored(program: Program, lengths: Sequence[int]) -> Factored:
    """`program`, whose inputs are axes with `lengths` values, factorised for their grid."""
    axes = range(program.inputs)
    reads = _dependences(program)
    candidates = [
        inner
        for count in range(1, len(lengths) + 1)
        for inner in itertools.combinations(axes, count)
        if math.prod(lengths[i] for i in inner) <= INNER[1]
    ]
    large = [c for c in candidates if math.prod(lengths[i] for i in c) >= INNER[0]]
    if not large:  # a small grid: as much of it inside as fits
        most = max(math.prod(lengths[i] for i in c) for c in candidates)
        large = [c for c in candidates if math.prod(lengths[i] for i in c) == most]
    weights = np.asarray([COSTS.get(call.name, 1.0) for call in program.calls])
    masks = np.asarray([reads[call.result] for call in program.calls])
    inner = min(large, key=lambda c: _work(c, program.inputs, lengths, masks, weights))
    return _split(program, inner, reads)


def _dependences(program: Program) -> dict[Value, int]:
    """The axes that each value depends on, as bits."""
    reads = {Value(i): 1 << i for i in range(program.inputs)}
    for call in program.calls:
        bits = 0
        for value in call.arguments:
            bits |= reads[value] if isinstance(value, Value) else 0
        reads[call.result] = bits
    return reads


def _work(
    inner: tuple[int, ...],
    inputs: int,
    lengths: Sequence[int],
    masks: np.ndarray,
    weights: np.ndarray,
) -> float:
    """Multiplications a design, about."""
    inside = sum(1 << i for i in inner)
    outside = (1 << inputs) - 1 - inside
    of_inner, of_outer = (masks & outside) == 0, (masks & inside) == 0
    points = math.prod(lengths[i] for i in inner)
    others = math.prod(lengths) / points
    return float(
        weights[~of_inner & ~of_outer].sum()
        + weights[of_inner].sum() / others
        + weights[of_outer].sum() / points
    )


def _split(program: Program, inner: tuple[int, ...], reads: dict[Value, int]) -> Factored:
    outer = tuple(i for i in range(program.inputs) if i not in inner)
    inside = sum(1 << i for i in inner)
    outside = sum(1 << i for i in outer)

    def kind(value: object) -> str:
        if not isinstance(value, Value) or reads[value] & outside == 0:
            return "inner" if isinstance(value, Value) else "constant"
        return "outer" if reads[value] & inside == 0 else "mixed"

    calls: dict[str, list[Call]] = {"inner": [], "outer": [], "mixed": []}
    number = max([call.result.number for call in program.calls], default=program.inputs)
    reciprocals: dict[Value, Value] = {}
    for call in program.calls:
        if kind(call.result) == "mixed" and call.name == "div":
            x, y = call.arguments
            if kind(y) in ("inner", "outer"):
                if y not in reciprocals:
                    number += 1
                    reciprocals[y] = Value(number)
                    reads[Value(number)] = reads[y]
                    calls[kind(y)].append(Call("div", None, (np.float32(1.0), y), reciprocals[y]))
                call = call._replace(name="mul", arguments=(x, reciprocals[y]))
        calls[kind(call.result)].append(call)
    needed = [value for call in calls["mixed"] for value in call.arguments]
    needed += program.outputs
    crossing = {
        place: tuple(dict.fromkeys(v for v in needed if kind(v) == place))
        for place in ("inner", "outer")
    }
    return Factored(
        inner,
        outer,
        _part(tuple(map(Value, inner)), calls["inner"], crossing["inner"]),
        _part(tuple(map(Value, outer)), calls["outer"], crossing["outer"]),
        _part((*crossing["inner"], *crossing["outer"]), calls["mixed"], program.outputs),
    )


def _part(inputs: Sequence[Value], calls: Sequence[Call], outputs: Sequence[object]) -> Program:
    """`calls` as a program of their own, renumbered."""
    number = {value: Value(i) for i, value in enumerate(inputs)}
    for call in calls:
        number[call.result] = Value(len(number))
    renamed = tuple(
        call._replace(
            arguments=tuple(number[v] if isinstance(v, Value) else v for v in call.arguments),
            result=number[call.result],
        )
        for call in calls
    )
    made = tuple(number[v] if isinstance(v, Value) else v for v in outputs)
    return Program(len(inputs), renamed, made)
