"""The reference perceptron, really trained with the operands of every product in a number format.

Formats are numbers, not code, so that one compilation trains all of them, on all folds at once.
Weights, sums and the optimizer stay in fp32, as in mixed-precision training.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hwmodels.workloads.mlp import cross_entropy, initial_state
from hwmodels.workloads.mlp_config import OPTIMIZERS, MlpConfig


class Grid(NamedTuple):
    """The values of a format: `digits` bits after the leading one, at exponents of at least
    `least`, where steps stay even; `largest`: what a tensor's largest magnitude is scaled to, 0
    for a format that is not scaled."""

    digits: int
    least: int
    largest: float


# Forward and for error signals: fp8 is e4m3, then e5m2 (Micikevicius et al., 2022). An integer
# format has the same step everywhere. bf16 has fp32's exponents, of which digits need no more.
_FP32, _BF16, _INT8, _INT4 = (
    Grid(23, -100, 0.0), Grid(7, -100, 0.0), Grid(6, 6, 127.0), Grid(2, 2, 7.0)
)  # fmt: skip
GRIDS = {
    "fp32": (_FP32, _FP32),
    "bf16": (_BF16, _BF16),
    "fp8": (Grid(3, -6, 448.0), Grid(2, -14, 57344.0)),
    "int8": (_INT8, _INT8),
    "int4": (_INT4, _INT4),
}


def rounded(x: jax.Array, grid: Any) -> jax.Array:
    """`x` to the nearest values of a `Grid`, ties to even."""
    digits, least, largest = grid
    top = jnp.maximum(jnp.max(jnp.abs(x)), 1e-30)
    scale = jnp.where(largest > 0, largest / top, 1.0)
    scaled = x * scale
    bits = jax.lax.bitcast_convert_type(scaled, jnp.int32)
    exponent = jnp.maximum((bits >> 23 & 255) - 127, jnp.int32(least)) - jnp.int32(digits)
    return jnp.round(scaled * _power(-exponent)) * (_power(exponent) / scale)


def _power(exponent: jax.Array) -> jax.Array:
    """2 to `exponent`, exactly and without a call of the mathematical library."""
    return jax.lax.bitcast_convert_type((exponent + 127) << 23, jnp.float32)


@jax.custom_vjp
def product(x: jax.Array, w: jax.Array, grids: Any) -> jax.Array:
    """x @ w with rounded operands, and so are the products of its derivative."""
    return _forward(x, w, grids)[0]


def _forward(x: jax.Array, w: jax.Array, grids: Any) -> Any:
    x, w = rounded(x, grids[0]), rounded(w, grids[0])
    return x @ w, (x, w, grids)


def _backward(kept: Any, slope: jax.Array) -> Any:
    x, w, grids = kept
    slope = rounded(slope, grids[1])
    return slope @ w.T, x.T @ slope, jax.tree.map(jnp.zeros_like, grids)


product.defvjp(_forward, _backward)


def logits(params: Any, x: jax.Array, grids: Any) -> jax.Array:
    """The reference network with rounded products."""
    for layer in params[:-1]:
        x = jax.nn.relu(product(x, layer["w"], grids) + layer["b"])
    return product(x, params[-1]["w"], grids) + params[-1]["b"]


def folds(samples: int, count: int, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Rows to train on [count, n], the same number in each fold, and samples to test with [count,
    samples]: each sample in one fold's."""
    fold = jax.random.permutation(key, jnp.arange(samples) % count)
    tested = fold == jnp.arange(count)[:, None]
    least = samples - -(-samples // count)
    return jnp.argsort(tested, axis=1, stable=True)[:, :least], tested


def trained(
    step: MlpConfig, x: jax.Array, y: jax.Array, formats: tuple[str, ...], count: int
) -> np.ndarray:
    """Share of right answers on samples that a run did not see [formats, folds], each fold from a
    start of its own, the same for all formats."""
    grids = [GRIDS[name] for name in formats]
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(leaves, jnp.float32), *grids)
    split, starts = jax.random.split(jax.random.key(step.seed))
    rows, tested = folds(len(x), count, split)
    keys = jax.random.split(starts, count)
    return np.asarray(_trained(step)(stacked, keys, rows, tested, x, y))


def _trained(step: MlpConfig) -> Any:
    """Training of one configuration, batched over formats and folds."""
    optimizer = OPTIMIZERS[step.optimizer](step.learning_rate)

    def one(
        grids: Any, key: jax.Array, rows: jax.Array, tested: jax.Array, x: jax.Array, y: jax.Array
    ) -> jax.Array:
        count = len(rows) // step.batch

        def loss(params: Any, at: jax.Array) -> jax.Array:
            return cross_entropy(logits(params, x[at], grids), y[at])

        def update(state: Any, at: jax.Array) -> Any:
            params, moments = state
            updates, moments = optimizer.update(jax.grad(loss)(params, at), moments, params)
            return (optax.apply_updates(params, updates), moments), None

        def epoch(state: Any, key: jax.Array) -> Any:
            order = jax.random.permutation(key, rows)[: count * step.batch]
            return jax.lax.scan(update, state, order.reshape(count, step.batch))

        start, shuffles = jax.random.split(key)
        state, _ = jax.lax.scan(
            epoch, initial_state(step, start), jax.random.split(shuffles, step.epochs)
        )
        right = jnp.argmax(logits(state[0], x, grids), axis=-1) == y
        return jnp.sum(right & tested) / jnp.sum(tested)

    over_folds = jax.vmap(one, (None, 0, 0, 0, None, None))
    return jax.jit(jax.vmap(over_folds, (0, None, None, None, None, None)))
