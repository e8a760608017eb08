"""A workload: the operations of one training (or inference) step, on the host.

`rows` are what a person reads: one `Operation` per distinct operation, with names, phases and
tensors. `operations` are what the models read: per kind of operation one numeric
struct-of-arrays (`hwmodels.workloads.numeric`), every leaf a float array over the operations.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from hwmodels.errors import InputError, check_choice
from hwmodels.workloads.numeric import RESIDENT_ROLES, Operations, pack

KINDS = ("contraction", "vector", "movement")
PHASES = ("forward", "backward", "optimizer")
ROLES = ("input", *RESIDENT_ROLES)
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
    error: bool = dataclasses.field(default=False, compare=False)

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

    def __post_init__(self) -> None:
        check_choice("operation.kind", self.kind, KINDS)
        check_choice("operation.phase", self.phase, PHASES)
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


@dataclass(frozen=True, eq=False, repr=False)
class Workload:
    """The operations of one step, with what the fleet and the memories need to know.

    Args:
      rows: the distinct operations.
      samples: samples per step (the per-chip batch).
      max_global_batch: the largest sensible global batch, in samples.
      training: the step updates parameters.
      footprints: the tensors that must be stored, by role; several entries per role where
        widths differ. Activations are the peak of what is alive at once.
      gradients: the parameter gradients that data parallelism reduces.
      last_gradient_fraction: share of `gradients` (bytes) that is produced last, which no
        backward work can hide.
      coverage: primitive name -> how it was costed: "rule", "elements" or "uncosted".
      notes: remarks of the tracer, such as the branch taken for a conditional.
      least_rows: kind -> rows that the numeric form has at least; see `same_shapes`.
    """

    name: str
    rows: tuple[Operation, ...]
    samples: float
    max_global_batch: float
    training: bool
    footprints: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...] = ()
    last_gradient_fraction: float = 1.0
    coverage: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    least_rows: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.rows:
            raise InputError("workload.rows", "none", "a workload has at least one operation")
        if self.samples < 1:
            raise InputError("workload.samples", self.samples, "allowed: >= 1")
        if self.max_global_batch < self.samples:
            raise InputError(
                "workload.max_global_batch",
                self.max_global_batch,
                f"allowed: at least the per-chip batch, {self.samples:g}",
            )

    def __repr__(self) -> str:
        return (
            f"Workload({self.name}: {len(self.rows)} distinct operations, {self.macs:.4g} MACs, "
            f"{self.bytes:.4g} bytes, {self.samples:g} samples a step; see frame())"
        )

    @property
    def macs(self) -> float:
        """Multiply-accumulates of one step."""
        return sum(row.count * row.macs for row in self.rows)

    @property
    def flops(self) -> float:
        """Floating-point operations of one step (XLA's convention, see `Operation`)."""
        return sum(row.count * row.flops for row in self.rows)

    @property
    def bytes(self) -> float:
        """Bytes that the step's operations read and write, at traced widths, nothing resident."""
        return sum(row.count * row.bytes for row in self.rows)

    @functools.cached_property
    def operations(self) -> Operations:
        """Numeric struct-of-arrays at traced widths."""
        return pack(self, None)

    def at_format(self, width: float | Widths) -> Operations:
        """Numeric struct-of-arrays with floats narrowed: inputs and activations, or by class."""
        if isinstance(width, Widths) and self.training:
            width = width._replace(weight=None)
        cache: dict[float | Widths, Operations] = self.__dict__.setdefault("_packed", {})
        if width not in cache:
            cache[width] = pack(self, width)
        return cache[width]

    def frame(self) -> pd.DataFrame:
        """One row per distinct operation: sizes, FLOPs, bytes, arithmetic intensity."""
        return pd.DataFrame(
            {
                "operation": row.name,
                "kind": row.kind,
                "phase": row.phase,
                "count": row.count,
                "batch": row.batch,
                "m": row.m,
                "n": row.n,
                "k": row.k,
                "flops": row.flops,
                "transcendentals": row.transcendentals,
                "read_bytes": sum(t.bytes() for t in row.reads),
                "write_bytes": sum(t.bytes() for t in row.writes),
                "flops_per_byte": row.flops / max(row.bytes, 1.0),
                "lhs_density": row.lhs_density,
                "rhs_density": row.rhs_density,
            }
            for row in self.rows
        )


def same_shapes(workloads: Sequence[Workload]) -> list[Workload]:
    """The workloads with numeric forms of one shape, so that a compiled model serves them all.

    Missing rows are filled up with rows that run zero times.
    """
    least = {
        kind: max(sum(row.kind == kind for row in workload.rows) for workload in workloads)
        for kind in KINDS
    }
    return [dataclasses.replace(workload, least_rows=least) for workload in workloads]
