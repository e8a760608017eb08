"""All plans of a fleet, as columns: what divides what.

Tensor divides the model's common split size, pipeline and its chunks the blocks, data and
micro-batches the global batch, experts their number and data; together they use every chip. Left
out, as they cannot win: GPipe (1F1B takes as long and holds less), chunks, sequence parallelism and
ZeRO where there is nothing to cut.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from hwmodels.errors import InputError
from hwmodels.fleet.plan import Plan
from hwmodels.fleet.stores import Stores

FIELDS = tuple(field.name for field in dataclasses.fields(Plan))
ZERO, RECOMPUTE = (0, 1, 2, 3), (0, 1, 2)


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    small = [i for i in range(1, int(number**0.5) + 1) if number % i == 0]
    return sorted({*small, *(number // i for i in small)})


def all_plans(stores: Stores, chips: int, global_batch: int) -> Plan:
    """Every plan of exactly `chips`, as a `Plan` of columns; micro-batch count and memory may
    still rule some out.

    Raises:
      InputError: no plan divides.
    """
    blocks = []
    layers, widest = int(stores.layers), int(stores.tensor_divides)
    for tensor, pipeline in itertools.product(divisors(chips), divisors(layers)):
        data, rest = divmod(chips, tensor * pipeline)
        if rest or widest % tensor or global_batch % data:
            continue
        axes = (
            [tensor],
            [pipeline],
            [data],
            [e for e in divisors(data) if int(stores.experts) % e == 0],
            divisors(global_batch // data),
            divisors(layers // pipeline) if pipeline > 1 else [1],
            ZERO if data > 1 else [0],
            [0, 1] if tensor > 1 else [0],
            RECOMPUTE,
            [1],
        )
        mesh = np.meshgrid(*(np.asarray(axis, np.float32) for axis in axes), indexing="ij")
        blocks.append(np.stack([axis.ravel() for axis in mesh]))
    if not blocks:
        raise InputError(
            "cluster.chips", chips,
            f"no plan divides: data x tensor x pipeline must be {chips}, with tensor a divisor of "
            f"{widest}, pipeline of {layers} blocks, data of {global_batch} samples",
        )  # fmt: skip
    plans = Plan(*np.concatenate(blocks, axis=1))
    # Chunks take turns in groups of as many micro-batches as stages.
    turns = global_batch / (plans.data * plans.microbatch) % plans.pipeline == 0
    kept = (plans.interleave == 1) | turns
    return Plan(*(getattr(plans, name)[kept] for name in FIELDS))
