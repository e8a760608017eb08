"""Layers that the library's networks are made of; images are (n, height, width, channels)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

F32 = jnp.float32
Shapes = dict[str, Any]


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    """A parameter, fp32."""
    return jax.ShapeDtypeStruct(sizes, F32)


def dense_shapes(width: int, made: int, bias: bool = True) -> Shapes:
    """Parameters of `dense`."""
    return {"w": shape(width, made)} | ({"b": shape(made)} if bias else {})


def dense(p: Shapes, x: Any) -> Any:
    """x w + b, over the last axis."""
    y = x @ p["w"]
    return y + p["b"] if "b" in p else y


def conv_shapes(
    size: int, channels: int, made: int, *, groups: int = 1, bias: bool = False
) -> Shapes:
    """Parameters of `conv`: a kernel of `size` x `size`."""
    kernel = {"w": shape(size, size, channels // groups, made)}
    return kernel | ({"b": shape(made)} if bias else {})


def conv(p: Shapes, x: Any, stride: int = 1, padding: int | str = 0, groups: int = 1) -> Any:
    """A convolution; `padding` on every side, or XLA's word for it."""
    pads = padding if isinstance(padding, str) else [(padding, padding)] * 2
    y = jax.lax.conv_general_dilated(
        x, p["w"], (stride, stride), pads, feature_group_count=groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    return y + p["b"] if "b" in p else y


def batch_norm_shapes(channels: int) -> Shapes:
    """Parameters of `batch_norm`."""
    return {"scale": shape(channels), "shift": shape(channels)}


def batch_norm(p: Shapes, x: Any, train: bool) -> Any:
    """Batch normalisation: over the batch in training, in fp32; a scale and a shift in inference,
    where running statistics are folded into them. Left out: the running statistics' update."""
    if not train:
        return x * p["scale"] + p["shift"]
    y = x.astype(F32)
    mean = y.mean((0, 1, 2))
    spread = jnp.square(y).mean((0, 1, 2)) - jnp.square(mean)
    scale = jax.lax.rsqrt(spread + 1e-5) * p["scale"]
    return (y * scale + (p["shift"] - mean * scale)).astype(x.dtype)


def layer_norm_shapes(width: int) -> Shapes:
    """Parameters of `layer_norm`."""
    return {"scale": shape(width), "shift": shape(width)}


@jax.checkpoint
def layer_norm(p: Shapes, x: Any) -> Any:
    """Layer normalisation; done again in the backward phase, as fused kernels do."""
    centred = x - x.mean(-1, keepdims=True)
    spread = jnp.square(centred).mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(spread + 1e-6) * p["scale"] + p["shift"]


def max_pool(x: Any, size: int, stride: int, padding: int = 0) -> Any:
    """Largest of each window."""
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, stride, stride, 1), pads
    )


def mean_pool(x: Any) -> Any:
    """Mean of each channel: (n, channels)."""
    return x.mean((1, 2))


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean over all positions; `labels` are classes."""
    chosen = jnp.arange(logits.shape[-1]) == labels[..., None]
    log = jax.nn.log_softmax(logits.astype(F32))
    return -jnp.mean(jnp.sum(jnp.where(chosen, log, 0.0), axis=-1))


def attention(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    """softmax(q k^T / sqrt(d) + mask) v; q (n, s, heads, d), k and v (n, t, groups, d).

    Heads share keys and values by groups (Ainslie et al., 2023); `mask` (s, t), True where seen.
    """
    n, s, heads, d = q.shape
    groups = k.shape[2]
    q = q.reshape(n, s, groups, heads // groups, d)
    scores = jnp.einsum("nsghd,ntgd->nghst", q, k) * (1.0 / d**0.5)
    if mask is not None:
        scores = jnp.where(mask, scores, -1e4)
    mixed = jnp.einsum("nghst,ntgd->nsghd", jax.nn.softmax(scores, axis=-1), v)
    return mixed.reshape(n, s, heads * d)
