"""ONNX operators that slide windows: convolutions and pooling, channels first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

Attributes = dict[str, Any]


def _pads(
    a: Attributes, shape: Sequence[int], kernel: Sequence[int], strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:  # fmt: skip
    """Padding before and behind each spatial axis."""
    count, how = len(kernel), a.get("auto_pad", b"NOTSET")
    if how in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = []
        for size, k, stride, dilation in zip(shape, kernel, strides, dilations, strict=True):
            total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
            less, more = total // 2, total - total // 2
            pads.append((less, more) if how == b"SAME_UPPER" else (more, less))
        return pads
    given = a.get("pads", [0] * 2 * count)
    return list(zip(given[:count], given[count:], strict=True))


def conv(a: Attributes, x: Any, w: Any, bias: Any = None) -> Any:
    """Conv."""
    count = w.ndim - 2
    strides, dilations = a.get("strides", [1] * count), a.get("dilations", [1] * count)
    y = jax.lax.conv_general_dilated(
        x, w, strides, _pads(a, x.shape[2:], w.shape[2:], strides, dilations),
        rhs_dilation=dilations, feature_group_count=a.get("group", 1),
    )  # fmt: skip
    return y if bias is None else y + bias.reshape(-1, *[1] * count)


def conv_transpose(a: Attributes, x: Any, w: Any, bias: Any = None) -> Any:
    """ConvTranspose, of one group."""
    if a.get("group", 1) != 1 or "output_shape" in a:
        raise NotImplementedError("ConvTranspose with groups or output_shape")
    count = w.ndim - 2
    strides, dilations = a.get("strides", [1] * count), a.get("dilations", [1] * count)
    more = a.get("output_padding", [0] * count)
    pads = _pads(a, x.shape[2:], w.shape[2:], strides, dilations)
    around = [
        ((k - 1) * d - before, (k - 1) * d - behind + extra)
        for k, d, (before, behind), extra in zip(w.shape[2:], dilations, pads, more, strict=True)
    ]
    flipped = jnp.flip(w, range(2, w.ndim)).swapaxes(0, 1)
    y = jax.lax.conv_general_dilated(
        x, flipped, [1] * count, around, lhs_dilation=strides, rhs_dilation=dilations
    )
    return y if bias is None else y + bias.reshape(-1, *[1] * count)


def _windows(a: Attributes, x: Any) -> tuple[Any, Any, list[tuple[int, int]], Any]:
    kernel = a["kernel_shape"]
    count = len(kernel)
    strides, dilations = a.get("strides", [1] * count), a.get("dilations", [1] * count)
    pads = _pads(a, x.shape[2:], kernel, strides, dilations)
    if a.get("ceil_mode", 0):  # a last window that begins inside
        for i, (before, behind) in enumerate(pads):
            reach = x.shape[2 + i] + before + behind - (kernel[i] - 1) * dilations[i] - 1
            made = -(-reach // strides[i])
            if made * strides[i] < x.shape[2 + i] + before:
                pads[i] = (before, behind + made * strides[i] - reach)
    return kernel, strides, pads, dilations


def _reduced(a: Attributes, x: Any, start: Any, add: Callable[..., Any]) -> Any:
    kernel, strides, pads, dilations = _windows(a, x)
    return jax.lax.reduce_window(
        x, start, add, (1, 1, *kernel), (1, 1, *strides), ((0, 0), (0, 0), *pads),
        window_dilation=(1, 1, *dilations),
    )  # fmt: skip


def max_pool(a: Attributes, x: Any) -> Any:
    """MaxPool, without indices."""
    return _reduced(a, x, -math.inf, jax.lax.max)


def average_pool(a: Attributes, x: Any) -> Any:
    """AveragePool."""
    total = _reduced(a, x, 0.0, jax.lax.add)
    if a.get("count_include_pad", 0) and not a.get("ceil_mode", 0):
        return total / math.prod(a["kernel_shape"])
    return total / _reduced(a, jnp.ones((1, 1, *x.shape[2:]), x.dtype), 0.0, jax.lax.add)


def global_average(a: Attributes, x: Any) -> Any:
    """GlobalAveragePool."""
    return x.mean(tuple(range(2, x.ndim)), keepdims=True)


def global_max(a: Attributes, x: Any) -> Any:
    """GlobalMaxPool."""
    return x.max(tuple(range(2, x.ndim)), keepdims=True)


def local_norm(a: Attributes, x: Any) -> Any:
    """LRN: over neighbouring channels."""
    size = a["size"]
    before = (size - 1) // 2
    total = jax.lax.reduce_window(
        jnp.square(x), 0.0, jax.lax.add, (1, size, *[1] * (x.ndim - 2)), (1,) * x.ndim,
        ((0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)),
    )  # fmt: skip
    return x / (a.get("bias", 1.0) + a.get("alpha", 1e-4) / size * total) ** a.get("beta", 0.75)


WINDOWS: dict[str, Callable[..., Any]] = {
    "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": max_pool,
    "AveragePool": average_pool, "GlobalAveragePool": global_average, "GlobalMaxPool": global_max,
    "LRN": local_norm,
}  # fmt: skip
