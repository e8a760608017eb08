"""The die: control overhead, edge, clock tree, heat, yield and cost.

Yield by the negative-binomial model, Y = (1 + A D0 / a)^-a with a = 3 and the node's defect
density D0; gross dies per 300 mm wafer = pi (d/2)^2 / A - pi d / sqrt(2 A). Package: an organic
flip-chip substrate by area of die; beside HBM, also a silicon interposer under the die and its
stacks. Left out: test, mask sets, salvage of partly working dies, yield of assembly.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from hwmodels.errors import check_choice
from hwmodels.technology import Process

RETICLE_M2 = 858e-6  # 26 mm x 33 mm
WAFER_M = 0.3
CLUSTERING = 3  # a; whole: a power by products. 3 to 4 for logic, from memory
PACKAGE_USD_PER_M2 = 0.1e6  # 0.1 USD per mm2 of die: substrate and assembly; an estimate
# 2.5-D assembly, 0.45 USD per mm2 of die and stacks: analysts put an H100's, of some 1500 mm2, at
# about 700 USD (from memory); an estimate.
INTERPOSER_USD_PER_M2 = 0.45e6
BOARD_USD = 50.0
# Clock tree and always-toggling sequential logic per die area and cycle: 100 nF/mm2 at 7 nm. The
# energy of a flip-flop and their density go as those of logic, so a unit of energy_scale over
# area_scale. With leakage it puts TPU v4's idle 0.15 W/mm2 (Jouppi et al., 2023, 90 W) at 0.6 of
# itself.
CLOCK_J_PER_M2 = 0.1e-3 * 0.75**2 * 0.059 / 0.36
HOST_INTERFACE_M2 = 10e-6  # PCIe, management, fuses, test; an estimate
# Power per die area that cooling carries off in lasting use [W/m2]. An H100 module, 700 W on 814
# mm2 or 0.86 W/mm2 with its memory, is sold air-cooled; cold plates reach some 1.5. Estimates.
HEAT_LIMIT_W_PER_M2 = {"air": 0.9e6, "liquid": 1.5e6}
# Control, routing and white space over the sum of the parts; fitted to published dies
# (experiments/fit_areas.py).
UNCORE = 0.325


def usable_edge(area: Any) -> Any:
    """Perimeter of a square die [m]."""
    return 4.0 * jnp.sqrt(area)


def clock_energy(process: Process, area: Any) -> Any:
    """Energy of the clock tree of `area` in one cycle [J]."""
    return CLOCK_J_PER_M2 * process.energy_scale / process.area_scale * area


def thermal_margin(power: Any, area: Any, cooling: str = "air") -> Any:
    """Relative room of `power` [W] on `area` [m2] to what cooling carries off, >= 0 if it does."""
    check_choice("cooling", cooling, HEAT_LIMIT_W_PER_M2)
    return 1.0 - power / (HEAT_LIMIT_W_PER_M2[cooling] * area)


def die_yield(process: Process, area: Any) -> Any:
    """Share of dies without a defect."""
    return (1.0 + area * process.defect_density / CLUSTERING) ** -CLUSTERING


def package_cost(area: Any, stacks_area: Any = 0.0) -> Any:
    """Substrate and assembly of a die of `area`, beside stacks on `stacks_area` of interposer; with
    none, no interposer [USD]."""
    interposer = jnp.where(stacks_area > 0, area + stacks_area, 0.0)
    return PACKAGE_USD_PER_M2 * area + INTERPOSER_USD_PER_M2 * interposer


def good_die_cost(process: Process, area: Any, stacks_area: Any = 0.0) -> Any:
    """Price of one good packaged die without its memory [USD].

    `stacks_area`: interposer under memory stacks [m2]. Gross dies are floored at one quarter so
    that oversized dies stay finite; the area margin flags them.
    """
    gross = math.pi * (WAFER_M / 2) ** 2 / area - math.pi * WAFER_M / jnp.sqrt(2.0 * area)
    die = process.wafer_price / (jnp.maximum(gross, 0.25) * die_yield(process, area))
    return die + package_cost(area, stacks_area) + BOARD_USD
