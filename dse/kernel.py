"""One loop over designs: a straight-line program as a single machine-code kernel.

XLA's own fusion cuts a flat program of a thousand operations into many kernels and computes shared
producers again in each (2 to 7 million designs a second where this makes 30). On CPUs
`loop` lowers a program to one explicit loop fusion, which LLVM unrolls into vector registers:
no intermediate goes through memory, nothing is computed twice, and it compiles ten times as
fast. Elsewhere its operations are left to XLA.

`strengthened` first replaces what vector units do slowly, to within two units in the last place:
division by a constant or a shared divisor (one reciprocal), `pow` and `log1p` (scalar library
calls), maxima that hand on NaN (three instructions for one; a NaN design is infeasible anyway).
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive, jaxpr_as_fun
from jax.interpreters import mlir
from jaxlib.mlir import ir

from dse.program import Call, Program, Value, pruned

_CPU_OPTIONS = {
    # The emitters that take a fusion with several results as it is.
    "xla_cpu_use_fusion_emitters": False,
    # Nothing is to be fused besides, nor cut in pieces for several threads: sweeps run whole
    # kernels side by side, which costs no waiting for each other.
    "xla_disable_hlo_passes": "fusion,cpu-parallel-task-assigner",
    # As fast as the default here; above it LLVM's scheduler runs out of memory at 6,000 operations.
    "xla_backend_optimization_level": 1,
    # XLA takes half of what AVX-512 machines have otherwise.
    "xla_cpu_prefer_vector_width": 512,
}
ONE = np.float32(1.0)
SMALLEST = np.float32(1e-30)


def compiled(
    function: Callable[..., Any], level: int | None = None, **settings: Any
) -> Callable[..., Any]:
    """`jax.jit` of a function with loops in it; `settings` as there. `level` 0 compiles in a third
    of the time, to code that runs three times as long."""
    options = dict(_CPU_OPTIONS) if jax.default_backend() == "cpu" else {}
    if options and level is not None:
        options["xla_backend_optimization_level"] = level
    return jax.jit(function, compiler_options=options, **settings)


def loop(program: Program, size: int, inputs: Sequence[Any]) -> list[Any]:
    """`program` as one kernel, on columns of shape (`size`,) and scalars that all designs share.

    For use in a function that `compiled` compiles. Results have shape (`size`,).
    """
    read = {v for call in program.calls for v in call.arguments if isinstance(v, Value)}
    # A fusion takes no operand that it does not read, and gives none back.
    used = [i for i in range(program.inputs) if Value(i) in read]
    made = [
        i
        for i, v in enumerate(program.outputs)
        if isinstance(v, Value) and v.number >= program.inputs
    ]
    body = vectorised(program._replace(outputs=tuple(program.outputs[i] for i in made)), size)

    def run(*arrays: Any) -> list[Any]:
        every: list[Any] = [None] * program.inputs
        for i, array in zip(used, arrays, strict=True):
            every[i] = array
        return body(every)

    kept = [inputs[i] for i in used]
    results = dict(zip(made, _fused.bind(*kept, jaxpr=jax.make_jaxpr(run)(*kept)), strict=True))
    return [
        results[i]
        if i in results
        else _column(inputs[v.number] if isinstance(v, Value) else v, size)
        for i, v in enumerate(program.outputs)
    ]


def _column(x: Any, size: int) -> Any:
    x = jnp.asarray(x)
    return x if x.shape else lax.broadcast(x, (size,))


def vectorised(program: Program, size: int) -> Callable[[Sequence[Any]], list[Any]]:
    """`program` on arrays of shape (`size`,), or scalars."""

    def run(inputs: Sequence[Any]) -> list[Any]:
        filled: dict[Any, Any] = {}

        def full(x: Any) -> Any:
            if getattr(x, "shape", ()) != ():
                return x
            key = (x.dtype, x.item()) if isinstance(x, np.generic) else id(x)
            if key not in filled:
                filled[key] = lax.broadcast(jnp.asarray(x), (size,))
            return filled[key]

        def rule(name: str, setting: Any, arguments: tuple[Any, ...]) -> Any:
            # Shared scalars too: the compiler takes what does not change out of the loop.
            return _rule(name, setting, tuple(map(full, arguments)))

        return [full(x) for x in program.run(inputs, rule)]

    return run


def strengthened(program: Program) -> Program:
    """`program` with slow operations replaced; results differ by rounding only."""
    shared = collections.Counter(
        call.arguments[1]
        for call in program.calls
        if call.name == "div" and isinstance(call.arguments[1], Value)
    )
    number = max((call.result.number for call in program.calls), default=program.inputs)
    calls: list[Call] = []
    reciprocals: dict[Value, Value] = {}
    same: dict[Any, Value] = {}

    def add(name: str, *arguments: Any, result: Value | None = None, setting: Any = None) -> Value:
        nonlocal number
        if result is None:
            number += 1
            result = Value(number)
        calls.append(Call(name, setting, arguments, result))
        return result

    for call in program.calls:
        call = call._replace(arguments=tuple(_get(same, value) for value in call.arguments))
        (name, _, (x, *rest), result) = call
        if name == "div" and not isinstance(rest[0], Value):
            add("mul", x, ONE / rest[0], result=result)
        elif name == "div" and shared[rest[0]] > 1:
            if rest[0] not in reciprocals:
                reciprocals[rest[0]] = add("div", ONE, rest[0])
            if isinstance(x, Value) or x != 1:
                add("mul", x, reciprocals[rest[0]], result=result)
            else:
                same[result] = reciprocals[rest[0]]
        elif name in ("max", "min"):
            first = add("gt" if name == "max" else "lt", x, rest[0])
            add("select_n", first, rest[0], x, result=result)
        elif name == "pow":
            add("exp", add("mul", rest[0], add("log", x)), result=result)
        elif name == "log1p":
            # Kahan: log(u) x / (u - 1) is exact where u = 1 + x has lost x's last digits.
            u = add("add", x, ONE)
            some = add("gt", add("abs", add("sub", u, ONE)), np.float32(0.0))
            exact = add("select_n", some, ONE, add("sub", u, ONE))
            ratio = add("div", x, exact)
            scaled = add("mul", add("log", _positive(add, u)), ratio)
            add("select_n", some, x, scaled, result=result)
        else:
            calls.append(call)
    outputs = tuple(_get(same, value) for value in program.outputs)
    return pruned(program._replace(calls=tuple(calls), outputs=outputs))


def _get(same: dict[Any, Value], value: Any) -> Any:
    return same.get(value, value) if isinstance(value, Value) else value


def _positive(add: Callable[..., Value], u: Value) -> Value:
    # Not log(1 + x), which XLA would put together again.
    return add("select_n", add("gt", u, SMALLEST), SMALLEST, u)


def _rule(name: str, setting: Any, arguments: tuple[Any, ...]) -> Any:
    if name == "integer_pow":
        return lax.integer_pow(arguments[0], setting)
    if name == "convert_element_type":
        return lax.convert_element_type(arguments[0], setting)
    if name == "round":
        return lax.round(arguments[0], lax.RoundingMethod.TO_NEAREST_EVEN)
    return getattr(lax, _NAMES.get(name, name))(*arguments)


_NAMES = {
    "and": "bitwise_and", "or": "bitwise_or", "not": "bitwise_not", "xor": "bitwise_xor",
}  # fmt: skip

_fused = Primitive("fused_loop")
_fused.multiple_results = True


@_fused.def_abstract_eval
def _(*arrays: Any, jaxpr: Any) -> Any:
    return jaxpr.out_avals


@_fused.def_impl
def _inline(*arrays: Any, jaxpr: Any) -> Any:
    return jaxpr_as_fun(jaxpr)(*arrays)


def _one_loop(ctx: Any, *operands: Any, jaxpr: Any) -> Any:
    """An `mhlo.fusion` whose region is the program, lowered by JAX's own rules."""
    context = ctx.module_context.context
    context.allow_unregistered_dialects = True
    results = [
        ir.RankedTensorType.get(aval.shape, _element(aval.dtype, context)) for aval in ctx.avals_out
    ]
    fusion = ir.Operation.create(
        "mhlo.fusion",
        results=results,
        operands=list(operands),
        attributes={"fusion_kind": ir.Attribute.parse("#mhlo<fusion_kind kLoop>", context)},
        regions=1,
    )
    block = fusion.regions[0].blocks.append(*[operand.type for operand in operands])
    with ir.InsertionPoint(block):
        inline = mlir.lower_fun(_inline, multiple_results=True)
        values = inline(ctx, *block.arguments, jaxpr=jaxpr)
        ir.Operation.create("mhlo.return", operands=[v for value in values for v in _flat(value)])
    return fusion.results


def _element(dtype: Any, context: Any) -> Any:
    short = {"float32": "f32", "bool": "i1", "uint32": "ui32", "int32": "i32"}[str(dtype)]
    return ir.Type.parse(short, context)


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


mlir.register_lowering(_fused, mlir.lower_fun(_inline, multiple_results=True))
mlir.register_lowering(_fused, _one_loop, platform="cpu")
