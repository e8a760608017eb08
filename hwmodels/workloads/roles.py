"""Phases of operators and roles of tensors in a traced step.

Phase, from JAX's name stack: inside "transpose(" is backward, inside "jvp(" forward. Of the rest,
what depends on a backward result, or is used only by what does, is the optimizer.

State: an input leaf that an output leaf replaces: same pytree path apart from the first entry
(`(state, batch) -> (state, loss)`, or `-> state`), same shape and type. State read in the forward
or backward phase is a parameter, the rest is optimizer state. What the backward phase itself
returns is a gradient, never state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jax.tree_util import keystr

from hwmodels.errors import InputError
from hwmodels.workloads.program import Program, Value, producers

# Captured constants up to this many elements are small change, not weights.
_SMALL_CONSTANT = 1024


@dataclass(frozen=True)
class Leaf:
    """One array of the step's arguments or results: its path and abstract value."""

    path: tuple[Any, ...]
    aval: Any

    @property
    def rest(self) -> str:
        """The path without its first entry."""
        return keystr(self.path[1:])


def phases_of(program: Program) -> list[str]:
    """The phase of each operator."""
    operators = program.operators
    marks = [
        "backward" if "transpose(" in o.stack else "forward" if "jvp(" in o.stack else ""
        for o in operators
    ]
    if "backward" not in marks:
        return ["forward"] * len(operators)
    position = {o.index: i for i, o in enumerate(operators)}
    sources = [
        {position[p.index] for ref in o.inputs for p in producers(ref.value)} for o in operators
    ]
    phases = list(marks)
    for i, mark in enumerate(marks):
        if not mark:
            late = any(phases[s] in ("backward", "optimizer") for s in sources[i])
            phases[i] = "optimizer" if late else ""
    # What nothing but the optimizer uses belongs to it: decayed moments, bias corrections.
    users: list[set[str]] = [set() for _ in operators]
    for i in reversed(range(len(operators))):
        if not phases[i]:
            phases[i] = "optimizer" if users[i] == {"optimizer"} else "forward"
        for s in sources[i]:
            users[s].add(phases[i])
    return phases


def match_state(
    inputs: Sequence[Leaf], outputs: Sequence[Leaf], program: Program, phases: Sequence[str]
) -> dict[int, int]:
    """Output leaf number -> number of the input leaf that it replaces."""
    backward = _made_backward(program, phases)

    def key(leaf: Leaf, path: str) -> tuple[Any, ...]:
        return path, tuple(leaf.aval.shape), str(leaf.aval.dtype)

    candidates: dict[tuple[Any, ...], list[int]] = {}
    for number, leaf in enumerate(inputs):
        candidates.setdefault(key(leaf, leaf.rest), []).append(number)
    matched: dict[int, int] = {}
    for number, leaf in enumerate(outputs):
        if backward(program.outputs[number].value):
            continue
        # One of several results, or what a training step returns alone.
        free = candidates.get(key(leaf, leaf.rest)) if leaf.path else None
        if not free and "backward" in phases:
            free = candidates.get(key(leaf, keystr(leaf.path)))
        if free:
            same = [i for i in free if leaf.path and str(inputs[i].path[0]) == str(leaf.path[0])]
            chosen = same[0] if same else free[0]
            free.remove(chosen)
            matched[number] = chosen
    return matched


def parameter_arguments(
    count: int, has_state: bool, parameters: Sequence[int] | int | None
) -> set[int]:
    """Numbers of the arguments that hold parameters without being state."""
    if parameters is None:
        return {0} if count > 1 and not has_state else set()
    chosen = {parameters} if isinstance(parameters, int) else set(parameters)
    for number in chosen:
        if number not in range(count):
            raise InputError("parameters", number, f"allowed: argument numbers 0 to {count - 1}")
    return chosen


def assign_roles(
    program: Program,
    phases: Sequence[str],
    inputs: Sequence[Leaf],
    state: dict[int, int],
    parameters: set[int],
) -> dict[int, str]:
    """Role of every value, by its index."""
    roles: dict[int, str] = {}
    early = {
        source
        for operator, phase in zip(program.operators, phases, strict=True)
        if phase != "optimizer"
        for ref in operator.inputs
        for source in _sources(ref.value)
    }
    replaced = set(state.values())
    # Beside parameters that were named, what inference hands on is a cache.
    handed_on = bool(parameters) and "backward" not in phases
    for number, (leaf, value) in enumerate(zip(inputs, program.inputs, strict=True)):
        if leaf.path[0].idx in parameters:
            roles[value.index] = "parameter"
        elif number in replaced and handed_on:
            roles[value.index] = "activation"
        elif number in replaced:
            roles[value.index] = "parameter" if value.index in early else "optimizer_state"
        else:
            roles[value.index] = "input"
    for value in program.constants:
        large = value.floating and value.elements > _SMALL_CONSTANT
        roles[value.index] = "parameter" if large else "input"
    for number, source in state.items():
        value = program.outputs[number].value
        roles.setdefault(value.index, roles[program.inputs[source].index])
    _assign_gradients(program, phases, roles)
    for value in program.values:
        origin = value
        while origin.index not in roles and origin.origin is not None:
            origin = origin.origin
        roles.setdefault(value.index, roles.get(origin.index, "activation"))
    return roles


def _made_backward(program: Program, phases: Sequence[str]) -> Callable[[Value], bool]:
    phase_of = {o.index: p for o, p in zip(program.operators, phases, strict=True)}
    return lambda value: any(phase_of.get(p.index) == "backward" for p in producers(value))


def _assign_gradients(program: Program, phases: Sequence[str], roles: dict[int, str]) -> None:
    """Backward results, as large as a parameter, that the optimizer reads or the step returns."""
    sizes = {v.elements for v in program.inputs if roles[v.index] == "parameter"}
    backward = _made_backward(program, phases)
    read = [
        ref.value
        for operator, phase in zip(program.operators, phases, strict=True)
        if phase == "optimizer"
        for ref in operator.inputs
    ]
    for value in (*read, *(ref.value for ref in program.outputs)):
        known = value.index in roles or not value.floating or value.elements not in sizes
        if not known and backward(value):
            roles[value.index] = "gradient"


def _sources(value: Value) -> list[int]:
    """The value and what it is a slice or the carried form of."""
    found = [value.index]
    while value.origin is not None and value.producer is None:
        value = value.origin
        found.append(value.index)
    return found


def streamed(
    inputs: Sequence[Leaf], program: Program, roles: dict[int, str]
) -> list[tuple[tuple[int, ...], str]]:
    """Shape and type of each input that is neither state nor parameter: one chip's share."""
    return [
        (tuple(program.local_shapes.get(value.index, leaf.aval.shape)), str(leaf.aval.dtype))
        for leaf, value in zip(inputs, program.inputs, strict=True)
        if roles[value.index] == "input"
    ]


def batch_size(
    shapes: Sequence[tuple[tuple[int, ...], str]], scanned: bool, samples: float | None
) -> float:
    """Samples per step: as given, or the one leading dimension of the streamed inputs.

    Args:
      shapes: shape and type of each streamed input.
      scanned: the leading dimension is one of micro-batches, whose samples lie along the next.
      samples: as the user gives it.
    """
    if samples is not None:
        return float(samples)
    batched = [shape for shape, kind in shapes if shape and (shape, kind) != ((2,), "uint32")]
    leading = {shape[0] for shape in batched}
    seconds = {shape[1] if len(shape) > 1 else 1 for shape in batched}
    if scanned and len(leading) == len(seconds) == 1:
        return float(leading.pop() * seconds.pop())
    if len(leading) == 1:
        return float(leading.pop())
    found = f"leading dimensions {sorted(leading)}" if leading else "no batched input"
    raise InputError("samples", found, "give the samples per step: trace(..., samples=32)")
