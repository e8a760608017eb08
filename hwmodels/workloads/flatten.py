"""Inline a jaxpr into a `Program`: calls, `scan`, `cond` and `while` become flat operators.

A scan's body appears once, its operators counted `length` times; of a `cond` the branch with
the most FLOPs is counted; a `while` needs its trip count from the caller.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from jax.extend.core import Literal

from hwmodels.workloads.loops import body_links, linear_solve, trip_count, where
from hwmodels.workloads.primitives import (
    LAYOUT_CHANGES,
    SCATTERS,
    STRUCTURE,
    VIEWS,
    Cost,
    call_label,
    cost_of,
    is_relabelling,
    is_window,
    made,
    touched,
)
from hwmodels.workloads.program import Operator, Program, Ref, Value, describe, part_of, whole
from hwmodels.workloads.shards import exchange, inline_shards

TripCounts = Mapping[str, int] | int | None

_SUBJAXPRS = ("jaxpr", "call_jaxpr", "fun_jaxpr")


class Flattener:
    """Walks jaxprs and collects operators and values."""

    def __init__(self, trip_counts: TripCounts = None):
        self.operators: list[Operator] = []
        self.values: list[Value] = []
        self.constants: list[Value] = []
        self.coverage: dict[str, str] = {}
        self.notes: list[str] = []
        self.trip_counts = trip_counts
        self.used_trip_counts: set[str] = set()
        self.mesh: dict[str, int] = {}
        self.local_shapes: dict[int, tuple[int, ...]] = {}
        self.microbatched: set[int] = set()
        self._regions = itertools.count(1)
        self._parts = itertools.count(1)
        self._stack, self._label = "", ""
        self._count = 1.0
        self._region: tuple[int, ...] = ()

    def program(self, closed: Any) -> Program:
        """Flatten a closed jaxpr whose inputs are the step's inputs."""
        inputs = [self.new_value(v.aval) for v in closed.jaxpr.invars]
        constants = [self._constant(c) for c in closed.consts]
        outputs = self.inline(closed.jaxpr, constants, [whole(v) for v in inputs])
        outputs = [
            self.materialise(ref, v.aval, "copy")
            for ref, v in zip(outputs, closed.jaxpr.outvars, strict=True)
        ]
        for ref in outputs:
            ref.value.kept = True
        program = Program(
            self.operators,
            self.values,
            inputs,
            self.constants,
            outputs,
            self.coverage,
            list(dict.fromkeys(self.notes)),
            self.local_shapes,
            self.microbatched,
        )
        program.drop_dead()
        return program

    def new_value(self, aval: Any, **fields: Any) -> Value:
        """A new tensor of the abstract value's size."""
        elements, bits, floating = describe(aval)
        value = Value(len(self.values), elements, bits, floating, **fields)
        self.values.append(value)
        return value

    def new_part(self) -> int:
        """A number for another part of a tensor."""
        return next(self._parts)

    def inline(self, jaxpr: Any, consts: Sequence[Ref], args: Sequence[Ref]) -> list[Ref]:
        """Add the equations of `jaxpr`; returns what its outputs refer to."""
        env: dict[Any, Ref] = dict(zip(jaxpr.constvars, consts, strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))

        def read(variable: Any) -> Ref:
            if isinstance(variable, Literal):
                return self._constant(variable.val, variable.aval)
            return env[variable]

        for eqn in jaxpr.eqns:
            refs = [read(v) for v in eqn.invars]
            outer = self._stack
            inner = str(eqn.source_info.name_stack)
            self._stack = f"{outer}/{inner}" if outer and inner else outer or inner
            env.update(zip(eqn.outvars, self._equation(eqn, refs), strict=True))
            self._stack = outer
        return [read(v) for v in jaxpr.outvars]

    def materialise(self, ref: Ref, aval: Any, label: str) -> Ref:
        """What must lie in memory in this layout: a copy, if no operator makes it."""
        elements = describe(aval)[0]
        stored = ref.value.producer is not None and elements <= ref.value.elements
        if elements <= 1 or stored or (not ref.moved and elements <= ref.elements):
            return ref
        cost = Cost("movement")
        name = ref.moved or label
        return whole(self._append(name, cost, (ref,), [aval], elements).outputs[0])

    def copy(self, ref: Ref, aval: Any, label: str) -> Value:
        """A movement operator that writes what `ref` sees into a tensor of its own."""
        elements = describe(aval)[0]
        return self._append(label, Cost("movement"), (ref,), [aval], elements).outputs[0]

    def inside(self, count: float, jaxpr: Any, args: Sequence[Ref]) -> list[Ref]:
        """Inline a closed loop body that runs `count` times, in a region of its own."""
        outer = self._count, self._region
        self._count, self._region = self._count * count, (*self._region, next(self._regions))
        results = self.inline(jaxpr.jaxpr, [self._constant(c) for c in jaxpr.consts], args)
        self._count, self._region = outer
        return results

    def _equation(self, eqn: Any, refs: list[Ref]) -> list[Ref]:
        name = eqn.primitive.name
        if name in STRUCTURE:
            self.coverage.setdefault(name, "rule")
        if name == "scan":
            return self._scan(eqn, refs)
        if name == "while":
            return self._while(eqn, refs)
        if name == "cond":
            return self._cond(eqn, refs)
        if name == "shard_map":
            return inline_shards(self, eqn, refs)
        if name == "custom_linear_solve":
            return linear_solve(self, eqn, refs)
        sub = next((eqn.params[p] for p in _SUBJAXPRS if p in eqn.params), None)
        jaxpr: Any = getattr(sub, "jaxpr", sub)
        if name in STRUCTURE or (
            hasattr(jaxpr, "eqns") and len(jaxpr.invars) == len(refs) and "reduce" not in name
        ):
            self.coverage.setdefault(name, "rule")
            consts = [self._constant(c) for c in getattr(sub, "consts", ())]
            label, self._label = self._label, self._label or call_label(eqn, jaxpr)
            results = self.inline(jaxpr, consts, refs)
            self._label = label
            return results
        if name in VIEWS or is_relabelling(eqn) or is_window(eqn):
            self.coverage.setdefault(name, "rule")
            return self._view(eqn, refs)
        return self._primitive(eqn, refs)

    def _view(self, eqn: Any, refs: list[Ref]) -> list[Ref]:
        name, source = eqn.primitive.name, refs[0]
        if name == "optimization_barrier":
            return refs
        if name == "name" and source.value.name is None:
            source.value.name = eqn.params["name"]
        results = []
        for variable in eqn.outvars:
            ref = part_of(source, describe(variable.aval)[0], self.new_part())
            if name in LAYOUT_CHANGES and (
                name != "broadcast_in_dim" or describe(variable.aval)[0] > source.elements
            ):
                ref = Ref(ref.value, ref.elements, ref.part, name)
            results.append(ref)
        return results

    def _primitive(self, eqn: Any, refs: list[Ref]) -> list[Ref]:
        name, cost = eqn.primitive.name, exchange(eqn, self.mesh) or cost_of(eqn)
        self.coverage[name] = cost.coverage
        if cost.coverage == "uncosted":
            self.notes.append(f"{name}: its traffic is counted, what it computes is not")
        inputs = tuple(
            Ref(ref.value, touched(name, eqn, i, ref.elements), ref.part, ref.moved)
            for i, ref in enumerate(refs)
        )
        space = max([describe(v.aval)[0] for v in eqn.outvars], default=0.0)
        if cost.category == "reduction":
            space = max([space, *(describe(v.aval)[0] for v in eqn.invars)])
        label = self._label if cost.category != "contraction" else ""
        operator = self._append(name, cost, inputs, [v.aval for v in eqn.outvars], space, label)
        results = [whole(value) for value in operator.outputs]
        # A constant has to be written whole before anything is put into it.
        written = None if name in SCATTERS and refs[0].value.constant else made(name, eqn)
        if written is not None:  # updated in place: the tensor is whole, the write is not
            value = operator.outputs[0]
            whole_tensor = self.new_value(eqn.outvars[0].aval, depends=(value,))
            whole_tensor.origin = refs[0].value if not refs[0].value.constant else None
            value.elements, value.origin, value.kept = written, whole_tensor, True
            results = [whole(whole_tensor)]
        return results

    def _append(
        self,
        name: str,
        cost: Cost,
        inputs: tuple[Ref, ...],
        avals: Sequence[Any],
        space: float,
        label: str = "",
    ) -> Operator:
        self.coverage.setdefault(name, cost.coverage)
        operator = Operator(
            index=len(self.operators),
            primitive=name,
            label=label or name,
            cost=cost,
            inputs=inputs,
            outputs=(),
            shape=tuple(avals[0].shape) if avals else (),
            space=space,
            stack=self._stack,
            count=self._count,
            region=self._region,
        )
        self.operators.append(operator)
        operator.outputs = tuple(self.new_value(aval, producer=operator) for aval in avals)
        return operator

    def _scan(self, eqn: Any, refs: list[Ref]) -> list[Ref]:
        p = eqn.params
        length, consts, carried = p["length"], p["num_consts"], p["num_carry"]
        return body_links(self, p["jaxpr"], float(length), refs, consts, carried, eqn.outvars)

    def _while(self, eqn: Any, refs: list[Ref]) -> list[Ref]:
        p = eqn.params
        names = where(eqn)
        trips = trip_count(self.trip_counts, names, self.used_trip_counts)
        self.notes.append(f"while {names[0]}: counted {trips:g} times, as given")
        cond_consts = refs[: p["cond_nconsts"]]
        rest = refs[p["cond_nconsts"] :]
        entering = [*cond_consts, *rest[p["body_nconsts"] :]]
        for verdict in self.inside(trips, p["cond_jaxpr"], entering):
            verdict.value.kept = True  # decides, though no operator reads it
        carried = len(rest) - p["body_nconsts"]
        return body_links(
            self, p["body_jaxpr"], trips, rest, p["body_nconsts"], carried, eqn.outvars
        )

    def _cond(self, eqn: Any, refs: list[Ref]) -> list[Ref]:
        refs[0].value.kept = True  # decides, though no operator reads it
        branches = eqn.params["branches"]
        flops = []
        for branch in branches:
            trial = Flattener(self.trip_counts)
            trial.program(branch)
            self.used_trip_counts |= trial.used_trip_counts
            flops.append(
                sum(o.count * (o.cost.flops + o.cost.transcendentals) for o in trial.operators)
            )
        costliest = max(range(len(branches)), key=flops.__getitem__)
        self.notes.append(
            f"cond {where(eqn)[0]}: branch {costliest} of {len(branches)} is counted, the costliest"
        )
        branch = branches[costliest]
        return self.inline(branch.jaxpr, [self._constant(c) for c in branch.consts], refs[1:])

    def _constant(self, constant: Any, aval: Any = None) -> Ref:
        """A literal, or an array that the traced function captured."""
        value = self.new_value(constant if aval is None else aval, constant=True)
        self.constants.append(value)
        return whole(value)
