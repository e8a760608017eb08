"""Decoders: language models that see what came before: training, prefill and decode.

    x = E[token] (+ P[position]);   block, `layers` times:
    x = x + Wo attention(norm(x));  x = x + feed(norm(x));   logits = norm(x) H

Llama (Touvron et al., 2023; Llama 3: Grattafiori et al., 2024): RMS norms, rotary positions,
`groups` heads of keys and values for `heads` of queries (Ainslie et al., 2023), feed = W2 (silu(
Wg x) * W1 x). GPT (Radford et al., 2019): layer norms, learned positions, biases, feed = W2 gelu(
W1 x).
Mixture of experts (Jiang et al., 2024): a router chooses `chosen` of `experts` feeds a token;
tokens are taken to be spread evenly, so that the experts' products are full.

Prefill reads `sequence` tokens of a prompt and writes keys and values; decode makes one token a
sample against `context` of them, one row of which it writes. Only the last token's logits are
made. Blocks are one `scan`. Training's dropout and the sampling of tokens are left out.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.errors import InputError
from hwmodels.workloads.networks.layers import Shapes, attention, cross_entropy, shape
from hwmodels.workloads.networks.network import (
    SEQUENCES,
    Network,
    inference,
    training_step,
)
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.workload import Workload


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of a decoder; `head`: of one head, hidden / heads if None; `positions`: learned ones, 0
    for rotary; `query_biases`: of q, k and v alone; `head_norms`: of each head's q and k;
    `experts` 0: one feed for all."""

    name: str
    layers: int
    hidden: int
    heads: int
    groups: int
    feedforward: int
    vocabulary: int
    head: int | None = None
    positions: int = 0
    gated: bool = True
    biases: bool = False
    query_biases: bool = False
    head_norms: bool = False
    tied: bool = False
    experts: int = 0
    chosen: int = 2

    def __post_init__(self) -> None:
        for field in ("layers", "hidden", "heads", "groups", "feedforward", "vocabulary"):
            if getattr(self, field) < 1:
                raise InputError(f"{self.name}.{field}", getattr(self, field), "allowed: >= 1")
        if self.head is None and self.hidden % self.heads:
            allowed = f"allowed: divisors of hidden {self.hidden}"
            raise InputError(f"{self.name}.heads", self.heads, allowed)
        if self.heads % self.groups:
            allowed = f"allowed: divisors of the {self.heads} heads"
            raise InputError(f"{self.name}.groups", self.groups, allowed)
        if self.experts and not 1 <= self.chosen <= self.experts:
            raise InputError(f"{self.name}.chosen", self.chosen, f"allowed: 1 to {self.experts}")

    @property
    def width(self) -> int:
        """Of one head."""
        return self.head or self.hidden // self.heads

    def flops(self, tokens: float, seen: float, logits: float) -> float:
        """Floating-point operations of the products of a forward phase: of `tokens`, each against
        `seen` keys (masked ones too), with the logits of `logits` of them."""
        h, d, f = self.hidden, self.width, self.feedforward
        feed = (2 + self.gated) * h * f * (self.chosen if self.experts else 1)
        projections = h * d * (2 * self.heads + 2 * self.groups)
        block = projections + feed + h * self.experts + 2.0 * seen * self.heads * d
        return 2.0 * (tokens * self.layers * block + logits * h * self.vocabulary)


def shapes(config: DecoderConfig) -> Shapes:
    """Parameters; those of the blocks are stacked."""
    h, d, f = config.hidden, config.width, config.feedforward
    own = (config.experts,) if config.experts else ()
    block = {"norm1": (h,), "q": (h, config.heads * d), "k": (h, config.groups * d),
             "v": (h, config.groups * d), "out": (config.heads * d, h), "norm2": (h,),
             "up": (*own, h, f), "down": (*own, f, h)}  # fmt: skip
    if config.gated:
        block["gate"] = (*own, h, f)
    if config.experts:
        block["router"] = (h, config.experts)
    ends = {"embedding": (config.vocabulary, h), "norm": (h,)}
    if config.positions:
        ends["positions"] = (config.positions, h)
    if not config.tied:
        ends["head"] = (config.vocabulary, h)
    if config.head_norms:
        block |= {"q_norm": (d,), "k_norm": (d,)}
    if config.biases or config.query_biases:
        block |= {f"{name}_bias": block[name][-1:] for name in "qkv"}
    if config.biases:
        block |= {f"{name}_bias": (h,) for name in ("norm1", "norm2", "out", "down")}
        block["up_bias"] = (f,)
        ends["norm_bias"] = (h,)
    made: Shapes = {name: shape(*sizes) for name, sizes in ends.items()}
    return made | {"blocks": {n: shape(config.layers, *sizes) for n, sizes in block.items()}}


def loss(config: DecoderConfig, params: Shapes, tokens: Any) -> Any:
    """Mean cross-entropy of the next token; `tokens` (n, s + 1)."""
    read = tokens[:, :-1]
    x, places = _embed(config, params, read, 0), jnp.arange(read.shape[1])
    mask = places[:, None] >= places[None, :]

    def block(x: Any, p: Shapes) -> tuple[Any, None]:
        q, k, v = _heads(config, p, _norm(config, p, "norm1", x), places)
        return _after(config, p, x, attention(q, k, v, mask)), None

    x, _ = jax.lax.scan(block, x, params["blocks"])
    return cross_entropy(_logits(config, params, x), tokens[:, 1:])


def prefill(config: DecoderConfig, params: Shapes, tokens: Any) -> Any:
    """Logits (n, 1, V) after prompts (n, s), and keys and values (layers, n, s, groups, d)."""
    x, places = _embed(config, params, tokens, 0), jnp.arange(tokens.shape[1])
    mask = places[:, None] >= places[None, :]

    def block(x: Any, p: Shapes) -> tuple[Any, Any]:
        q, k, v = _heads(config, p, _norm(config, p, "norm1", x), places)
        return _after(config, p, x, attention(q, k, v, mask)), (k, v)

    x, cache = jax.lax.scan(block, x, params["blocks"])
    return _logits(config, params, x[:, -1:]), cache


def decode(config: DecoderConfig, params: Shapes, cache: Any, tokens: Any) -> Any:
    """Logits (n, 1, V) after one more token (n, 1) each, the last of the cache's rows, and the
    cache."""
    keys, values = cache
    last = keys.shape[2] - 1
    x = _embed(config, params, tokens, last)

    def block(carry: Any, p: Shapes) -> tuple[Any, None]:
        x, keys, values, i = carry
        q, k, v = _heads(config, p, _norm(config, p, "norm1", x), jnp.arange(last, last + 1))
        keys = jax.lax.dynamic_update_slice(keys, k[None], (i, 0, last, 0, 0))
        values = jax.lax.dynamic_update_slice(values, v[None], (i, 0, last, 0, 0))
        k, v = (jax.lax.dynamic_index_in_dim(c, i, keepdims=False) for c in (keys, values))
        return (_after(config, p, x, attention(q, k, v)), keys, values, i + 1), None

    (x, keys, values, _), _ = jax.lax.scan(block, (x, keys, values, 0), params["blocks"])
    return (keys, values), _logits(config, params, x)


def _embed(config: DecoderConfig, params: Shapes, tokens: Any, begin: int) -> Any:
    x = params["embedding"][tokens]
    if config.positions:
        x = x + params["positions"][begin : begin + tokens.shape[1]]
    return x


def _logits(config: DecoderConfig, params: Shapes, x: Any) -> Any:
    table = params["embedding"] if config.tied else params["head"]
    return jnp.einsum("nsh,vh->nsv", _norm(config, params, "norm", x), table)


def _norm(config: DecoderConfig, p: Shapes, name: str, x: Any) -> Any:
    return _normed(x, p[name], p.get(f"{name}_bias"))


@jax.checkpoint
def _normed(x: Any, scale: Any, bias: Any) -> Any:
    """Layer norm where there is a bias, RMS norm where there is none; done again in the backward
    phase, as fused kernels do."""
    y = x if bias is None else x - x.mean(-1, keepdims=True)
    y = y * jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + 1e-5) * scale
    return y if bias is None else y + bias


def _dense(p: Shapes, name: str, x: Any) -> Any:
    y = x @ p[name]
    return y + p[f"{name}_bias"] if f"{name}_bias" in p else y


def _heads(config: DecoderConfig, p: Shapes, x: Any, places: Any) -> tuple[Any, Any, Any]:
    """Queries (n, s, heads, d), keys and values (n, s, groups, d)."""
    q, k, v = (
        _dense(p, name, x).reshape(*x.shape[:2], -1, config.width) for name in ("q", "k", "v")
    )
    if config.head_norms:
        q, k = _normed(q, p["q_norm"], None), _normed(k, p["k_norm"], None)
    if not config.positions:
        q, k = _rotated(q, places), _rotated(k, places)
    return q, k, v


def _rotated(x: Any, places: Any) -> Any:
    """Rotary positions (Su et al., 2021)."""
    half = x.shape[-1] // 2
    turn = 10000.0 ** (-jnp.arange(half) / half)
    angle = places[:, None, None] * turn
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _after(config: DecoderConfig, p: Shapes, x: Any, mixed: Any) -> Any:
    x = x + _dense(p, "out", mixed)
    y = _norm(config, p, "norm2", x)
    return x + (_experts(config, p, y) if config.experts else _feed(config, p, y))


def _feed(config: DecoderConfig, p: Shapes, x: Any) -> Any:
    up = _dense(p, "up", x)
    y = _gated(_dense(p, "gate", x), up) if config.gated else jax.checkpoint(jax.nn.gelu)(up)
    return _dense(p, "down", y)


@jax.checkpoint
def _gated(gate: Any, up: Any) -> Any:
    return jax.nn.silu(gate) * up


def _experts(config: DecoderConfig, p: Shapes, x: Any) -> Any:
    """Each token through its experts: gathered by expert, products, scattered back."""
    tokens = x.reshape(-1, x.shape[-1])
    count = len(tokens) * config.chosen
    used = min(config.experts, count)  # fewer tokens than experts do not read all weights
    each = math.ceil(count / used)
    weights, experts = jax.lax.top_k(jax.nn.softmax(tokens @ p["router"]), config.chosen)
    order = jnp.argsort(experts.reshape(-1))
    order = jnp.pad(order, (0, used * each - count)).reshape(used, each)
    of = order // config.chosen
    y = tokens[of]
    up = jnp.einsum("ech,ehf->ecf", y, p["up"][:used])
    if config.gated:
        up = _gated(jnp.einsum("ech,ehf->ecf", y, p["gate"][:used]), up)
    else:
        up = jax.checkpoint(jax.nn.gelu)(up)
    made = jnp.einsum("ecf,efh->ech", up, p["down"][:used])
    made = made * weights.reshape(-1)[order][..., None].astype(made.dtype)
    return jnp.zeros_like(tokens).at[of].add(made).reshape(x.shape)


def decoder(config: DecoderConfig, settings: Settings) -> Workload:
    """The workload of a configuration."""
    n, s, context = settings.batch or 1, settings.sequence or 1, settings.context or 1
    most = s if settings.mode != "decode" else context
    if config.positions and most > config.positions:
        allowed = f"allowed: 1 to {config.positions}, its positions"
        raise InputError("context" if settings.mode == "decode" else "sequence", most, allowed)
    common: dict[str, Any] = {"name": config.name, "samples": n, "max_global_batch": SEQUENCES}

    def tokens(length: int) -> Any:
        return jax.ShapeDtypeStruct((n, length), jnp.int32)

    if settings.mode == "train":
        step = functools.partial(loss, config)
        return training_step(step, shapes(config), tokens(s + 1), **common)
    if settings.mode == "prefill":
        return inference(functools.partial(prefill, config), shapes(config), tokens(s), **common)
    rows = (config.layers, n, context, config.groups, config.width)
    cache = (jax.ShapeDtypeStruct(rows, jnp.bfloat16),) * 2
    return inference(functools.partial(decode, config), shapes(config), cache, tokens(1), **common)


def decoder_network(config: DecoderConfig, sequence: int) -> Network:
    """The library's entry of a configuration."""
    defaults = {"batch": 1, "sequence": sequence, "context": sequence}
    modes = ("train", "prefill", "decode")
    return Network(config.name, modes, defaults, functools.partial(decoder, config))


# Grattafiori et al. (2024), table 3; Jiang et al. (2024), table 1.
LLAMA3_8B = DecoderConfig("llama3-8b", 32, 4096, 32, 8, 14336, 128256)
LLAMA3_70B = DecoderConfig("llama3-70b", 80, 8192, 64, 8, 28672, 128256)
LLAMA3_405B = DecoderConfig("llama3-405b", 126, 16384, 128, 8, 53248, 128256)
MIXTRAL_8X7B = DecoderConfig("mixtral-8x7b", 32, 4096, 32, 8, 14336, 32000, experts=8)
NETWORKS = tuple(
    decoder_network(config, 4096) for config in (LLAMA3_8B, LLAMA3_70B, LLAMA3_405B, MIXTRAL_8X7B)
)
