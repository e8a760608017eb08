"""Encoders: transformers whose tokens see each other both ways: BERT and ViT.

    BERT block (post-norm):  x = norm(x + Wo attention(x));  x = norm(x + W2 gelu(W1 x))
    ViT block (pre-norm):    x = x + Wo attention(norm(x));  x = x + W2 gelu(W1 norm(x))

BERT (Devlin et al., 2019): words, positions and segments are looked up, a pooler reads the first
token; its training predicts masked words (15% of the tokens) with the table of words and a dense
layer, and whether sentences follow each other. ViT (Dosovitskiy et al., 2021): patches of 16 x 16
pixels are the tokens, a class token is read at the end. Blocks are one `scan`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.errors import InputError
from hwmodels.workloads.networks.layers import (
    Shapes,
    attention,
    cross_entropy,
    dense,
    dense_shapes,
    layer_norm,
    layer_norm_shapes,
    shape,
)
from hwmodels.workloads.networks.network import (
    IMAGES,
    SEQUENCES,
    Network,
    inference,
    training_step,
)
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.workload import Workload

MASKED = 0.15  # share of the tokens that BERT's training predicts
IMAGE, PATCH, CLASSES = 224, 16, 1000


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes; `vocabulary` 0: patches of images are the tokens, as in a ViT."""

    name: str
    layers: int
    hidden: int
    heads: int
    feedforward: int
    vocabulary: int = 0
    positions: int = 512
    segments: int = 2
    pooler: bool = True

    def __post_init__(self) -> None:
        for field in ("layers", "hidden", "heads", "feedforward", "positions"):
            if getattr(self, field) < 1:
                raise InputError(f"{self.name}.{field}", getattr(self, field), "allowed: >= 1")
        if self.hidden % self.heads:
            allowed = f"allowed: divisors of hidden {self.hidden}"
            raise InputError(f"{self.name}.heads", self.heads, allowed)

    @property
    def patches(self) -> int:
        """Tokens of an image, less the class token."""
        return (IMAGE // PATCH) ** 2


def shapes(config: EncoderConfig, pretraining: bool = False) -> Shapes:
    """Parameters; those of the blocks are stacked. `pretraining`: with BERT's two heads."""
    h, f = config.hidden, config.feedforward
    block = {"norm1": layer_norm_shapes(h), "qkv": dense_shapes(h, 3 * h),
             "out": dense_shapes(h, h), "norm2": layer_norm_shapes(h), "up": dense_shapes(h, f),
             "down": dense_shapes(f, h)}  # fmt: skip
    made: Shapes = {"blocks": jax.tree.map(lambda p: shape(config.layers, *p.shape), block)}
    made["norm"] = layer_norm_shapes(h)
    if not config.vocabulary:
        return made | {
            "patches": dense_shapes(PATCH * PATCH * 3, h), "class": shape(h),
            "positions": shape(config.patches + 1, h), "head": dense_shapes(h, CLASSES),
        }  # fmt: skip
    made |= {"words": shape(config.vocabulary, h), "positions": shape(config.positions, h)}
    if config.segments:
        made["segments"] = shape(config.segments, h)
    if config.pooler:
        made["pooler"] = dense_shapes(h, h)
    if pretraining:
        made |= {"transform": dense_shapes(h, h), "transform_norm": layer_norm_shapes(h),
                 "words_bias": shape(config.vocabulary), "next": dense_shapes(h, 2)}  # fmt: skip
    return made


def encode(config: EncoderConfig, params: Shapes, x: Any) -> Any:
    """The blocks: (n, s, h) to (n, s, h)."""
    block = _bert_block if config.vocabulary else _vit_block
    step = functools.partial(block, config)
    return jax.lax.scan(lambda x, p: (step(p, x), None), x, params["blocks"])[0]


def bert(config: EncoderConfig, params: Shapes, tokens: Any) -> Any:
    """Hidden states (n, s, h) of tokens (n, s), of one segment."""
    x = params["words"][tokens] + params["positions"][: tokens.shape[1]]
    if config.segments:
        x = x + params["segments"][0]
    return encode(config, params, layer_norm(params["norm"], x))


def bert_outputs(config: EncoderConfig, params: Shapes, tokens: Any) -> Any:
    """Hidden states, and the pooler's reading of the first token."""
    x = bert(config, params, tokens)
    return (x, jnp.tanh(dense(params["pooler"], x[:, 0]))) if config.pooler else x


def bert_loss(config: EncoderConfig, params: Shapes, batch: Any) -> Any:
    """Masked words and next sentence; `batch`: tokens (n, s), positions of the masked ones (n, m),
    what they were (n, m), whether the next sentence follows (n)."""
    tokens, places, expected, follows = batch
    x = bert(config, params, tokens)
    masked = jnp.take_along_axis(x, places[..., None], axis=1)
    y = layer_norm(params["transform_norm"], jax.nn.gelu(dense(params["transform"], masked)))
    logits = y @ params["words"].T + params["words_bias"]
    loss = cross_entropy(logits, expected)
    if not config.pooler:
        return loss
    pooled = jnp.tanh(dense(params["pooler"], x[:, 0]))
    return loss + cross_entropy(dense(params["next"], pooled), follows)


def vit(config: EncoderConfig, params: Shapes, images: Any) -> Any:
    """Logits (n, classes) of images (n, 224, 224, 3)."""
    n, side = images.shape[0], IMAGE // PATCH
    x = images.reshape(n, side, PATCH, side, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
    x = dense(params["patches"], x.reshape(n, side * side, PATCH * PATCH * 3))
    first = jnp.broadcast_to(params["class"], (n, 1, config.hidden)).astype(x.dtype)
    x = jnp.concatenate([first, x], axis=1) + params["positions"]
    x = encode(config, params, x)
    return dense(params["head"], layer_norm(params["norm"], x[:, 0]))


def _mixed(config: EncoderConfig, p: Shapes, x: Any) -> Any:
    n, s, _ = x.shape
    q, k, v = jnp.split(dense(p["qkv"], x).reshape(n, s, 3, config.heads, -1), 3, axis=2)
    return dense(p["out"], attention(q[:, :, 0], k[:, :, 0], v[:, :, 0]))


def _fed(p: Shapes, x: Any) -> Any:
    return dense(p["down"], jax.checkpoint(jax.nn.gelu)(dense(p["up"], x)))


def _bert_block(config: EncoderConfig, p: Shapes, x: Any) -> Any:
    x = layer_norm(p["norm1"], x + _mixed(config, p, x))
    return layer_norm(p["norm2"], x + _fed(p, x))


def _vit_block(config: EncoderConfig, p: Shapes, x: Any) -> Any:
    x = x + _mixed(config, p, layer_norm(p["norm1"], x))
    return x + _fed(p, layer_norm(p["norm2"], x))


def encoder(config: EncoderConfig, settings: Settings) -> Workload:
    """The workload of a configuration."""
    n = settings.batch or 1
    whole = SEQUENCES if config.vocabulary else IMAGES
    common: dict[str, Any] = {"name": config.name, "samples": n, "max_global_batch": whole}
    training = settings.mode == "train"
    if not config.vocabulary:
        images = jax.ShapeDtypeStruct((n, IMAGE, IMAGE, 3), jnp.bfloat16)
        if not training:
            return inference(functools.partial(vit, config), shapes(config), images, **common)
        labels = jax.ShapeDtypeStruct((n,), jnp.int32)
        return training_step(
            lambda p, batch: cross_entropy(vit(config, p, batch[0]), batch[1]),
            shapes(config), (images, labels), **common,
        )  # fmt: skip
    s = settings.sequence or config.positions
    if s > config.positions:
        raise InputError("sequence", s, f"allowed: 1 to {config.positions}, its positions")
    tokens = jax.ShapeDtypeStruct((n, s), jnp.int32)
    if not training:
        forward = functools.partial(bert_outputs, config)
        return inference(forward, shapes(config), tokens, **common)
    masked = jax.ShapeDtypeStruct((n, max(round(MASKED * s), 1)), jnp.int32)
    batch = (tokens, masked, masked, jax.ShapeDtypeStruct((n,), jnp.int32))
    loss = functools.partial(bert_loss, config)
    return training_step(loss, shapes(config, pretraining=True), batch, **common)


def encoder_network(config: EncoderConfig, batch: int) -> Network:
    """The library's entry of a configuration."""
    defaults = {"batch": batch} | ({"sequence": config.positions} if config.vocabulary else {})
    return Network(config.name, ("train", "infer"), defaults, functools.partial(encoder, config))


BERT_BASE = EncoderConfig("bert-base", 12, 768, 12, 3072, vocabulary=30522)
BERT_LARGE = EncoderConfig("bert-large", 24, 1024, 16, 4096, vocabulary=30522)
VIT_B16 = EncoderConfig("vit-b16", 12, 768, 12, 3072)
VIT_L16 = EncoderConfig("vit-l16", 24, 1024, 16, 4096)
NETWORKS = (
    encoder_network(BERT_BASE, 8), encoder_network(BERT_LARGE, 8), encoder_network(VIT_B16, 64),
    encoder_network(VIT_L16, 64),
)  # fmt: skip
