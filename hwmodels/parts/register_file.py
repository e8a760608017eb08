"""Flip-flop registers: operand pipelines of arrays and small per-unit files.

Energy and area per bit at 7 nm from the Aladdin register component (0.0156 pJ and 8.26 um2 for
16 bits; hwcomponents' table), scaled as logic. Register files of kilobytes are SRAM, not this.
"""

from __future__ import annotations

from typing import Any

from hwmodels.technology import Process

BIT_ENERGY_45NM = 0.0156e-12 / 16 / 0.360  # J per bit and access, per unit of energy_scale
BIT_AREA_45NM = 8.26e-12 / 16 / 0.059  # m2 per bit, per unit of area_scale


def energy(process: Process, bits: Any) -> Any:
    """Energy of reading or writing `bits` once [J]."""
    return BIT_ENERGY_45NM * process.energy_scale * bits


def area(process: Process, bits: Any) -> Any:
    """Area of `bits` of registers [m2]."""
    return BIT_AREA_45NM * process.area_scale * bits
