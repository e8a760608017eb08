"""`shard_map` in a trace: the work of one chip, and what it exchanges with the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hwmodels.workloads.primitives import Cost
from hwmodels.workloads.program import Operator, Ref, describe, part_of, whole

if TYPE_CHECKING:
    from hwmodels.workloads.flatten import Flattener

_KINDS = {
    **dict.fromkeys(("psum", "psum_invariant", "pmax", "pmin"), "all_reduce"),
    **dict.fromkeys(("all_gather", "all_gather_invariant", "all_gather_reduced"), "all_gather"),
    **dict.fromkeys(("reduce_scatter", "unreduced_reduce_scatter"), "reduce_scatter"),
    "all_to_all": "all_to_all",
    "ragged_all_to_all": "all_to_all",
    "ppermute": "permute",
    "psend": "permute",
    "precv": "permute",
}


@dataclass(frozen=True)
class Collective:
    """An exchange between the chips of a mesh, once for each of `count` runs.

    Args:
      kind: "all_reduce", "all_gather", "reduce_scatter", "all_to_all" or "permute".
      axes: the mesh axes that take part.
      chips: chips that take part, of each group.
      bytes: what one chip puts in.
      count: runs in a step.
      phase: "forward", "backward" or "optimizer".
    """

    kind: str
    axes: tuple[str, ...]
    chips: int
    bytes: float
    count: float = 1.0
    phase: str = "forward"


def exchange(eqn: Any, sizes: Mapping[str, int]) -> Cost | None:
    """Cost on one chip of a collective, which is moving its part; None for other primitives."""
    kind = _KINDS.get(eqn.primitive.name)
    if kind is None:
        return None
    named = eqn.params.get("axes", eqn.params.get("axis_name", ()))
    axes = (named,) if isinstance(named, str) else tuple(str(axis) for axis in named)
    groups = eqn.params.get("axis_index_groups")
    chips = len(groups[0]) if groups else math.prod(sizes.get(axis, 1) for axis in axes)
    put_in = sum(
        elements * bits / 8 for elements, bits, _ in (describe(v.aval) for v in eqn.invars)
    )
    return Cost("movement", coverage="fleet", collective=Collective(kind, axes, int(chips), put_in))


def collectives_of(
    operators: Iterable[Operator], phase_of: Mapping[int, str]
) -> tuple[Collective, ...]:
    """The exchanges of a step, equal ones counted together."""
    counts: Counter[Collective] = Counter()
    for operator in operators:
        found = operator.cost.collective
        if found is not None:
            counts[replace(found, phase=phase_of[operator.index])] += operator.count  # type: ignore[assignment]
    return tuple(replace(found, count=float(count)) for found, count in counts.items())


def inline_shards(flattener: Flattener, eqn: Any, refs: list[Ref]) -> list[Ref]:
    """The body of a `shard_map`, in which every tensor is one chip's share.

    Arguments of the step that go straight into it count as that share from then on; a tensor
    that was computed before is read in part.
    """
    body, sizes = eqn.params["jaxpr"], dict(eqn.params["mesh"].shape)
    arguments = []
    for ref, variable in zip(refs, body.invars, strict=True):
        local, value = describe(variable.aval)[0], ref.value
        if value.producer is None and value.origin is None and not value.constant:
            value.elements = local
            flattener.local_shapes[value.index] = tuple(variable.aval.shape)
            arguments.append(whole(value))
        else:
            arguments.append(part_of(ref, local, flattener.new_part()))
    outer = flattener.mesh
    flattener.mesh = {**outer, **sizes}
    results = flattener.inline(body, [], arguments)
    flattener.mesh = outer
    mesh = ", ".join(f"{name} = {size}" for name, size in sizes.items())
    flattener.notes.append(
        f"shard_map over {mesh}: counted is one of its {math.prod(sizes.values())} chips; what "
        "stands outside of it is counted whole"
    )
    return results
