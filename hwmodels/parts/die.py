"""The die: control overhead, edge, clock tree, yield and cost.

Yield by the negative-binomial model, Y = (1 + A D0 / a)^-a with a = 3; gross dies per 300 mm
wafer = pi (d/2)^2 / A - pi d / sqrt(2 A). Left out: test, mask sets, salvage.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from hwmodels.technology import Process

RETICLE_M2 = 858e-6  # 26 mm x 33 mm
WAFER_M = 0.3
DEFECTS_PER_M2 = 0.1e4  # 0.1 per cm2, a mature process
CLUSTERING = 3.0
PACKAGE_USD_PER_M2 = 0.1e6  # 0.1 USD per mm2 of die: substrate and assembly; an estimate
BOARD_USD = 50.0
# Clock tree and always-toggling sequential logic per die area and cycle, at V = 1 V. With
# leakage it puts TPU v4's idle 0.15 W/mm2 (Jouppi et al., 2023, 90 W) at 0.7 of itself.
CLOCK_F_PER_M2 = 0.1e-3
HOST_INTERFACE_M2 = 10e-6  # PCIe, management, fuses, test; an estimate
# Share of the summed parts taken by control, routing and white space.
UNCORE = 0.25


def usable_edge(area: Any) -> Any:
    """Perimeter of a square die [m]."""
    return 4.0 * jnp.sqrt(area)


def clock_energy(process: Process, area: Any) -> Any:
    """Energy of the clock tree of `area` in one cycle [J]."""
    return CLOCK_F_PER_M2 * process.voltage**2 * area


def good_die_cost(process: Process, area: Any) -> Any:
    """Price of one good packaged die without its memory [USD].

    Gross dies are floored at one quarter so that oversized dies stay finite; the area margin
    flags them.
    """
    gross = math.pi * (WAFER_M / 2) ** 2 / area - math.pi * WAFER_M / jnp.sqrt(2.0 * area)
    yield_ = (1.0 + area * DEFECTS_PER_M2 / CLUSTERING) ** -CLUSTERING
    die = process.wafer_price / (jnp.maximum(gross, 0.25) * yield_)
    return die + PACKAGE_USD_PER_M2 * area + BOARD_USD
