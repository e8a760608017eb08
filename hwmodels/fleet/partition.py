"""One chip's part of every row, and what a micro-batch then costs, bucket by bucket.

Tensor parallelism divides the size that a row's `split` mark names, a micro-batch of b samples
scales the size of its `spread` mark by b / samples. Of (m, k) x (k, n) a size divides the operands
and the result that have it; a fused epilogue follows the result. Sequence parallelism divides the
elementwise rows of the blocks that tensor parallelism leaves whole (Korthikanti et al., 2022).
With e expert-parallel chips each has 1 / e of the experts and the tokens of e chips for them.

Left out: sequence-parallel epilogues of row-parallel products (a residual's addition is charged in
full), uneven shares (a size that does not divide makes a margin negative). The shares of tensors
that residency keeps on chip count the whole model's depth, as if there were one stage.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.rates import prepare
from hwmodels.accelerators.work import (
    Work,
    contraction_work,
    energy_terms,
    time_terms,
    vector_work,
)
from hwmodels.fleet.marks import Marks, Rows
from hwmodels.relax import EXACT
from hwmodels.workloads.numeric import RESIDENT_ROLES, Contractions, Totals, VectorOperations


class Cut(NamedTuple):
    """How rows are cut: the part of a plan that they depend on; one chip's rows follow."""

    tensor: Any
    microbatch: Any
    sequence: Any
    expert: Any


class RowCosts(NamedTuple):
    """Costs of a micro-batch on one chip, before layers are shared by stages; arrays over `BUCKETS`
    unless said otherwise.

    `time` [s], `energy` [J]; `shared` [s]: of `time`, what falls when a row's bytes are sharded
    (all but launches and latencies); `reduced`, `exchanged` [bytes] and their number of calls;
    scalars of the chip: `clock` [Hz], `static_power` [W].
    """

    time: Any
    shared: Any
    energy: Any
    reduced: Any
    reductions: Any
    exchanged: Any
    exchanges: Any
    clock: Any
    static_power: Any


def row_costs(
    chip: Accelerator, rows: Rows, cut: Cut, *, attention: Any, runtime: str, residency: str
) -> RowCosts:
    """Cost of every row of one chip's part, summed by bucket.

    `attention`: share of the products' rate that its kernels reach.
    """
    operations = rows.operations
    samples = operations.totals.samples
    totals = resident_totals(operations.totals, cut)
    rates = prepare(chip, totals, EXACT, runtime=runtime, residency=residency)
    elementwise = jax.tree.map(
        lambda a, b: jnp.concatenate([a, b]), operations.vector, operations.movement
    )

    def product(op: Any, marks: Marks) -> Any:
        slower = 1.0 + marks.core * (1.0 / attention - 1.0)
        own = dataclasses.replace(rates, compute_stretch=rates.compute_stretch * slower)
        work = contraction_work(chip, own, contraction_part(op, marks, cut, samples), EXACT)
        return _costs(own, work, marks, cut, samples)

    def other(op: Any, marks: Marks) -> Any:
        work = vector_work(rates, vector_part(op, marks, cut, samples), EXACT)
        return _costs(rates, work, marks, cut, samples)

    sums = None
    for ask, ops, marks in (
        (product, operations.contraction, rows.contraction),
        (other, elementwise, rows.elementwise),
    ):
        if ops.count.shape[0] == 0:
            continue
        costs = jax.vmap(ask)(ops, marks)
        added = jax.tree.map(lambda term, runs=marks.buckets: term @ runs, costs)
        sums = added if sums is None else jax.tree.map(jnp.add, sums, added)
    assert sums is not None  # a workload has rows
    static = sum(rates.static_power.values())
    return RowCosts(**sums, clock=rates.clock, static_power=static)


def _costs(rates: Any, work: Work, marks: Marks, cut: Cut, samples: Any) -> dict[str, Any]:
    grown = cut.microbatch / samples
    reduced = marks.reduced * (1.0 + marks.grows * (grown - 1.0))
    exchanged = marks.exchanged * grown
    return {
        "time": sum(time_terms(rates, work).values()),
        "shared": work.busy,
        "energy": sum(energy_terms(rates, work).values()),
        "reduced": reduced,
        "reductions": jnp.where(reduced > 0.0, 1.0, 0.0),
        "exchanged": exchanged,
        "exchanges": jnp.where(exchanged > 0.0, 1.0, 0.0),
    }


def contraction_part(op: Contractions, marks: Marks, cut: Cut, samples: Any) -> Contractions:
    """One chip's part of a contraction, for one micro-batch."""
    factors = [_factor(marks, i, cut, samples) for i in range(4)]
    batch, m, n, k = (
        size(x) for size, x in zip(factors, (op.batch, op.m, op.n, op.k), strict=True)
    )
    fb, fm, fn, fk = (size(1.0) for size in factors)
    left, right, result = fb * fm * fk, fb * fn * fk, fb * fm * fn
    lhs = tuple(x * left for x in op.lhs)
    rhs = tuple(x * right for x in op.rhs)
    once = tuple(x * result for x in op.once)
    return dataclasses.replace(
        op,
        batch=batch, m=m, n=n, k=k, lhs=lhs, rhs=rhs, once=once,
        epilogue_bytes=op.epilogue_bytes * result,
        every_byte=sum(lhs) + sum(rhs) + sum(once),
        simple=op.simple * result,
        special=op.special * result,
    )  # fmt: skip


def _factor(marks: Marks, i: int, cut: Cut, samples: Any) -> Any:
    """How size i changes. Divisions come first and apart: they are exact where they divide."""
    split = 1.0 + marks.split[i] * (cut.tensor - 1.0)
    before = 1.0 + marks.spread[i] * (samples - 1.0)
    after = 1.0 + marks.spread[i] * (cut.microbatch - 1.0)
    tokens = 1.0 + marks.expert * marks.spread[i] * (cut.expert - 1.0)
    owned = 1.0 + (marks.expert * (cut.expert - 1.0) if i == 0 else 0.0)
    return lambda size: size / split / before / owned * after * tokens


def vector_part(op: VectorOperations, marks: Marks, cut: Cut, samples: Any) -> VectorOperations:
    """One chip's part of an elementwise or movement row, for one micro-batch."""
    split = 1.0 + marks.split[-1] * (cut.tensor - 1.0)
    sequence = 1.0 + marks.sequence * cut.sequence * (cut.tensor - 1.0)
    grown = 1.0 + marks.spread[-1] * (cut.microbatch / samples - 1.0)
    factor = grown / (split * sequence)
    return dataclasses.replace(
        op,
        simple=op.simple * factor,
        special=op.special * factor,
        traffic=tuple(x * factor for x in op.traffic),
        every_byte=op.every_byte * factor,
    )


def resident_totals(totals: Totals, cut: Cut) -> Totals:
    """Footprints of one chip, for residency: weights by tensor, activations by samples."""
    activation = RESIDENT_ROLES.index("activation")
    of_activation = jnp.arange(len(RESIDENT_ROLES)) == activation
    grown = cut.microbatch / totals.samples
    footprint = totals.footprint * jnp.where(of_activation, grown, 1.0 / cut.tensor)
    ahead = jnp.asarray(totals.ahead)
    earlier = (ahead[None, :] < ahead[:, None]).astype(footprint.dtype)
    return dataclasses.replace(totals, footprint=footprint, ahead=earlier @ footprint)
