"""FLOPs of whole train steps: by hand, and against XLA's own count of the lowered step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from hwmodels.workloads import trace
from hwmodels.workloads.mlp import MLP, MlpConfig, initial_state, train_step, workload

F32 = jnp.float32
HEADS, WIDTH = 3, 24


def shape(*sizes: int, dtype: Any = F32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def adam_step(loss: Callable[..., Any]) -> Callable[..., Any]:
    optimizer = optax.adam(1e-3)

    def step(state: Any, batch: Any) -> Any:
        params, moments = state
        value, gradients = jax.value_and_grad(loss)(params, *batch)
        updates, moments = optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    return step


def cross_entropy(logits: Any, labels: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def cnn_loss(p: Any, x: Any, y: Any) -> Any:
    layout = ("NHWC", "HWIO", "NHWC")
    h = lax.conv_general_dilated(x, p["c1"], (2, 2), "SAME", dimension_numbers=layout) + p["b1"]
    h = jax.nn.relu(h)
    h = lax.conv_general_dilated(
        h, p["c2"], (1, 1), "SAME", dimension_numbers=layout, feature_group_count=2
    )
    h = (h - h.mean((0, 1, 2))) * lax.rsqrt(h.var((0, 1, 2)) + 1e-5) * p["g"]
    h = lax.reduce_window(jax.nn.relu(h), -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return cross_entropy(h.reshape(h.shape[0], -1) @ p["w"], y)


def norm(x: Any, gain: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain


def transformer_loss(p: Any, tokens: Any, labels: Any) -> Any:
    x = p["embedding"][tokens]
    samples, length, _ = x.shape
    heads = jnp.split(norm(x, p["g1"]) @ p["qkv"], 3, -1)
    q, k, v = (t.reshape(samples, length, HEADS, WIDTH // HEADS) for t in heads)
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(WIDTH / HEADS)
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
    x = x + mixed.reshape(x.shape) @ p["o"]
    x = x + jax.nn.gelu(norm(x, p["g2"]) @ p["up"]) @ p["down"]
    return cross_entropy(x @ p["out"], labels)


def network(name: str) -> tuple[Callable[..., Any], Any, Any]:
    if name == "cnn":
        params = {"c1": shape(3, 3, 3, 8), "b1": shape(8), "c2": shape(3, 3, 4, 12)}
        params |= {"g": shape(12), "w": shape(3 * 3 * 12, 10)}
        batch = (shape(5, 13, 13, 3), shape(5, dtype=jnp.int32))
        return adam_step(cnn_loss), params, batch
    d = WIDTH
    params = {"embedding": shape(53, d), "g1": shape(d), "qkv": shape(d, 3 * d), "o": shape(d, d)}
    params |= {"g2": shape(d), "up": shape(d, 4 * d), "down": shape(4 * d, d), "out": shape(d, 53)}
    tokens = shape(3, 17, dtype=jnp.int32)
    return adam_step(transformer_loss), params, (tokens, tokens)


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_networks_agree_with_xla(name: str) -> None:
    step, params, batch = network(name)
    state = (params, jax.eval_shape(optax.adam(1e-3).init, params))
    counted = jax.jit(step).lower(state, batch).cost_analysis()
    traced = trace(step, state, batch)
    assert traced.flops == pytest.approx(counted["flops"], rel=0.02)
    transcendentals = sum(row.count * row.transcendentals for row in traced.rows)
    assert transcendentals == pytest.approx(counted["transcendentals"], rel=0.02)
    parameters = sum(p.size for p in jax.tree.leaves(params))
    assert sum(t.elements for t in traced.gradients) == parameters
    assert set(traced.coverage.values()) == {"rule"}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_mlp_agrees_with_xla(optimizer: str) -> None:
    config = MlpConfig(optimizer=optimizer)
    state = jax.eval_shape(lambda key: initial_state(config, key), jax.random.key(0))
    batch = (shape(32, 784), shape(32, dtype=jnp.int32))
    counted = jax.jit(train_step(config)).lower(state, batch).cost_analysis()
    assert workload(config).flops == pytest.approx(counted["flops"], rel=0.02)


def test_mlp_contractions_by_hand() -> None:
    rows = [row for row in workload(MLP).rows if row.kind == "contraction"]
    forward = 32 * (784 * 10 + 10 * 10 + 10 * 10)
    backward = forward + 32 * (10 * 10 + 10 * 10)  # dW of three layers, dx of two
    assert sum(r.count * r.macs for r in rows if r.phase == "forward") == forward
    assert sum(r.count * r.macs for r in rows if r.phase == "backward") == backward
    assert workload(MLP).macs == forward + backward == 520_960


def convolution(strides: Any, padding: Any, **options: Any) -> Callable[..., Any]:
    return lambda w, x: lax.conv_general_dilated(x, w, strides, padding, **options)


@pytest.mark.parametrize(
    ("fn", "weights", "sizes", "macs"),
    [
        # one axis: 9 outputs x 3 taps less 2 in the padding
        (convolution((1, 1), "SAME"), (4, 3, 3, 3), (1, 9 * 9 * 2, 4, 27), 2 * 12 * 25**2),
        (convolution((2, 2), "SAME"), (4, 3, 3, 3), (1, 5 * 5 * 2, 4, 27), 2 * 12 * 13**2),
        (convolution((2, 1), "VALID"), (4, 3, 3, 3), (1, 4 * 7 * 2, 4, 27), 2 * 12 * 12 * 21),
        (
            convolution((1, 1), "SAME", feature_group_count=3),
            (6, 1, 3, 3),
            (3, 9 * 9 * 2, 2, 9),
            2 * 6 * 25**2,
        ),
        (
            convolution((1, 1), "SAME", rhs_dilation=(2, 2)),
            (4, 3, 3, 3),
            (1, 9 * 9 * 2, 4, 27),
            2 * 12 * 23**2,
        ),
        (
            convolution((1, 1), "SAME", batch_group_count=2),
            (4, 3, 3, 3),
            (2, 9 * 9, 2, 27),
            12 * 25**2,
        ),
    ],
)
def test_convolutions_by_hand(
    fn: Callable[..., Any], weights: tuple[int, ...], sizes: tuple[int, ...], macs: float
) -> None:
    (row,) = trace(fn, shape(*weights), shape(2, 3, 9, 9)).rows
    assert (row.batch, row.m, row.n, row.k) == sizes
    assert row.flops == 2 * macs
    assert row.convolution is not None
    assert row.convolution.groups == row.batch


def test_convolution_gradients_count_what_the_forward_counts() -> None:
    def loss(w: Any, x: Any) -> Any:
        return lax.conv_general_dilated(x, w, (2, 2), "SAME").sum()

    def gradients(w: Any, x: Any) -> Any:
        return jax.grad(loss, (0, 1))(w, x)

    workload = trace(gradients, shape(4, 3, 3, 3), shape(2, 3, 9, 9))
    rows = [row for row in workload.rows if row.kind == "contraction"]
    assert [row.flops for row in rows] == [2 * 2 * 12 * 13**2] * 2
    weight_gradient = next(row for row in rows if row.convolution is not None)
    assert (weight_gradient.m, weight_gradient.n, weight_gradient.k) == (3 * 3 * 3, 4, 2 * 5 * 5)
    input_gradient = next(row for row in rows if row.convolution is None)
    # Stride 2 leaves ceil(3/2)^2 taps that meet an element of each input position.
    assert (input_gradient.m, input_gradient.n, input_gradient.k) == (9 * 9 * 2, 3, 4 * 4)


def test_batched_dot_general() -> None:
    def scores(q: Any, k: Any) -> Any:
        return jnp.einsum("bqhd,bkhd->bhqk", q, k)

    (row,) = trace(scores, shape(2, 7, 3, 5), shape(2, 11, 3, 5), samples=2).rows
    assert row.batch == 6
    assert {row.m, row.n} == {7, 11}
    assert row.k == 5
    assert row.flops == 2 * 6 * 7 * 11 * 5
