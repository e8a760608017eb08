"""Rows of a workload: one distinct operation with its tensors, as a person reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hwmodels.errors import InputError, check_choice
from hwmodels.workloads.numeric import RESIDENT_ROLES

KINDS = ("contraction", "vector", "movement")
PHASES = ("forward", "backward", "optimizer")
ROLES = ("input", *RESIDENT_ROLES)
# Sizes of a contraction, and of any other operation.
SIZES = ("batch", "m", "n", "k", "all")
PLACES = ("first", "layers", "last", "optimizer")
# An accelerator may narrow these floats to its operand format; the rest keep the traced width
# (master weights, their gradients and moments).
NARROWED_ROLES = ("input", "activation")


class Widths(NamedTuple):
    """Bits per element, by tensor class, of an accelerator that stores floats narrower.

    `activation`: of inputs and activations; `error`: of the backward phase's error signals;
    `weight`: of parameters (None: as traced), which only inference narrows: training keeps its
    master weights.
    """

    activation: float
    error: float
    weight: float | None = None


@dataclass(frozen=True)
class Tensor:
    """One tensor as an operation sees it: role, number of elements, bits per element.

    `error`: an activation's gradient, made in the backward phase.
    """

    role: str
    elements: float
    bits: float
    floating: bool = True
    error: bool = field(default=False, compare=False)

    def bytes(self, width: float | Widths | None = None) -> float:
        """Size in bytes; `width` narrows floats: of inputs and activations, or by class."""
        if isinstance(width, Widths):
            if self.role == "parameter":
                width = width.weight
            elif self.role in NARROWED_ROLES:
                width = width.error if self.error else width.activation
            else:
                width = None
        elif self.role not in NARROWED_ROLES:
            width = None
        bits = self.bits if width is None or not self.floating else min(self.bits, width)
        return self.elements * bits / 8


@dataclass(frozen=True)
class Saved:
    """Tensors of one kind that the forward phase keeps for the backward phase: `count` of them.

    `split`, `spread`: tensor parallelism divides them, they grow with samples; `core`: selective
    recomputation makes them again; `place` as in `Operation`.
    """

    elements: float
    bits: float
    count: float
    place: str
    split: bool
    spread: bool
    core: bool


@dataclass(frozen=True)
class Convolution:
    """The seven dimensions of a convolution, with strides and dilations (per group)."""

    n: int
    c: int
    k: int
    p: int
    q: int
    r: int
    s: int
    groups: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1


@dataclass(frozen=True)
class Operation:
    """One distinct operation (a fusion group) of the step and how often it runs.

    A contraction is `batch` products of (m, k) by (k, n); `reads[0]` and `reads[1]` are its
    operands, `writes[0]` its result, the rest belongs to the fused epilogue. `simple` and
    `special` count the vector unit's operations (add-like; divide, root and
    transcendental), of the whole group, once. `flops` follows the convention of XLA's cost
    analysis: 2 per multiply-accumulate, 1 per elementwise arithmetic result,
    transcendentals counted apart.

    What parallel training needs to know (`hwmodels.workloads.sharding`): `split`, `spread`: the
    size that tensor parallelism divides, and that grows with samples: one of `SIZES` or none;
    `reduced`: elements of the result that tensor-parallel chips then sum; `core`: what selective
    recomputation repeats; `place`: where a pipeline runs it, of `PLACES`; `expert`: a product of
    experts, `exchanged` elements being sent to or from them.
    """

    kind: str
    name: str
    phase: str
    reads: tuple[Tensor, ...]
    writes: tuple[Tensor, ...]
    count: float = 1.0
    batch: float = 0.0
    m: float = 0.0
    n: float = 0.0
    k: float = 0.0
    simple: float = 0.0
    special: float = 0.0
    flops: float = 0.0
    transcendentals: float = 0.0
    lhs_density: float = 1.0
    rhs_density: float = 1.0
    convolution: Convolution | None = None
    split: str = ""
    spread: str = ""
    reduced: float = 0.0
    core: bool = False
    place: str = "layers"
    expert: bool = False
    exchanged: float = 0.0

    def __post_init__(self) -> None:
        check_choice("operation.kind", self.kind, KINDS)
        check_choice("operation.phase", self.phase, PHASES)
        check_choice("operation.place", self.place, PLACES)
        for name in ("split", "spread"):
            check_choice(f"operation.{name}", getattr(self, name), ("", *SIZES))
        for tensor in (*self.reads, *self.writes):
            check_choice("tensor.role", tensor.role, ROLES)
        if self.kind == "contraction" and (
            min(self.batch, self.m, self.n, self.k) < 1 or len(self.reads) < 2 or not self.writes
        ):
            raise InputError(
                f"operation {self.name}",
                f"batch {self.batch}, m {self.m}, n {self.n}, k {self.k}",
                "a contraction has sizes >= 1, two operands and a result",
            )

    @property
    def macs(self) -> float:
        """Multiply-accumulates of one run."""
        return self.batch * self.m * self.n * self.k

    @property
    def bytes(self) -> float:
        """Bytes read and written by one run at traced widths, every tensor once."""
        return sum(tensor.bytes() for tensor in (*self.reads, *self.writes))
