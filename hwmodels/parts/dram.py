"""Off-chip memory in whole stacks or channels.

Each stack (HBM) or channel (GDDR, LPDDR, DDR) brings bandwidth and capacity, and costs PHY
area, die edge, idle power and money; energy per bit includes the device, the channel and the
PHY on the die. PHYs are analog and hardly shrink, so their area does not scale with the node.
Stacks stand on a silicon interposer beside the die (2.5-D), whose price `hwmodels.parts.die` has;
channels on the board need none. Left out: refresh by temperature, row misses, read-write turns.
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
    idle_power: Any = quantity(3.0, "W", low=0.0, high=20, doc="idle and refresh power of a stack")
    phy_area: Any = quantity(7.0, "mm2", 1e-6, low=0.0, high=40, doc="PHY area on the die")
    edge: Any = quantity(6.0, "mm", 1e-3, low=0.0, high=30, doc="die edge of one PHY")
    latency: Any = quantity(400, "ns", 1e-9, low=10, high=5000, doc="loaded latency")
    cost: Any = quantity(180, "USD", low=0.0, high=5000, doc="price of one stack, integrated")
    interposer: Any = quantity(
        110, "mm2", 1e-6, low=0.0, high=300, doc="interposer under a stack; 0 on the board"
    )

    @property
    def total_bandwidth(self) -> Any:
        """Bandwidth of all stacks [B/s]."""
        return self.stacks * self.bandwidth


# Numbers per stack or channel, in the order of the fields after `stacks` and their units. DDR: a
# 64-bit channel with one module at 3200 and 4800 MT/s; LPDDR: 32 bits at 4266, 6400, 8533; GDDR: a
# 32-bit device at 16 and 21 Gb/s a pin; HBM: 1024 bits a stack at 2.4, 3.6, 6.4, 9.6, and HBM4
# 2048 bits at 8 (JEDEC's rates, from memory; products run some below). Capacity: usual densities.
# Energy per bit of the device and channel: HBM2E 6.0, GDDR6 7.5 and GDDR6X 7.25 (Micron;
# verified), DDR4 20 and HBM2 7.0 less the PHY, the upper end of 3.9 to 7.0 (Jouppi et al., ISCA
# 2021; from memory; O'Connor et al., MICRO 2017, model 3.9), HBM3 3.9 and HBM3E 3.5 (upper ends of
# published figures, from memory), LPDDR4 5.0, LPDDR5 4.5 and DDR5 15 (middle of published ranges),
# LPDDR5X 4.0 and HBM4 3.0 (estimates), each + 0.45 for the PHY on the die. Idle power (of a stack:
# standby and refresh of its dies, and a PHY whose clocks run), PHY area, edge, latency, price and
# interposer (a stack of 11 x 10 mm) are estimates from memory.
_KINDS: dict[str, tuple[float, ...]] = {
    #           GB/s    GiB   pJ/b   W     mm2   mm   ns     USD    mm2
    "ddr4":    (25.6,   32.0, 20.45, 1.5,  4.0,  4.0, 200.0, 80.0,  0.0),
    "ddr5":    (38.4,   32.0, 15.45, 1.5,  4.0,  4.0, 200.0, 90.0,  0.0),
    "lpddr4":  (17.1,   4.0,  5.45,  0.05, 1.6,  2.0, 250.0, 12.0,  0.0),
    "lpddr5":  (25.6,   4.0,  4.95,  0.05, 1.6,  2.0, 250.0, 14.0,  0.0),
    "lpddr5x": (34.1,   8.0,  4.45,  0.06, 1.7,  2.0, 250.0, 28.0,  0.0),
    "gddr6":   (64.0,   2.0,  7.95,  0.3,  2.4,  2.5, 350.0, 12.0,  0.0),
    "gddr6x":  (84.0,   2.0,  7.70,  0.35, 2.8,  2.5, 350.0, 16.0,  0.0),
    "hbm2":    (307.0,  8.0,  7.00,  3.0,  6.5,  6.0, 400.0, 110.0, 110.0),
    "hbm2e":   (460.0,  16.0, 6.45,  3.0,  7.0,  6.0, 400.0, 180.0, 110.0),
    "hbm3":    (819.0,  24.0, 4.35,  3.5,  8.0,  6.0, 400.0, 320.0, 110.0),
    "hbm3e":   (1229.0, 36.0, 3.95,  4.0,  8.5,  6.0, 400.0, 450.0, 110.0),
    "hbm4":    (2048.0, 36.0, 3.45,  5.0,  14.0, 9.0, 400.0, 550.0, 120.0),
}  # fmt: skip
_FIELDS = (
    "bandwidth_GBps", "capacity_GiB", "energy_pJ_per_bit", "idle_power_W", "phy_area_mm2",
    "edge_mm", "latency_ns", "cost_USD", "interposer_mm2",
)  # fmt: skip
DRAM_KINDS: dict[str, dict[str, float]] = {
    kind: dict(zip(_FIELDS, row, strict=True)) for kind, row in _KINDS.items()
}
