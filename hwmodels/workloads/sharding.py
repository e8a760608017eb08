"""How parallel training divides each operator of a traced step, found by following its tensors.

Tensor parallelism, as Megatron-LM does it (Shoeybi et al., 2019), from three rules for products.
Every value is replicated on the tensor-parallel chips, or sharded over them:

* weight x replicated activation: the weight's free size is split (column-parallel), result sharded;
* weight x sharded activation: the contracted size is split (row-parallel), the result is
  summed over the chips (`reduced`) and replicated;
* activation x activation: both sharded (attention's heads): the batch is split; one of them (a
  weight's gradient): its free size; with a batch of one and both sharded: the contracted size, and
  the result is summed. The result is sharded but in the last case.

Everything else is sharded if an activation that it reads is. A look-up in a table of weights is
summed. In the backward phase the same rules give the conjugate communication by themselves. What
is derived from parameters only (a cast) is a weight, and divided.

Samples: a value is batched if it depends on the step's streamed inputs. A product grows with the
samples in the free size of its batched operand, or, if both are, in its batch; in the contracted
size where the result is a weight's gradient (as large as a weight, in the backward phase).

Core: products of activations with each other, and what is elementwise between them and the next
product with a weight (attention scores, softmax): what selective recomputation repeats.

Experts: products whose weights have a batch of their own. What the first reads is dispatched to
the experts' chips, what the second makes comes back (`exchanged`).

Left out: sums over a sharded size (softmax over a split vocabulary: one number a token), whether
sizes divide evenly (a plan's margin says so), context parallelism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hwmodels.workloads.program import Operator, Program, Ref, Value

_LOOKUPS = ("gather", "dynamic_slice", "take")


@dataclass(frozen=True)
class Marks:
    """Of an operator, as the fields of `Operation` that have these names."""

    split: str = ""
    spread: str = ""
    reduced: float = 0.0
    core: bool = False
    expert: bool = False
    exchanged: float = 0.0


@dataclass(frozen=True)
class Nature:
    """Of a value. `handed`: made by an expert's product, not yet back from the expert's chip."""

    weight: bool = False
    sharded: bool = False
    batched: bool = False
    core: bool = False
    handed: bool = False


class Sharding:
    """Marks of the operators and natures of the values of one program."""

    def __init__(self, program: Program, phases: Sequence[str], roles: dict[int, str]):
        self.roles = roles
        self.natures: dict[int, Nature] = {}
        self.marks: dict[int, Marks] = {}
        # Of the weights, and of the experts' products, that were met so far.
        self._sizes: set[float] = set()
        self._experts: set[float] = {1.0}
        self._dispatched: set[int] = set()
        self._streamed = {v.index for v in program.inputs if roles[v.index] == "input"}
        for operator, phase in zip(program.operators, phases, strict=True):
            marks, nature = self._place(operator, phase)
            self.marks[operator.index] = marks
            for value in operator.outputs:
                self._know(value, nature)

    def nature(self, value: Value) -> Nature:
        """Of any value of the program; what loops hand on is as what it depends on."""
        known = self.natures.get(value.index)
        if known is None:
            if self.roles[value.index] == "parameter" and value.producer is None:
                known = Nature(weight=True)
            elif value.depends:
                known = _either([self.nature(behind) for behind in value.depends])
            else:
                known = Nature(batched=value.index in self._streamed)
            self._know(value, known)
        return known

    def _know(self, value: Value, nature: Nature) -> None:
        self.natures[value.index] = nature
        if nature.weight:
            self._sizes.add(value.elements)

    def _place(self, operator: Operator, phase: str) -> tuple[Marks, Nature]:
        if phase == "optimizer":
            return Marks(split="all"), Nature()
        if operator.cost.shape is not None:
            return self._product(operator, phase)
        if operator.primitive in _LOOKUPS and self._looks_up(operator):
            looked_up = sum(value.elements for value in operator.outputs)
            return Marks(spread="all", reduced=looked_up), Nature(batched=True)
        seen = [self.nature(ref.value) for ref in operator.inputs if ref.elements > 1]
        if seen and all(nature.weight for nature in seen):
            return Marks(split="all"), Nature(weight=True)
        found = _either([nature for nature in seen if not nature.weight])
        marks = Marks(
            split="all" if found.sharded else "", spread="all" if found.batched else "",
            core=found.core,
        )  # fmt: skip
        # A sum over samples that is as large as a weight is a gradient (of a bias).
        made = [value.elements for value in operator.outputs]
        summed = phase == "backward" and operator.cost.category == "reduction"
        if summed and set(made) <= self._sizes:
            return marks, Nature(sharded=found.sharded)
        return marks, replace(found, weight=False)

    def _looks_up(self, operator: Operator) -> bool:
        """Rows of a table of weights are chosen by what depends on samples."""
        table, *indices = (self.nature(ref.value) for ref in operator.inputs)
        return table.weight and any(index.batched for index in indices)

    def _product(self, operator: Operator, phase: str) -> tuple[Marks, Nature]:
        shape = operator.cost.shape
        assert shape is not None
        lhs, rhs = operator.inputs[:2]
        left, right = self.nature(lhs.value), self.nature(rhs.value)
        result = operator.outputs[0].elements
        if left.weight and right.weight:
            return Marks(split="n"), Nature(weight=True)
        if left.weight or right.weight:
            activation, act, free = (rhs, right, "m") if left.weight else (lhs, left, "n")
            self._sizes.add((lhs if left.weight else rhs).elements)
            expert = shape.batch > 1 and operator.primitive == "dot_general"
            self._experts |= {shape.batch} if expert else set()
            spread = ("n" if left.weight else "m") if act.batched else ""
            marks = Marks("k" if act.sharded else free, spread, result if act.sharded else 0.0)
            made = Nature(sharded=not act.sharded, batched=act.batched)
            return self._exchange(marks, made, activation, act, result) if expert else (marks, made)

        alone = shape.batch in self._experts
        gradient = phase == "backward" and alone and result in self._sizes
        expert = gradient and shape.batch > 1
        batch = "batch" if shape.batch > 1 and not gradient else "k"
        both = left.sharded and right.sharded
        one = "m" if left.sharded else "n" if right.sharded else ""
        split = batch if both else one
        if left.batched and right.batched:
            spread = "k" if gradient else "batch"
        else:
            spread = "m" if left.batched else "n" if right.batched else ""
        summed = split == "k"
        core = not gradient and left.batched and right.batched
        made = Nature(
            sharded=bool(split) and not summed, batched=bool(spread) and not gradient, core=core
        )
        return Marks(split, spread, result if summed else 0.0, core, expert), made

    def _exchange(
        self, marks: Marks, made: Nature, activation: Ref, act: Nature, result: float
    ) -> tuple[Marks, Nature]:
        """Of an expert's product: the first of a chain dispatches, the second returns."""
        index = activation.value.index
        if act.handed:
            return replace(marks, expert=True, exchanged=result), made
        sent = 0.0 if index in self._dispatched else activation.elements
        self._dispatched.add(index)
        return replace(marks, expert=True, exchanged=sent), replace(made, handed=True)


def _either(natures: Sequence[Nature]) -> Nature:
    """What holds of some of them; a weight only if all are."""
    return Nature(
        weight=bool(natures) and all(n.weight for n in natures),
        sharded=any(n.sharded for n in natures),
        batched=any(n.batched for n in natures),
        core=any(n.core for n in natures),
        handed=any(n.handed for n in natures),
    )
