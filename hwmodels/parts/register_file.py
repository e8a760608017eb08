"""Flip-flop registers: operand pipelines of arrays and small per-unit files.

Energy and area per bit at 7 nm from the Aladdin register component (0.0156 pJ and 8.26 um2 for
16 bits; hwcomponents' table, verified), scaled as logic. Against the same table's other nodes the
area is within 7%; its energy is 20% above ours at 16 nm, 1.8 times at 22 and 3.1 times at 45 nm, as
all of Aladdin's operations are at 40 nm (2 to 4 times Horowitz). Register files of kilobytes are
SRAM, not this.
"""

from __future__ import annotations

from typing import Any

from hwmodels.technology import Process

BIT_ENERGY_45NM = 0.0156e-12 / 16 / 0.360  # J per bit and access, per unit of energy_scale
BIT_AREA_45NM = 8.26e-12 / 16 / 0.059  # m2 per bit, per unit of area_scale


# Placed registers of arrays, with clock gates and the multiplexers before them, over their cells;
# fitted to published dies (experiments/fit_areas.py).
PLACED = 2.2


def energy(process: Process, bits: Any) -> Any:
    """Energy of reading or writing `bits` once [J]."""
    return BIT_ENERGY_45NM * process.energy_scale * bits


def area(process: Process, bits: Any) -> Any:
    """Area of `bits` of registers [m2]."""
    return BIT_AREA_45NM * process.area_scale * bits


def placed_area(process: Process, bits: Any) -> Any:
    """Area of `bits` of pipeline registers in an array [m2]."""
    return PLACED * area(process, bits)
