"""The vector unit: fp32 lanes for everything that is not a contraction.

A lane does one simple operation (add, multiply, compare, select, cast) a cycle. Transcendental
ones (divide, root, exponential, logarithm, sine, tanh, erf) run on special-function units, one to
`SPECIAL_CYCLES` lanes: 4 is the ratio of fp32 lanes to special-function units of an NVIDIA GA100
SM, 64 to 16 (whitepaper, from memory; 8 in SMs with 128 lanes). So each takes the lanes
`SPECIAL_CYCLES` cycles. An operation costs an fp32 add or multiply (the mean of both) and three
32-bit register accesses; a special one, a table look-up and a quadratic interpolation (Oberman and
Siu, ARITH 2005), `SPECIAL_CYCLES` times that: an estimate. Left out: functions that take several
special operations (tanh by exponential and divide is two) beyond what the workload counts.
"""

from __future__ import annotations

from typing import Any

from hwmodels.parts import mac, register_file
from hwmodels.technology import Process

SPECIAL_CYCLES = 4.0
# Area of a special-function unit over that of an fp32 multiply-add; Oberman and Siu share its
# multipliers with interpolation of attributes; an estimate.
SPECIAL_AREA = 1.0
LANE_REGISTER_BITS = 32 * 32.0  # 32 fp32 registers a lane


def slots(simple: Any, special: Any) -> Any:
    """Lane cycles of that many operations."""
    return simple + SPECIAL_CYCLES * special


def special_rate(lanes: Any) -> Any:
    """Transcendental operations a cycle of `lanes` lanes."""
    return lanes / SPECIAL_CYCLES


def operation_energy(process: Process) -> Any:
    """Energy of one simple operation [J]; a special one takes `SPECIAL_CYCLES` times it."""
    return 0.5 * mac.energy(process, "fp32") + register_file.energy(process, 3 * 32.0)


def area(process: Process, lanes: Any) -> Any:
    """Area of `lanes` lanes, each an fp32 multiply-add, its registers and its share of a
    special-function unit [m2]."""
    arithmetic = mac.area(process, "fp32") * (1.0 + SPECIAL_AREA / SPECIAL_CYCLES)
    return lanes * (arithmetic + register_file.area(process, LANE_REGISTER_BITS))
