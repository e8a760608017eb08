"""From fusion groups to the rows of a workload: traffic, names, merging of equal operations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from hwmodels.workloads.groups import Group, reads_of
from hwmodels.workloads.operation import Operation, Tensor
from hwmodels.workloads.program import Program, Ref, Value
from hwmodels.workloads.sharding import Marks, Sharding

_NAMED_OPERATORS = 4


class Assembler:
    """Turns the groups of one program into operations."""

    def __init__(
        self,
        program: Program,
        groups: list[Group],
        phases: dict[int, str],
        roles: dict[int, str],
        sharding: Sharding,
        densities: Mapping[str, float],
    ):
        self.program, self.groups, self.phases = program, groups, phases
        self.roles, self.sharding, self.densities = roles, sharding, densities
        self.readers: dict[int, set[int]] = {}
        for number, group in enumerate(groups):
            for operator in group.operators:
                for ref in operator.inputs:
                    self.readers.setdefault(ref.value.index, set()).add(number)
        # A loop's reads of its carry or of a slice are reads of the tensor behind it.
        for value in reversed(program.values):
            for behind in value.depends if value.producer is None else ():
                found = self.readers.get(value.index, set())
                self.readers.setdefault(behind.index, set()).update(found)

    def operations(self) -> list[Operation]:
        """One operation per group, in order; scalar bookkeeping goes to the largest neighbour."""
        made = [
            (group, self._operation(number, group))
            for number, group in enumerate(self.groups)
            if group.kind != "scalar"
        ]
        rows = [row for _, row in made]
        for region in {group.region: None for group in self.groups if group.kind == "scalar"}:
            for phase in ("forward", "backward", "optimizer"):
                scalars = [
                    group
                    for group in self.groups
                    if group.kind == "scalar"
                    and group.region == region
                    and self._phase(group) == phase
                ]
                if scalars:
                    hosts = [i for i, (group, _) in enumerate(made) if group.region == region]
                    self._absorb(rows, hosts, scalars, phase)
        return rows

    def written(self, number: int) -> list[Value]:
        """Values of a group that something outside it reads, or that must be kept."""
        return [
            value
            for operator in self.groups[number].operators
            for value in operator.outputs
            if value.kept or self.readers.get(value.index, set()) - {number}
        ]

    def _operation(self, number: int, group: Group) -> Operation:
        head = group.head
        shape, phase = head.cost.shape, self._phase(group)
        writes = self.written(number)
        reads = reads_of(group)
        if shape is not None:
            operands = [self._seen(ref) for ref in head.inputs[:2]]
            known = {ref.value.index for ref in head.inputs[:2]}
            extra = [self._tensor(v, n) for v, n in reads if v.index not in known and n > 1]
            main = self._main_result(head.outputs[0], writes)
            results = [self._tensor(main, main.elements)]
            results += [
                self._tensor(v, v.elements) for v in writes if v is not main and v.elements > 1
            ]
            densities = [self.densities.get(ref.value.name or "", 1.0) for ref in head.inputs[:2]]
        else:
            operands, densities = [], [1.0, 1.0]
            extra = [self._tensor(v, n) for v, n in reads if n > 1]
            results = [self._tensor(v, v.elements) for v in writes if v.elements > 1]
        costs = [operator.cost for operator in group.operators]
        marks = self._marks(group)
        return Operation(
            kind=group.kind if group.kind != "scalar" else "vector",
            name=_name(group, phase),
            phase=phase,
            reads=(*operands, *extra),
            writes=tuple(results),
            count=head.count,
            batch=shape.batch if shape else 0.0,
            m=shape.m if shape else 0.0,
            n=shape.n if shape else 0.0,
            k=shape.k if shape else 0.0,
            simple=sum(cost.simple for cost in costs),
            special=sum(cost.special for cost in costs),
            flops=sum(cost.flops for cost in costs),
            transcendentals=sum(cost.transcendentals for cost in costs),
            lhs_density=densities[0],
            rhs_density=densities[1],
            convolution=shape.convolution if shape else None,
            **dataclasses.asdict(marks),
        )

    def _marks(self, group: Group) -> Marks:
        """Those of the contraction, or of the largest operator; sums of all of them."""
        main = group.head
        if main.cost.shape is None:
            marks = self.sharding.marks
            main = max(
                group.operators,
                key=lambda o: (o.space, bool(marks[o.index].spread), bool(marks[o.index].split)),
            )
        found = [self.sharding.marks[operator.index] for operator in group.operators]
        return dataclasses.replace(
            self.sharding.marks[main.index], reduced=sum(marks.reduced for marks in found)
        )

    def _tensor(self, value: Value, elements: float) -> Tensor:
        role = self.roles[value.index]
        # What a loop hands on, or a slice of it, has no producer of its own.
        made = [value] if value.producer is not None else value.depends
        phases = {self.phases[v.producer.index] for v in made if v.producer is not None}
        error = role == "activation" and "backward" in phases
        return Tensor(role, elements, value.bits, value.floating, error)

    def _seen(self, ref: Ref) -> Tensor:
        return self._tensor(ref.value, ref.elements)

    def _main_result(self, result: Value, writes: list[Value]) -> Value:
        """The written tensor that stands for the contraction's result."""
        if not writes:
            return result
        return max(writes, key=lambda v: (v.elements == result.elements, v.bits, v.elements))

    def _phase(self, group: Group) -> str:
        """The contraction's phase, or the one in which most of the group's work falls."""
        if group.kind == "contraction":
            return self.phases[group.head.index]
        work: dict[str, float] = {}
        for operator in group.operators:
            phase = self.phases[operator.index]
            work[phase] = work.get(phase, 0.0) + max(operator.space, 1.0)
        return max(work, key=lambda phase: (work[phase], phase == "backward"))

    def _absorb(
        self, rows: list[Operation], hosts: list[int], scalars: list[Group], phase: str
    ) -> None:
        """Add scalar arithmetic to the largest operation of the same loop, vector if possible."""
        costs = [operator.cost for group in scalars for operator in group.operators]
        extra = {
            name: sum(getattr(cost, name) for cost in costs)
            for name in ("simple", "special", "flops", "transcendentals")
        }
        if not hosts:
            rows.append(
                Operation(
                    "vector", "scalar bookkeeping", phase, (), (), scalars[0].head.count, **extra
                )
            )
            return
        late = phase == "optimizer"
        host = max(
            hosts,
            key=lambda i: (
                rows[i].kind == "vector",
                (rows[i].phase == "optimizer") == late,
                rows[i].phase == phase,
                rows[i].simple,
            ),
        )
        changed = {name: getattr(rows[host], name) + value for name, value in extra.items()}
        rows[host] = dataclasses.replace(rows[host], **changed)


def merge_equal(rows: list[Operation]) -> tuple[Operation, ...]:
    """One row per distinct operation: equal in every number, in phase and in tensors."""
    merged: dict[object, Operation] = {}
    for row in rows:
        key = dataclasses.replace(
            row,
            name="",
            count=1.0,
            reads=_sorted(row, row.reads, 2),
            writes=_sorted(row, row.writes, 1),
        )
        known = merged.get(key)
        if known is None:
            merged[key] = row
            continue
        name = known.name
        if row.name not in name.split(" | ") and len(name) < 80:
            name = f"{name} | {row.name}"
        merged[key] = dataclasses.replace(known, name=name, count=known.count + row.count)
    return tuple(merged.values())


def _sorted(row: Operation, tensors: tuple[Tensor, ...], fixed: int) -> tuple[Tensor, ...]:
    """Tensors in an order that does not matter, after those whose position does."""
    fixed = fixed if row.kind == "contraction" else 0
    rest = sorted(tensors[fixed:], key=lambda t: (t.role, t.elements, t.bits, t.floating))
    return (*tensors[:fixed], *rest)


def _name(group: Group, phase: str) -> str:
    """What the group does: "dot 32x10x784 + add, relu", "exp, sub, mul [32x10]"."""
    head = group.head
    shape = head.cost.shape
    fused = group.operators if shape is None else group.operators[1:]
    labels = list(dict.fromkeys(o.label for o in fused if o.label != "iota"))
    if shape is not None:
        what = "conv" if head.primitive == "conv_general_dilated" else "dot"
        return f"{what} {shape.text}" + (f" + {_listed(labels)}" if labels else "")
    largest = max((o.shape for o in group.operators), key=math.prod)
    size = "x".join(map(str, largest)) or "scalar"
    prefix = "update: " if phase == "optimizer" and group.kind == "vector" else ""
    return f"{prefix}{_listed(labels or [head.label])} [{size}]"


def _listed(labels: list[str]) -> str:
    shown = ", ".join(labels[:_NAMED_OPERATORS])
    hidden = len(labels) - _NAMED_OPERATORS
    return f"{shown}, +{hidden} more" if hidden > 0 else shown
