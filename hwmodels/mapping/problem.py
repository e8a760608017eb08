"""What a mapping maps: one contraction with its dimensions, sizes and tensors.

Two shapes, both with tensors W (weights, right operand), I (input, left operand), O (result):

    CONVOLUTION  O[G,N,K,P,Q] += I[G,N,C, P*stride + R*dilation, Q*stride + S*dilation] W[G,K,C,R,S]
    MATMUL       O[B,M,N] += I[B,M,K] W[B,K,N]

The names are Timeloop's. P pairs with R (width), Q with S (height); G are groups, whose other
sizes are those of one group.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from typing import Any

import jax

from hwmodels.errors import InputError
from hwmodels.workloads.operation import Operation

TENSORS = ("W", "I", "O")
LARGEST = 2**31  # of a size; the mapper lists some 2 sqrt(size) trip counts
RESULT = "O"


@dataclass(frozen=True)
class Shape:
    """Dimensions of a contraction, and which of them each tensor spans.

    `spans`: tensor -> dimensions that index it, plain or as part of a window. `windows`: pairs
    (position, tap) that share one axis of the input.
    """

    name: str
    dimensions: tuple[str, ...]
    spans: Dictionary[str, tuple[str, ...]]
    windows: tuple[tuple[str, str], ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)

    def window(self, tensor: str, dimension: str) -> tuple[str, str] | None:
        """The window of `tensor` that `dimension` moves, if any."""
        for window in self.windows if tensor == "I" else ():
            if dimension in window:
                return window
        return None


CONVOLUTION = Shape(
    "convolution",
    ("G", "N", "K", "C", "P", "Q", "R", "S"),
    {
        "W": ("G", "K", "C", "R", "S"),
        "I": ("G", "N", "C", "P", "Q", "R", "S"),
        "O": ("G", "N", "K", "P", "Q"),
    },
    (("P", "R"), ("Q", "S")),
)
MATMUL = Shape(
    "matmul",
    ("B", "M", "N", "K"),
    {"W": ("B", "N", "K"), "I": ("B", "M", "K"), "O": ("B", "M", "N")},
)
SHAPES = {shape.name: shape for shape in (CONVOLUTION, MATMUL)}


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["sizes", "steps"],
    meta_fields=["shape"],
)
@dataclass(frozen=True)
class Problem:
    """One contraction: its shape, the size of every dimension, and its strides and dilations.

    `steps`: elements of the input's axis between neighbours along a dimension of a window: the
    stride of P and Q, the dilation of R and S.
    """

    shape: Shape
    sizes: dict[str, Any]
    steps: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def macs(self) -> Any:
        """Multiply-accumulates."""
        return math.prod(self.sizes[d] for d in self.shape.dimensions)

    def elements(self, tensor: str) -> Any:
        """Elements of a tensor (of the input: those that some window touches as a block)."""
        return footprint(self, tensor, self.sizes)


def convolution(
    *, N: float = 1, K: float = 1, C: float = 1, P: float = 1, Q: float = 1, R: float = 1,
    S: float = 1, G: float = 1, stride: float | tuple[float, float] = 1,
    dilation: float | tuple[float, float] = 1,
) -> Problem:  # fmt: skip
    """A convolution; `stride` and `dilation` along (P, Q) and (R, S), or one number for both.

    Raises `InputError` unless all are whole numbers from 1 to 2^31.
    """
    sizes = {"G": G, "N": N, "K": K, "C": C, "P": P, "Q": Q, "R": R, "S": S}
    (p, q), (r, t) = _pair("stride", stride), _pair("dilation", dilation)
    steps = {"P": p, "Q": q, "R": r, "S": t}
    return _checked(CONVOLUTION, sizes, steps)


def matmul(M: float, N: float, K: float, batch: float = 1) -> Problem:
    """`batch` products of (M, K) by (K, N). Raises `InputError` unless all are at least 1."""
    return _checked(MATMUL, {"B": batch, "M": M, "N": N, "K": K}, {})


def problem_of(operation: Operation) -> Problem:
    """The problem of a workload's contraction; a convolution keeps its own dimensions.

    Raises `InputError` if the operation is no contraction.
    """
    if not isinstance(operation, Operation):
        raise InputError("operation", operation, "allowed: an Operation or a Problem")
    if operation.kind != "contraction":
        raise InputError("operation", operation.name, "allowed: a contraction")
    c = operation.convolution
    if c is None:
        return matmul(operation.m, operation.n, operation.k, operation.batch)
    return convolution(
        G=c.groups, N=c.n, K=c.k, C=c.c, P=c.p, Q=c.q, R=c.r, S=c.s,
        stride=(c.stride_h, c.stride_w), dilation=(c.dilation_h, c.dilation_w),
    )  # fmt: skip


def footprint(problem: Problem, tensor: str, extents: dict[str, Any]) -> Any:
    """Elements of `tensor` that a tile of the given extents touches."""
    windows = problem.shape.windows if tensor == "I" else ()
    paired = {d for window in windows for d in window}
    plain = [extents[d] for d in problem.shape.spans[tensor] if d not in paired]
    return math.prod([*plain, *(window_extent(problem, w, extents) for w in windows)])


def window_extent(problem: Problem, window: tuple[str, str], extents: dict[str, Any]) -> Any:
    """Elements along the input axis that a tile's positions and taps cover."""
    return 1 + sum((extents[d] - 1) * problem.steps[d] for d in window)


def _pair(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, tuple | list):
        return value, value
    if len(value) != 2:
        raise InputError(name, value, "allowed: a number or two")
    return value[0], value[1]


def _checked(shape: Shape, sizes: dict[str, float], steps: dict[str, float]) -> Problem:
    for name, value in {**sizes, **{f"step of {d}": s for d, s in steps.items()}}.items():
        whole = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not whole or not 1 <= value <= LARGEST or value % 1:
            raise InputError(name, value, "allowed: a whole number from 1 to 2^31")
    return Problem(
        shape,
        {d: float(size) for d, size in sizes.items()},
        {d: float(step) for d, step in steps.items()},
    )
