"""A traced step as one flat list of primitive operations over tensors, loops and calls inlined.

Views (reshape, transpose, broadcast, slice) are not operations: an operation refers to the
tensor behind them, so that its traffic counts the elements that exist, once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from hwmodels.workloads.primitives import Cost


@dataclass(eq=False, slots=True)
class Value:
    """One tensor. `elements` once per execution of the operation that makes it.

    `origin`: the tensor whose role it shares (a slice: the stacked tensor; a loop's carry: its
    initial value). `depends`: what must exist first where no operation makes it. `kept`:
    written even if nothing else in the step reads it (step outputs, what a loop carries).
    `name`: given by `jax.ad_checkpoint.checkpoint_name`.
    """

    index: int
    elements: float
    bits: float
    floating: bool
    producer: Operator | None = None
    origin: Value | None = None
    depends: tuple[Value, ...] = ()
    kept: bool = False
    name: str | None = None
    constant: bool = False


@dataclass(frozen=True, slots=True)
class Ref:
    """How an operation sees a tensor: its distinct elements, and which `part` of it.

    `moved`: seen through a change of layout, which only a copy could make permanent.
    """

    value: Value
    elements: float
    part: int | None = None
    moved: str = ""


@dataclass(eq=False, slots=True)
class Operator:
    """One primitive operation: what it reads and makes, what it costs, where it came from.

    `count`: how often the loops around it run it; `region`: those loops; `space`: elements that
    it iterates over; `stack`: JAX's name stack; `label`: what to call it.
    """

    index: int
    primitive: str
    label: str
    cost: Cost
    inputs: tuple[Ref, ...]
    outputs: tuple[Value, ...]
    shape: tuple[int, ...]
    space: float
    stack: str
    count: float
    region: tuple[int, ...]

    @property
    def scalar(self) -> bool:
        """Touches nothing larger than one element."""
        return (
            self.space <= 1
            and all(ref.elements <= 1 for ref in self.inputs)
            and all(value.elements <= 1 for value in self.outputs)
        )


@dataclass(eq=False)
class Program:
    """The flat step: operators in program order, the tensors that enter and leave it.

    `local_shapes`: of inputs that a `shard_map` divides, one chip's share, by index;
    `microbatched`: indices of tensors that a loop takes apart whose body makes gradients.
    """

    operators: list[Operator]
    values: list[Value]
    inputs: list[Value]
    constants: list[Value]
    outputs: list[Ref]
    coverage: dict[str, str]
    notes: list[str]
    local_shapes: dict[int, tuple[int, ...]]
    microbatched: set[int]

    def drop_dead(self) -> None:
        """Remove operators of which nobody reads a result."""
        live = {ref.value.index for ref in self.outputs}
        alive: list[Operator] = []
        needed_by = _dependants(self.values)
        for operator in reversed(self.operators):
            wanted = any(
                value.index in live
                or value.kept
                or any(dependant in live for dependant in needed_by.get(value.index, ()))
                for value in operator.outputs
            )
            if wanted:
                alive.append(operator)
                for ref in operator.inputs:
                    live.update(value.index for value in _with_depends(ref.value))
        self.operators = alive[::-1]


def producers(value: Value) -> Iterator[Operator]:
    """The operators that must have run before `value` exists."""
    if value.producer is not None:
        yield value.producer
    else:
        for dependency in value.depends:
            yield from producers(dependency)


def describe(aval: Any) -> tuple[float, float, bool]:
    """Elements, bits per element and whether floating, of a JAX abstract value."""
    return (float(math.prod(aval.shape)), *_width(aval.dtype))


@functools.lru_cache(maxsize=256)
def _width(dtype: Any) -> tuple[float, bool]:
    floating = bool(jnp.issubdtype(dtype, jnp.inexact))
    name = str(dtype)
    if name.endswith("int4") or name.startswith("float4"):
        return 4.0, floating
    if name.endswith("int2"):
        return 2.0, floating
    return 8.0 * float(getattr(dtype, "itemsize", 4)), floating


def _dependants(values: list[Value]) -> dict[int, list[int]]:
    table: dict[int, list[int]] = {}
    for value in values:
        for dependency in value.depends:
            table.setdefault(dependency.index, []).append(value.index)
    return table


def _with_depends(value: Value) -> Iterator[Value]:
    yield value
    for dependency in value.depends:
        yield from _with_depends(dependency)


def whole(value: Value) -> Ref:
    """A reference to all of `value`."""
    return Ref(value, value.elements)


def part_of(ref: Ref, elements: float, part: int) -> Ref:
    """A reference to `elements` of what `ref` sees; all of it keeps the old part."""
    if elements >= ref.elements:
        return ref
    return dataclasses.replace(ref, elements=elements, part=part)
