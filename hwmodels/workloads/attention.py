"""Fused attention: a traced step as if its attention were one kernel (Dao et al., NeurIPS 2022).

    S = q k^T,  P = softmax(S),  o = P v                            forward: 2 products
    S again, dP = do v^T, dv = P^T do, dq = dS k, dk = dS^T q       backward: 5, unfused 4

S, P, dP and dS (queries x keys a head) stay on chip: products and elementwise work keep their
arithmetic, lose that traffic, and elementwise operations launch nothing of their own. Making S
again costs its product, its epilogue (scale, mask) and exp(S - statistic). Of what the forward
phase saves, two numbers a row of scores remain. Masks come from indices and are not read.

`causal`: blocks above the diagonal are skipped in both phases, half of the products' and of the
elementwise work (Dao, 2023, section 3.1; exactly (1 + block / keys) / 2).

Left out: products of one kernel count as kernels (a few launches more, and q, k, v, do read up
to twice), the row sums of do o (1 / keys of a product), dropout's mask drawn again, the
exponentials of the running maximum. A trace with recomputation of its own gets S once more.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from hwmodels.errors import InputError
from hwmodels.workloads.operation import Operation, Saved, Tensor
from hwmodels.workloads.workload import Workload

ON_CHIP = 1.0  # element that stands for a product's operand or result that stays on chip


def fuse_attention(workload: Workload, *, causal: bool = False) -> Workload:
    """The same step with fused attention, wherever two products hand scores to each other.

    Args:
      workload: traced, with marks; scores are known by their number of elements.
      causal: later keys are skipped, not computed and masked.

    Raises:
      InputError: nothing in the workload is attention, or queries are as large as scores.
    """
    makers = _makers(workload.rows)
    rows = list(workload.rows)
    for scores, firsts in makers.items():
        rows = _fused(rows, scores, firsts, 0.5 if causal else 1.0)
    gone = [kind for kind in workload.saved if kind.core and kind.elements in makers]
    return dataclasses.replace(
        workload,
        rows=tuple(rows),
        saved=tuple(kind for kind in workload.saved if kind not in gone),
        footprints=_without(workload.footprints, gone),
    )


def _makers(rows: Sequence[Operation]) -> dict[float, list[Operation]]:
    """Elements of scores -> the forward products that make them, for others to read."""
    products = [r for r in rows if r.core and r.kind == "contraction" and r.phase == "forward"]
    found: dict[float, list[Operation]] = {}
    for row in products:
        if not any(t.elements in found for t in row.reads[:2]):
            found.setdefault(row.batch * row.m * row.n, []).append(row)
    read = {t.elements for row in products for t in row.reads[:2]}
    makers = {scores: firsts for scores, firsts in found.items() if scores in read}
    if not makers:
        raise InputError("workload", "no attention in it", "allowed: traced steps with attention")
    for scores, firsts in makers.items():
        if any(t.elements == scores for row in firsts for t in row.reads[:2]):
            raise InputError(
                "workload", f"queries as large as scores ({scores:g})",
                "allowed: sequences longer or shorter than a head's size",
            )  # fmt: skip
    return makers


def _fused(
    rows: list[Operation], scores: float, firsts: list[Operation], share: float
) -> list[Operation]:
    """The rows with the attention of these scores fused, phase by phase."""
    inside = [row for row in rows if row.core and _inside(row, scores)]
    kernels = {}
    for phase in ("forward", "backward"):
        mine = [row for row in inside if row.phase == phase]
        products = [row for row in mine if row.kind == "contraction"]
        loose = [row for row in mine if row.kind != "contraction"]
        if phase == "backward" and products:
            products += [_again(row, scores) for row in firsts]
        kernels[phase] = _kernel(products, loose, scores, share) if products else loose
    made = []
    for row in rows:
        made += kernels.pop(row.phase, []) if row in inside else [row]
    return made


def _again(row: Operation, scores: float) -> Operation:
    """The product that makes scores, in the backward phase: with exp(score - statistic)."""
    more = {
        name: getattr(row, name) + scores
        for name in ("simple", "special", "flops", "transcendentals")
    }
    return dataclasses.replace(row, phase="backward", name=f"again: {row.name}", **more)


def _inside(row: Operation, scores: float) -> bool:
    """Reads scores, or makes them in a product."""
    seen = (*row.reads, *row.writes) if row.kind == "contraction" else row.reads
    return any(t.elements == scores for t in seen)


def _kernel(
    products: list[Operation], loose: list[Operation], scores: float, share: float
) -> list[Operation]:
    """The products of one phase, the first of which does all elementwise work."""
    rows = []
    for i, row in enumerate(products):
        others = [(x, x.count / row.count) for x in loose] if i == 0 else []
        work = {
            name: share * sum(runs * getattr(x, name) for x, runs in [(row, 1.0), *others])
            for name in ("simple", "special", "flops", "transcendentals")
        }
        # Keys are the columns of the scores, or what is summed over: also where that is queries.
        keys = "n" if row.batch * row.m * row.n == scores else "k"
        work[keys] = max(share * getattr(row, keys), 1.0)
        reads = [_held(t, scores) for t in row.reads[:2]] + _read(row.reads[2:], 1.0, scores)
        writes = [_held(t, scores) for t in row.writes[:1]] + _read(row.writes[1:], 1.0, scores)
        for x, runs in others:
            reads += _read(x.reads, runs, scores)
            writes += _read(x.writes, runs, scores)
        rows.append(dataclasses.replace(row, reads=tuple(reads), writes=tuple(writes), **work))
    return rows


def _held(tensor: Tensor, scores: float) -> Tensor:
    return dataclasses.replace(tensor, elements=ON_CHIP) if tensor.elements == scores else tensor


def _read(tensors: Sequence[Tensor], runs: float, scores: float) -> list[Tensor]:
    """Those that are neither scores nor masks, as read (or written) in each of `1 / runs` runs."""
    return [
        dataclasses.replace(t, elements=runs * t.elements)
        for t in tensors
        if t.floating and t.elements != scores
    ]


def _without(footprints: Sequence[Tensor], gone: Sequence[Saved]) -> tuple[Tensor, ...]:
    """Activations less what is not saved any more: the peak, at the end of the forward phase."""
    less: Counter[float] = Counter()
    for kind in gone:
        less[kind.bits] += kind.count * kind.elements  # type: ignore[assignment]
    left = []
    for t in footprints:
        if t.role == "activation":
            taken = min(less[t.bits], t.elements)
            less[t.bits] -= taken  # type: ignore[assignment]
            t = dataclasses.replace(t, elements=t.elements - taken)
        left.append(t)
    return tuple(left)
