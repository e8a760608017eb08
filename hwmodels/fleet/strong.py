"""Strong scaling on one chip's model: one step's batch divided over 1, 2, 4, ... chips.

Each of N data-parallel chips has ceil(batch / N) samples: the sizes that grow with samples shrink
(the marks of `hwmodels.workloads.sharding`), weights, optimiser and launches do not. The gradients'
all-reduce hides behind the backward phase as in `hwmodels.fleet.scaling`. What is reported is the
largest throughput, batch / step(N), over all N: it rewards speed on small shares, cheap launches
and links of low latency; batches too large to share add nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hwmodels.accelerators.base import Accelerator
from hwmodels.evaluate import model
from hwmodels.fleet.marks import marked
from hwmodels.fleet.partition import Cut, contraction_part, resident_totals, vector_part
from hwmodels.fleet.scaling import Fleet, Scaling
from hwmodels.relax import EXACT, Relax
from hwmodels.workloads.numeric import Operations
from hwmodels.workloads.scenario import single
from hwmodels.workloads.workload import Workload


class Shares(NamedTuple):
    """One chip's part of a step for each number of chips: `chips` (K,), and `operations`, whose
    leaves have an axis of K before their own."""

    chips: Any
    operations: Operations


def shares(chip: Accelerator, workload: Workload, residency: str = "warm") -> Shares:
    """The parts of `workload` on 1, 2, 4, ... chips, up to one sample each, as `chip` stores it."""
    operations = chip.operations(single(workload, "strong scaling"), residency)
    counts = 2.0 ** np.arange(int(np.log2(max(workload.samples, 1.0))) + 1)
    parts = [_part(workload, chip, operations, np.ceil(workload.samples / n)) for n in counts]
    stacked = jax.tree.map(lambda *leaves: np.stack([np.float32(x) for x in leaves]), *parts)
    return Shares(counts.astype(np.float32), stacked)


def _part(
    workload: Workload, chip: Accelerator, operations: Operations, samples: float
) -> Operations:
    rows, cut = marked(workload, operations, chip.widths), Cut(1.0, samples, 0.0, 1.0)
    moved = operations.vector.count.shape[0]
    elementwise = jax.tree.map(
        lambda a, b: np.concatenate([a, b]), operations.vector, operations.movement
    )
    shared = vector_part(elementwise, rows.elementwise, cut, workload.samples)
    return dataclasses.replace(
        operations,
        contraction=contraction_part(
            operations.contraction, rows.contraction, cut, workload.samples
        ),
        vector=jax.tree.map(lambda leaf: leaf[:moved], shared),
        movement=jax.tree.map(lambda leaf: leaf[moved:], shared),
        totals=dataclasses.replace(resident_totals(operations.totals, cut), samples=samples),
    )


def strong_throughput(
    chip: Accelerator, parts: Shares, fleet: Fleet, relax: Relax = EXACT, **options: Any
) -> Any:
    """Largest throughput of the undivided batch over the numbers of chips [samples/s].

    `options`: as of `hwmodels.evaluate.model`. More than one chip needs the links of the topology.
    """

    def better(best: Any, part: Any) -> tuple[Any, None]:
        return relax.maximum(best, _shared(chip, parts, part, fleet, relax, options)), None

    nothing = jnp.zeros_like(parts.operations.totals.samples[0])
    return jax.lax.scan(better, nothing, (parts.chips, parts.operations))[0]


def strong_curve(chip: Accelerator, parts: Shares, fleet: Fleet, **options: Any) -> Any:
    """Throughput of the undivided batch on each number of chips, (K,) [samples/s]; 0 where the
    links do not suffice."""

    def one(part: Any) -> Any:
        return _shared(chip, parts, part, fleet, EXACT, options)

    return jax.lax.map(one, (parts.chips, parts.operations))


def _shared(
    chip: Accelerator, parts: Shares, part: Any, fleet: Fleet, relax: Relax, options: dict[str, Any]
) -> Any:
    chips, operations = part
    scaling = model(chip, operations, fleet, relax, **options).scaling
    assert isinstance(scaling, Scaling)
    alone = chips <= 1.0
    joins = jnp.where(alone, 1.0, scaling.joins(chips, relax))
    waiting = jnp.where(alone, 0.0, scaling.waiting(jnp.maximum(chips, 2.0), relax))
    return joins * parts.operations.totals.samples[0] / (scaling.time + waiting)
