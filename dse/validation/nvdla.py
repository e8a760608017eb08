"""NVDLA's series of configurations: cell area, peak and average power, frames a second.

Structure (NVDLA hardware architecture specification; from memory): atomC channels by atomK kernels
of multiply-accumulates; a convolution buffer of 16 banks; an accumulator with an assembly and a
delivery group of 16 sums a kernel; single-point, planar and cross-channel processors behind it;
registers and DMA engines that every configuration has. Areas and energies are those of the shared
parts:

    area  = MACs (int8 unit + half an fp16 unit + registers) + accumulators + post-processing
            + buffer + INTERFACE_M2 (at 16 nm)
    power = clock (MACs (int8 unit + registers that toggle) + bytes from the buffer + LOGIC_F V^2
            logic area)                                         at peak, random operands

The full design also multiplies in int16 and fp16 at half the rate; that its smaller siblings of
the series do follows from their published areas, nothing states it. `INTERFACE_M2` and
`LOGIC_F_PER_M2` have the least mean error over the configurations of 2048, 512 and 64 units, and
`BANK_EFFICIENCY` is the least of the range of such memories; the areas ask for less. Powers of the
whole series stay within 10% if any of the three is left out of the fit; areas do not without the
smallest, which alone tells the interface from the buffer.

Average power: `AVERAGE_SHARE` of the peak. The published averages are that share at every size,
whatever the utilisation that the published rates imply (0.44 at 64 units, 0.70 at 512): one
assumed activity, not a run.

Frames a second: `hwmodels.evaluate` on the catalog's spatial array, batch 1, channels in whole
atoms. It leaves out that the first layer may pack pixels (2048 units are faster), and whatever
makes the smallest slow: the 137 ms that 64 units are said to take for a frame are those of its
arithmetic (63) and of its traffic (72 MB at 1 GB/s) one after the other, while large ones must
overlap the two to reach theirs. No one rule covers both; the rates are compared, not fitted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from dse.validation.networks import find_layers, inference
from hwmodels.accelerators.catalog import load_entry
from hwmodels.errors import InputError
from hwmodels.evaluate import evaluate
from hwmodels.parts import mac, register_file, sram, vector_unit
from hwmodels.technology import Technology

# atomC, atomK: 32x8 to 64x32 by their project files (nv_large, nv_medium_1024_full, nv_medium_512,
# nv_small_256, nv_small; from memory), 128 and 32 units as their neighbours: an estimate.
ATOMS = {
    2048: (64, 32), 1024: (64, 16), 512: (32, 16), 256: (32, 8), 128: (16, 8), 64: (8, 8),
    32: (8, 4),
}  # fmt: skip
# nvdla.org primer; 1024, 256, 128 and 32 from memory. For rows that do not say it.
BUFFER_KIB = {2048: 512, 1024: 256, 512: 256, 256: 256, 128: 256, 64: 128, 32: 128}
BANKS = 16.0
STRIPE = 16.0  # outputs for which a kernel's weights stay
SUM_BITS = 34.0
POST_LANES = 1.0 / 32.0  # of 32 bits, for a multiply-accumulate; an estimate
# Of one multiply-accumulate: a weight and its successor, an operand, an 18-bit product twice; at
# peak all but the weights toggle.
REGISTER_BITS, TOGGLING_BITS = 60.0, 44.0
# Cells over area of a bank, of 8 to 32 KiB: compiled macros of 4 to 64 KiB have 0.35 to 0.5.
BANK_EFFICIENCY = 0.35
INTERFACE_M2 = 0.25e-6  # DMA engines, bus interface, configuration registers, at 16 nm; fitted
LOGIC_F_PER_M2 = 0.171e-3  # clock and control, leakage included; fitted at 16 nm
INTERFACE_NM = 16.0
AVERAGE_SHARE = 0.38  # of the peak; fitted: 0.380, 0.381 and 0.382 at 2048, 512 and 64 units


@dataclass(frozen=True)
class Configuration:
    """One member of the series."""

    macs: int
    buffer_bytes: float
    clock: float
    node_nm: float


def read_configuration(chip: str, config: str) -> Configuration:
    """From a chip "NVDLA 512 MAC" and its "1GHz 16nm CBUF 256 KB"; the rest is the series'.

    Raises:
      InputError: no such configuration, or a `config` outside what is allowed.
    """
    found = re.search(r"(\d+)\s*-?\s*MAC|NVDLA\D*(\d+)", chip, re.IGNORECASE)
    units = int(found[1] or found[2]) if found else 0
    if units not in ATOMS:
        allowed = ", ".join(f"NVDLA {n} MAC" for n in ATOMS)
        raise InputError("chip", chip, f"allowed: {allowed}")
    buffer = _stated(config, {"KI?B?": 1024.0, "MI?B?": 2.0**20}, 1024.0 * BUFFER_KIB[units])
    clock = _stated(config, {"GHz": 1e9, "MHz": 1e6}, 1e9)
    node = _stated(config, {"nm": 1.0}, INTERFACE_NM)
    if not (1024.0 <= buffer <= 2.0**26 and 1e6 <= clock <= 1e10):
        raise InputError("config", config, "allowed: 1 KB to 64 MB, 1 MHz to 10 GHz")
    return Configuration(units, buffer, clock, _check_node(node))


def _stated(config: str, units: dict[str, float], usual: float) -> float:
    """The first number before one of `units`, times its size."""
    for unit, size in units.items():
        if found := re.search(rf"(\d+(?:\.\d+)?)\s*{unit}\b", config, re.IGNORECASE):
            return size * float(found[1])
    return usual


def _check_node(node_nm: float) -> float:
    if not 5.0 <= node_nm <= 65.0:
        raise InputError("node", f"{node_nm:g} nm", "allowed: 5 to 65 nm")
    return node_nm


def areas(c: Configuration, node_nm: float) -> dict[str, float]:
    """Cell area by part at a node [m2]."""
    process = Technology(node=node_nm * 1e-9).resolve()
    reference = Technology(node=INTERFACE_NM * 1e-9).resolve()
    sums = ATOMS[c.macs][1] * 2.0 * STRIPE * SUM_BITS
    terms = {
        "mac": c.macs * (mac.area(process, "int8") + 0.5 * mac.area(process, "fp16", "fp16")),
        "registers": c.macs * register_file.area(process, REGISTER_BITS),
        "accumulator": register_file.area(process, sums),
        "post_processing": vector_unit.area(process, POST_LANES * c.macs),
        "buffer": 8.0 * c.buffer_bytes * process.sram_cell / BANK_EFFICIENCY,
        "interface": INTERFACE_M2 * process.area_scale / reference.area_scale,
    }
    return {part: float(value) for part, value in terms.items()}


def peak_powers(c: Configuration) -> dict[str, float]:
    """Peak power by part [W]."""
    technology = Technology(node=c.node_nm * 1e-9)
    volts = 0.8 if c.node_nm <= 20 else 0.9  # nominal at 16 and 28 nm
    process = Technology(node=technology.node, voltage=volts).resolve()
    channels, _ = ATOMS[c.macs]
    logic = sum(value for part, value in areas(c, c.node_nm).items() if part != "buffer")
    byte = sram.energy(process, c.buffer_bytes / BANKS, channels)
    terms = {
        "mac": c.macs * mac.energy(process, "int8"),
        "registers": c.macs * register_file.energy(process, TOGGLING_BITS),
        "buffer": (channels + c.macs / STRIPE) * byte,
        "logic": LOGIC_F_PER_M2 * volts**2 * logic,
    }
    return {part: float(value) * c.clock for part, value in terms.items()}


def predict(metric: str, chip: str, workload: str, config: str) -> float:
    """A metric of the published table in its unit.

    Raises:
      InputError: an unknown configuration, workload or metric.
    """
    c = read_configuration(chip, config)
    if area := re.fullmatch(r"cell_area_(\d+)nm", metric):
        return 1e6 * sum(areas(c, _check_node(float(area[1]))).values())
    peak = sum(peak_powers(c).values())
    if metric == "peak_power":
        return 1e3 * peak
    if metric not in ("fps", "avg_power"):
        raise InputError("metric", metric, "allowed: cell_area_16nm, peak_power, avg_power, fps")
    if metric == "avg_power":
        return 1e3 * peak * AVERAGE_SHARE
    return _rate(c.macs, workload)


@cache
def _rate(macs: int, workload: str) -> float:
    """Frames a second."""
    step = inference(workload, find_layers(workload), batch=1, bits=8, block=ATOMS[macs][0])
    chip = load_entry(f"nvdla_{macs}").chip()
    return float(evaluate(chip, step, runtime="none", residency="cold").throughput)
