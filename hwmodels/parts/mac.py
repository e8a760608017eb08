"""Multiply-accumulate units by number format and accumulator.

Energy of one multiply-accumulate = multiply + add in the accumulator's format, at 7 nm and 0.75
V. Published (Jouppi et al., ISCA 2021, Table 2; from memory, its 45 nm column equals Horowitz,
ISSCC 2014, verified): multiplies in int8, bf16, fp16, fp32, additions in int32, bf16, fp16, fp32.
The others follow, as estimates, from the significand's s bits, the hidden one included:

    multiply = 0.064 + 0.00228 s^2 pJ        (meets fp16 and bf16; fp32 comes out 5% high)
    integer multiply ~ bits^2, addition ~ bits of the significand

the constant being exponents and normalisation. tf32 has fp16's 11 bits and bf16's 8-bit exponent:
19 bits of datapath, 32 in memory. fp64 so costs 7.3 pJ at 7 nm; Keckler et al. (IEEE Micro, 2011)
projected 6.5 to 8.7 for an FMA at 10 nm (from memory).

Area at 45 nm: Horowitz / Dally for int8, fp16, fp32 and their additions (verified); the others by
the same law, 28 + 13.3 s^2 um2. `LAYOUT` turns synthesised cells into
placed ones with their control, fitted with the other constants of area to published dies
(experiments/fit_areas.py); with its registers, 65,536 bf16 units of TPU v4i take the 11% of a
400 mm2 die that Jouppi et al. give at most.

Aladdin's integer unit (hwcomponents' table) is 9% above int8 here at 7 nm, and 2 to 4 times
Horowitz at 45 nm: the published operations are preferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwmodels.errors import check_choice
from hwmodels.technology import Process

LAYOUT = 1.9
_ENERGY_AT_7NM = 0.360  # Process.energy_scale at the 7 nm anchor


@dataclass(frozen=True)
class NumberFormat:
    """A number format: width in memory and in the datapath [bits]; multiply energy [pJ, 7 nm] and
    area [um2, 45 nm]; what it accumulates in; whether training admits it."""

    bits: float
    datapath_bits: float
    multiply_pJ: float
    multiply_um2: float
    accumulator: str
    trains: bool


@dataclass(frozen=True)
class Accumulator:
    """An adder with its register: width [bits], energy [pJ, 7 nm], area [um2, 45 nm]."""

    bits: float
    add_pJ: float
    add_um2: float


def _float_pJ(significand: int) -> float:
    return 0.064 + 0.00228 * significand**2


def _float_um2(significand: int) -> float:
    return 28.0 + 13.3 * significand**2


FORMATS: dict[str, NumberFormat] = {
    "int4": NumberFormat(4, 4, 0.07 / 4, 282 / 4, "int32", trains=False),
    "int8": NumberFormat(8, 8, 0.07, 282, "int32", trains=False),
    "int16": NumberFormat(16, 16, 0.07 * 4, 282 * 4, "int32", trains=False),
    "fp8": NumberFormat(8, 8, _float_pJ(4), _float_um2(4), "fp32", trains=True),
    "bf16": NumberFormat(16, 16, 0.21, _float_um2(8), "fp32", trains=True),
    "fp16": NumberFormat(16, 16, 0.34, 1640, "fp32", trains=True),
    "tf32": NumberFormat(32, 19, 0.34, 1640, "fp32", trains=True),
    "fp32": NumberFormat(32, 32, 1.31, 7700, "fp32", trains=True),
    "fp64": NumberFormat(64, 64, _float_pJ(53), _float_um2(53), "fp64", trains=True),
}
ACCUMULATORS: dict[str, Accumulator] = {
    "int16": Accumulator(16, 0.015, 67),
    "int32": Accumulator(32, 0.03, 137),
    "bf16": Accumulator(16, 0.11, 1360 * 8 / 11),
    "fp16": Accumulator(16, 0.16, 1360),
    "fp32": Accumulator(32, 0.38, 4184),
    "fp64": Accumulator(64, 0.38 * 53 / 24, 4184 * 53 / 24),
}
# What the variants move and keep for a partial sum. fp64 sums are twice as wide: left out there.
ACCUMULATOR_BYTES = 4.0


def energy(process: Process, number_format: str, accumulator: str | None = None) -> Any:
    """Energy of one multiply-accumulate [J]; `accumulator` as the format's own by default."""
    picojoule = FORMATS[number_format].multiply_pJ + _adder(number_format, accumulator).add_pJ
    return picojoule * 1e-12 * process.energy_scale / _ENERGY_AT_7NM


def relative_energy(built: str, *operands: str) -> float:
    """Energy of a multiply-accumulate of `operands` on a unit of format `built`, over that of its
    own format: the widest operand sets what toggles, sums stay as wide."""
    adder = _adder(built, None).add_pJ
    widest = max(FORMATS[operand].multiply_pJ for operand in operands)
    return (widest + adder) / (FORMATS[built].multiply_pJ + adder)


def area(process: Process, number_format: str, accumulator: str | None = None) -> Any:
    """Placed area of one multiply-accumulate unit [m2]; `accumulator` as in `energy`."""
    cells = FORMATS[number_format].multiply_um2 + _adder(number_format, accumulator).add_um2
    return LAYOUT * cells * 1e-12 * process.area_scale


def _adder(number_format: str, accumulator: str | None) -> Accumulator:
    if accumulator is None:
        return ACCUMULATORS[FORMATS[number_format].accumulator]
    check_choice("accumulator", accumulator, ACCUMULATORS)
    return ACCUMULATORS[accumulator]
