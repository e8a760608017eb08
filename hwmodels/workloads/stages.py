"""Which operations repeat block by block, so that a pipeline may cut them; what is kept for later.

The number of blocks is the greatest common divisor of the counts of the products, by sizes, that
come more than once and make up `MOST` of such multiply-accumulates in the forward phase: a loop's
length, or, in a model that is written out, how often equal products come. Where less than
`REPEATED` of the phase repeats, nothing does. Rows of a loop whose count it divides belong to the
blocks; in a model without loops, rows whose sizes come as often, or once less (nothing asks for the
input gradient of the first block). Others that come before them in the forward phase, or after
them in the backward phase, belong to the first stage, the rest to the last. A block hands on what
its row-parallel products sum up; where there are none, that is not known.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hwmodels.workloads.assemble import Assembler
from hwmodels.workloads.operation import Operation, Saved, Tensor

MOST, REPEATED = 0.9, 0.3


def count_blocks(rows: Sequence[Operation]) -> float:
    """Repeated blocks of a step; 1 if nothing repeats."""
    counts: Counter[tuple[Any, ...]] = Counter()
    work: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        if row.kind == "contraction" and row.phase == "forward":
            counts[_key(row)] += int(row.count)
            work[_key(row)] += row.count * row.macs  # type: ignore[assignment]
    repeated = Counter({key: macs for key, macs in work.items() if counts[key] > 1})
    if repeated.total() < REPEATED * work.total():
        return 1.0
    largest, seen = [], 0.0
    for key, macs in repeated.most_common():
        if seen < MOST * repeated.total():
            largest.append(counts[key])
            seen += macs
    return float(math.gcd(*largest)) if largest else 1.0


def place_rows(rows: Sequence[Operation], blocks: float) -> list[Operation]:
    """The rows, in program order, with their places."""
    if blocks == 1.0:
        inside = [True] * len(rows)
    elif any(row.count >= blocks for row in rows):
        inside = [row.count % blocks == 0 for row in rows]
    else:
        counts: Counter[tuple[Any, ...]] = Counter()
        for row in rows:
            counts[_key(row)] += int(row.count)
        inside = [counts[_key(row)] >= blocks - 1.0 for row in rows]
    begun: Counter[str] = Counter()
    placed = []
    for row, repeats in zip(rows, inside, strict=True):
        # Gradients that are cast or stacked wait for the update, as they are summed before it.
        if row.phase == "optimizer" or (row.phase == "backward" and not row.spread):
            place = "optimizer"
        elif repeats:
            place = "layers"
            begun[row.phase] += 1
        else:
            place = "first" if (row.phase == "forward") != (begun[row.phase] > 0) else "last"
        placed.append(dataclasses.replace(row, place=place))
    return placed


def _key(row: Operation) -> tuple[Any, ...]:
    return row.kind, row.phase, row.batch, row.m, row.n, row.k, row.split, row.simple


def cut_of(rows: Sequence[Operation]) -> Tensor | None:
    """What one block hands to the next."""
    handed = [
        dataclasses.replace(row.writes[0], elements=row.reduced)
        for row in rows
        if row.kind == "contraction" and row.phase == "forward"
        and row.place == "layers" and row.split == "k"
    ]  # fmt: skip
    return min(handed, key=lambda tensor: tensor.elements, default=None)


def saved_of(assembler: Assembler, rows: Sequence[Operation]) -> tuple[Saved, ...]:
    """What the forward phase keeps; `rows`: those of the assembler's groups that are operations.

    A core tensor that a weight's gradient reads is kept by selective recomputation too.
    """
    numbers = [n for n, group in enumerate(assembler.groups) if group.kind != "scalar"]
    row_of = dict(zip(numbers, rows, strict=True))
    kinds: Counter[Saved] = Counter()
    for number, row in row_of.items():
        if row.phase != "forward":
            continue
        for value in assembler.written(number):
            nature = assembler.sharding.nature(value)
            readers = [row_of.get(n) for n in assembler.readers.get(value.index, set())]
            late = [reader for reader in readers if reader and reader.phase == "backward"]
            if not late or nature.weight or assembler.roles[value.index] != "activation":
                continue
            core = nature.core and all(reader.core for reader in late)
            kinds[Saved(
                value.elements, value.bits, 0.0, row.place, nature.sharded, nature.batched, core
            )] += row.count  # type: ignore[assignment]  # fmt: skip
    return tuple(dataclasses.replace(kind, count=float(n)) for kind, n in kinds.items())
