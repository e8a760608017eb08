"""Process node, supply voltage and temperature: energy, delay, leakage and density.

Energy per operation at a node's nominal voltage is anchored at published operation energies
(Horowitz, ISSCC 2014, 45 nm at 0.9 V; Jouppi et al., ISCA 2021, Table 2, 7 nm) and follows the
node ratios of Stillmaker and Baas (Integration 58, 2017) in between, raised to the one power
that meets both anchors (0.426: inverter ratios alone would put a 7 nm multiplier five times
below the published one). Away from nominal voltage energy goes as V^2.

Delay follows the EKV interpolation: speed ~ softplus((V - Vt) / (2 n kT/q))^alpha / V, the
alpha-power law well above threshold and an exponential below it. `max_clock` is that of a whole
pipeline, `gate_delay` that of an inverter driving four: their ratio grows from 80 gates at 45 nm
to 180 at 7 nm, as wires and power, not gates, set the clocks of products.

Leakage per area grows with V times a drain-induced barrier-lowering exponential, and doubles
every 20 K. Left out: process corners, body bias, self-heating; wire delay in the clock.

Tables run from 3 to 180 nm. Confidence of a number is said in words: verified (against its
source), from memory, estimate.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hwmodels.quantity import part, quantity

_NM = 1e-9
NODES_NM = (3.0, 5.0, 7.0, 10.0, 14.0, 16.0, 20.0, 28.0, 45.0, 65.0, 90.0, 130.0, 180.0)

# Interpolation runs outwards from this node, so that few and small terms add up in float32.
_PIVOT = NODES_NM.index(20.0)
_LOG_NODES = np.log(np.asarray(NODES_NM) / NODES_NM[_PIVOT])
_WIDTHS = np.diff(_LOG_NODES)
_ABOVE = _LOG_NODES[:-1] >= 0
_START = np.where(_ABOVE, _LOG_NODES[:-1], _LOG_NODES[1:])
_REACH = np.where(_ABOVE, _WIDTHS, -_WIDTHS)
# fmt: off
# Nominal supply [V] and threshold [V]: typical foundry values, from memory; thresholds are
# estimates. The 20 nm class stands for what is built in it, 22 nm platforms at 0.8 V.
NOMINAL_V = (
    0.70, 0.75, 0.75, 0.75, 0.80, 0.80, 0.80, 0.90, 1.00, 1.10, 1.20, 1.30, 1.80)
THRESHOLD_V = (
    0.28, 0.29, 0.30, 0.31, 0.32, 0.32, 0.34, 0.35, 0.35, 0.36, 0.38, 0.40, 0.45)
# Energy of one logic operation at nominal voltage, relative to 45 nm at 0.9 V. 7 to 45 nm as in
# the module docstring; 5 and 3 nm from the foundry's power claims (-30%, -34%; verified, and
# marketing); 65 to 130 nm the Stillmaker-Baas ratios themselves (verified); 180 nm an estimate by
# gate length times V^2.
LOGIC_ENERGY = (
    0.166, 0.252, 0.360, 0.424, 0.485, 0.534, 0.592, 0.83, 1.235, 2.41, 4.61, 9.04, 24.0)
# Logic area relative to 45 nm: Stillmaker-Baas (verified); 5 and 3 nm by ratio of published peak
# densities (verified at 5 nm, an estimate at 3 nm).
LOGIC_AREA = (
    0.0273, 0.039, 0.059, 0.10, 0.17, 0.19, 0.21, 0.37, 1.0, 1.5, 2.8, 6.4, 19.0)
# High-density 6T cell [um2]: foundry papers at IEDM and ISSCC (3, 5, 7 and 16 nm verified, the
# others from memory).
SRAM_CELL_UM2 = (
    0.0205, 0.021, 0.027, 0.042, 0.064, 0.074, 0.081, 0.127, 0.346, 0.52, 1.0, 2.4, 4.6)
# Fastest clock of a throughput pipeline at nominal voltage [GHz]: the upper end of accelerator
# clocks by node (ShiDianNao 1.0 at 65 nm, P100 1.48, V100 1.53, A100 1.41, Dojo 2.0, H100 1.83,
# MI300X 2.1); an estimate.
NOMINAL_CLOCK_GHZ = (
    2.2, 2.0, 1.75, 1.65, 1.55, 1.5, 1.3, 1.1, 1.05, 1.0, 0.6, 0.4, 0.25)
# Delay of an inverter driving four, at nominal voltage [ps]: Stillmaker-Baas polynomials
# (verified) at 7 to 16 nm, 45 to 130 nm; 20 and 28 nm between their neighbours, as the fits there
# are not monotone; 3 and 5 nm by the foundry's speed claims, 180 nm by length: estimates.
GATE_DELAY_PS = (
    2.2, 2.6, 3.03, 3.84, 4.51, 6.73, 8.4, 9.6, 12.5, 19.2, 23.6, 32.0, 45.0)
# Leakage at nominal voltage and 85 C: logic [W/mm2], SRAM [mW/Mibit]. Assumptions at 7 nm (no
# public measurement); planar nodes leak as much per area with far fewer transistors.
LOGIC_LEAKAGE_W_MM2 = (
    0.05, 0.045, 0.04, 0.03, 0.025, 0.025, 0.04, 0.045, 0.05, 0.04, 0.02, 0.005, 0.001)
SRAM_LEAKAGE_MW_MIBIT = (
    0.9, 0.95, 1.0, 1.1, 1.2, 1.2, 1.8, 2.0, 2.5, 2.5, 2.0, 1.0, 0.3)
# 300 mm wafer [USD]: Khan and Mann, AI Chips (CSET, 2020), Table 9, 90 to 5 nm (from memory); 3,
# 130 and 180 nm are estimates.
WAFER_PRICE_USD = (
    18000.0, 16988.0, 9346.0, 5992.0, 3984.0, 3984.0, 3677.0, 2891.0, 2274.0, 1937.0, 1650.0,
    1500.0, 1300.0)
# Killer defects per cm2 in volume production: TSMC at its symposia of 2019 and 2020, 0.09 at 7 nm
# and 0.10 to 0.11 at 5 nm (verified in the press); all others are estimates.
DEFECTS_PER_CM2 = (
    0.12, 0.10, 0.09, 0.085, 0.08, 0.08, 0.075, 0.07, 0.06, 0.05, 0.05, 0.05, 0.05)
# fmt: on

ALPHA = 1.3  # velocity-saturation exponent of the alpha-power law (Sakurai and Newton, 1990)
SUBTHRESHOLD_SLOPE = 1.4  # n in the EKV model
BOLTZMANN_OVER_CHARGE = 8.617333e-5  # k/q [V/K], CODATA
BARRIER_LOWERING = 0.08  # V of threshold per V of drain, FinFET-class; an estimate
REFERENCE_K = 358.15  # 85 C, where leakage is tabulated
LEAKAGE_DOUBLING_K = 20.0
# Highest lasting supply over nominal: 1.0 V at 7 nm, where GPUs stop; an estimate. Desktop CPUs
# go beyond it for single cores, and age for it.
OVERDRIVE = 1.35
NEAR_THRESHOLD_V = 0.05  # lowest supply above threshold, where variation ends timing; an estimate
# On-chip wire: capacitance per length is nearly the same at all nodes, so energy per bit and metre
# falls with V^2 only. Geometric mean of published energies over V^2: 121 and 78 fJ/bit/mm at 40 and
# 10 nm (Keckler et al., IEEE Micro 2011), 160 and 80 at 16 and 5 nm (Dally, talks), 0.14 to 0.25
# fF/um; all from memory.
WIRE_F_PER_M = 0.165e-9


class Process(NamedTuple):
    """A technology resolved at its voltage and temperature; scalars, SI.

    `min_voltage`, `max_voltage`: the node's near-threshold and overdrive limits [V];
    `energy_scale` and `area_scale`: a logic operation's energy (this voltage) and area, relative
    to 45 nm at 0.9 V; `sram_cell`: area of a 6T cell [m2]; `wire_energy` [J/(bit m)];
    `max_clock` [Hz]; `gate_delay`: inverter driving four [s]; `logic_leakage` [W/m2];
    `sram_leakage` [W/byte]; `wafer_price` [USD]; `defect_density` [1/m2];
    `sram_energy`: of an access, relative to `parts.sram`.
    """

    voltage: Any
    min_voltage: Any
    max_voltage: Any
    energy_scale: Any
    area_scale: Any
    sram_cell: Any
    wire_energy: Any
    max_clock: Any
    gate_delay: Any
    logic_leakage: Any
    sram_leakage: Any
    wafer_price: Any
    defect_density: Any
    sram_energy: Any


def _factor(doc: str) -> Any:
    return quantity(1.0, low=0.1, high=10, doc=f"{doc}, relative to this module's")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Scale:
    """A process that differs from the tables: what if, or how uncertain they are."""

    logic_energy: Any = _factor("energy of a logic operation")
    wire_energy: Any = _factor("energy of a bit on an on-chip wire")
    sram_energy: Any = _factor("energy of an SRAM access, wires to it aside")
    leakage: Any = _factor("leakage of logic and SRAM")
    delay: Any = _factor("delay of a gate and of a pipeline stage")
    logic_area: Any = _factor("area of logic")
    sram_area: Any = _factor("area of an SRAM cell")
    defect_density: Any = _factor("defects per area")
    wafer_price: Any = _factor("price of a wafer")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Technology:
    """A process node at a supply voltage and temperature (SI leaves)."""

    node: Any = quantity(7, "nm", _NM, low=3, high=180, doc="process node")
    voltage: Any = quantity(0.75, "V", low=0.35, high=2.2, doc="core supply voltage")
    temperature: Any = quantity(
        REFERENCE_K, "K", low=250, high=400, doc="junction temperature, for leakage"
    )
    scale: Scale = part(Scale)

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
        scale, nominal = self.scale, self.lookup(NOMINAL_V)
        threshold = self.lookup(THRESHOLD_V)
        relative = self.voltage / nominal
        thermal = SUBTHRESHOLD_SLOPE * BOLTZMANN_OVER_CHARGE * REFERENCE_K
        barrier = jnp.exp(BARRIER_LOWERING * (self.voltage - nominal) / thermal)
        heat = 2.0 ** ((self.temperature - REFERENCE_K) / LEAKAGE_DOUBLING_K)
        leakage = relative * barrier * heat * scale.leakage
        speed = _drive(self.voltage, threshold) / _drive(nominal, threshold) / scale.delay
        return Process(
            voltage=self.voltage,
            min_voltage=threshold + NEAR_THRESHOLD_V,
            max_voltage=OVERDRIVE * nominal,
            energy_scale=self.lookup(LOGIC_ENERGY) * relative**2 * scale.logic_energy,
            area_scale=self.lookup(LOGIC_AREA) * scale.logic_area,
            sram_cell=self.lookup(SRAM_CELL_UM2) * 1e-12 * scale.sram_area,
            wire_energy=WIRE_F_PER_M * self.voltage**2 * scale.wire_energy,
            max_clock=self.lookup(NOMINAL_CLOCK_GHZ) * 1e9 * speed,
            gate_delay=self.lookup(GATE_DELAY_PS) * 1e-12 / speed,
            logic_leakage=self.lookup(LOGIC_LEAKAGE_W_MM2) * 1e6 * leakage,
            sram_leakage=self.lookup(SRAM_LEAKAGE_MW_MIBIT) * 1e-3 * 8 / 2**20 * leakage,
            wafer_price=self.lookup(WAFER_PRICE_USD) * scale.wafer_price,
            defect_density=self.lookup(DEFECTS_PER_CM2) * 1e4 * scale.defect_density,
            sram_energy=scale.sram_energy,
        )


def voltage_margin(process: Process) -> Any:
    """Relative room to the nearer limit of the supply, >= 0 when the node allows it."""
    overdrive = process.max_voltage / process.voltage - 1.0
    return jnp.minimum(overdrive, process.voltage / process.min_voltage - 1.0)


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
