"""The vector unit: fp32 lanes for everything that is not a contraction.

A lane does one simple operation (add, multiply, compare, select, cast) a cycle and one special
operation (divide, root, exponential, logarithm) in `SPECIAL_CYCLES`, the ratio of fp32 lanes to
special-function units in NVIDIA SMs. An operation costs an fp32 add or multiply (the mean of
both) and three 32-bit register accesses; a special one `SPECIAL_CYCLES` times that.
"""

from __future__ import annotations

from typing import Any

from hwmodels.parts import mac, register_file
from hwmodels.technology import Process

SPECIAL_CYCLES = 4.0
LANE_REGISTER_BITS = 32 * 32.0  # 32 fp32 registers a lane


def slots(simple: Any, special: Any) -> Any:
    """Lane cycles of that many operations."""
    return simple + SPECIAL_CYCLES * special


def operation_energy(process: Process) -> Any:
    """Energy of one simple operation [J]; a special one takes `SPECIAL_CYCLES` times it."""
    return 0.5 * mac.energy(process, "fp32") + register_file.energy(process, 3 * 32.0)


def area(process: Process, lanes: Any) -> Any:
    """Area of `lanes` lanes, each an fp32 multiply-add and its registers [m2]."""
    lane = mac.area(process, "fp32") + register_file.area(process, LANE_REGISTER_BITS)
    return lanes * lane
