"""Zeros in operands: gating and skipping, at the densities that the trace measured.

A product is needless if either operand is zero; with densities d_l and d_r, taken as independent,
the share d = d_l d_r of products is needed.

* gate: the multiplier and adder of a needless product stay still: its "mac" energy is saved,
  clock, registers and time are not. (Eyeriss saves 45% of an element's power so, with AlexNet's
  activations: Chen et al., JSSC 2017.)
* skip: needless products take no cycle either. Units wait for the one with most work:

      cycles / dense cycles = min(1, d + IMBALANCE sqrt(d (1 - d)))

  the shape of the largest of many binomial counts. `IMBALANCE` makes it the 3.5-fold speed-up of
  SCNN over its dense twin for VGG-16, at d = 0.13 (Parashar et al., ISCA 2017; from memory).

Overheads stay even where nothing is zero. Skipping costs what SCNN's indices, crossbar and banked
sums add to its dense twin: 34% in area (7.9 against 5.9 mm2), and that much in energy for each
product that is done; from memory. Gating's comparators and latches: 4% and 2%, estimates. Left
out: compressed operands, so traffic does not shrink; structure in where the zeros are.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

IMBALANCE = 0.46
AREA = {"gate": 0.04, "skip": 0.34}  # of the units' (and, for skip, their local memories') area
ENERGY = {"gate": 0.02, "skip": 0.34}  # of the multiply-accumulate's energy


def time_share(density: Any) -> Any:
    """Cycles of a skipping array over those of a dense one; never below `density`."""
    spread = jnp.sqrt(jnp.maximum(density * (1.0 - density), 0.0))
    return jnp.minimum(density + IMBALANCE * spread, 1.0)


def area(kind: str, areas: dict[str, Any]) -> Any:
    """Area of the logic that finds zeros, beside `areas` of the compute structure by part [m2]."""
    touched = ("mac", "local") if kind == "skip" else ("mac",)
    return AREA[kind] * sum(areas[part] for part in touched if part in areas)


def energy(kind: str, mac_energy: dict[str, Any]) -> Any:
    """Energy of finding zeros for each multiply-accumulate that is done [J]."""
    return ENERGY[kind] * mac_energy["mac"]
