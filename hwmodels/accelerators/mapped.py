"""Mappings of a workload's contractions on a composed chip, found on the host, and their counts.

The mapper (`hwmodels.mapping.mapper`) sees the chip as it runs: clock under the power cap,
energies from the parts, half of the levels that hold tiles twice. DRAM is as expensive as the
operation's tensors make it: its time and energy a word are multiplied by the bytes that cross its
interface once, after residency and at their widths in DRAM, over those of as many words of the
number format. Objective: latency, the least energy of equally fast ones.

Counts are per operation: `MappedContractions`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hwmodels.accelerators.own import Port
from hwmodels.accelerators.rates import prepare
from hwmodels.errors import InputError
from hwmodels.mapping.machine import Machine, Memory, cost
from hwmodels.mapping.mapper import best_mapping
from hwmodels.mapping.mapping import fit, parse_mapping
from hwmodels.mapping.nest import count
from hwmodels.mapping.problem import SHAPES, TENSORS, Problem, problem_of
from hwmodels.parts.mac import FORMATS
from hwmodels.relax import EXACT
from hwmodels.workloads.numeric import Contractions, Operations
from hwmodels.workloads.workload import Workload

if TYPE_CHECKING:
    from hwmodels.accelerators.composed import Composed

DRAM = "DRAM"
Progress = Callable[[str, float], None]  # stage, share done


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MappedContractions(Contractions):
    """Contractions with what their mappings count; columns over operations.

    `steps`: of the nest; `lhs_passes`, `rhs_passes`: how often the operand crosses the DRAM
    interface; `spilled`: bytes of sums that leave and come back over it; by level, `reads`,
    `writes`: bytes, `banks`: instances that share them, `needs`: bytes of capacity that tiles take
    up; `entering`, `leaving`: bytes of left and right operand, and of the result, that pass between
    DRAM and the outermost level where nothing stays there.
    """

    steps: Any
    lhs_passes: Any
    rhs_passes: Any
    spilled: Any
    reads: dict[str, Any]
    writes: dict[str, Any]
    banks: dict[str, Any]
    needs: dict[str, Any]
    entering: tuple[Any, Any]
    leaving: Any


@dataclass(frozen=True)
class Resolved:
    """What the mapper needs of a chip, plain numbers: see `Rates`."""

    period: float
    compute_period: float
    own: dict[str, Port]
    dram_period: float
    dram_energy: float
    mac_energy: float
    away: tuple[float, ...]


def attach(chip: Composed, workload: Workload, residency: str) -> Operations:
    """The numeric form of a workload with the counts of the chip's mappings.

    Raises:
      InputError: the chip's numbers are traced and have no mappings, or a mapping does not fit
        its problem.
    """
    operations = workload.at_format(chip.widths)
    fixed = dict(chip.mappings)
    problems = _problems(workload)
    keys = [_key(problem, residency) for problem in problems]
    if any(key not in fixed for key in keys):
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(chip)):
            raise InputError(
                "chip", "traced numbers without mappings",
                f'needed before jit, grad or vmap: chip = chip.mapped(workload, "{residency}")',
            )  # fmt: skip
        fixed = {**dict(find(chip, workload, residency)), **fixed}
    rows = [
        _counted(chip, problem, fixed[key], residency)
        for problem, key in zip(problems, keys, strict=True)
    ]
    idle = operations.contraction.count.shape[0] - len(rows)  # rows that never run
    one = _counted(chip, _ONE, " - ".join(f"{n}[{t}] N1" for n, t in _holders(chip)), residency)
    columns = jax.tree.map(lambda *x: np.asarray(x, np.float32), one, *rows, *[one] * idle)
    columns = jax.tree.map(lambda column: column[1:], columns)
    plain = {f.name: getattr(operations.contraction, f.name)
             for f in dataclasses.fields(Contractions)}  # fmt: skip
    return dataclasses.replace(operations, contraction=MappedContractions(**plain, **columns))


def find(
    chip: Composed, workload: Workload, residency: str, progress: Progress | None = None
) -> tuple[tuple[str, str], ...]:
    """The best mapping of each distinct contraction, as `Composed.mappings` has them.

    Of equal ones whose tensors differ the first is mapped.

    Raises:
      InputError: a level that holds no word of each of its tensors.
    """
    operations = workload.at_format(chip.widths)
    resolved = _resolve(chip, operations, residency)
    crossing = _crossing(operations.contraction, resolved.away)
    word = FORMATS[chip.number_format].bits / 8
    found: dict[str, str] = {}
    problems = _problems(workload)
    for done, (problem, crossed) in enumerate(zip(problems, crossing, strict=False)):
        if progress is not None:
            progress("mapping", done / len(problems))
        words = sum(problem.elements(tensor) for tensor in TENSORS)
        machine = machine_of(chip, resolved, residency, float(f"{crossed / (words * word):.6g}"))
        key = _key(problem, residency)
        if key not in found:
            found[key] = _best(
                machine, problem.shape.name, tuple(problem.sizes.items()),
                tuple(problem.steps.items()),
            )  # fmt: skip
    return tuple(found.items())


def machine_of(
    chip: Composed, resolved: Resolved, residency: str, dram_weight: float = 1.0
) -> Machine:
    """The chip as the mapper sees it; a cycle is a step of the array."""
    word = FORMATS[chip.number_format].bits / 8
    step = resolved.compute_period / resolved.period  # clock cycles
    second = resolved.dram_period * word * dram_weight  # a word
    dram = Memory(
        DRAM, "".join(TENSORS),
        energy=resolved.dram_energy * word * dram_weight,
        bandwidth=resolved.compute_period / second if second else None,
    )  # fmt: skip
    inside = tuple(
        level.memory(resolved.own[level.name], step, _resident(chip, i, residency))
        for i, level in enumerate(chip.levels)
    )
    return Machine(chip.NAME, (dram, *inside), resolved.mac_energy, resolved.compute_period)


@functools.lru_cache(maxsize=65536)
def _best(machine: Machine, shape: str, sizes: tuple[Any, ...], steps: tuple[Any, ...]) -> str:
    problem = Problem(SHAPES[shape], dict(sizes), dict(steps))
    return best_mapping(problem, machine, "latency").text


def _counted(chip: Composed, problem: Problem, text: str, residency: str) -> dict[str, Any]:
    """The fields of `MappedContractions` for one operation."""
    mapping = jax.tree.map(float, fit(parse_mapping(text), problem))
    counts = count(problem, mapping)
    unit = [Memory(name, tensors, 0.0, read_bandwidth=1.0, write_bandwidth=1.0)
            for name, tensors in _holders(chip)]  # fmt: skip
    costs = cost(Machine("words", tuple(unit), 0.0), mapping, counts)
    used = {level.memory: instances
            for level, instances in zip(mapping.levels, counts.instances, strict=True)}  # fmt: skip
    dram = counts.traffic[0]
    word, outer = FORMATS[chip.number_format].bits / 8, chip.levels[0]
    result = problem.elements("O")
    bytes_of = {level.name: level.word for level in chip.levels}
    return {
        "steps": counts.steps,
        "lhs_passes": dram["I"].reads / problem.elements("I"),
        "rhs_passes": dram["W"].reads / problem.elements("W"),
        "spilled": (dram["O"].updates - result + dram["O"].reads) * word,
        "reads": {n: costs.cycle_terms[f"{n} read"] * w for n, w in bytes_of.items()},
        "writes": {n: costs.cycle_terms[f"{n} write"] * w for n, w in bytes_of.items()},
        "banks": {level.name: used.get(level.name, 1.0) if level.banked else 1.0
                  for level in chip.levels},
        "needs": {
            level.name: costs.words[level.name] * level.word
            * level.copies(_resident(chip, i, residency))
            for i, level in enumerate(chip.levels)
        },
        "entering": tuple(
            dram[tensor].reads * outer.word if chip.keeps else 0.0 for tensor in ("I", "W")
        ),
        "leaving": result * outer.word if chip.keeps else 0.0,
    }  # fmt: skip


def _resolve(chip: Composed, operations: Operations, residency: str) -> Resolved:
    plain = jax.tree.map(float, chip.bare)
    numbers = _compiled(plain, operations.totals, residency=residency)
    return Resolved(*jax.tree.map(float, numbers))


@functools.partial(jax.jit, static_argnames="residency")
def _compiled(chip: Composed, totals: Any, *, residency: str) -> tuple[Any, ...]:
    chip = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), chip)
    rates = prepare(chip, totals, EXACT, runtime="none", residency=residency)
    return (
        rates.period, rates.period * rates.compute_stretch, rates.own, rates.dram_period,
        rates.dram_energy, sum(rates.mac_energy.values()), rates.away,
    )  # fmt: skip


def _crossing(op: Contractions, away: tuple[float, ...]) -> Any:
    """Bytes of each operation that cross the DRAM interface once."""
    *resident, of_input = away
    shares = (*resident, of_input)
    return sum(
        share * np.asarray(column, float)
        for tensor in (op.lhs, op.rhs, op.once)
        for share, column in zip(shares, tensor, strict=True)
    )


def _resident(chip: Composed, index: int, residency: str) -> bool:
    return index == 0 and chip.keeps and residency == "warm"


def _holders(chip: Composed) -> list[tuple[str, str]]:
    return [(DRAM, "".join(TENSORS)), *((level.name, level.tensors) for level in chip.levels)]


def _problems(workload: Workload) -> list[Problem]:
    return [problem_of(row) for row in workload.rows if row.kind == "contraction"]


_ONE = Problem(SHAPES["matmul"], dict.fromkeys(SHAPES["matmul"].dimensions, 1.0))


def _key(problem: Problem, residency: str) -> str:
    """What a mapping belongs to, such as "warm matmul B1 M128 N64 K32"."""
    sizes = " ".join(f"{name}{int(size)}" for name, size in problem.sizes.items())
    steps = " ".join(f"{name}/{int(step)}" for name, step in problem.steps.items() if step != 1)
    return f"{residency} {problem.shape.name} {sizes} {steps}".rstrip()
