"""A recurrent language model: stacked LSTM layers (Hochreiter and Schmidhuber, 1997).

    i, f, o, g = W x_t + U h_(t-1) + b
    c = sigmoid(f) c + sigmoid(i) tanh(g),   h = sigmoid(o) tanh(c)

The large model of Zaremba et al. (2014) for the Penn treebank: two layers of 1500, 35 steps,
20 sequences a batch, 10,000 words; 66 million parameters. The input's products of all steps are one
product; the recurrent ones wait for each other, a step of `scan` each. Left out: dropout.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.workloads.networks.layers import Shapes, cross_entropy, dense, dense_shapes, shape
from hwmodels.workloads.networks.network import SEQUENCES, Network, inference, training_step
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.workload import Workload


@dataclass(frozen=True)
class LstmConfig:
    """Sizes; words are embedded in as many numbers as a layer has."""

    name: str
    layers: int
    hidden: int
    vocabulary: int


def shapes(config: LstmConfig) -> Shapes:
    """Parameters."""
    h = config.hidden
    layer = {"x": dense_shapes(h, 4 * h), "h": shape(h, 4 * h)}
    return {
        "words": shape(config.vocabulary, h),
        **{f"layer{i}": layer for i in range(config.layers)},
        "head": dense_shapes(h, config.vocabulary),
    }


def forward(config: LstmConfig, params: Shapes, tokens: Any) -> Any:
    """Logits (s, n, V) of tokens (s, n): time first."""
    x = params["words"][tokens]
    for i in range(config.layers):
        p = params[f"layer{i}"]
        nothing = jnp.zeros(x.shape[1:], x.dtype)
        _, x = jax.lax.scan(functools.partial(_step, p["h"]), (nothing, nothing), dense(p["x"], x))
    return dense(params["head"], x)


def _step(recurrent: Any, state: Any, given: Any) -> Any:
    h, c = state
    i, f, o, g = jnp.split(given + h @ recurrent, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def _build(config: LstmConfig, settings: Settings) -> Workload:
    n, s = settings.batch or 1, settings.sequence or 1
    common: dict[str, Any] = {"name": config.name, "samples": n, "max_global_batch": SEQUENCES}
    run = functools.partial(forward, config)
    if settings.mode == "infer":
        tokens = jax.ShapeDtypeStruct((s, n), jnp.int32)
        return inference(run, shapes(config), tokens, **common)
    return training_step(
        lambda p, tokens: cross_entropy(run(p, tokens[:-1]), tokens[1:]),
        shapes(config), jax.ShapeDtypeStruct((s + 1, n), jnp.int32), optimizer="sgd", **common,
    )  # fmt: skip


LSTM_PTB = LstmConfig("lstm-ptb", 2, 1500, 10000)
NETWORKS = (
    Network("lstm-ptb", ("train", "infer"), {"batch": 20, "sequence": 35},
            functools.partial(_build, LSTM_PTB)),
)  # fmt: skip
