"""Off-chip memory in whole stacks or channels.

Each stack (HBM) or channel (GDDR, LPDDR, DDR) brings bandwidth and capacity, and costs PHY
area, die edge, idle power and money; energy per bit includes the device, the channel and the
PHY on the die. PHYs are analog and hardly shrink, so their area does not scale with the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

from hwmodels.quantity import quantity

GB, GIB = 1e9, 2.0**30


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dram:
    """A memory kind's numbers, per stack or channel, and how many there are. Default: HBM2E."""

    stacks: Any = quantity(4, low=1, high=16, doc="stacks or channels")
    bandwidth: Any = quantity(460, "GBps", GB, low=1, high=4000, doc="bandwidth of one stack")
    capacity: Any = quantity(16, "GiB", GIB, low=0.1, high=512, doc="capacity of one stack")
    energy: Any = quantity(
        6.45, "pJ_per_bit", 1e-12, low=0.5, high=60, doc="energy per bit with PHY"
    )
    idle_power: Any = quantity(1.5, "W", low=0.0, high=20, doc="idle and refresh power of a stack")
    phy_area: Any = quantity(7.0, "mm2", 1e-6, low=0.0, high=40, doc="PHY area on the die")
    edge: Any = quantity(6.0, "mm", 1e-3, low=0.0, high=30, doc="die edge of one PHY")
    latency: Any = quantity(400, "ns", 1e-9, low=10, high=5000, doc="loaded latency")
    cost: Any = quantity(180, "USD", low=0.0, high=5000, doc="price of one stack, integrated")

    @property
    def total_bandwidth(self) -> Any:
        """Bandwidth of all stacks [B/s]."""
        return self.stacks * self.bandwidth


# Numbers per stack or channel, in the order of the fields after `stacks` and their units.
# Bandwidth and capacity: JEDEC data rates and usual densities. Energy per bit: HBM2E 6.0 and
# GDDR6 7.5 (Micron, device), HBM3 3.9 (upper end of published figures), LPDDR5 4.5 and DDR5 15
# (typical), each + 0.45 for the PHY on the die. Idle power, PHY area, edge, latency and price are
# estimates from memory.
_KINDS: dict[str, tuple[float, ...]] = {
    #         GB/s   GiB  pJ/b   W     mm2  mm   ns   USD
    "hbm2e": (460.0, 16.0, 6.45, 1.5, 7.0, 6.0, 400.0, 180.0),
    "hbm3": (819.0, 24.0, 4.35, 2.0, 8.0, 6.0, 400.0, 320.0),
    "gddr6": (64.0, 2.0, 7.95, 0.3, 2.4, 2.5, 350.0, 12.0),
    "lpddr5": (25.6, 4.0, 4.95, 0.05, 1.6, 2.0, 250.0, 14.0),
    "ddr5": (38.4, 32.0, 15.45, 1.5, 4.0, 4.0, 200.0, 90.0),
}
_FIELDS = (
    "bandwidth_GBps", "capacity_GiB", "energy_pJ_per_bit", "idle_power_W", "phy_area_mm2",
    "edge_mm", "latency_ns", "cost_USD",
)  # fmt: skip
DRAM_KINDS: dict[str, dict[str, float]] = {
    kind: dict(zip(_FIELDS, row, strict=True)) for kind, row in _KINDS.items()
}
