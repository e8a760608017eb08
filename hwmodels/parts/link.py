"""Chip-to-chip links: serial lanes in whole links.

A serial link burns its power whether or not it carries data, so its power is energy per bit at
full rate, both directions, always. Default: an NVLink- or ICI-class copper link of 50 GB/s a
direction. Energy per bit 5 pJ (112G long-reach SerDes 5-6, TPU ICI 4-6; estimates), hop latency
0.5 us with its share of the protocol, area and edge of four 100G lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from hwmodels.quantity import quantity

GB = 1e9


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Link:
    """The links of one chip: how many, and the numbers of each."""

    count: Any = quantity(6, low=1, high=64, doc="links on the chip")
    bandwidth: Any = quantity(50, "GBps", GB, low=0.1, high=1000, doc="rate of a link, a direction")
    energy: Any = quantity(5.0, "pJ_per_bit", 1e-12, low=0.01, high=60, doc="energy per bit")
    latency: Any = quantity(500, "ns", 1e-9, low=1, high=1e5, doc="latency of one hop")
    area: Any = quantity(2.0, "mm2", 1e-6, low=0.0, high=40, doc="SerDes area of one link")
    edge: Any = quantity(1.0, "mm", 1e-3, low=0.0, high=30, doc="die edge of one link")
    cost: Any = quantity(20, "USD", low=0.0, high=2000, doc="cable and connector of one link")

    @property
    def injection_bandwidth(self) -> Any:
        """Bandwidth of all links in one direction [B/s]."""
        return self.count * self.bandwidth

    @property
    def power(self) -> Any:
        """Power of all links, always on [W]."""
        return self.energy * 8.0 * 2.0 * self.injection_bandwidth
