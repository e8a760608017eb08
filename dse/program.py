"""Straight-line programs: a scalar model unrolled to a list of calls, for kernels and for NumPy.

`unroll` walks the jaxpr of a function of scalars. Scans are unrolled, what does not depend on an
input is computed once, equal subexpressions are shared, factors of 1 and 0 and dead code are gone:
what one would write by hand for a fixed workload. Every value depends on the design; constants are
NumPy scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from dse.primitives import UFUNCS, numpy_rule


class Value(NamedTuple):
    """A value that depends on the inputs."""

    number: int


class Call(NamedTuple):
    """`result` = `name`(`arguments`), a primitive of `jax.lax` and its one setting, if any."""

    name: str
    setting: Any
    arguments: tuple[Any, ...]  # values, or NumPy scalars
    result: Value


class Program(NamedTuple):
    """Values 0 to `inputs` - 1 are given, then `calls` in order make the others."""

    inputs: int
    calls: tuple[Call, ...]
    outputs: tuple[Any, ...]  # values, or NumPy scalars

    def last_uses(self) -> list[list[int]]:
        """For each call, the numbers of the values that nobody reads after it."""
        kept = {value.number for value in self.outputs if isinstance(value, Value)}
        dead: list[list[int]] = []
        for call in reversed(self.calls):
            reads = {value.number for value in call.arguments if isinstance(value, Value)}
            dead.append(sorted(reads - kept))
            kept |= reads
        return dead[::-1]

    def run(
        self, inputs: Sequence[Any], rule: Callable[[str, Any, tuple[Any, ...]], Any]
    ) -> list[Any]:
        """The outputs; `rule(name, setting, arguments)` does a call. Values are freed early."""
        values: dict[int, Any] = dict(enumerate(inputs))

        def get(value: Any) -> Any:
            return values[value.number] if isinstance(value, Value) else value

        for call, dead in zip(self.calls, self.last_uses(), strict=True):
            made = rule(call.name, call.setting, tuple(map(get, call.arguments)))
            values[call.result.number] = made
            for number in dead:
                values.pop(number, None)
        return [get(value) for value in self.outputs]


class Builder:
    """Puts programs together: `inputs` values are given, `inline` adds a program's calls."""

    def __init__(self, inputs: int):
        self.given = tuple(map(Value, range(inputs)))
        self._calls: list[Call] = []

    def inline(self, program: Program, arguments: Sequence[Any]) -> list[Any]:
        """The outputs of `program` at `arguments`, values or NumPy scalars."""
        known: dict[Any, Any] = dict(zip(map(Value, range(program.inputs)), arguments, strict=True))

        def get(value: Any) -> Any:
            return known[value] if isinstance(value, Value) else value

        for call in program.calls:
            known[call.result] = Value(len(self.given) + len(self._calls))
            arguments = tuple(map(get, call.arguments))
            self._calls.append(call._replace(arguments=arguments, result=known[call.result]))
        return [get(value) for value in program.outputs]

    def build(self, outputs: Sequence[Any]) -> Program:
        """The program that makes `outputs`."""
        return pruned(Program(len(self.given), tuple(self._calls), tuple(outputs)))


def interleaved(program: Program, own: Sequence[int], copies: int) -> Program:
    """Several runs of `program` call by call, which share all inputs but those numbered `own`.

    Inputs: the shared ones, then each copy's own; outputs: one copy's after the other's.
    """
    shared = [i for i in range(program.inputs) if i not in own]
    inputs = len(shared) + copies * len(own)
    names: list[dict[Value, Value]] = []
    for copy in range(copies):
        first = len(shared) + copy * len(own)
        given = {Value(i): Value(place) for place, i in enumerate(shared)}
        names.append(given | {Value(i): Value(first + place) for place, i in enumerate(own)})
    calls: list[Call] = []
    for call in program.calls:
        for known in names:
            result = known[call.result] = Value(inputs + len(calls))
            arguments = tuple(known[v] if isinstance(v, Value) else v for v in call.arguments)
            calls.append(call._replace(arguments=arguments, result=result))
    outputs = [known[v] if isinstance(v, Value) else v for known in names for v in program.outputs]
    return Program(inputs, tuple(calls), tuple(outputs))


def unroll(
    function: Callable[..., Sequence[Any]], *inputs: Any, differentiable: bool = False
) -> Program:
    """The program of `function`, whose `inputs` (examples or shapes) are scalars.

    `differentiable` keeps `stop_gradient` as a call, for `dse.adjoint`.

    Raises:
      NotImplementedError: a primitive that makes other than scalars of them; it names it.
    """
    closed = jax.make_jaxpr(function)(*inputs)
    walker = _Walker(len(closed.jaxpr.invars))
    walker.same = _SAME if differentiable else (*_SAME, "stop_gradient")
    outputs = walker.walk(closed.jaxpr, closed.consts, list(map(Value, range(walker.inputs))))
    return pruned(Program(walker.inputs, tuple(walker.calls), tuple(outputs)))


def pruned(program: Program) -> Program:
    """The calls that the outputs need."""
    needed = {value for value in program.outputs if isinstance(value, Value)}
    calls = []
    for call in reversed(program.calls):
        if call.result in needed:
            calls.append(call)
            needed |= {value for value in call.arguments if isinstance(value, Value)}
    return program._replace(calls=tuple(calls[::-1]))


_SAME = ("squeeze", "reshape", "broadcast_in_dim", "copy", "copy_p")
_INNER = ("jaxpr", "call_jaxpr")


class Recorder:
    """Writes calls down one by one: equal ones once, and none where the result is known."""

    def __init__(self, inputs: int):
        self.inputs = inputs
        self.calls: list[Call] = []
        self._known: dict[Any, Value] = {}

    def call(self, name: str, setting: Any, inputs: Sequence[Any]) -> Any:
        """The result, a value or a NumPy constant; some of `inputs` is a value."""
        known = _simplified(name, inputs)
        if known is not None:
            return known
        key = (name, setting, *[v if isinstance(v, Value) else (v.dtype, v.item()) for v in inputs])
        if key not in self._known:
            self._known[key] = Value(self.inputs + len(self.calls))
            arguments = tuple(v if isinstance(v, Value) else v[()] for v in inputs)
            self.calls.append(Call(name, setting, arguments, self._known[key]))
        return self._known[key]


class _Walker(Recorder):
    same: tuple[str, ...]  # primitives that hand their argument on

    def walk(self, jaxpr: Any, consts: Any, arguments: Any) -> list[Any]:
        """Add the calls of `jaxpr`; its results are values, or NumPy constants."""
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Any:
            known = isinstance(atom, Literal)
            return np.asarray(atom.val, atom.aval.dtype) if known else values[atom]

        for eqn in jaxpr.eqns:
            results = self._equation(eqn, [read(atom) for atom in eqn.invars])
            values.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, eqn: Any, inputs: list[Any]) -> list[Any]:
        name = eqn.primitive.name
        if name == "scan":
            return self._scan(eqn.params, inputs)
        for inner in (eqn.params[key] for key in _INNER if key in eqn.params):
            return self.walk(inner.jaxpr, inner.consts, inputs)
        if not any(isinstance(value, Value) for value in inputs):
            if name in UFUNCS:
                return [
                    np.asarray(numpy_rule(name, None, tuple(inputs)), eqn.outvars[0].aval.dtype)
                ]
            folded = eqn.primitive.bind(*map(jnp.asarray, inputs), **eqn.params)
            return [*map(np.asarray, folded if eqn.primitive.multiple_results else [folded])]
        if any(atom.aval.shape for atom in eqn.outvars):
            raise NotImplementedError(f"{name}: a value of a design that is not a scalar")
        if name in self.same or (
            name == "convert_element_type" and eqn.params["new_dtype"] == eqn.invars[0].aval.dtype
        ):
            return inputs[:1]
        setting = eqn.params.get("y", eqn.params.get("new_dtype"))
        return [self.call(name, setting, inputs)]

    def _scan(self, params: Any, inputs: list[Any]) -> list[Any]:
        first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
        consts, carry, stacked = inputs[:first], inputs[first:last], inputs[last:]
        inner = params["jaxpr"]
        if params["reverse"]:
            raise NotImplementedError("scan: only forward ones are unrolled")
        made: list[list[Any]] = []
        for i in range(params["length"]):
            rows = [column[i] for column in stacked]
            results = self.walk(inner.jaxpr, inner.consts, [*consts, *carry, *rows])
            carry = results[: len(carry)]
            made.append(results[len(carry) :])
        if made and made[0]:
            raise NotImplementedError("scan: only sums are unrolled")
        return carry


def _simplified(name: str, inputs: Sequence[Any]) -> Any:
    """What a call amounts to without doing it, else None. No value is a NaN or infinite."""
    if name == "select_n":
        which, no, yes = inputs
        if not isinstance(which, Value):
            return yes if which else no
        return no if _same(no, yes) else None
    if len(inputs) != 2:
        return None
    a, b = inputs
    same = _same(a, b)
    if same and name in _OF_ITSELF:
        return _OF_ITSELF[name]
    if same and name in ("max", "min", "and", "or"):
        return a
    if isinstance(b, Value) and not isinstance(a, Value):
        if (name in ("mul", "div") and a == 0) or (name in ("add", "mul") and a == _UNIT[name]):
            return a if name == "div" or (name == "mul" and a == 0) else b
    elif isinstance(a, Value) and not isinstance(b, Value):
        if name == "mul" and b == 0:
            return b
        return a if name in _UNIT and b == _UNIT[name] else None
    return None


def _same(a: Any, b: Any) -> bool:
    # NumPy would compare a value's number with a constant.
    return isinstance(a, Value) and isinstance(b, Value) and a == b


_UNIT = {"add": 0, "sub": 0, "mul": 1, "div": 1}
_OF_ITSELF = {
    "sub": np.float32(0), "div": np.float32(1), "eq": np.True_, "le": np.True_, "ge": np.True_,
    "ne": np.False_, "lt": np.False_, "gt": np.False_,
}  # fmt: skip
