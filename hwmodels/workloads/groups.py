"""Fusion groups as a graph: ancestors, order, and what a group reads."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from hwmodels.workloads.program import Operator, Value


@dataclass(eq=False)
class Group:
    """Operators that run as one. `kind`: an operation's kind, or "scalar".

    `mask`: the bits that stand for this group (several after merging) in `ancestors` of others.
    `barriers`: results that a further operator of this group could not read.
    """

    kind: str
    region: tuple[int, ...]
    optimizer: bool
    mask: int
    operators: list[Operator] = field(default_factory=list)
    ancestors: int = 0
    parents: set[Group] = field(default_factory=set)
    children: set[Group] = field(default_factory=set)
    barriers: set[int] = field(default_factory=set)
    merged_into: Group | None = None

    @property
    def head(self) -> Operator:
        """The operator that gives the group its shape: the contraction, or the first one."""
        return self.operators[0]


def root(group: Group) -> Group:
    """The group into which `group` was merged, or itself."""
    while group.merged_into is not None:
        group = group.merged_into
    return group


def inherit(group: Group, ancestors: int) -> None:
    """Give `group`, and what depends on it, further ancestors."""
    waiting = [(group, ancestors)]
    while waiting:
        current, gained = waiting.pop()
        if gained & ~current.ancestors:
            current.ancestors |= gained
            waiting.extend((child, gained) for child in current.children)


def reads_any(group: Group, values: set[int]) -> bool:
    """Whether an operator of the group, other than scalar ones, reads one of `values`."""
    return bool(values) and any(
        ref.value.index in values
        for operator in group.operators
        if not operator.scalar
        for ref in operator.inputs
    )


def ordered(groups: list[Group]) -> list[Group]:
    """Topological order, by program order among groups that are ready."""
    waiting = {group: len(group.parents) for group in groups}
    ready = [(g.head.index, i) for i, g in enumerate(groups) if not g.parents]
    position = {group: i for i, group in enumerate(groups)}
    heapq.heapify(ready)
    result = []
    while ready:
        group = groups[heapq.heappop(ready)[1]]
        result.append(group)
        for child in group.children:
            waiting[child] -= 1
            if waiting[child] == 0:
                heapq.heappush(ready, (child.head.index, position[child]))
    if len(result) != len(groups):
        raise AssertionError("fusion made a cycle between groups")
    return result


def reads_of(group: Group) -> list[tuple[Value, float]]:
    """What the group reads from outside, each tensor once, with the elements read."""
    inside = {value.index for operator in group.operators for value in operator.outputs}
    parts: dict[int, dict[int | None, float]] = {}
    values: dict[int, Value] = {}
    for operator in group.operators:
        for ref in operator.inputs:
            if ref.value.index not in inside:
                values[ref.value.index] = ref.value
                seen = parts.setdefault(ref.value.index, {})
                seen[ref.part] = max(seen.get(ref.part, 0.0), ref.elements)
    return [
        (value, min(value.elements, sum(parts[index].values()))) for index, value in values.items()
    ]
