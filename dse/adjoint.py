"""Reverse-mode gradients of straight-line programs: a program in, a longer program out.

JAX would differentiate the model before it is unrolled, operation by operation of a scan, and keep
residuals in memory. Differentiated afterwards, forward and reverse are one list of calls, equal
ones shared, that `dse.kernel` compiles to one loop with all intermediates in registers.

Values behind `stop_gradient` are constants, which is how `hwmodels.relax` gives ceilings a slope;
roundings and comparisons have none. At a tie of a maximum the second argument takes it all.

Source: Griewank and Walther, Evaluating Derivatives (2008), chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dse.primitives import numpy_rule
from dse.program import Program, Recorder, Value, pruned

ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)


def with_gradient(program: Program, wrt: Sequence[int]) -> Program:
    """`program`, with the derivatives of its first output to the inputs numbered `wrt` as further
    outputs.

    `program` keeps its `stop_gradient` calls (`dse.program.unroll`); the result has none.

    Raises:
      NotImplementedError: a primitive without a rule; it names it.
    """
    recorder = Recorder(program.inputs)
    made: dict[Value, Any] = {Value(i): Value(i) for i in range(program.inputs)}

    def emit(name: str, *arguments: Any, setting: Any = None) -> Any:
        if any(isinstance(value, Value) for value in arguments):
            return recorder.call(name, setting, arguments)
        return np.asarray(numpy_rule(name, setting, arguments))[()]

    def get(value: Any) -> Any:
        return made[value] if isinstance(value, Value) else value

    for call in program.calls:
        known = tuple(map(get, call.arguments))
        stopped = call.name == "stop_gradient"
        made[call.result] = known[0] if stopped else emit(call.name, *known, setting=call.setting)

    slopes: dict[Value, Any] = {program.outputs[0]: ONE}
    for call in reversed(program.calls):
        slope = slopes.pop(call.result, None)
        if slope is None or call.name in _FLAT:
            continue
        if call.name not in _RULES:
            raise NotImplementedError(f"{call.name}: no derivative rule for this primitive")
        known = tuple(map(get, call.arguments))
        parts = _RULES[call.name](emit, slope, get(call.result), known, call.setting)
        for value, part in zip(call.arguments, parts, strict=True):
            if isinstance(value, Value) and part is not None:
                slopes[value] = emit("add", slopes[value], part) if value in slopes else part
    outputs = (*map(get, program.outputs), *[slopes.get(Value(i), ZERO) for i in wrt])
    return pruned(Program(program.inputs, tuple(recorder.calls), outputs))


# Each rule: (emit, slope of the result, result, arguments, setting) -> slopes of the arguments.
Rule = Callable[[Any, Any, Any, Any, Any], Sequence[Any]]


def _divide(emit: Any, slope: Any, result: Any, arguments: Any, setting: Any) -> Sequence[Any]:
    first = emit("div", slope, arguments[1])
    return first, emit("neg", emit("mul", first, result))


def _extremum(comparison: str) -> Rule:
    def rule(emit: Any, slope: Any, result: Any, arguments: Any, setting: Any) -> Sequence[Any]:
        won = emit(comparison, arguments[1], arguments[0])
        return emit("select_n", won, slope, ZERO), emit("select_n", won, ZERO, slope)

    return rule


def _select(emit: Any, slope: Any, result: Any, arguments: Any, setting: Any) -> Sequence[Any]:
    which = arguments[0]
    return None, emit("select_n", which, slope, ZERO), emit("select_n", which, ZERO, slope)


def _power(emit: Any, slope: Any, result: Any, arguments: Any, setting: Any) -> Sequence[Any]:
    base, exponent = arguments
    scaled = emit("mul", slope, result)
    return (
        emit("div", emit("mul", scaled, exponent), base),
        emit("mul", scaled, emit("log", base)),
    )


def _integer_power(
    emit: Any, slope: Any, result: Any, arguments: Any, setting: Any
) -> Sequence[Any]:
    if setting == 1:
        return (slope,)
    lower = arguments[0] if setting == 2 else emit("integer_pow", arguments[0], setting=setting - 1)
    return (emit("mul", slope, emit("mul", np.float32(setting), lower)),)


_FLAT = (
    "stop_gradient", "floor", "ceil", "round", "sign", "convert_element_type", "lt", "le", "gt",
    "ge", "eq", "ne", "and", "or", "not", "xor", "is_finite",
)  # fmt: skip
_RULES: dict[str, Rule] = {
    "add": lambda emit, s, r, a, _: (s, s),
    "sub": lambda emit, s, r, a, _: (s, emit("neg", s)),
    "mul": lambda emit, s, r, a, _: (emit("mul", s, a[1]), emit("mul", s, a[0])),
    "neg": lambda emit, s, r, a, _: (emit("neg", s),),
    "abs": lambda emit, s, r, a, _: (emit("select_n", emit("lt", a[0], ZERO), s, emit("neg", s)),),
    "sqrt": lambda emit, s, r, a, _: (emit("div", s, emit("mul", TWO, r)),),
    "square": lambda emit, s, r, a, _: (emit("mul", s, emit("mul", TWO, a[0])),),
    "exp": lambda emit, s, r, a, _: (emit("mul", s, r),),
    "exp2": lambda emit, s, r, a, _: (emit("mul", s, emit("mul", np.float32(np.log(2.0)), r)),),
    "log": lambda emit, s, r, a, _: (emit("div", s, a[0]),),
    "log1p": lambda emit, s, r, a, _: (emit("div", s, emit("add", ONE, a[0])),),
    "expm1": lambda emit, s, r, a, _: (emit("mul", s, emit("add", ONE, r)),),
    "div": _divide,
    "max": _extremum("ge"),
    "min": _extremum("le"),
    "select_n": _select,
    "pow": _power,
    "integer_pow": _integer_power,
}
