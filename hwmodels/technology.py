"""Process node, supply voltage and temperature: energy, delay, leakage and density.

Energy per operation at a node's nominal voltage is anchored at published operation energies
(Horowitz, ISSCC 2014, 45 nm at 0.9 V; Jouppi et al., ISCA 2021, Table 2, 7 nm) and follows the
node ratios of Stillmaker and Baas (Integration 58, 2017) in between, raised to the one power
that meets both anchors (0.426: inverter ratios alone would put a 7 nm multiplier five times
below the published one). Away from nominal voltage energy goes as V^2.

Delay follows the EKV interpolation: clock ~ softplus((V - Vt) / (2 n kT/q))^alpha / V, the
alpha-power law well above threshold and an exponential below it.

Leakage per area grows with V times a drain-induced barrier-lowering exponential, and doubles
every 20 K. Left out: process corners, body bias, self-heating, wire delay.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hwmodels.quantity import quantity

_NM = 1e-9
NODES_NM = (3.0, 5.0, 7.0, 10.0, 14.0, 16.0, 20.0, 28.0, 45.0, 65.0, 90.0, 130.0)

# Interpolation runs outwards from this node, so that few and small terms add up in float32.
_PIVOT = NODES_NM.index(20.0)
_LOG_NODES = np.log(np.asarray(NODES_NM) / NODES_NM[_PIVOT])
_WIDTHS = np.diff(_LOG_NODES)
_ABOVE = _LOG_NODES[:-1] >= 0
_START = np.where(_ABOVE, _LOG_NODES[:-1], _LOG_NODES[1:])
_REACH = np.where(_ABOVE, _WIDTHS, -_WIDTHS)
# Nominal supply [V] and threshold [V]: typical foundry values; threshold is an estimate.
NOMINAL_V = (0.70, 0.75, 0.75, 0.75, 0.80, 0.80, 0.85, 0.90, 1.00, 1.10, 1.20, 1.30)
THRESHOLD_V = (0.28, 0.29, 0.30, 0.31, 0.32, 0.32, 0.34, 0.35, 0.35, 0.36, 0.38, 0.40)
# Energy of one logic operation at nominal voltage, relative to 45 nm at 0.9 V. 7 to 45 nm as in
# the module docstring; 5 and 3 nm from the foundry's power claims (-30%, -34%); above 45 nm the
# Stillmaker-Baas ratios themselves.
LOGIC_ENERGY = (0.166, 0.252, 0.360, 0.424, 0.485, 0.534, 0.664, 0.83, 1.235, 2.41, 4.61, 9.04)
# Logic area relative to 45 nm: Stillmaker-Baas; 5 and 3 nm by ratio of published peak densities.
LOGIC_AREA = (0.0273, 0.039, 0.059, 0.10, 0.17, 0.19, 0.21, 0.37, 1.0, 1.5, 2.8, 6.4)
# High-density 6T cell [um2]: foundry papers (IEDM); 65 nm and above from memory.
SRAM_CELL_UM2 = (0.0205, 0.021, 0.027, 0.042, 0.064, 0.074, 0.09, 0.127, 0.346, 0.52, 1.0, 2.4)
# Fastest clock of a throughput pipeline at nominal voltage [GHz]: the upper end of accelerator
# clocks by node (P100 1.48, V100 1.53, A100 1.41, Dojo 2.0, H100 1.83, MI300X 2.1); an estimate.
NOMINAL_CLOCK_GHZ = (2.2, 2.0, 1.75, 1.65, 1.55, 1.5, 1.3, 1.1, 1.0, 0.9, 0.6, 0.4)
# Leakage at nominal voltage and 85 C: logic [W/mm2], SRAM [mW/Mibit]. Assumptions at 7 nm (no
# public measurement); planar nodes leak as much per area with far fewer transistors.
LOGIC_LEAKAGE_W_MM2 = (0.05, 0.045, 0.04, 0.03, 0.025, 0.025, 0.04, 0.045, 0.05, 0.04, 0.02, 0.005)
SRAM_LEAKAGE_MW_MIBIT = (0.9, 0.95, 1.0, 1.1, 1.2, 1.2, 1.8, 2.0, 2.5, 2.5, 2.0, 1.0)

# 300 mm wafer [USD]: Khan and Mann, AI Chips (CSET, 2020), Table 9, 90 to 5 nm; 3 and 130 nm are
# estimates.
WAFER_PRICE_USD = (18000.0, 16988.0, 9346.0, 5992.0, 3984.0, 3984.0, 3677.0, 2891.0, 2274.0,
                   1937.0, 1650.0, 1500.0)  # fmt: skip

ALPHA = 1.3  # velocity-saturation exponent of the alpha-power law (Sakurai and Newton, 1990)
SUBTHRESHOLD_SLOPE = 1.4  # n in the EKV model
BOLTZMANN_OVER_CHARGE = 8.617333e-5  # k/q [V/K], CODATA
BARRIER_LOWERING = 0.08  # V of threshold per V of drain, FinFET-class; an estimate
REFERENCE_K = 358.15  # 85 C, where leakage is tabulated
LEAKAGE_DOUBLING_K = 20.0
# On-chip wire: capacitance per length is nearly the same at all nodes, 0.18-0.22 fF/um (Dally,
# DAC/GTC talks), so energy per bit and metre falls with V^2 only.
WIRE_F_PER_M = 0.2e-9


class Process(NamedTuple):
    """A technology resolved at its voltage and temperature; scalars, SI.

    `energy_scale` and `area_scale`: a logic operation's energy (this voltage) and area, relative
    to 45 nm at 0.9 V; `sram_cell`: area of a 6T cell [m2]; `wire_energy` [J/(bit m)];
    `max_clock` [Hz]; `logic_leakage` [W/m2]; `sram_leakage` [W/byte]; `wafer_price` [USD].
    """

    voltage: Any
    energy_scale: Any
    area_scale: Any
    sram_cell: Any
    wire_energy: Any
    max_clock: Any
    logic_leakage: Any
    sram_leakage: Any
    wafer_price: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Technology:
    """A process node at a supply voltage and temperature (SI leaves)."""

    node: Any = quantity(7, "nm", _NM, low=3, high=130, doc="process node")
    voltage: Any = quantity(0.75, "V", low=0.4, high=1.4, doc="core supply voltage")
    temperature: Any = quantity(
        REFERENCE_K, "K", low=250, high=400, doc="junction temperature, for leakage"
    )

    def lookup(self, table: tuple[float, ...]) -> Any:
        """Monotone cubic interpolation in log-log (Fritsch and Carlson, 1980).

        A sum over segments of polynomials in a clipped coordinate, not a search: no gather, so
        batches of nodes vectorise. Cubic, not linear: designs sit on the knots, where a kink
        would have no derivative.
        """
        away = jnp.log(self.node / (NODES_NM[_PIVOT] * _NM))
        start, reach = _START.astype(away.dtype), _REACH.astype(away.dtype)
        t = jnp.clip((away - start) / reach, 0.0, 1.0)
        first, second, third = _segments(table).astype(t.dtype)
        return table[_PIVOT] * jnp.exp(jnp.sum(t * (first + t * (second + t * third))))

    def resolve(self) -> Process:
        """Everything that parts need to know of the process, computed once for a design."""
        nominal = self.lookup(NOMINAL_V)
        threshold = self.lookup(THRESHOLD_V)
        relative = self.voltage / nominal
        thermal = SUBTHRESHOLD_SLOPE * BOLTZMANN_OVER_CHARGE * REFERENCE_K
        barrier = jnp.exp(BARRIER_LOWERING * (self.voltage - nominal) / thermal)
        heat = 2.0 ** ((self.temperature - REFERENCE_K) / LEAKAGE_DOUBLING_K)
        leakage = relative * barrier * heat
        speed = _drive(self.voltage, threshold) / _drive(nominal, threshold)
        return Process(
            voltage=self.voltage,
            energy_scale=self.lookup(LOGIC_ENERGY) * relative**2,
            area_scale=self.lookup(LOGIC_AREA),
            sram_cell=self.lookup(SRAM_CELL_UM2) * 1e-12,
            wire_energy=WIRE_F_PER_M * self.voltage**2,
            max_clock=self.lookup(NOMINAL_CLOCK_GHZ) * 1e9 * speed,
            logic_leakage=self.lookup(LOGIC_LEAKAGE_W_MM2) * 1e6 * leakage,
            sram_leakage=self.lookup(SRAM_LEAKAGE_MW_MIBIT) * 1e-3 * 8 / 2**20 * leakage,
            wafer_price=self.lookup(WAFER_PRICE_USD),
        )


@functools.cache
def _segments(table: tuple[float, ...]) -> np.ndarray:
    """Coefficients of t, t^2, t^3 of each segment's Hermite cubic, t running from the pivot."""
    steps = np.diff(np.log(np.asarray(table)))
    slopes = steps / _WIDTHS
    knots = slopes[[0, *range(len(slopes))]]
    for i, (before, after) in enumerate(itertools.pairwise(slopes)):
        left, right = _WIDTHS[i] + 2 * _WIDTHS[i + 1], 2 * _WIDTHS[i] + _WIDTHS[i + 1]
        rising = before * after > 0  # else a local extremum, flat
        knots[i + 1] = (left + right) / (left / before + right / after) if rising else 0.0
    knots[-1] = slopes[-1]
    rise = np.where(_ABOVE, steps, -steps)
    start = np.where(_ABOVE, knots[:-1], knots[1:]) * _REACH
    end = np.where(_ABOVE, knots[1:], knots[:-1]) * _REACH
    return np.stack([start, 3 * rise - 2 * start - end, start + end - 2 * rise])


def _drive(voltage: Any, threshold: Any) -> Any:
    """Drive current over voltage (the clock's shape), EKV at the reference temperature."""
    slope = 2.0 * SUBTHRESHOLD_SLOPE * BOLTZMANN_OVER_CHARGE * REFERENCE_K
    return jax.nn.softplus((voltage - threshold) / slope) ** ALPHA / voltage
