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
from typing import TYPE_CHECKING

import pandas as pd

from hwmodels.errors import InputError
from hwmodels.workloads.numeric import Operations, pack
from hwmodels.workloads.operation import KINDS, Operation, Saved, Tensor, Widths

if TYPE_CHECKING:
    from hwmodels.workloads.shards import Collective


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
      coverage: primitive name -> how it was costed: "rule", "elements" (one operation each),
        "fleet" (a collective: in `collectives`; moving its part is all that a chip does) or
        "uncosted" (its traffic alone).
      notes: remarks of the tracer, such as the branch taken for a conditional.
      collectives: what a `shard_map` exchanges between chips, one chip's part.
      layers: repeated blocks, which a pipeline may cut apart; 1 if none repeat.
      cut: what one block hands to the next, one block's; None if that is not known.
      saved: what the forward phase keeps for the backward phase.
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
    layers: float = 1.0
    cut: Tensor | None = None
    saved: tuple[Saved, ...] = ()
    coverage: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    collectives: tuple[Collective, ...] = ()
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
