"""What a step must store: by role, with the peak of its live activations, and its gradients."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hwmodels.workloads.assemble import Assembler
from hwmodels.workloads.operation import Tensor
from hwmodels.workloads.program import Value

_Width = tuple[float, bool]  # bits per element, floating


@dataclass(frozen=True)
class Storage:
    """Stored tensors by role, the parameter gradients, and the share of them made last."""

    footprints: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]
    last_gradient_fraction: float


def storage(assembler: Assembler) -> Storage:
    """Sum inputs and gradients by width; activations at the moment when most is alive."""
    roles, program = assembler.roles, assembler.program
    totals: dict[str, Counter[_Width]] = {
        role: Counter() for role in ("input", "parameter", "optimizer_state", "activation")
    }
    stored = [*program.inputs, *(v for v in program.constants if v.elements > 1)]
    for value in stored:
        totals[roles[value.index]][value.bits, value.floating] += value.elements  # type: ignore[assignment]
    made, last = _gradients(assembler)
    totals["gradient"] = made
    totals["activation"] += _peak(assembler, "activation")
    footprints = tuple(
        Tensor(role, float(elements), bits, floating)
        for role, widths in totals.items()
        for (bits, floating), elements in widths.items()
    )
    gradients = tuple(t for t in footprints if t.role == "gradient")
    total = sum(t.bytes() for t in gradients)
    return Storage(footprints, gradients, min(1.0, last / total) if total else 1.0)


def _gradients(assembler: Assembler) -> tuple[Counter[_Width], float]:
    """Gradient elements by width, and the bytes that the last backward group makes."""
    made: Counter[_Width] = Counter()
    last = 0.0
    seen: set[int] = set()
    for number, group in enumerate(assembler.groups):
        written = [v for v in assembler.written(number) if assembler.roles[v.index] == "gradient"]
        if written and not group.optimizer:
            last = sum(v.elements * v.bits / 8 for v in written)
        for value in written:
            whole = _stacked(value)
            if whole.index not in seen:
                seen.add(whole.index)
                made[whole.bits, whole.floating] += whole.elements  # type: ignore[assignment]
    return made, last


def _peak(assembler: Assembler, role: str) -> Counter[_Width]:
    """Widths alive at the moment when most bytes of `role` are."""
    end = len(assembler.groups)
    last_use = {index: max(numbers) for index, numbers in assembler.readers.items() if numbers}
    for ref in assembler.program.outputs:
        last_use[ref.value.index] = end
    events: list[tuple[int, int, Value]] = []
    given = {value.index for value in assembler.program.inputs}
    for number in range(end):
        seen: set[int] = set()
        for value in assembler.written(number):
            whole = _stacked(value)
            if _root(whole).index in given:  # written where it came in
                continue
            if assembler.roles[whole.index] == role and whole.index not in seen:
                seen.add(whole.index)
                events.append((number, 0, whole))
                events.append((max(last_use.get(whole.index, number), number), 1, whole))
    alive: Counter[_Width] = Counter()
    peak: Counter[_Width] = Counter()
    now = most = 0.0
    for _, dies, value in sorted(events, key=lambda event: event[:2]):
        sign = -1.0 if dies else 1.0
        alive[value.bits, value.floating] += sign * value.elements  # type: ignore[assignment]
        now += sign * value.elements * value.bits / 8
        if now > most:
            most, peak = now, Counter({width: n for width, n in alive.items() if n > 0})
    return peak


def _root(value: Value) -> Value:
    """The first tensor whose role `value` shares."""
    while value.origin is not None:
        value = value.origin
    return value


def _stacked(value: Value) -> Value:
    """The stacked tensor of which a loop writes `value` slice by slice, or the value itself."""
    origin = value.origin
    if origin is not None and value in origin.depends:
        return origin
    return value
