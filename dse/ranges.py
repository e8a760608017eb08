"""What the ranges of its inputs say about a program: maxima and conditions that are decided.

A general model guards against cases that a space does not hold: empty traffic, a fleet of one, a
batch below one sample. Interval arithmetic (Moore, 1966) over the bounds of a space's parameters
finds the guards that never act, and `narrowed` leaves them out: results stay equal to the bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dse.primitives import numpy_rule
from dse.program import Program, Recorder, Value, pruned

Range = tuple[float, float]
ANY: Range = (-math.inf, math.inf)
ROUNDING = 1e-6  # relative: what a float32 call may be off, and more


def narrowed(program: Program, ranges: Sequence[Range]) -> Program:
    """`program` for inputs within `ranges`, either end first, without the calls that these decide.
    No value is a NaN."""
    recorder = Recorder(program.inputs)
    same: dict[Value, Any] = {Value(i): Value(i) for i in range(program.inputs)}
    found = {Value(i): _wider(*sorted(r)) for i, r in enumerate(ranges)}

    def get(value: Any) -> Any:
        return same[value] if isinstance(value, Value) else value

    def range_of(value: Any) -> Range:
        return found[value] if isinstance(value, Value) else (float(value), float(value))

    for call in program.calls:
        arguments = tuple(map(get, call.arguments))
        if not any(isinstance(value, Value) for value in arguments):
            made = np.asarray(numpy_rule(call.name, call.setting, arguments))[()]
        else:
            between = [range_of(value) for value in arguments]
            made = _decided(call.name, arguments, between)
            if made is None:
                made = recorder.call(call.name, call.setting, arguments)
            if isinstance(made, Value) and made not in found:
                found[made] = _range(call.name, call.setting, between)
        same[call.result] = made
    return pruned(Program(program.inputs, tuple(recorder.calls), tuple(map(get, program.outputs))))


def _decided(name: str, arguments: Sequence[Any], ranges: Sequence[Range]) -> Any:
    """The result if the ranges decide it, else None."""
    if name == "abs" and ranges[0][0] >= 0.0:
        return arguments[0]
    if len(ranges) != 2:
        return None
    (low, high), (least, most) = ranges
    if name in ("max", "min"):
        first, second = arguments if name == "max" else arguments[::-1]
        return first if low >= most else second if high <= least else None
    if name in _COMPARISONS:
        always, never = _COMPARISONS[name](low, high, least, most)
        return np.True_ if always else np.False_ if never else None
    return None


_COMPARISONS: dict[str, Callable[[float, float, float, float], tuple[bool, bool]]] = {
    "lt": lambda low, high, least, most: (high < least, low >= most),
    "le": lambda low, high, least, most: (high <= least, low > most),
    "gt": lambda low, high, least, most: (low > most, high <= least),
    "ge": lambda low, high, least, most: (low >= most, high < least),
}


def _range(name: str, setting: Any, ranges: list[Range]) -> Range:
    """An interval that holds every result, rounded outwards; `ANY` where no rule knows better."""
    if name == "select_n":
        return min(low for low, _ in ranges[1:]), max(high for _, high in ranges[1:])
    if name == "convert_element_type":
        return ranges[0]
    if name in _COMPARISONS or name in ("eq", "ne", "and", "or", "not", "is_finite"):
        return 0.0, 1.0
    if name in ("max", "min"):
        choose = max if name == "max" else min
        return choose(low for low, _ in ranges), choose(high for _, high in ranges)
    (low, high), *rest = ranges
    if name in ("add", "sub"):
        least, most = rest[0] if name == "add" else (-rest[0][1], -rest[0][0])
        if min(low, least) >= 0.0 or max(high, most) <= 0.0:
            return _wider(low + least, high + most)
        error = ROUNDING * max(map(abs, (low, high, least, most)))
        return (low + least - error, high + most + error) if error < math.inf else ANY
    if name in _MONOTONE:
        rule, least = _MONOTONE[name]
        return _wider(rule(low), rule(high)) if low >= least and high < math.inf else ANY
    if name == "neg":
        return -high, -low
    if name == "abs":
        return 0.0, max(-low, high)
    if name == "integer_pow":
        rest, name = [(setting, setting)], "pow"
        low, high = (low, high) if low >= 0.0 or setting % 2 else (0.0, max(-low, high))
    if name == "div":
        rest, name = [_reciprocal(*rest[0])], "mul"
    if name == "pow" and (low < 0.0 or (low == 0.0 and rest[0][0] < 0.0)):
        return ANY
    if name in ("mul", "pow"):
        corner = _product if name == "mul" else _power
        corners = [corner(a, b) for a, b in itertools.product((low, high), rest[0])]
        return _wider(min(corners), max(corners))
    return ANY


_MONOTONE: dict[str, tuple[Callable[[float], float], float]] = {
    "exp": (lambda x: math.exp(min(x, 700.0)), -math.inf),
    "exp2": (lambda x: math.exp2(min(x, 1000.0)), -math.inf),
    "log": (math.log, 1e-30), "log1p": (math.log1p, -0.5), "sqrt": (math.sqrt, 0.0),
    "floor": (math.floor, -math.inf), "ceil": (math.ceil, -math.inf),
    "round": (round, -math.inf),
}  # fmt: skip


def _reciprocal(low: float, high: float) -> Range:
    return (1.0 / high, 1.0 / low) if low > 0.0 or high < 0.0 else ANY


def _product(a: float, b: float) -> float:
    return a * b if a and b else 0.0


def _power(base: float, exponent: float) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def _wider(low: float, high: float) -> Range:
    return low - ROUNDING * abs(low), high + ROUNDING * abs(high)
