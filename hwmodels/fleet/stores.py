"""What a model keeps in memory, by what divides it: parameters by place, saved activations.

Parameters of the blocks are the weights of their forward products (the operand that does not grow
with samples) and further parameters that their rows read; the rest belongs to the first block
(embedding) and the last one (head). Where a first block looks rows up and too few parameters are
left for a table of its own, it shares the head's (tied weights), which both ends of a pipeline
then store.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from hwmodels.workloads.operation import Operation, Tensor, Widths
from hwmodels.workloads.scenario import single
from hwmodels.workloads.workload import Workload


class Weights(NamedTuple):
    """Parameters in each place, whole model: `split` by tensor parallelism, or `whole`; `experts`
    in expert products (split by both; None if there are none); `tied`: of the last place's, what
    a first stage stores again."""

    layers_split: Any
    layers_whole: Any
    experts: Any
    first: Any
    last: Any
    tied: Any


class Activations(NamedTuple):
    """Bytes that one sample saves for the backward phase, whole model: of the blocks by what
    divides them (tensor parallelism; sequence parallelism), those that selective recomputation
    makes again (`core`), and of the ends."""

    layers_split: Any
    layers_whole: Any
    core_split: Any
    core_whole: Any
    first: Any
    last: Any


class Stores(NamedTuple):
    """Everything about a workload's memory that plans divide; scalars.

    Bytes of a parameter: `working` (as multiplied), `master` (the wider copy of it, if any),
    `states` (optimiser's). `cut`: bytes that one sample hands from block to block. `layers`:
    repeated blocks; `samples` of the trace; `last_gradient`: share of the gradient made last.
    Numbers that a plan must divide: `tensor_divides`, `experts`.
    """

    weights: Weights
    activations: Activations
    working: Any
    master: Any
    states: Any
    cut: Any
    layers: Any
    samples: Any
    last_gradient: Any
    macs: Any
    tensor_divides: Any
    experts: Any


def stores(workload: Workload, width: float | Widths) -> Stores:
    """Memory of `workload` with activations and working copies at an accelerator's `widths`."""
    workload = single(workload, "a parallel plan")
    stored = {role: [t for t in workload.footprints if t.role == role] for role in _ROLES}
    parameters = sum(t.elements for t in stored["parameter"])
    each = 8.0 * max(parameters, 1.0)
    traced = 8.0 * sum(t.bytes() for t in stored["parameter"]) / each
    narrow = width.activation if isinstance(width, Widths) else width
    working = min(traced, narrow / 8.0) if workload.training else traced
    samples = workload.samples
    cut = workload.cut.bytes(width) / samples if workload.cut else 0.0
    return Stores(
        weights=_weights(workload, parameters),
        activations=_activations(workload, width),
        working=working,
        master=traced if working < traced else 0.0,
        states=8.0 * sum(t.bytes() for t in stored["optimizer_state"]) / each,
        cut=cut,
        layers=workload.layers,
        samples=samples,
        last_gradient=workload.last_gradient_fraction,
        macs=workload.macs,
        tensor_divides=_common([_split_size(row, samples) for row in workload.rows]),
        experts=_common([row.batch if row.expert else 0.0 for row in workload.rows]),
    )


_ROLES = ("parameter", "optimizer_state")


def _weights(workload: Workload, parameters: float) -> Weights:
    split = whole = experts = last = 0.0
    looks_up = False
    for row in workload.rows:
        if row.phase != "forward":
            continue
        weight = weight_of(row)
        elements = row.count * weight.elements if weight else 0.0
        operands = row.reads[2:] if row.kind == "contraction" else row.reads
        read = sum(t.elements for t in operands if t.role == "parameter")
        others = row.count * read if row.spread else 0.0  # without: a cast of what is counted
        if row.place == "first":
            looks_up |= row.kind != "contraction" and row.reduced > 0.0
        elif row.place == "last":
            last += elements + others
        elif row.expert:
            experts += elements
            whole += others
        elif row.split:
            split += elements + others
        else:
            whole += elements + others
    found = split + whole + experts + last
    if not found:  # no row says: all belong to the blocks
        return Weights(0.0, parameters, None, 0.0, 0.0, 0.0)
    split, whole, experts, last = (
        min(1.0, parameters / found) * x for x in (split, whole, experts, last)
    )
    rest = max(parameters - (split + whole + experts + last), 0.0)
    tied = last if looks_up and rest < last else 0.0
    return Weights(split, whole, experts or None, rest, last, tied)


def weight_of(row: Operation) -> Tensor | None:
    """The operand of a product that does not grow with samples; None: there is none."""
    if row.kind != "contraction" or row.spread not in ("m", "n"):
        return None
    return row.reads[1 if row.spread == "m" else 0]


def _activations(workload: Workload, width: float | Widths) -> Activations:
    sums = dict.fromkeys(Activations._fields, 0.0)
    for kind in workload.saved:
        size = kind.count * Tensor("activation", kind.elements, kind.bits).bytes(width)
        size /= workload.samples if kind.spread else 1.0
        if kind.place != "layers":
            sums["first" if kind.place == "first" else "last"] += size
        else:
            sums[f"{'core' if kind.core else 'layers'}_{'split' if kind.split else 'whole'}"] += (
                size
            )
    if not workload.saved:  # no row says: what is alive at once, undivided
        alive = [t for t in workload.footprints if t.role == "activation"]
        sums["layers_whole"] = sum(t.bytes(width) for t in alive) / workload.samples
    return Activations(**sums)


def _split_size(row: Operation, samples: float) -> float:
    """The size, for one sample, that tensor parallelism divides in a product of the blocks."""
    if (
        row.kind != "contraction"
        or row.place != "layers"
        or row.split not in ("batch", "m", "n", "k")
    ):
        return 0.0
    size = getattr(row, row.split)
    return size / samples if row.spread == row.split else size


def _common(sizes: list[float]) -> float:
    """Greatest common divisor of the sizes above 0; 1 if there is none."""
    whole = [round(size) for size in sizes if size]
    return float(math.gcd(*whole)) if whole else 1.0
