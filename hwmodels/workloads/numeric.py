"""The numeric form of a workload: one struct-of-arrays per kind of operation.

Every leaf is a float32 array whose first axis runs over the distinct operations of that kind;
a model's `cost(accelerator, operation)` sees one row. Kinds of which a workload has none are
empty arrays. Axes over roles follow `RESIDENT_ROLES`; the streamed "input" role comes last in
`traffic`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    from hwmodels.workloads.workload import Operation, Tensor, Workload

# Roles that may stay on chip between operations and steps; "input" (the batch) always streams in.
RESIDENT_ROLES = ("parameter", "gradient", "optimizer_state", "activation")

Array = Any  # a NumPy or JAX array, or a scalar of either


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Contractions:
    """Batched matrix products (m, k) x (k, n), with their fused epilogues.

    `*_bytes`: the tensor once, in DRAM width, over all batches; `*_role`: one-hot over
    `RESIDENT_ROLES` (all zero: streamed); `extra`: bytes of the epilogue's further tensors
    by role, "input" last; `backward`: 1 in the backward phase.
    """

    count: Array
    backward: Array
    batch: Array
    m: Array
    n: Array
    k: Array
    lhs_bytes: Array
    rhs_bytes: Array
    out_bytes: Array
    lhs_role: Array
    rhs_role: Array
    out_role: Array
    extra: Array
    simple: Array
    special: Array
    lhs_density: Array
    rhs_density: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class VectorOperations:
    """Fusion groups without a contraction, and pure data movement (simple = special = 0).

    `traffic`: bytes read and written by role, "input" last.
    """

    count: Array
    backward: Array
    simple: Array
    special: Array
    traffic: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Totals:
    """What the step's tensors add up to; scalars, or arrays over `RESIDENT_ROLES`.

    `footprint`: bytes stored; `ahead`: bytes of the roles that residency serves first
    (greatest traffic saved per byte first).
    """

    samples: Array
    max_global_batch: Array
    footprint: Array
    ahead: Array
    gradient_bytes: Array
    last_gradient_fraction: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Operations:
    """A whole step: the three kinds of operation and the totals."""

    contraction: Contractions
    vector: VectorOperations
    movement: VectorOperations
    totals: Totals


def pack(workload: Workload, format_bits: float | None) -> Operations:
    """Pack `workload` into arrays, narrowing inputs and activations to `format_bits`."""
    by_kind = {
        kind: _padded([row for row in workload.rows if row.kind == kind], kind, workload)
        for kind in ("contraction", "vector", "movement")
    }
    contractions = by_kind["contraction"]

    def sized(tensor: Tensor) -> float:
        return tensor.bytes(format_bits)

    return Operations(
        contraction=Contractions(
            count=_column([row.count for row in contractions]),
            backward=_column([row.phase == "backward" for row in contractions]),
            batch=_column([row.batch for row in contractions]),
            m=_column([row.m for row in contractions]),
            n=_column([row.n for row in contractions]),
            k=_column([row.k for row in contractions]),
            lhs_bytes=_column([sized(row.reads[0]) for row in contractions]),
            rhs_bytes=_column([sized(row.reads[1]) for row in contractions]),
            out_bytes=_column([sized(row.writes[0]) for row in contractions]),
            lhs_role=_one_hot([row.reads[0] for row in contractions]),
            rhs_role=_one_hot([row.reads[1] for row in contractions]),
            out_role=_one_hot([row.writes[0] for row in contractions]),
            extra=_by_role(
                [(*row.reads[2:], *row.writes[1:]) for row in contractions], format_bits
            ),
            simple=_column([row.simple for row in contractions]),
            special=_column([row.special for row in contractions]),
            lhs_density=_column([row.lhs_density for row in contractions]),
            rhs_density=_column([row.rhs_density for row in contractions]),
        ),
        vector=_vector(by_kind["vector"], format_bits),
        movement=_vector(by_kind["movement"], format_bits),
        totals=_totals(workload, format_bits),
    )


def _padded(rows: list[Operation], kind: str, workload: Workload) -> list[Operation]:
    """`rows` filled up to the workload's least number with copies that run zero times."""
    missing = workload.least_rows.get(kind, 0) - len(rows)
    if missing <= 0:
        return rows
    idle = dataclasses.replace(
        rows[0] if rows else next(row for row in workload.rows), count=0.0, phase="forward"
    )
    if not rows and kind == "contraction":  # any shape will do: it never runs
        one = [*idle.reads, *idle.writes][0]
        idle = dataclasses.replace(
            idle, kind=kind, reads=(one, one), writes=(one,), batch=1.0, m=1.0, n=1.0, k=1.0
        )
    return [*rows, *[idle] * missing]


def _vector(rows: list[Operation], format_bits: float | None) -> VectorOperations:
    return VectorOperations(
        count=_column([row.count for row in rows]),
        backward=_column([row.phase == "backward" for row in rows]),
        simple=_column([row.simple for row in rows]),
        special=_column([row.special for row in rows]),
        traffic=_by_role([(*row.reads, *row.writes) for row in rows], format_bits),
    )


def _totals(workload: Workload, format_bits: float | None) -> Totals:
    footprint = _by_role([workload.footprints], format_bits)[0, :-1]
    traffic = sum(
        row.count * _by_role([(*row.reads, *row.writes)], format_bits)[0, :-1]
        for row in workload.rows
    )
    saved_per_byte = traffic / np.maximum(footprint, 1.0)
    order = np.argsort(-saved_per_byte, kind="stable")
    ahead = np.zeros_like(footprint)
    ahead[order] = np.concatenate([[0.0], np.cumsum(footprint[order])[:-1]])
    return Totals(
        samples=np.float32(workload.samples),
        max_global_batch=np.float32(workload.max_global_batch),
        footprint=footprint.astype(np.float32),
        ahead=ahead.astype(np.float32),
        gradient_bytes=np.float32(sum(tensor.bytes() for tensor in workload.gradients)),
        last_gradient_fraction=np.float32(workload.last_gradient_fraction),
    )


def _column(values: list[Any]) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def _one_hot(tensors: list[Tensor]) -> np.ndarray:
    return np.asarray(
        [[tensor.role == role for role in RESIDENT_ROLES] for tensor in tensors], dtype=np.float32
    ).reshape(len(tensors), len(RESIDENT_ROLES))


def _by_role(groups: list[tuple[Tensor, ...]], format_bits: float | None) -> np.ndarray:
    roles = (*RESIDENT_ROLES, "input")
    return np.asarray(
        [
            [sum(t.bytes(format_bits) for t in tensors if t.role == role) for role in roles]
            for tensors in groups
        ],
        dtype=np.float32,
    ).reshape(len(groups), len(roles))
