"""What plans are evaluated on: chip, packed workload, cluster and batch, checked once."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.marks import Rows, marked
from hwmodels.fleet.plan import Cluster
from hwmodels.fleet.stores import Stores, stores
from hwmodels.quantity import check_quantities
from hwmodels.workloads.numeric import Contractions
from hwmodels.workloads.workload import Workload

RESIDENCY = ("warm", "cold")


class Problem(NamedTuple):
    """What plans are evaluated on, a pytree; `rows` None once they are costed."""

    chip: Accelerator
    rows: Rows | None
    stores: Stores
    cluster: Cluster
    global_batch: Any


def pose(
    chip: Accelerator, workload: Workload, cluster: Cluster, global_batch: Any, runtime: str,
    residency: str,
) -> Problem:  # fmt: skip
    """Check and pack what plans are evaluated on."""
    for field, value, cls in (
        ("chip", chip, Accelerator), ("workload", workload, Workload), ("cluster", cluster, Cluster)
    ):  # fmt: skip
        if not isinstance(value, cls):
            raise InputError(field, type(value).__name__, f"allowed: a {cls.__name__}")
    check_quantities(chip)
    check_quantities(cluster, "cluster.")
    check_choice("runtime", runtime, LAUNCH_S)
    check_choice("residency", residency, RESIDENCY)
    if isinstance(global_batch, (int, float)) and not global_batch >= 1:
        raise InputError("global_batch", global_batch, "allowed: at least one sample")
    operations, widths = chip.operations(workload, residency), chip.widths
    if type(operations.contraction) is not Contractions:
        raise InputError(
            "chip", type(chip).__name__, "allowed: variants that map any size, not one with "
            "mappings of the undivided operations",
        )  # fmt: skip
    rows = marked(workload, operations, widths)
    cluster.network.check("cluster.network.")
    packed = Problem(chip, rows, stores(workload, widths), cluster, global_batch)
    return floating(packed)


def floating(tree: Any) -> Any:
    """The tree with whole numbers as floats: left as `int` they would compile once more."""
    return jax.tree.map(lambda x: float(x) if isinstance(x, int) else x, tree)
