"""The numeric form of a workload: one struct-of-arrays per kind of operation.

Every leaf is a float32 array whose first axis runs over the distinct operations of that kind;
a model's `cost(accelerator, operation)` sees one row. Kinds of which a workload has none are
empty arrays. Axes over roles follow `RESIDENT_ROLES`; the streamed "input" role comes last in
`traffic`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    from hwmodels.workloads.operation import Operation, Tensor, Widths
    from hwmodels.workloads.workload import Workload

# Roles that may stay on chip between operations and steps; "input" (the batch) always streams in.
RESIDENT_ROLES = ("parameter", "gradient", "optimizer_state", "activation")

Array = Any  # a NumPy or JAX array, or a scalar of either


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Contractions:
    """Batched matrix products (m, k) x (k, n), with their fused epilogues.

    `lhs`, `rhs`: bytes of the operand once, in DRAM width, over all batches, by role; `once`: of
    the result and the epilogue's further tensors, by role; `epilogue_bytes`: of the latter, all
    roles; `every_byte`: of all tensors; `backward`: 1 in the backward phase; `weight`, `error`: 1
    where an operand is a parameter, an error signal; `kept`: share of `rhs`
    that stays where it is from step to step for each weight that can, 1 / parameters; 0 where it
    changes with each use: activations, and weights that are trained. By role: a tuple of
    columns, `RESIDENT_ROLES` and then "input", so that a model indexes without a gather.
    """

    count: Array
    backward: Array
    batch: Array
    m: Array
    n: Array
    k: Array
    lhs: tuple[Array, ...]
    rhs: tuple[Array, ...]
    once: tuple[Array, ...]
    epilogue_bytes: Array
    every_byte: Array
    simple: Array
    special: Array
    lhs_density: Array
    rhs_density: Array
    weight: Array
    error: Array
    kept: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class VectorOperations:
    """Fusion groups without a contraction, and pure data movement (simple = special = 0).

    `traffic`: bytes read and written by role, as in `Contractions`; `every_byte`: their sum.
    """

    count: Array
    backward: Array
    simple: Array
    special: Array
    traffic: tuple[Array, ...]
    every_byte: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Totals:
    """What the step's tensors add up to; scalars, or arrays over `RESIDENT_ROLES`.

    `footprint`: bytes stored; `ahead`: bytes of the roles that residency serves first
    (greatest traffic saved per byte first); `cut_bytes`: mean result of a forward contraction, of
    what crosses from chip to chip where a model is cut between two layers.
    """

    samples: Array
    max_global_batch: Array
    footprint: Array
    ahead: Array
    gradient_bytes: Array
    last_gradient_fraction: Array
    cut_bytes: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Operations:
    """A whole step: the three kinds of operation and the totals."""

    contraction: Contractions
    vector: VectorOperations
    movement: VectorOperations
    totals: Totals


def pack(workload: Workload, width: float | Widths | None) -> Operations:
    """Pack `workload` into arrays, floats narrowed to `width` as in `Tensor.bytes`."""
    by_kind = {
        kind: _padded([row for row in workload.rows if row.kind == kind], kind, workload)
        for kind in ("contraction", "vector", "movement")
    }
    contractions = by_kind["contraction"]
    parameters = sum(t.elements for t in workload.footprints if t.role == "parameter")

    def kept(row: Operation) -> float:
        stays = row.reads[1].role == "parameter" and not workload.training
        return 1.0 / parameters if stays else 0.0

    def size(tensors: Sequence[Tensor]) -> float:
        return sum(tensor.bytes(width) for tensor in tensors)

    return Operations(
        contraction=Contractions(
            count=_column([row.count for row in contractions]),
            backward=_column([row.phase == "backward" for row in contractions]),
            batch=_column([row.batch for row in contractions]),
            m=_column([row.m for row in contractions]),
            n=_column([row.n for row in contractions]),
            k=_column([row.k for row in contractions]),
            lhs=_by_role([row.reads[:1] for row in contractions], width),
            rhs=_by_role([row.reads[1:2] for row in contractions], width),
            once=_by_role([(*row.reads[2:], *row.writes) for row in contractions], width),
            epilogue_bytes=_column(
                [size((*row.reads[2:], *row.writes[1:])) for row in contractions]
            ),
            every_byte=_column([size((*row.reads, *row.writes)) for row in contractions]),
            simple=_column([row.simple for row in contractions]),
            special=_column([row.special for row in contractions]),
            lhs_density=_column([row.lhs_density for row in contractions]),
            rhs_density=_column([row.rhs_density for row in contractions]),
            weight=_column(
                [any(t.role == "parameter" for t in row.reads[:2]) for row in contractions]
            ),
            error=_column([any(t.error for t in row.reads[:2]) for row in contractions]),
            kept=_column([kept(row) for row in contractions]),
        ),
        vector=_vector(by_kind["vector"], width),
        movement=_vector(by_kind["movement"], width),
        totals=_totals(workload, width),
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


def _vector(rows: list[Operation], width: float | Widths | None) -> VectorOperations:
    return VectorOperations(
        count=_column([row.count for row in rows]),
        backward=_column([row.phase == "backward" for row in rows]),
        simple=_column([row.simple for row in rows]),
        special=_column([row.special for row in rows]),
        traffic=_by_role([(*row.reads, *row.writes) for row in rows], width),
        every_byte=_column(
            [sum(t.bytes(width) for t in (*row.reads, *row.writes)) for row in rows]
        ),
    )


def _totals(workload: Workload, width: float | Widths | None) -> Totals:
    stored = _by_role([workload.footprints], width)
    moved = _by_role([(*row.reads, *row.writes) for row in workload.rows], width)
    counts = _column([row.count for row in workload.rows])
    footprint = np.concatenate(stored[:-1])
    traffic = np.asarray([np.dot(counts, column) for column in moved[:-1]])
    saved_per_byte = traffic / np.maximum(footprint, 1.0)
    order = np.argsort(-saved_per_byte, kind="stable")
    ahead = np.zeros_like(footprint)
    ahead[order] = np.concatenate([[0.0], np.cumsum(footprint[order])[:-1]])
    results = [
        (row.count, row.writes[0].bytes(width))
        for row in workload.rows
        if row.kind == "contraction" and row.phase == "forward"
    ]
    runs = sum(count for count, _ in results)
    return Totals(
        samples=np.float32(workload.samples),
        max_global_batch=np.float32(workload.max_global_batch),
        footprint=footprint.astype(np.float32),
        ahead=ahead.astype(np.float32),
        gradient_bytes=np.float32(sum(tensor.bytes() for tensor in workload.gradients)),
        last_gradient_fraction=np.float32(workload.last_gradient_fraction),
        cut_bytes=np.float32(sum(c * size for c, size in results) / runs if runs else 0.0),
    )


def _column(values: list[Any]) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def _by_role(
    groups: Sequence[Sequence[Tensor]], width: float | Widths | None
) -> tuple[np.ndarray, ...]:
    """Bytes of the tensors of each group: a column for each role, "input" last."""
    return tuple(
        _column([sum(t.bytes(width) for t in ts if t.role == role) for ts in groups])
        for role in (*RESIDENT_ROLES, "input")
    )
