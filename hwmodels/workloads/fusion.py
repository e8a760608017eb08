"""Fusion groups: which operators run as one, so that only the group's ends are traffic.

Operators are taken in program order; each joins the group of what it reads, if that is legal:

- a group holds at most one contraction, at its head; what joins a contraction is its
  epilogue: operators over exactly the elements of its result (and their reductions);
- no cycle between groups: nothing else that the operator reads may depend on the group through
  another group (every group keeps the set of its ancestors, as the bits of a Python integer);
- what reads a reduction joins the same vector group only while the reduced slab is small
  enough to stay at hand (`SLAB_ELEMENTS`), as in a softmax or a layer norm over a row; it never
  does in an epilogue, whose tile does not see whole rows;
- movement stands alone; loops, and the boundary between gradients and optimizer where data
  parallelism reduces, are never crossed.

In the optimizer, operators that read the same tensor are siblings and share a group; one-element
tensors connect nothing, so that the updates of two parameters stay apart.
"""

from __future__ import annotations

from hwmodels.workloads.groups import Group, inherit, ordered, reads_any, root
from hwmodels.workloads.program import Operator, Program, producers

# What a reduction may read and still be kept at hand for its reader (256 KiB of float32).
SLAB_ELEMENTS = 2**16


class Fuser:
    """Builds the groups of one program."""

    def __init__(self, program: Program, phases: list[str], fused: bool):
        self.program, self.phases, self.fused = program, phases, fused
        self.groups: list[Group] = []
        self.group_of: dict[int, Group] = {}
        self.readers: dict[int, Group] = {}
        contracts = any(o.cost.category == "contraction" for o in program.operators)
        self.siblings_everywhere = not contracts

    def run(self) -> list[Group]:
        """All groups, in an order in which they can run."""
        for operator, phase in zip(self.program.operators, self.phases, strict=True):
            self._place(operator, phase)
        return ordered([group for group in self.groups if group.merged_into is None])

    def _place(self, operator: Operator, phase: str) -> None:
        optimizer = phase == "optimizer"
        parents = {
            self._find(maker): None
            for ref in operator.inputs
            if ref.elements > 0
            for maker in producers(ref.value)
        }
        target = None
        if self.fused and operator.cost.category in ("elementwise", "reduction"):
            target = self._target(operator, list(parents), optimizer)
        if target is None:
            target = self._new_group(operator, optimizer)
        self._add(operator, target, list(parents))
        if target.kind == "vector" and self.fused and not operator.scalar:
            for other in self._neighbours(operator, optimizer):
                other = root(other)
                if other is not target and self._mergeable(target, other):
                    target = self._merge(target, other)
        if target.kind == "vector":
            for ref in operator.inputs:
                if ref.elements > 1:
                    self.readers[ref.value.index] = target

    def _target(self, operator: Operator, parents: list[Group], optimizer: bool) -> Group | None:
        candidates = parents if operator.scalar else self._neighbours(operator, optimizer)
        # Contractions first: a vector group joined instead would read their results back.
        ranked = sorted(
            dict.fromkeys(candidates),
            key=lambda g: (g.kind == "contraction", g.operators[-1].index),
            reverse=True,
        )
        for group in ranked:
            if self._joinable(operator, group, parents, optimizer):
                return group
        return None

    def _neighbours(self, operator: Operator, optimizer: bool) -> list[Group]:
        """Groups that made, or as siblings read, a larger-than-scalar input."""
        found = []
        for ref in operator.inputs:
            if ref.elements <= 1:
                continue
            if ref.value.producer is not None:
                found.append(self._find(ref.value.producer))
            reader = self.readers.get(ref.value.index)
            if reader is not None and (optimizer or self.siblings_everywhere):
                found.append(root(reader))
        return found

    def _joinable(
        self, operator: Operator, group: Group, parents: list[Group], optimizer: bool
    ) -> bool:
        if group.kind not in ("contraction", "vector"):
            return False
        if group.region != operator.region or group.optimizer != optimizer:
            return False
        if any(parent is not group and parent.ancestors & group.mask for parent in parents):
            return False
        if operator.scalar:
            return True
        if any(ref.value.index in group.barriers for ref in operator.inputs):
            return False
        if group.kind == "contraction":
            result = group.head.outputs[0].elements
            return operator.space == result and any(
                ref.elements == result
                and ref.value.producer is not None
                and self._find(ref.value.producer) is group
                for ref in operator.inputs
            )
        return True

    def _mergeable(self, a: Group, b: Group) -> bool:
        if a.kind != "vector" or b.kind != "vector":
            return False
        if a.region != b.region or a.optimizer != b.optimizer:
            return False
        if any(parent is not a and parent.ancestors & a.mask for parent in b.parents):
            return False
        if any(parent is not b and parent.ancestors & b.mask for parent in a.parents):
            return False
        return not (reads_any(a, b.barriers) or reads_any(b, a.barriers))

    def _new_group(self, operator: Operator, optimizer: bool) -> Group:
        category = operator.cost.category
        kind = category if category in ("contraction", "movement") else "vector"
        if kind == "vector" and operator.scalar and self.fused:
            kind = "scalar"
        group = Group(kind, operator.region, optimizer, 1 << len(self.groups))
        self.groups.append(group)
        return group

    def _add(self, operator: Operator, group: Group, parents: list[Group]) -> None:
        group.operators.append(operator)
        self.group_of[operator.index] = group
        self._mark_barriers(operator, group)
        gained = 0
        for parent in parents:
            if parent is not group:
                group.parents.add(parent)
                parent.children.add(group)
                gained |= parent.ancestors | parent.mask
        inherit(group, gained)

    def _mark_barriers(self, operator: Operator, group: Group) -> None:
        if operator.cost.category == "reduction":
            made = max((value.elements for value in operator.outputs), default=1.0)
            limit = 1.0 if group.kind == "contraction" else float(SLAB_ELEMENTS)
            if operator.space / max(made, 1.0) > limit:
                group.barriers.update(value.index for value in operator.outputs)
        if any(ref.value.index in group.barriers for ref in operator.inputs):
            group.barriers.update(value.index for value in operator.outputs)

    def _merge(self, a: Group, b: Group) -> Group:
        a.operators = sorted((*a.operators, *b.operators), key=lambda o: o.index)
        a.mask |= b.mask
        a.barriers |= b.barriers
        for parent in b.parents:
            parent.children.discard(b)
            if parent is not a:
                parent.children.add(a)
                a.parents.add(parent)
        for child in b.children:
            child.parents.discard(b)
            if child is not a:
                child.parents.add(a)
                a.children.add(child)
        a.parents.discard(b)
        a.children.discard(b)
        b.merged_into = a
        both = (a.ancestors | b.ancestors) & ~a.mask
        a.ancestors &= ~a.mask
        inherit(a, both)
        for child in a.children:
            inherit(child, a.ancestors | a.mask)
        return a

    def _find(self, operator: Operator) -> Group:
        return root(self.group_of[operator.index])


def fuse(program: Program, phases: list[str], fused: bool = True) -> list[Group]:
    """The fusion groups of `program`; with `fused=False`, a group per operator."""
    return Fuser(program, phases, fused).run()
