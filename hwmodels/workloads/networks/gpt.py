"""GPT: a decoder-only transformer and its training step (Radford et al., 2019; Brown et al., 2020).

    x = E[token] + P[position];   block, `layers` times:
    x = x + drop(Wo attention(norm(x)));  x = x + drop(W2 gelu(W1 norm(x)))
    loss = -mean log softmax(norm(x) E^T)[next token]

Attention of a heads of h / a: softmax(q k^T / sqrt(h / a) + causal mask) v. Products take operands
of `operand`, parameters and Adam's moments are fp32 (mixed precision: Micikevicius et al., 2018).
Parameters: 12 L h^2 (1 + 13 / 12 h) + (V + s) h + 2 h, with feed-forward 4 h and biases; FLOPs of a
step of B sequences without recomputation: 72 B s L h^2 (1 + s / 6h + V / 12 L h) (Narayanan et
al., SC 2021, equation 3, less the recomputed forward phase: 96 there).

Dropout's random bits are a hash of the value itself: real kernels draw them on the fly at about
that cost. Norms and GELUs keep only what they read and are done again in the backward phase, as
fused kernels do. Blocks are one `scan`, so that a thousand layers trace like one.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hwmodels.errors import InputError
from hwmodels.workloads.networks.decoder import DecoderConfig, decoder
from hwmodels.workloads.networks.network import Network
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.tracing import trace
from hwmodels.workloads.workload import Workload

OPERANDS = {"bf16": jnp.bfloat16, "fp16": jnp.float16, "fp32": jnp.float32}


@dataclass(frozen=True)
class GptConfig:
    """Sizes: `layers` L, `hidden` h, `heads` a, `sequence` s, `vocabulary` V; `feedforward` 4 h if
    None. `tied`: the head shares the embedding's table."""

    name: str
    layers: int
    hidden: int
    heads: int
    sequence: int = 2048
    vocabulary: int = 51200
    feedforward: int | None = None
    dropout: float = 0.0
    biases: bool = True
    positions: bool = True
    tied: bool = True
    operand: str = "bf16"

    def __post_init__(self) -> None:
        for field in ("layers", "hidden", "heads", "sequence", "vocabulary"):
            if getattr(self, field) < 1:
                raise InputError(f"gpt.{field}", getattr(self, field), "allowed: >= 1")
        if self.hidden % self.heads:
            raise InputError("gpt.heads", self.heads, f"allowed: divisors of hidden {self.hidden}")
        if not 0.0 <= self.dropout < 1.0:
            raise InputError("gpt.dropout", self.dropout, "allowed: 0 to below 1")

    @property
    def parameters(self) -> float:
        """Number of trained parameters."""
        h, f = self.hidden, self.feedforward or 4 * self.hidden
        biases = 4 * h + f + h if self.biases else 0
        norm = 2 * h if self.biases else h
        block = 4 * h * h + 2 * h * f + biases + 2 * norm
        tables = self.vocabulary * (1 if self.tied else 2) + self.positions * self.sequence
        return float(self.layers * block + tables * h + norm)

    def flops(self, sequences: float) -> float:
        """Useful floating-point operations of the products of a step of that many sequences.

        The causal mask is not made use of: scores are computed whole, and counted so.
        """
        h, f, s = self.hidden, self.feedforward or 4 * self.hidden, self.sequence
        block = 2 * s * (4 * h * h + 2 * h * f) + 4 * s * s * h
        return 3.0 * sequences * (self.layers * block + 2 * s * h * self.vocabulary)


def shapes(config: GptConfig) -> dict[str, Any]:
    """Parameters as `ShapeDtypeStruct`; those of the blocks are stacked."""
    h, f = config.hidden, config.feedforward or 4 * config.hidden
    block = {"norm1": (h,), "qkv": (h, 3 * h), "out": (h, h), "norm2": (h,), "up": (h, f),
             "down": (f, h)}  # fmt: skip
    ends = {"embedding": (config.vocabulary, h), "norm": (h,)}
    if config.positions:
        ends["positions"] = (config.sequence, h)
    if not config.tied:
        ends["head"] = (config.vocabulary, h)
    if config.biases:
        block |= {"norm1_bias": (h,), "qkv_bias": (3 * h,), "out_bias": (h,), "norm2_bias": (h,),
                  "up_bias": (f,), "down_bias": (h,)}  # fmt: skip
        ends["norm_bias"] = (h,)
    stacked = {name: (config.layers, *shape) for name, shape in block.items()}
    made = {"blocks": stacked, **ends}
    return jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32), made,
        is_leaf=lambda x: isinstance(x, tuple),
    )  # fmt: skip


def loss(config: GptConfig, params: dict[str, Any], tokens: Any) -> Any:
    """Mean cross-entropy of the next token; `tokens` (sequences, s + 1)."""
    low = jax.tree.map(lambda p: p.astype(OPERANDS[config.operand]), params)
    read, expected = tokens[:, :-1], tokens[:, 1:]
    x = low["embedding"][read]
    if config.positions:
        x = x + low["positions"]
    x = _drop(config, x)
    x, _ = jax.lax.scan(lambda x, block: (_block(config, block, x), None), x, low["blocks"])
    x = _norm(x, low["norm"], low.get("norm_bias"))
    table = low["embedding"] if config.tied else low["head"]
    logits = jnp.einsum("bsh,vh->bsv", x, table).astype(jnp.float32)
    chosen = jnp.arange(config.vocabulary) == expected[..., None]
    return -jnp.mean(jnp.sum(jnp.where(chosen, jax.nn.log_softmax(logits), 0.0), axis=-1))


def _block(config: GptConfig, block: dict[str, Any], x: Any) -> Any:
    sequences, s, h = x.shape
    y = _dense(_norm(x, block["norm1"], block.get("norm1_bias")), block, "qkv")
    q, k, v = jnp.split(y.reshape(sequences, s, 3, config.heads, h // config.heads), 3, axis=2)
    scores = jnp.einsum("bqnd,bknd->bnqk", q[:, :, 0], k[:, :, 0])
    scores = scores * (1.0 / math.sqrt(h // config.heads))
    seen = jnp.arange(s)[:, None] >= jnp.arange(s)[None, :]
    weights = jax.nn.softmax(jnp.where(seen, scores, -1e4), axis=-1)
    mixed = jnp.einsum("bnqk,bknd->bqnd", _drop(config, weights), v[:, :, 0])
    x = x + _drop(config, _dense(mixed.reshape(sequences, s, h), block, "out"))
    y = _norm(x, block["norm2"], block.get("norm2_bias"))
    y = _dense(jax.checkpoint(jax.nn.gelu)(_dense(y, block, "up")), block, "down")
    return x + _drop(config, y)


def _dense(x: Any, block: dict[str, Any], name: str) -> Any:
    y = x @ block[name]
    return y + block[f"{name}_bias"] if f"{name}_bias" in block else y


@jax.checkpoint
def _norm(x: Any, scale: Any, bias: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    y = centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5) * scale
    return y if bias is None else y + bias


def _drop(config: GptConfig, x: Any) -> Any:
    if not config.dropout:
        return x
    bits = jax.lax.bitcast_convert_type(x, jnp.uint16 if x.dtype.itemsize == 2 else jnp.uint32)
    kept = jax.lax.stop_gradient((bits * 40503) >> 6 & 1023) >= round(1024 * config.dropout)
    return jnp.where(kept, x / (1.0 - config.dropout), 0)


def train_step(config: GptConfig, state: Any, tokens: Any) -> tuple[Any, Any]:
    """One step of Adam on (parameters, moments)."""
    params, moments = state
    value, slope = jax.value_and_grad(lambda p: loss(config, p, tokens))(params)
    updates, moments = optax.adam(1e-4).update(slope, moments, params)
    return (optax.apply_updates(params, updates), moments), value


def gpt(config: GptConfig, sequences: int = 1, max_global_batch: float = 65536) -> Workload:
    """The training step of `sequences` sequences on one chip, nothing allocated.

    `max_global_batch`: in sequences; 65,536 of 2,048 tokens are 134 million tokens, some ten
    times what large models are trained with (an assumption).
    """
    params = shapes(config)
    state = (params, jax.eval_shape(optax.adam(1e-4).init, params))
    tokens = jax.ShapeDtypeStruct((sequences, config.sequence + 1), jnp.int32)
    return trace(
        lambda state, tokens: train_step(config, state, tokens), state, tokens,
        name=config.name, samples=sequences, max_global_batch=max_global_batch,
    )  # fmt: skip


# Radford et al., 2019, table 2; the largest with its vocabulary padded as Megatron-LM does.
GPT2_XL = GptConfig("gpt2-xl", 48, 1600, 25, sequence=1024, vocabulary=50304)
GPT2 = tuple(
    GptConfig(name, layers, hidden, heads, sequence=1024, vocabulary=50257)
    for name, layers, hidden, heads in (
        ("gpt2", 12, 768, 12), ("gpt2-medium", 24, 1024, 16), ("gpt2-large", 36, 1280, 20),
    )
)  # fmt: skip
# Table 2.1 of Brown et al., 2020; the vocabulary padded likewise.
GPT3_175B = GptConfig("gpt3-175b", 96, 12288, 96)
GPT3 = tuple(
    GptConfig(name, layers, hidden, heads)
    for name, layers, hidden, heads in (
        ("gpt3-125m", 12, 768, 12), ("gpt3-1.3b", 24, 2048, 16), ("gpt3-6.7b", 32, 4096, 32),
        ("gpt3-13b", 40, 5120, 40),
    )
)  # fmt: skip


def as_decoder(config: GptConfig) -> DecoderConfig:
    """The same network for prefill and decode: products of q, k and v are three."""
    return DecoderConfig(
        config.name, config.layers, config.hidden, config.heads, groups=config.heads,
        feedforward=config.feedforward or 4 * config.hidden, vocabulary=config.vocabulary,
        positions=config.positions * config.sequence, gated=False, biases=config.biases,
        tied=config.tied,
    )  # fmt: skip


def _network(config: GptConfig) -> Network:
    def build(settings: Settings) -> Workload:
        if settings.mode != "train":
            return decoder(as_decoder(config), settings)
        trained = dataclasses.replace(config, sequence=settings.sequence or config.sequence)
        return gpt(trained, sequences=settings.batch or 1)

    defaults = {"batch": 1, "sequence": config.sequence, "context": config.sequence}
    return Network(config.name, ("train", "prefill", "decode"), defaults, build)


NETWORKS = tuple(map(_network, (*GPT2, GPT2_XL, *GPT3, GPT3_175B)))
