"""The reference trainer: a multi-layer perceptron with ReLU, softmax and cross-entropy.

    z_l = a_{l-1} W_l + b_l,  a_l = max(z_l, 0),  loss = -mean log softmax(z_L)[label]

Samples are rows, so the textbook's dW = delta a^T reads dW = a^T delta here. The same step is
scanned by the trainer and read by `trace`. The label's logarithm is picked by comparing with an
index vector rather than by a gather: the values are the same, and the whole loss stays one
fused chain of elementwise operations and row reductions on any accelerator.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.ad_checkpoint import checkpoint_name

from hwmodels.errors import InputError
from hwmodels.workloads.datasets import Data
from hwmodels.workloads.mlp_config import MLP, MLP_DIGITS, MLP_LARGE, OPTIMIZERS, MlpConfig
from hwmodels.workloads.tracing import trace
from hwmodels.workloads.workload import Workload

__all__ = [
    "MLP",
    "MLP_DIGITS",
    "MLP_LARGE",
    "MlpConfig",
    "TrainResult",
    "train",
    "train_step",
    "workload",
]

Params = tuple[dict[str, jax.Array], ...]


@dataclass(frozen=True)
class Epoch:
    """Mean loss and accuracy over one epoch's training batches; `seconds` of wall time."""

    epoch: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """A finished training run.

    `densities`: fraction of non-zeros of each hidden activation, over the last epoch.
    """

    config: MlpConfig
    params: Params
    history: tuple[Epoch, ...]
    test_accuracy: float
    device: str
    densities: dict[str, float]


def initial_params(config: MlpConfig, key: jax.Array) -> Params:
    """Glorot-uniform weights (fan_in, fan_out) and zero biases."""
    layers = list(zip(config.widths[:-1], config.widths[1:], strict=True))
    glorot = jax.nn.initializers.glorot_uniform()
    return tuple(
        {"w": glorot(k, layer, jnp.float32), "b": jnp.zeros((layer[1],), jnp.float32)}
        for k, layer in zip(jax.random.split(key, len(layers)), layers, strict=True)
    )


@functools.partial(jax.jit, static_argnums=0)
def initial_state(config: MlpConfig, key: jax.Array) -> tuple[Params, Any]:
    """Parameters and optimizer state."""
    params = initial_params(config, key)
    return params, OPTIMIZERS[config.optimizer](config.learning_rate).init(params)


def forward(params: Params, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
    """Logits (batch, classes) of `x` (batch, width), and the hidden activations."""
    hidden: list[jax.Array] = []
    for number, layer in enumerate(params[:-1], start=1):
        x = checkpoint_name(jax.nn.relu(x @ layer["w"] + layer["b"]), f"hidden_{number}")
        hidden.append(x)
    return x @ params[-1]["w"] + params[-1]["b"], hidden


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean sparse categorical cross-entropy; labels (batch,) are class numbers."""
    chosen = labels[:, None] == jnp.arange(logits.shape[-1], dtype=labels.dtype)[None, :]
    return -jnp.where(chosen, jax.nn.log_softmax(logits), 0.0).sum() / logits.shape[0]


def loss(params: Params, x: jax.Array, labels: jax.Array) -> jax.Array:
    """The training loss of one batch."""
    return cross_entropy(forward(params, x)[0], labels)


def manual_gradients(params: Params, x: jax.Array, labels: jax.Array) -> Params:
    """Back-propagation by hand: delta = dL/da * f'(z), dW = a^T delta, db = sum of delta.

    At the output, softmax with cross-entropy gives delta = (softmax(z) - onehot) / batch.
    """
    inputs, preactivations = [x], []
    for layer in params:
        preactivations.append(inputs[-1] @ layer["w"] + layer["b"])
        inputs.append(jnp.maximum(preactivations[-1], 0.0))
    logits = preactivations[-1]
    delta = (jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1])) / x.shape[0]
    gradients: list[dict[str, jax.Array]] = []
    for number in reversed(range(len(params))):
        gradients.append({"w": inputs[number].T @ delta, "b": delta.sum(axis=0)})
        if number:
            upstream = delta @ params[number]["w"].T
            delta = upstream * (preactivations[number - 1] > 0)
    return tuple(reversed(gradients))


def measured_step(config: MlpConfig) -> Callable[..., Any]:
    """The step with its measurements: `(state, (x, y)) -> (state, (loss, accuracy, densities))`."""
    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate)

    def objective(params: Params, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Any]:
        logits, hidden = forward(params, x)
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == y)
        return cross_entropy(logits, y), (accuracy, [jnp.mean(h != 0) for h in hidden])

    def step(state: Any, batch: Any) -> Any:
        params, moments = state
        (value, (accuracy, densities)), gradients = jax.value_and_grad(objective, has_aux=True)(
            params, *batch
        )
        updates, moments = optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments), (value, accuracy, densities)

    return step


def train_step(config: MlpConfig) -> Callable[..., Any]:
    """The pure training step `(state, (x, y)) -> (state, loss)`."""
    measured = measured_step(config)

    def step(state: Any, batch: Any) -> Any:
        state, (value, _, _) = measured(state, batch)
        return state, value

    return step


@functools.lru_cache(maxsize=8)
def epoch_function(config: MlpConfig) -> Any:
    """One epoch, compiled once: shuffle, then scan the step over all whole batches.

    `(state, x, y, key) -> (state, (mean loss, mean accuracy, mean densities))`.
    """
    step = measured_step(config)

    @jax.jit
    def epoch(state: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> Any:
        batches = x.shape[0] // config.batch
        order = jax.random.permutation(key, x.shape[0])[: batches * config.batch]
        order = order.reshape(batches, config.batch)
        state, measured = jax.lax.scan(lambda s, rows: step(s, (x[rows], y[rows])), state, order)
        return state, jax.tree.map(jnp.mean, measured)

    return epoch


@jax.jit
def accuracy(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    """Inference: fraction of samples whose largest logit is their label's."""
    return jnp.mean(jnp.argmax(forward(params, x)[0], axis=-1) == y)


def train(
    config: MlpConfig, data: Data, on_epoch: Callable[[Epoch], None] | None = None
) -> TrainResult:
    """Train on `data`; calls `on_epoch` after each epoch. `InputError` if the loss diverges."""
    _check_data(config, data)
    key, start = jax.random.split(jax.random.key(config.seed))
    state = initial_state(config, start)
    run = epoch_function(config)
    history: list[Epoch] = []
    densities: list[Any] = []
    for number in range(1, config.epochs + 1):
        began = time.perf_counter()
        state, (value, hits, densities) = run(
            state, data.x_train, data.y_train, jax.random.fold_in(key, number)
        )
        history.append(Epoch(number, float(value), float(hits), time.perf_counter() - began))
        if not math.isfinite(history[-1].loss):
            raise InputError(
                "learning_rate",
                config.learning_rate,
                f"training diverged in epoch {number}, its loss is not finite; choose less",
            )
        if on_epoch is not None:
            on_epoch(history[-1])
    device = next(iter(state[0][0]["w"].devices()))
    return TrainResult(
        config=config,
        params=state[0],
        history=tuple(history),
        test_accuracy=float(accuracy(state[0], data.x_test, data.y_test)),
        device=f"{device.platform} ({device.device_kind})",
        densities={n: float(d) for n, d in zip(config.hidden_names, densities, strict=True)},
    )


def workload(config: MlpConfig, densities: Mapping[str, float] | None = None) -> Workload:
    """The configuration's training step as a workload; `densities` as a run measured them."""
    state = jax.eval_shape(functools.partial(initial_state, config), jax.random.key(0))
    batch = (
        jax.ShapeDtypeStruct((config.batch, config.widths[0]), jnp.float32),
        jax.ShapeDtypeStruct((config.batch,), jnp.int32),
    )
    limit = config.max_global_batch or config.train_samples
    traced = trace(
        train_step(config),
        state,
        batch,
        name=config.name,
        max_global_batch=limit,
        densities=densities,
    )
    source = "an assumption" if config.max_global_batch else "all its training samples"
    note = f"largest sensible global batch: {limit} samples, {source}"
    return dataclasses.replace(traced, notes=(*traced.notes, note))


def _check_data(config: MlpConfig, data: Data) -> None:
    if data.width != config.widths[0]:
        raise InputError("widths", config.widths, f"the data's samples have width {data.width}")
    if data.classes > config.widths[-1]:
        raise InputError("widths", config.widths, f"the data has {data.classes} classes")
    for field, rows in (("train_samples", data.x_train), ("test_samples", data.x_test)):
        if len(rows) != getattr(config, field):
            raise InputError(field, getattr(config, field), f"the data has {len(rows)}")
