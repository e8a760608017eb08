"""Arguments of traced functions: arrays become shapes, everything else stays what it is.

Modules of libraries hold more than arrays: equinox's are pytrees with functions as leaves,
flax.nnx's are objects that a step changes in place. Leaves that are no arrays are kept aside;
nnx objects are split into their state, which the function is taken to return, as it would had
it been written without side effects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

Function = Callable[..., Any]


def prepare(fn: Function, args: Sequence[Any]) -> tuple[Function, tuple[Any, ...]]:
    """A function of arrays alone, and the shapes of its arguments."""
    fn, args = _without_objects(fn, tuple(args))
    kept = jax.tree.map(lambda leaf: None if _is_array(leaf) else leaf, args)
    shapes = jax.tree.map(lambda leaf: _shape(leaf) if _is_array(leaf) else None, args)

    def run(*given: Any) -> Any:
        both = jax.tree.map(
            lambda mine, theirs: mine if theirs is None else theirs, kept, given,
            is_leaf=lambda x: x is None,
        )  # fmt: skip
        made = fn(*both)
        return jax.tree.map(lambda leaf: leaf if _is_array(leaf) else None, made)

    return run, shapes


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)):
        return True
    return isinstance(leaf, (bool, int, float, complex)) or hasattr(leaf, "__jax_array__")


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    return jax.eval_shape(lambda x: x, leaf)


def _without_objects(fn: Function, args: tuple[Any, ...]) -> tuple[Function, tuple[Any, ...]]:
    """Flax's nnx objects as their state; others' arguments as they are."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is None or not any(isinstance(arg, nnx.Pytree) for arg in args):
        return fn, args
    places = [i for i, arg in enumerate(args) if isinstance(arg, nnx.Pytree)]
    graph, state = nnx.split(tuple(args[i] for i in places))

    def run(state: Any, *rest: Any) -> Any:
        objects, others = nnx.merge(graph, state), iter(rest)
        found = dict(zip(places, objects, strict=True))
        result = fn(*[found[i] if i in found else next(others) for i in range(len(args))])
        return nnx.state(objects), result

    return run, (state, *[arg for i, arg in enumerate(args) if i not in places])
