"""Multiply-accumulate units by number format.

Energy of one multiply-accumulate = multiply + add in the accumulation width. Anchors at 7 nm:
Jouppi et al., ISCA 2021, Table 2 (from memory; its 45 nm column equals Horowitz, ISSCC 2014).
Area at 45 nm: Horowitz / Dally tables for fp16, fp32 and int8; other multipliers by the square
of the significand width. `LAYOUT` turns synthesised cells into a placed array with its pipeline
registers and control: it makes 65,536 bf16 units of TPU v4i take the 11% of a 400 mm2 die that
Jouppi et al. give. Floating formats accumulate in fp32, int8 in int32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwmodels.technology import Process

LAYOUT = 2.25
_ENERGY_AT_7NM = 0.360  # Process.energy_scale at the 7 nm anchor


@dataclass(frozen=True)
class NumberFormat:
    """A number format: width [bits]; multiply and add: energy [pJ, 7 nm], area [um2, 45 nm]."""

    bits: float
    multiply_pJ: float
    add_pJ: float
    multiply_um2: float
    add_um2: float
    trains: bool


FORMATS: dict[str, NumberFormat] = {
    "int8": NumberFormat(8, 0.07, 0.03, 282, 137, trains=False),
    "fp8": NumberFormat(8, 0.05, 0.38, 1640 * (4 / 11) ** 2, 4184, trains=True),
    "bf16": NumberFormat(16, 0.21, 0.38, 1640 * (8 / 11) ** 2, 4184, trains=True),
    "fp16": NumberFormat(16, 0.34, 0.38, 1640, 4184, trains=True),
    "tf32": NumberFormat(32, 0.34, 0.38, 1640, 4184, trains=True),
    "fp32": NumberFormat(32, 1.31, 0.38, 7700, 4184, trains=True),
}
ACCUMULATOR_BYTES = 4.0


def energy(process: Process, number_format: str) -> Any:
    """Energy of one multiply-accumulate [J]."""
    fmt = FORMATS[number_format]
    return (fmt.multiply_pJ + fmt.add_pJ) * 1e-12 * process.energy_scale / _ENERGY_AT_7NM


def area(process: Process, number_format: str) -> Any:
    """Placed area of one multiply-accumulate unit [m2]."""
    fmt = FORMATS[number_format]
    return LAYOUT * (fmt.multiply_um2 + fmt.add_um2) * 1e-12 * process.area_scale
