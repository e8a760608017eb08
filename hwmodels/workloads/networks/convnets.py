"""Convolutional classifiers of 224 x 224 images and 1000 classes, as torchvision defines them.

AlexNet (Krizhevsky, 2014), VGG-16 (Simonyan and Zisserman, 2015), ResNet-18 and -50 (He et al.,
2016; stride in the 3 x 3 convolution of a bottleneck), MobileNet-V2 (Sandler et al., 2018). A
network is a list of named steps; its parameters and its function are both read off that list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.workloads.networks.layers import (
    Shapes,
    batch_norm,
    batch_norm_shapes,
    conv,
    conv_shapes,
    cross_entropy,
    dense,
    dense_shapes,
    max_pool,
    mean_pool,
)
from hwmodels.workloads.networks.network import IMAGES, Network, inference, training_step
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.workload import Workload

IMAGE, CLASSES = 224, 1000


@dataclass(frozen=True)
class Conv:
    """A convolution with what follows it: batch norm or a bias, and an activation."""

    channels: int
    made: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    groups: int = 1
    norm: bool = True
    activation: str = "relu"

    def shapes(self) -> Shapes:
        """Parameters."""
        kernel = conv_shapes(
            self.size, self.channels, self.made, groups=self.groups, bias=not self.norm
        )
        return {"conv": kernel} | ({"norm": batch_norm_shapes(self.made)} if self.norm else {})

    def __call__(self, p: Shapes, x: Any, train: bool) -> Any:
        x = conv(p["conv"], x, self.stride, self.padding, self.groups)
        if self.norm:
            x = batch_norm(p["norm"], x, train)
        return _ACTIVATIONS[self.activation](x)


@dataclass(frozen=True)
class Residual:
    """Convolutions in a row, to whose result their input is added: as it is, or projected."""

    body: tuple[Conv, ...]
    projection: Conv | None = None
    activation: str = "relu"

    def shapes(self) -> Shapes:
        """Parameters."""
        made: Shapes = {f"conv{i}": step.shapes() for i, step in enumerate(self.body)}
        return made | ({"projection": self.projection.shapes()} if self.projection else {})

    def __call__(self, p: Shapes, x: Any, train: bool) -> Any:
        y = x
        for i, step in enumerate(self.body):
            y = step(p[f"conv{i}"], y, train)
        kept = self.projection(p["projection"], x, train) if self.projection else x
        return _ACTIVATIONS[self.activation](y + kept)


@dataclass(frozen=True)
class Pool:
    """A maximum over windows."""

    size: int
    stride: int
    padding: int = 0

    def shapes(self) -> Shapes:
        """None."""
        return {}

    def __call__(self, p: Shapes, x: Any, train: bool) -> Any:
        return max_pool(x, self.size, self.stride, self.padding)


@dataclass(frozen=True)
class Head:
    """The classifier: the mean of each channel or all positions, then products."""

    widths: tuple[int, ...]
    pooled: bool

    def shapes(self) -> Shapes:
        """Parameters."""
        pairs = zip(self.widths, self.widths[1:], strict=False)
        return {f"dense{i}": dense_shapes(*pair) for i, pair in enumerate(pairs)}

    def __call__(self, p: Shapes, x: Any, train: bool) -> Any:
        x = mean_pool(x) if self.pooled else x.reshape(x.shape[0], -1)
        for i in range(len(self.widths) - 1):
            x = dense(p[f"dense{i}"], x)
            if i < len(self.widths) - 2:
                x = jax.nn.relu(x)
        return x


Step = Conv | Residual | Pool | Head
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": jax.nn.relu, "relu6": jax.nn.relu6, "none": lambda x: x,
}  # fmt: skip


def alexnet() -> Iterator[Step]:
    """AlexNet in one column (Krizhevsky, 2014)."""
    yield Conv(3, 64, 11, 4, 2, norm=False)
    yield Pool(3, 2)
    yield Conv(64, 192, 5, 1, 2, norm=False)
    yield Pool(3, 2)
    for channels, made in ((192, 384), (384, 256), (256, 256)):
        yield Conv(channels, made, norm=False)
    yield Pool(3, 2)
    yield Head((256 * 6 * 6, 4096, 4096, CLASSES), pooled=False)


def vgg16() -> Iterator[Step]:
    """VGG-16, configuration D, without batch norm."""
    channels = 3
    for made, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(times):
            yield Conv(channels, made, norm=False)
            channels = made
        yield Pool(2, 2)
    yield Head((512 * 7 * 7, 4096, 4096, CLASSES), pooled=False)


def resnet18() -> Iterator[Step]:
    """ResNet of basic blocks."""
    yield Conv(3, 64, 7, 2, 3)
    yield Pool(3, 2, 1)
    channels = 64
    for made in (64, 128, 256, 512):
        for i in range(2):
            stride = 2 if i == 0 and made > 64 else 1
            body = (Conv(channels, made, 3, stride), Conv(made, made, activation="none"))
            yield Residual(body, _projection(channels, made, stride))
            channels = made
    yield Head((512, CLASSES), pooled=True)


def resnet50() -> Iterator[Step]:
    """ResNet of bottlenecks."""
    yield Conv(3, 64, 7, 2, 3)
    yield Pool(3, 2, 1)
    channels = 64
    for width, times in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(times):
            stride = 2 if i == 0 and width > 64 else 1
            body = (
                Conv(channels, width, 1, 1, 0), Conv(width, width, 3, stride),
                Conv(width, 4 * width, 1, 1, 0, activation="none"),
            )  # fmt: skip
            yield Residual(body, _projection(channels, 4 * width, stride))
            channels = 4 * width
    yield Head((2048, CLASSES), pooled=True)


def mobilenet_v2() -> Iterator[Step]:
    """MobileNet-V2: inverted residuals with depthwise convolutions (table 2)."""
    yield Conv(3, 32, 3, 2, activation="relu6")
    channels = 32
    for expansion, made, times, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for i in range(times):
            stride, width = first if i == 0 else 1, expansion * channels
            wide = (Conv(channels, width, 1, 1, 0, activation="relu6"),) * (expansion > 1)
            deep = Conv(width, width, 3, stride, groups=width, activation="relu6")
            body = (*wide, deep, Conv(width, made, 1, 1, 0, activation="none"))
            if stride == 1 and channels == made:
                yield Residual(body, activation="none")
            else:
                yield from body
            channels = made
    yield Conv(320, 1280, 1, 1, 0, activation="relu6")
    yield Head((1280, CLASSES), pooled=True)


def _projection(channels: int, made: int, stride: int) -> Conv | None:
    if channels == made and stride == 1:
        return None
    return Conv(channels, made, 1, stride, 0, activation="none")


def shapes(steps: list[Step]) -> Shapes:
    """Parameters of a list of steps, by number and name."""
    named = {f"{i}_{type(s).__name__.lower()}": s.shapes() for i, s in enumerate(steps)}
    return {name: made for name, made in named.items() if made}


def forward(steps: list[Step], params: Shapes, x: Any, train: bool) -> Any:
    """Logits (n, classes) of images (n, 224, 224, 3)."""
    for i, step in enumerate(steps):
        x = step(params.get(f"{i}_{type(step).__name__.lower()}", {}), x, train)
    return x


def _network(name: str, make: Callable[[], Iterator[Step]], batch: int) -> Network:
    def build(settings: Settings) -> Workload:
        steps, n = list(make()), settings.batch or batch
        images = jax.ShapeDtypeStruct((n, IMAGE, IMAGE, 3), jnp.bfloat16)
        common: dict[str, Any] = {"name": name, "samples": n, "max_global_batch": IMAGES}
        if settings.mode == "infer":
            return inference(
                lambda p, x: forward(steps, p, x, False), shapes(steps), images, **common
            )
        labels = jax.ShapeDtypeStruct((n,), jnp.int32)
        return training_step(
            lambda p, batch: cross_entropy(forward(steps, p, batch[0], True), batch[1]),
            shapes(steps), (images, labels), optimizer="sgd", **common,
        )  # fmt: skip

    return Network(name, ("train", "infer"), {"batch": batch}, build)


NETWORKS = (
    _network("alexnet", alexnet, 256),
    _network("vgg16", vgg16, 64),
    _network("resnet18", resnet18, 256),
    _network("resnet50", resnet50, 128),
    _network("mobilenet-v2", mobilenet_v2, 256),
)
