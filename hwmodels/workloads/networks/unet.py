"""U-Net for segmentation (Ronneberger et al., 2015): 572 x 572 in, 388 x 388 out, no padding.

Two 3 x 3 convolutions a level, pooled four times, then back up: a 2 x 2 up-convolution, the
cropped image of the same level beside it, two convolutions; 1 x 1 to the classes at the end.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.workloads.networks.layers import (
    Shapes,
    conv,
    conv_shapes,
    cross_entropy,
    max_pool,
    shape,
)
from hwmodels.workloads.networks.network import IMAGES, Network, inference, training_step
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.workload import Workload

IMAGE, OUT, CLASSES = 572, 388, 2
WIDTHS = (64, 128, 256, 512, 1024)


def shapes() -> Shapes:
    """Parameters: 31.03 million."""
    made: Shapes = {}
    channels = 1
    for level, width in enumerate(WIDTHS):
        made[f"down{level}"] = _pair_shapes(channels, width)
        channels = width
    for level in reversed(range(len(WIDTHS) - 1)):
        width = WIDTHS[level]
        made[f"up{level}"] = {"w": shape(2, 2, 2 * width, width), "b": shape(width)}
        made[f"back{level}"] = _pair_shapes(2 * width, width)
    return made | {"classes": conv_shapes(1, WIDTHS[0], CLASSES, bias=True)}


def forward(params: Shapes, x: Any) -> Any:
    """Logits (n, 388, 388, 2) of images (n, 572, 572, 1)."""
    kept = []
    for level in range(len(WIDTHS)):
        x = _pair(params[f"down{level}"], x)
        if level < len(WIDTHS) - 1:
            kept.append(x)
            x = max_pool(x, 2, 2)
    for level in reversed(range(len(WIDTHS) - 1)):
        up = params[f"up{level}"]
        x = jax.lax.conv_transpose(
            x, up["w"], (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ) + up["b"]  # fmt: skip
        beside = kept[level]
        edge = (beside.shape[1] - x.shape[1]) // 2
        beside = beside[:, edge : edge + x.shape[1], edge : edge + x.shape[2]]
        x = _pair(params[f"back{level}"], jnp.concatenate([beside, x], axis=-1))
    return conv(params["classes"], x)


def _pair_shapes(channels: int, width: int) -> Shapes:
    return {
        "first": conv_shapes(3, channels, width, bias=True),
        "second": conv_shapes(3, width, width, bias=True),
    }


def _pair(p: Shapes, x: Any) -> Any:
    return jax.nn.relu(conv(p["second"], jax.nn.relu(conv(p["first"], x))))


def _build(settings: Settings) -> Workload:
    n = settings.batch or 1
    images = jax.ShapeDtypeStruct((n, IMAGE, IMAGE, 1), jnp.bfloat16)
    common: dict[str, Any] = {"name": "unet", "samples": n, "max_global_batch": IMAGES}
    if settings.mode == "infer":
        return inference(forward, shapes(), images, **common)
    labels = jax.ShapeDtypeStruct((n, OUT, OUT), jnp.int32)
    return training_step(
        lambda p, batch: cross_entropy(forward(p, batch[0]), batch[1]),
        shapes(), (images, labels), optimizer="sgd", **common,
    )  # fmt: skip


NETWORKS = (Network("unet", ("train", "infer"), {"batch": 1}, _build),)
