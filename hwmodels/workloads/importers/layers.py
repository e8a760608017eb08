"""Layers as other tools' files list them, and the workload that they make.

Files list products and convolutions, seldom what lies between them: elementwise work, connections
and residency across layers are not in the workload. Training adds, by the standard backward rules,

    Y = X W (m, k)(k, n):   dX = dY W^T (m, n)(n, k),   dW = X^T dY (k, m)(m, n)

dX not of the first layer, and an Adam update of all weights in fp32.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from hwmodels.errors import InputError
from hwmodels.workloads.operation import Convolution, Operation, Tensor
from hwmodels.workloads.settings import MOST, Settings
from hwmodels.workloads.tracing import trace
from hwmodels.workloads.workload import Workload

MOST_LAYERS = 100_000
LARGEST = 16 << 20  # bytes of a file
BITS, MASTER = 16.0, 32.0  # of operands where a file does not say; of weights in training
_BATCHES = 65536  # largest sensible global batch, in samples: an assumption


@dataclass(frozen=True)
class Layer:
    """`count` runs of `batch` products (m, k) x (k, n); `convolution`: whose im2col they are.

    `weight`: the second operand is one; `bits` of operands and result; `elements`: of an
    elementwise operation instead, that has no sizes.
    """

    name: str
    m: int = 0
    n: int = 0
    k: int = 0
    batch: int = 1
    count: int = 1
    convolution: Convolution | None = None
    weight: bool = True
    bits: float = BITS
    elements: int = 0

    def __post_init__(self) -> None:
        sizes = {"batch": self.batch, "count": self.count}
        sizes |= {"elements": self.elements} if self.elements else {
            "m": self.m, "n": self.n, "k": self.k
        }  # fmt: skip
        for field, value in sizes.items():
            check_size(f"layer {self.name}, {field}", value, 2**62)

    @property
    def samples(self) -> int:
        """Images of a convolution; a product says nothing of its samples."""
        return self.convolution.n if self.convolution else 1

    def of_batch(self, samples: int) -> Layer:
        """With that many images, or rows of that many samples."""
        if self.elements:
            return dataclasses.replace(self, elements=self.elements * samples // self.samples)
        shape = self.convolution
        if shape is not None:
            shape = dataclasses.replace(shape, n=samples)
        m = self.m * samples // self.samples
        return dataclasses.replace(self, m=m, convolution=shape)


def check_size(field: str, value: object, most: int = MOST) -> int:
    """A size: a whole number from 1 on."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(field, value, f"allowed: a whole number, 1 to {most}")
    return value


def conv_layer(name: str, shape: Convolution, **further: object) -> Layer:
    """The layer of a convolution; `shape.c` and `shape.k` are per group."""
    return Layer(
        name, m=shape.n * shape.p * shape.q, n=shape.k, k=shape.c * shape.r * shape.s,
        batch=shape.groups, convolution=shape, **further,  # type: ignore[arg-type]
    )  # fmt: skip


def extent(shape: Convolution) -> tuple[int, int]:
    """Height and width of the input that the outputs see."""
    return (
        (shape.p - 1) * shape.stride_h + (shape.r - 1) * shape.dilation_h + 1,
        (shape.q - 1) * shape.stride_w + (shape.s - 1) * shape.dilation_w + 1,
    )


def workload_of(layers: Sequence[Layer], settings: Settings, name: str) -> Workload:
    """The workload of layers; settings: mode "infer" (default) or "train", and the batch."""
    settings.only("mode", "batch")
    training = settings.mode == "train"
    if settings.mode not in (None, "infer", "train"):
        raise InputError("mode", settings.mode, "allowed for a file of layers: infer, train")
    if not 1 <= len(layers) <= MOST_LAYERS:
        raise InputError("layers", len(layers), f"allowed: 1 to {MOST_LAYERS}")
    own = max(layer.samples for layer in layers)
    if any(layer.samples not in (1, own) for layer in layers):
        raise InputError("batch", own, "allowed: one batch for all layers of a file")
    samples = settings.batch or own
    scaled = [layer.of_batch(samples) if samples != own else layer for layer in layers]
    rows: list[Operation] = []
    for number, layer in enumerate(scaled):
        rows += _rows(layer, number == 0, training)
    weights = sum(_sizes(x)[1] * x.count for x in scaled if x.weight and not x.elements)
    bits = MASTER if training else scaled[0].bits
    footprints = [Tensor("parameter", float(weights), bits)]
    gradients: tuple[Tensor, ...] = ()
    results = [_result(x) for x in scaled]
    peak = max if not training else sum
    footprints.append(Tensor("activation", float(peak(results)), scaled[0].bits))
    if training:
        gradients = (Tensor("gradient", float(weights), MASTER),)
        footprints += [*gradients, Tensor("optimizer_state", 2.0 * weights, MASTER)]
        rows.append(_adam(float(weights)))
    return Workload(
        name=name, rows=tuple(rows), samples=float(samples),
        max_global_batch=float(max(_BATCHES, samples)), training=training,
        footprints=tuple(footprints), gradients=gradients,
        coverage=dict.fromkeys([row.kind for row in rows], "rule"),
        notes=(
            "layers of a file: elementwise work between them and their connections are not counted",
        ),
    )  # fmt: skip


def _sizes(layer: Layer) -> tuple[int, int, int]:
    """Elements of the two operands and the result of one run."""
    shape, groups = layer.convolution, layer.batch
    seen = layer.m * layer.k
    if shape is not None:
        height, width = extent(shape)
        seen = shape.n * shape.c * height * width
    shared = layer.k * layer.n
    return seen * groups, shared * groups, layer.m * layer.n * groups


def _result(layer: Layer) -> int:
    return layer.elements or _sizes(layer)[2]


def _rows(layer: Layer, first: bool, training: bool) -> list[Operation]:
    count, bits = float(layer.count), layer.bits
    if layer.elements:
        elements = float(layer.elements)
        one = Tensor("activation", elements, bits)
        return [Operation("vector", layer.name, "forward", (one, one), (one,), count,
                          simple=elements, flops=elements, spread="all")]  # fmt: skip
    seen, shared, made = (float(size) for size in _sizes(layer))
    x = Tensor("input" if first else "activation", seen, bits)
    w = Tensor("parameter" if layer.weight else "activation", shared, bits)
    y = Tensor("activation", made, bits)
    dy = dataclasses.replace(y, error=True)
    macs = float(layer.batch) * layer.m * layer.n * layer.k
    common = {"count": count, "batch": float(layer.batch), "flops": 2.0 * macs}
    rows = [Operation(
        "contraction", layer.name, "forward", (x, w), (y,), m=float(layer.m), n=float(layer.n),
        k=float(layer.k), convolution=layer.convolution, split="n" if layer.weight else "batch",
        spread="m" if layer.weight else "batch", **common,  # type: ignore[arg-type]
    )]  # fmt: skip
    if not training:
        return rows
    if not first:
        dx = dataclasses.replace(x, error=True)
        m, n, k = layer.m, layer.k, layer.n
        if (shape := layer.convolution) is not None:
            # Every input element, against the kernel positions that meet it.
            height, width = extent(shape)
            taps = -(-shape.r // shape.stride_h) * -(-shape.s // shape.stride_w)
            m, n, k = shape.n * height * width, shape.c, shape.k * taps
        rows.append(Operation(
            "contraction", f"{layer.name}, input's gradient", "backward", (dy, w), (dx,),
            m=float(m), n=float(n), k=float(k), split="k", spread="m", reduced=seen,
            **common,  # type: ignore[arg-type]
        ))  # fmt: skip
    role = "gradient" if layer.weight else "activation"
    dw = Tensor(role, shared, MASTER if layer.weight else bits, error=not layer.weight)
    rows.append(Operation(
        "contraction", f"{layer.name}, second operand's gradient", "backward", (x, dy), (dw,),
        m=float(layer.k), n=float(layer.n), k=float(layer.m), split="n", spread="k",
        **common,  # type: ignore[arg-type]
    ))  # fmt: skip
    return rows


@functools.lru_cache(maxsize=1)
def _adam_costs() -> tuple[float, float, float, float]:
    """Simple and special operations, FLOPs and transcendentals a parameter, as traced."""
    some = jax.ShapeDtypeStruct((1024,), jnp.float32)
    update = optax.adam(1e-4)
    moments = jax.eval_shape(update.init, some)

    def step(params: jax.Array, moments: optax.OptState, slope: jax.Array) -> object:
        changes, moments = update.update(slope, moments, params)
        return optax.apply_updates(params, changes), moments

    rows = trace(step, some, moments, some, samples=1, parameters=0).rows
    large = [row for row in rows if row.simple >= some.size]
    sums = (
        sum(getattr(row, name) for row in large) / some.size
        for name in ("simple", "special", "flops", "transcendentals")
    )
    simple, special, flops, transcendentals = (float(round(value)) for value in sums)
    return simple, special, flops, transcendentals


def _adam(weights: float) -> Operation:
    simple, special, flops, transcendentals = (weights * cost for cost in _adam_costs())
    kept = Tensor("parameter", weights, MASTER)
    moment = Tensor("optimizer_state", weights, MASTER)
    return Operation(
        "vector", "update: Adam", "optimizer",
        (kept, Tensor("gradient", weights, MASTER), moment, moment), (kept, moment, moment),
        simple=simple, special=special, flops=flops, transcendentals=transcendentals,
        split="all", place="optimizer",
    )  # fmt: skip


def layers_of(workload: Workload) -> list[Layer]:
    """The forward products of a workload: what files of layers can hold."""
    return [
        Layer(
            row.name, m=int(row.m), n=int(row.n), k=int(row.k), batch=int(row.batch),
            count=int(row.count), convolution=row.convolution,
            weight=row.reads[1].role == "parameter", bits=row.reads[0].bits,
        )
        for row in _forward(workload)
    ]  # fmt: skip


def _forward(workload: Workload) -> Iterable[Operation]:
    rows = [r for r in workload.rows if r.kind == "contraction" and r.phase == "forward"]
    if not rows:
        raise InputError("workload", workload.name, "allowed: one with products in it")
    return rows
