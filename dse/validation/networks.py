"""Convolution layers of published networks, and inference workloads made of them.

Shapes: AlexNet as trained on two GPUs (Krizhevsky et al., NIPS 2012), VGG-16 (Simonyan and
Zisserman, ICLR 2015), ResNet-50 with the stride in the first 1 x 1 of a block (He et al., CVPR
2016): 3.86 G multiply-accumulates. Densities are shares of inputs that are not zero, measured by
Chen et al. (JSSC 2017, Tables V and VI; from memory).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dse.validation.units import plain
from hwmodels.errors import InputError
from hwmodels.workloads.operation import Convolution, Operation, Tensor
from hwmodels.workloads.workload import Workload


@dataclass(frozen=True)
class Layer:
    """A convolution of one image and the share of its inputs that are not zero.

    `adds`: the sum with a tensor of the output's shape follows, a residual.
    """

    name: str
    shape: Convolution
    density: float = 1.0
    adds: bool = False

    def of(self, batch: int) -> Convolution:
        """The convolution of a batch."""
        return dataclasses.replace(self.shape, n=batch)


def _conv(
    name: str, c: int, k: int, size: int, taps: int, *, groups: int = 1, stride: int = 1,
    density: float = 1.0, adds: bool = False,
) -> Layer:  # fmt: skip
    shape = Convolution(1, c, k, size, size, taps, taps, groups, stride, stride)
    return Layer(name, shape, density, adds)


ALEXNET = (
    _conv("CONV1", 3, 96, 55, 11, stride=4, density=0.9999),
    _conv("CONV2", 48, 128, 27, 5, groups=2, density=0.613),
    _conv("CONV3", 256, 384, 13, 3, density=0.275),
    _conv("CONV4", 192, 192, 13, 3, groups=2, density=0.207),
    _conv("CONV5", 192, 128, 13, 3, groups=2, density=0.224),
)
_VGG16 = (
    (("1-1", 3, 0.984), ("1-2", 64, 0.523)),
    (("2-1", 64, 0.752), ("2-2", 128, 0.613)),
    (("3-1", 128, 0.603), ("3-2", 256, 0.419), ("3-3", 256, 0.413)),
    (("4-1", 256, 0.358), ("4-2", 512, 0.253), ("4-3", 512, 0.146)),
    (("5-1", 512, 0.206), ("5-2", 512, 0.126), ("5-3", 512, 0.115)),
)
VGG16 = tuple(
    _conv(f"CONV{name}", channels, min(64 << stage, 512), 224 >> stage, 3, density=density)
    for stage, layers in enumerate(_VGG16)
    for name, channels, density in layers
)


def _resnet50() -> tuple[Layer, ...]:
    layers = [_conv("CONV1", 3, 64, 112, 7, stride=2)]
    channels = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width, size = 64 << stage, 56 >> stage
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 0 else 1
            where = f"CONV{stage + 2}-{block + 1}"
            layers += [
                _conv(f"{where}a", channels, width, size, 1, stride=stride),
                _conv(f"{where}b", width, width, size, 3),
                _conv(f"{where}c", width, 4 * width, size, 1, adds=True),
            ]
            if block == 0:
                layers.append(_conv(f"{where}s", channels, 4 * width, size, 1, stride=stride))
            channels = 4 * width
    return (*layers, _conv("FC", 2048, 1000, 1, 1))


RESNET50 = _resnet50()
NETWORKS = {"alexnet": ALEXNET, "vgg16": VGG16, "resnet50": RESNET50}
# "", "all", "total", "conv layers", "5 conv layers", "conv (5 layers)"; the number is checked.
_WHOLE = re.compile(
    r"(?:all|total|whole)?(\d+(?=conv|layers))?(?:conv)?(\d+(?=layers))?(?:layers)?(?:total|all)?"
)
_FILLER = re.compile(r"int8|layer(?!s)|of|network")


def find_layers(text: str) -> tuple[Layer, ...]:
    """Layers of a network as a person writes them: "AlexNet CONV3", "VGG16 conv3_1", "VGG-16",
    "AlexNet (5 conv layers)", "AlexNet CONV1-5"; a layer alone is the first network's with such.

    Raises:
      InputError: no such network or layer.
    """
    name = re.sub(r"vgg(?!16)", "vgg16", plain(text))
    name = re.sub(r"resnet(?!\d)", "resnet50", name)
    for network, layers in NETWORKS.items():
        if network in name:
            found = _named(_FILLER.sub("", name.replace(network, "", 1)), layers)
            if not found:
                names = ", ".join(layer.name for layer in layers)
                raise InputError("workload", text, f"allowed layers: {names}")
            return found
    found = ()
    if name.startswith("conv"):
        alone = (_one(name, layers) for layers in NETWORKS.values())
        found = next((layers for layers in alone if layers), ())
    if not found:
        raise InputError("workload", text, f"allowed networks: {', '.join(NETWORKS)}")
    return found


def _named(wanted: str, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    whole = _WHOLE.fullmatch(wanted)
    if whole and all(count in (None, str(len(layers))) for count in whole.groups()):
        return layers
    first, last = plain(layers[0].name), plain(layers[-1].name)
    spans = {first + to + end for to in ("", "to") for end in (last, last.removeprefix("conv"))}
    return layers if wanted in spans else _one(wanted, layers)


def _one(wanted: str, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    names = {plain(layer.name): layer for layer in layers}
    found = names.get(wanted) or names.get(f"conv{wanted}")
    return (found,) if found else ()


def inference(
    name: str, layers: Sequence[Layer], batch: int, bits: float, *, block: int = 1
) -> Workload:
    """One inference step of convolutions with their ReLU and residual sums.

    block: channels that hardware takes together; it computes with fewer as with so many.
    """
    rows = tuple(_operation(layer, batch, bits, block) for layer in layers)
    weights = tuple(row.reads[1] for row in rows)
    largest = max((row.reads[0] for row in rows), key=lambda tensor: tensor.elements)
    return Workload(name, rows, float(batch), float(batch), False, (*weights, largest))


def _operation(layer: Layer, batch: int, bits: float, block: int) -> Operation:
    x = layer.of(batch)
    height, width = (x.p - 1) * x.stride_h + x.r, (x.q - 1) * x.stride_w + x.s
    m, k = batch * x.p * x.q, -(-x.c // block) * block * x.r * x.s
    outputs = float(x.groups * m * x.k)
    result = Tensor("activation", outputs, bits)
    return Operation(
        "contraction", layer.name, "forward",
        (
            Tensor("activation", float(batch * x.groups * x.c * height * width), bits),
            Tensor("parameter", float(x.groups * x.c * x.r * x.s * x.k), bits),
            *([result] if layer.adds else []),
        ),
        (result,),
        batch=float(x.groups), m=float(m), n=float(x.k), k=float(k), simple=outputs,
        flops=2.0 * outputs * k, lhs_density=layer.density, convolution=x,
    )  # fmt: skip
