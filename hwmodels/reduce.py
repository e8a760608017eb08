"""The only place that knows how operations are summed.

`total` adds the costs of single operations up with a scan, so that compile time and memory do not
grow with the number of operations and no fusion of the whole network can form (unrolled, XLA on
CPUs collapses between 4 and 15 operations).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def total(cost: Callable[[Any], Any], operations: Any, stacked: bool = False) -> Any:
    """Sum over the operations of count x cost; `cost` may return any pytree of scalars.

    `stacked` costs all operations at once and then adds: for gradients of few designs, whose
    reverse pass through a scan would compile and run longer.
    """
    first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), operations)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(cost, first))
    if operations.count.shape[0] == 0:
        return zeros

    if stacked:
        costs = jax.vmap(cost)(operations)
        return jax.tree.map(lambda terms: jnp.tensordot(operations.count, terms, 1), costs)

    def add(sums: Any, operation: Any) -> tuple[Any, None]:
        terms = cost(operation)
        return jax.tree.map(lambda s, term: s + operation.count * term, sums, terms), None

    sums, _ = jax.lax.scan(add, zeros, operations)
    return sums
