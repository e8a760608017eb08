"""Loops in a trace: how a body's tensors relate to those outside it, and trip counts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax

from hwmodels.errors import InputError
from hwmodels.workloads.program import Ref, Value, whole

if TYPE_CHECKING:
    from hwmodels.workloads.flatten import Flattener

_JAX_FOLDER = os.path.dirname(jax.__file__) + os.sep


def body_links(
    flattener: Flattener,
    body: Any,
    length: float,
    refs: Sequence[Ref],
    consts: int,
    carried: int,
    outvars: Sequence[Any],
) -> list[Ref]:
    """Inline a loop body once and tie its inputs and results to the tensors outside.

    Constants are read as they are, once per iteration. A carry is written by one iteration and
    read by the next. Stacked inputs are read, and stacked results written, a slice at a time.
    """
    initial = refs[consts : consts + carried]
    variables = body.jaxpr.invars
    carry_in = [
        flattener.new_value(v.aval, depends=(ref.value,))
        for v, ref in zip(variables[consts:], initial, strict=False)
    ]
    slices = [
        flattener.new_value(v.aval, depends=(ref.value,), origin=ref.value)
        for v, ref in zip(variables[consts + carried :], refs[consts + carried :], strict=True)
    ]
    arguments = [*refs[:consts], *map(whole, carry_in), *map(whole, slices)]
    before = len(flattener.operators)
    results = flattener.inside(length, body, arguments)
    if _makes_gradients(flattener, before):
        flattener.microbatched |= {ref.value.index for ref in refs[consts + carried :]}

    outputs: list[Ref] = []
    entering = {value.index: ref for value, ref in zip(carry_in, initial, strict=True)}
    for value, ref, result in zip(carry_in, initial, results, strict=False):
        out = result.value
        value.origin = ref.value
        if ref.value.constant and out.producer is not None:
            value.origin = out  # an accumulator that starts from a constant
        if out.index in entering:  # carried unchanged
            outputs.append(entering[out.index])
            continue
        out.kept = True
        outputs.append(Ref(out, out.elements))
    saved: dict[int, Value] = {}
    for variable, result in zip(outvars[carried:], results[carried:], strict=True):
        outputs.append(whole(_stack(flattener, variable.aval, result, length, before, saved)))
    return outputs


def _makes_gradients(flattener: Flattener, before: int) -> bool:
    """A body with forward and backward work: the loop goes through micro-batches, not time."""
    stacks = [operator.stack for operator in flattener.operators[before:]]
    backward = [s for s in stacks if "transpose(" in s]
    return bool(backward) and any("jvp(" in s and "transpose(" not in s for s in stacks)


def linear_solve(flattener: Flattener, eqn: Any, refs: list[Ref]) -> list[Ref]:
    """`custom_linear_solve`: the solver runs; products with the matrix are for derivatives."""
    lengths, solver = eqn.params["const_lengths"], eqn.params["jaxprs"].solve
    start = lengths.matvec + lengths.vecmat
    right = refs[sum(lengths) :]
    consts = [flattener._constant(c) for c in solver.consts]
    return flattener.inline(solver.jaxpr, consts, [*refs[start : start + lengths.solve], *right])


def _stack(
    flattener: Flattener,
    aval: Any,
    result: Ref,
    length: float,
    before: int,
    saved: dict[int, Value],
) -> Value:
    """The stacked tensor of which each iteration writes one slice."""
    part = result.value
    if part.index in saved:
        return saved[part.index]
    made_inside = part.producer is not None and part.producer.index >= before
    if not made_inside or part.origin is not None:
        part = _saved_copy(flattener, aval, result, length, before)
    stacked = flattener.new_value(aval, depends=(part,))
    part.kept, part.origin = True, stacked
    saved[result.value.index] = stacked
    return stacked


def _saved_copy(flattener: Flattener, aval: Any, result: Ref, length: float, before: int) -> Value:
    """Each iteration copies something that it did not make (such as the carry) to the stack."""
    count, region = flattener._count, flattener._region
    inner = [o.region for o in flattener.operators[before:] if len(o.region) > len(region)]
    flattener._count = count * length
    if inner:
        flattener._region = inner[0][: len(region) + 1]
    sliced = jax.ShapeDtypeStruct(aval.shape[1:], aval.dtype)
    value = flattener.copy(result, sliced, "save")
    flattener._count, flattener._region = count, region
    return value


def where(eqn: Any) -> list[str]:
    """Names of a control-flow equation, best first: function, named scope, file and line."""
    names: list[str] = []
    position = "an unknown place"
    traceback = eqn.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if frame.file_name.startswith(_JAX_FOLDER) or frame.file_name.startswith("<"):
            continue
        line = getattr(frame, "line_num", None) or getattr(frame, "start_line", 0)
        position = f"{os.path.basename(frame.file_name)}:{line}"
        names.append(frame.function_name.rsplit(".", 1)[-1])
        break
    names += [name for name in str(eqn.source_info.name_stack).split("/") if name]
    return [*names, position]


def trip_count(given: Mapping[str, int] | int | None, names: list[str], used: set[str]) -> float:
    """The trip count given for the `while` loop known as `names`."""
    trips: Any = None
    if isinstance(given, Mapping):
        key = next((name for name in names if name in given), None)
        if key is not None:
            used.add(key)
            trips = given[key]
    else:
        trips = given
    known = f"{names[0]} at {names[-1]}"
    if trips is None:
        raise InputError(
            "trip_counts",
            f"nothing for the while loop {known}",
            f"give its trip count: trip_counts={{{names[0]!r}: 10}}, or one integer for all",
        )
    if isinstance(trips, bool) or int(trips) != trips or trips < 1:
        raise InputError(f"trip_counts[{names[0]}]", trips, "allowed: an integer >= 1")
    return float(trips)
