"""What partitioning needs to know of each row, as arrays beside the rows' numeric form.

Rows keep the order of the numeric form. Each one goes, `count` times, into a bucket by place
and phase; rows of the optimiser, and those of a forward phase that depend on parameters only (casts
of weights), run once a step instead of once a micro-batch: bucket "update". "core_forward" counts
again what "layers_forward" has of the rows that selective recomputation repeats.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwmodels.workloads.numeric import Operations
from hwmodels.workloads.operation import SIZES, Operation, Widths
from hwmodels.workloads.workload import Workload

BUCKETS = (
    "first_forward", "first_backward", "layers_forward", "layers_backward", "last_forward",
    "last_backward", "core_forward", "update",
)  # fmt: skip


class Marks(NamedTuple):
    """Per row. `split`, `spread`: 1 at the size (of `SIZES`) that tensor parallelism divides, that
    grows with samples; `sequence`: 1 where sequence parallelism divides what tensor does not;
    `expert`: 1 where experts are its batch; `buckets`: runs by bucket, (rows, buckets);
    `reduced`, `exchanged`: bytes a run that are all-reduced over tensor-parallel chips, and sent
    all-to-all over expert-parallel ones; `grows`: 1 where `reduced` grows with samples; `core`: 1
    where attention works.
    """

    split: tuple[Any, ...]
    spread: tuple[Any, ...]
    sequence: Any
    expert: Any
    buckets: Any
    reduced: Any
    exchanged: Any
    grows: Any
    core: Any


class Rows(NamedTuple):
    """A workload's numeric form with marks: `elementwise` are vector rows, then movement."""

    operations: Operations
    contraction: Marks
    elementwise: Marks


def marked(workload: Workload, operations: Operations, width: float | Widths) -> Rows:
    """`operations` (of `workload`, at an accelerator's `widths`) with their marks."""
    by_kind = {
        kind: [row for row in workload.rows if row.kind == kind]
        for kind in ("contraction", "vector", "movement")
    }

    def padded(kind: str, length: int) -> Marks:
        return _marks(by_kind[kind], length, width)

    vector = padded("vector", operations.vector.count.shape[0])
    movement = padded("movement", operations.movement.count.shape[0])
    both = [_join(a, b) for a, b in zip(vector, movement, strict=True)]
    contraction = padded("contraction", operations.contraction.count.shape[0])
    return Rows(operations, contraction, Marks(*both))


def _join(a: Any, b: Any) -> Any:
    if isinstance(a, tuple):
        return tuple(np.concatenate(pair) for pair in zip(a, b, strict=True))
    return np.concatenate([a, b])


def _marks(rows: list[Operation], length: int, width: float | Widths) -> Marks:
    """Marks of `rows`, filled up with zeros for rows that never run."""

    def column(values: list[Any]) -> np.ndarray:
        filled = np.zeros(length, np.float32)
        filled[: len(rows)] = values
        return filled

    def sent(row: Operation, elements: float) -> float:
        if not elements:
            return 0.0
        result = row.writes[0] if row.writes else row.reads[0]
        return elements * result.bytes(width) / max(result.elements, 1.0)

    buckets = np.zeros((length, len(BUCKETS)), np.float32)
    for i, row in enumerate(rows):
        for name in _buckets(row):
            buckets[i, BUCKETS.index(name)] = row.count
    return Marks(
        split=tuple(column([row.split == size for row in rows]) for size in SIZES),
        spread=tuple(column([row.spread == size for row in rows]) for size in SIZES),
        sequence=column(
            [row.kind != "contraction" and row.spread == "all" and not row.split for row in rows]
        ),
        expert=column([row.expert for row in rows]),
        buckets=buckets,
        reduced=column([sent(row, row.reduced) for row in rows]),
        exchanged=column([sent(row, row.exchanged) for row in rows]),
        grows=column([row.spread not in ("", "k") for row in rows]),
        core=column([row.core for row in rows]),
    )


def _buckets(row: Operation) -> list[str]:
    of_weights = row.kind != "contraction" and row.phase == "forward" and not row.spread
    if row.place == "optimizer" or row.phase == "optimizer" or of_weights:
        return ["update"]
    buckets = [f"{row.place}_{row.phase}"]
    if row.core and buckets == ["layers_forward"]:
        buckets.append("core_forward")
    return buckets
