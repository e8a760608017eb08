"""Parts of every accelerator besides technology, DRAM and links: shared buffer, tuning, and what a
compute structure answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from hwmodels.quantity import quantity

MIB = 2.0**20


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Buffer:
    """The shared on-chip SRAM between DRAM and the compute units (scratchpad, L2, last level)."""

    capacity: Any = quantity(32, "MiB", MIB, low=1 / 64, high=4096, doc="capacity")
    bandwidth: Any = quantity(
        8192, "B_per_cycle", low=16, high=2**20, doc="bytes read or written a cycle"
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tuning:
    """What calibration to measurements sets; ideal by default."""

    compute_efficiency: Any = quantity(
        1.0, low=0.05, high=1.0, doc="share of the peak rate that busy compute units reach"
    )
    dram_efficiency: Any = quantity(
        1.0, low=0.05, high=1.0, doc="share of the DRAM bandwidth that streams reach"
    )
    overlap: Any = quantity(
        1.0, low=0.0, high=1.0, doc="share of DRAM time or other work, the shorter, that is hidden"
    )
    overhead: Any = quantity(
        0.0,
        "us",
        1e-6,
        low=0.0,
        high=1000,
        doc="launch and wait of one timed alone",
    )
    energy_scale: Any = quantity(
        1.0, low=0.1, high=10, doc="dynamic energy of the die, relative to the parts' sum"
    )


class Compute(NamedTuple):
    """What the compute structure of a variant does with one contraction.

    `cycles`: busy cycles of the arrays; `overhead`: cycles of fill and drain that nothing
    hides; `buffer_bytes`: bytes read from and written to the shared buffer; `delivered`: those of
    them that pay `delivery_energy`, all by default.
    """

    cycles: Any
    overhead: Any
    buffer_bytes: Any
    delivered: Any = None
