"""Train steps as users of flax, equinox and haiku write them, traced as they are.

One network in each: 12 -> 20 -> 5 with biases and ReLU, batch 16, Adam. Forward, weight gradients
and one input gradient: 16 x (2 x (12 x 20 + 20 x 5) + 20 x 5) MACs.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from hwmodels import Workload, trace

equinox = pytest.importorskip("equinox", reason="needs the extra: frameworks")
nnx = pytest.importorskip("flax.nnx", reason="needs the extra: frameworks")
linen = pytest.importorskip("flax.linen", reason="needs the extra: frameworks")
train_state = pytest.importorskip("flax.training.train_state", reason="needs the extra: frameworks")
haiku = pytest.importorskip("haiku", reason="needs the extra: frameworks")

BATCH, SIZES = 16, (12, 20, 5)
MACS = BATCH * (2 * (12 * 20 + 20 * 5) + 20 * 5)
PARAMETERS = 12 * 20 + 20 + 20 * 5 + 5
X = jax.ShapeDtypeStruct((BATCH, 12), jnp.float32)
Y = jax.ShapeDtypeStruct((BATCH,), jnp.int32)
ADAM = optax.adam(1e-3)


def cross_entropy(logits: Any, y: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def check(workload: Workload) -> None:
    assert workload.training
    assert workload.samples == BATCH
    assert workload.macs == MACS
    stored = {
        role: sum(t.elements for t in workload.footprints if t.role == role and t.floating)
        for role in ("parameter", "optimizer_state", "gradient")
    }
    assert stored == {
        "parameter": PARAMETERS,
        "optimizer_state": 2 * PARAMETERS,
        "gradient": PARAMETERS,
    }
    assert "uncosted" not in workload.coverage.values()


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.Dense(SIZES[2])(linen.relu(linen.Dense(SIZES[1])(x)))


def test_linen() -> None:
    model = Linen()

    @jax.jit
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        loss, slope = jax.value_and_grad(lambda p: cross_entropy(model.apply(p, x), y))(params)
        updates, state = ADAM.update(slope, state)
        return optax.apply_updates(params, updates), state, loss

    params = jax.eval_shape(model.init, jax.random.key(0), X)
    check(trace(step, params, jax.eval_shape(ADAM.init, params), X, Y))


def test_linen_with_a_train_state() -> None:
    model = Linen()

    @jax.jit
    def step(state: Any, x: Any, y: Any) -> Any:
        def loss(params: Any) -> Any:
            return cross_entropy(state.apply_fn(params, x), y)

        value, slope = jax.value_and_grad(loss)(state.params)
        return state.apply_gradients(grads=slope), value

    def start() -> Any:
        params = model.init(jax.random.key(0), jnp.zeros(X.shape))
        return train_state.TrainState.create(apply_fn=model.apply, params=params, tx=ADAM)

    check(trace(step, jax.eval_shape(start), X, Y))


class Nnx(nnx.Module):
    def __init__(self, rngs: Any):
        self.first = nnx.Linear(SIZES[0], SIZES[1], rngs=rngs)
        self.second = nnx.Linear(SIZES[1], SIZES[2], rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.second(nnx.relu(self.first(x)))


def test_nnx_with_objects_changed_in_place() -> None:
    model = Nnx(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, ADAM, wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        loss, slope = nnx.value_and_grad(lambda m: cross_entropy(m(x), y))(model)
        optimizer.update(model, slope)
        return loss

    check(trace(step, model, optimizer, X, Y))


def test_nnx_split_and_merged() -> None:
    graph, params = nnx.split(Nnx(nnx.Rngs(0)))

    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        def loss(params: Any) -> Any:
            return cross_entropy(nnx.merge(graph, params)(x), y)

        value, slope = jax.value_and_grad(loss)(params)
        updates, state = ADAM.update(slope, state)
        return optax.apply_updates(params, updates), state, value

    check(trace(step, params, jax.eval_shape(ADAM.init, params), X, Y))


def test_equinox_modules_with_functions_in_them() -> None:
    model = equinox.nn.MLP(SIZES[0], SIZES[2], SIZES[1], 1, key=jax.random.key(0))

    @equinox.filter_jit
    def step(model: Any, state: Any, x: Any, y: Any) -> Any:
        @equinox.filter_value_and_grad
        def loss(model: Any) -> Any:
            return cross_entropy(jax.vmap(model)(x), y)

        value, slope = loss(model)
        updates, state = ADAM.update(slope, state)
        return equinox.apply_updates(model, updates), state, value

    state = ADAM.init(equinox.filter(model, equinox.is_array))
    check(trace(step, model, state, X, Y))


def test_haiku() -> None:
    model = haiku.without_apply_rng(haiku.transform(lambda x: haiku.nets.MLP(SIZES[1:])(x)))

    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        def loss(params: Any) -> Any:
            return cross_entropy(model.apply(params, x), y)

        value, slope = jax.value_and_grad(loss)(params)
        updates, state = ADAM.update(slope, state)
        return optax.apply_updates(params, updates), state, value

    params = jax.eval_shape(model.init, jax.random.key(0), X)
    check(trace(step, params, jax.eval_shape(ADAM.init, params), X, Y))
