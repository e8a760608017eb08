"""Chip-to-chip links: serial lanes in whole links.

A serial link burns its power whether or not it carries data, so it is charged for its full rate,
always. A published energy per bit is that of a transmitter and a receiver; of a lane pair a chip
has one of each, and the other chip the other two, so a chip's share is

    power = energy x rate of one direction.

Default: an NVLink- or ICI-class copper link of 50 GB/s a
direction. `LINK_KINDS` has the numbers of one link by kind; they reach

* dies on one package: `ucie_advanced` (silicon bridge or interposer, 2 mm) and `ucie_standard`
  (organic substrate, 25 mm); modules on one board: `nvlink_c2c`;
* a board, backplane or rack over copper: `nvlink2` to `nvlink5`, `ici`, `infinity_fabric`, `pcie4`,
  `pcie5` (16 lanes each);
* a hall, through network cards and switches: `ethernet`, `infiniband`, 400 Gb/s ports;
* rows of racks over fibre: `optics_pluggable` (module with signal processor), `optics_copackaged`.

Switches are not included, nor are controller and protocol where a source gives the SerDes alone.
Latency is one hop with its share of the protocol, without flight time (5 ns a metre of fibre).
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
        return self.energy * 8.0 * self.injection_bandwidth


# Numbers of one link, in the order of the fields after `count` and their units. Rates: vendors'
# (verified in datasheets of chips that carry them). UCIe: a module of 64 lanes at 32 GT/s, 0.39 mm
# of edge, or of 16 lanes, 0.57 mm, i.e. 1317 and 224 GB/s a mm, both directions; 0.25 and 0.5
# pJ/bit, below 2 ns in the PHY (UCIe 1.0; verified, second hand). NVLink-C2C 1.3 pJ/bit (NVIDIA,
# likewise). From memory: 112G long-reach SerDes 5-6 pJ/bit, PCIe 5-6, ICI 4-6, NVLink 4-8,
# pluggable optics 15-20 with signal processor (+ 5 for the host's SerDes), co-packaged 5-9, an
# InfiniBand port with its card 20-40. Latency, area (2 mm2 for four 100G lanes), edge and price are
# estimates.
_KINDS: dict[str, tuple[float, ...]] = {
    #                    GB/s   pJ/b  ns      mm2  mm    USD
    "ucie_advanced":    (256.0, 0.25, 4.0,    0.4, 0.39, 5.0),
    "ucie_standard":    (64.0,  0.5,  4.0,    0.7, 0.57, 1.0),
    "nvlink_c2c":       (450.0, 1.3,  30.0,   8.0, 9.0,  10.0),
    "nvlink2":          (25.0,  8.0,  700.0,  2.4, 1.2,  15.0),
    "nvlink3":          (25.0,  6.0,  600.0,  1.4, 0.7,  15.0),
    "nvlink4":          (25.0,  5.5,  500.0,  1.0, 0.5,  15.0),
    "nvlink5":          (50.0,  5.0,  500.0,  1.2, 0.6,  20.0),
    "ici":              (50.0,  5.0,  500.0,  2.0, 1.0,  20.0),
    "infinity_fabric":  (64.0,  6.0,  700.0,  4.0, 2.5,  15.0),
    "pcie4":            (31.5,  6.0,  700.0,  5.0, 4.0,  10.0),
    "pcie5":            (63.0,  5.5,  600.0,  5.0, 4.0,  15.0),
    "ethernet":         (50.0,  30.0, 2000.0, 2.0, 1.0,  900.0),
    "infiniband":       (50.0,  30.0, 1000.0, 2.0, 1.0,  1300.0),
    "optics_pluggable": (50.0,  22.5, 600.0,  2.0, 1.0,  500.0),
    "optics_copackaged": (200.0, 7.0, 550.0,  4.0, 2.0,  800.0),
}  # fmt: skip
_FIELDS = ("bandwidth_GBps", "energy_pJ_per_bit", "latency_ns", "area_mm2", "edge_mm", "cost_USD")
LINK_KINDS: dict[str, dict[str, float]] = {
    kind: dict(zip(_FIELDS, row, strict=True)) for kind, row in _KINDS.items()
}
