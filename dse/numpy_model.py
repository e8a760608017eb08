"""The same equations in plain vectorised NumPy: the baseline of `dse bench`, and a cross-check.

The jaxpr of the exact scalar model of one design is unrolled over the operations (their shapes
are constants here) into a straight list of NumPy ufunc calls, each on a float32 array of designs:
what does not depend on the design is computed once, equal subexpressions are shared, factors of 1
and 0 and dead code are gone, and an array is freed after its last use. That is what one would
write by hand for a fixed workload.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from dse.evaluating import Evaluator
from hwmodels.workloads.workload import Workload

_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "max": np.maximum, "min": np.minimum, "abs": np.abs, "sign": np.sign, "exp": np.exp,
    "exp2": np.exp2, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt,
    "square": np.square, "pow": np.power, "floor": np.floor, "ceil": np.ceil, "round": np.rint,
    "tanh": np.tanh, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "and": np.logical_and,
    "or": np.logical_or, "not": np.logical_not, "is_finite": np.isfinite,
    "select_n": lambda which, no, yes: np.where(which, yes, no),
}  # fmt: skip
_SAME = ("squeeze", "reshape", "broadcast_in_dim", "copy", "copy_p", "stop_gradient")
_CALLS = ("jaxpr", "call_jaxpr")


class _Slot(NamedTuple):
    """A value that depends on the design."""

    number: int


class _Call(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]  # slots, or NumPy scalars
    result: _Slot


class NumpyModel:
    """`model(values)` -> (objectives, minimised, of shape (n, 3); feasible, of shape (n,)).

    `values`: float32 arrays of shape (n,) by the names of `space.numeric`.

    Raises:
      NotImplementedError: the model uses a primitive that has no rule here; it names it.
    """

    def __init__(self, engine: Evaluator, workload: Workload):
        trace = engine.trace(workload)
        self.names = tuple(p.name for p in engine.space.numeric)

        def one(*values: Any) -> list[Any]:
            readings, margins = engine.one(dict(zip(self.names, values, strict=True)), trace)
            worst = functools.reduce(jnp.minimum, margins.values())
            return [*engine.points(readings), worst >= 0]

        closed = jax.make_jaxpr(one)(*[jnp.float32(1.0)] * len(self.names))
        self._calls: list[_Call] = []
        self._known: dict[Any, _Slot] = {}
        inputs = [_Slot(i) for i in range(len(self.names))]
        self._outputs = self._walk(closed.jaxpr, closed.consts, inputs)
        self._plan = self._schedule()

    def __call__(self, values: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        slots: dict[int, Any] = {i: values[name] for i, name in enumerate(self.names)}

        def get(value: Any) -> Any:
            return slots[value.number] if isinstance(value, _Slot) else value

        for call, dead in self._plan:
            slots[call.result.number] = call.function(*map(get, call.arguments))
            for number in dead:
                del slots[number]
        shape = values[self.names[0]].shape
        *points, feasible = (np.broadcast_to(get(value), shape) for value in self._outputs)
        return np.stack(points, axis=-1), feasible

    @property
    def calls(self) -> int:
        """NumPy calls a batch of designs takes."""
        return len(self._plan)

    def _walk(self, jaxpr: Any, consts: Any, arguments: Any) -> list[Any]:
        """Add the calls of `jaxpr`; its results are slots, or NumPy constants."""
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
        for inner in (eqn.params[key] for key in _CALLS if key in eqn.params):
            return self._walk(inner.jaxpr, inner.consts, inputs)
        if not any(isinstance(value, _Slot) for value in inputs):
            folded = eqn.primitive.bind(*map(jnp.asarray, inputs), **eqn.params)
            return [*map(np.asarray, folded if eqn.primitive.multiple_results else [folded])]
        if any(atom.aval.shape for atom in eqn.outvars):
            raise NotImplementedError(f"{name}: a value of a design that is not a scalar")
        if name in _SAME or (
            name == "convert_element_type" and eqn.params["new_dtype"] == eqn.invars[0].aval.dtype
        ):
            return inputs[:1]
        return [self._call(name, eqn.params, inputs)]

    def _scan(self, params: Any, inputs: list[Any]) -> list[Any]:
        first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
        consts, carry, stacked = inputs[:first], inputs[first:last], inputs[last:]
        inner = params["jaxpr"]
        if len(inner.out_avals) > len(carry) or params["reverse"]:
            raise NotImplementedError("scan: only forward sums are unrolled")
        for i in range(params["length"]):
            rows = [column[i] for column in stacked]
            carry = self._walk(inner.jaxpr, inner.consts, [*consts, *carry, *rows])
        return carry

    def _call(self, name: str, params: Any, inputs: list[Any]) -> Any:
        plain = [value for value in inputs if not isinstance(value, _Slot)]
        if plain and name == "mul" and plain[0] in (0, 1):
            return plain[0] if plain[0] == 0 else _slot(inputs)
        if plain and name == "add" and plain[0] == 0:
            return _slot(inputs)
        function, setting = _UFUNCS.get(name), params.get("y", params.get("new_dtype"))
        if name == "integer_pow":
            function = functools.partial(_integer_power, power=setting)
        elif name == "convert_element_type":
            function = operator.methodcaller("astype", setting)
        elif function is None:
            raise NotImplementedError(f"{name}: no NumPy rule for this primitive; add one here")
        key = (name, setting, *[v if isinstance(v, _Slot) else (v.dtype, v.item()) for v in inputs])
        if key not in self._known:
            self._known[key] = _Slot(len(self.names) + len(self._calls))
            scalars = tuple(v if isinstance(v, _Slot) else v[()] for v in inputs)
            self._calls.append(_Call(function, scalars, self._known[key]))
        return self._known[key]

    def _schedule(self) -> list[tuple[_Call, list[int]]]:
        """The calls that the outputs need, each with the slots that nobody reads after it."""
        needed = {value for value in self._outputs if isinstance(value, _Slot)}
        plan = []
        for call in reversed(self._calls):
            if call.result in needed:
                reads = {value for value in call.arguments if isinstance(value, _Slot)}
                plan.append((call, [slot.number for slot in reads - needed]))
                needed |= reads
        return plan[::-1]


def _integer_power(x: Any, power: int) -> Any:
    result = functools.reduce(np.multiply, [x] * abs(power))
    return np.float32(1.0) / result if power < 0 else result


def _slot(inputs: list[Any]) -> _Slot:
    return next(value for value in inputs if isinstance(value, _Slot))
