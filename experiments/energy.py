"""Where do the watts go, and what lowers them?

One systolic chip on one step, one choice moved at a time: node, supply voltage with the fastest
clock it allows, number format, on-chip memory, gating of zeros. Physical limits stand beside.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dse.defaults import LOWEST_SUPPLY_V
from dse.iso import to_node
from experiments.ablation import with_zeros
from experiments.energy_figure import GROUPS, optima, watts
from experiments.report import Experiment, Report, main
from hwmodels import VARIANTS, Accelerator, InputError, Workload, evaluate, load_workload

# One bit of a full adder dissipates at least the bits it forgets: of a multiplication of n by n
# bits n^2 adders, each with two results from three inputs. Landauer (1961): kT ln 2 a bit.
FORGOTTEN_BITS = 1.0
ROOM_K = 300.0
MANTISSA_BITS = 8.0  # of bf16, the leading one included
BOLTZMANN = 1.380649e-23  # J/K, exact in the SI


@dataclass(frozen=True)
class Config:
    workload: str = "mlp-large"
    nodes_nm: tuple[float, ...] = (180, 130, 90, 65, 45, 32, 22, 16, 14, 10, 7, 5, 3)
    voltages_V: tuple[float, ...] = tuple(round(0.5 + 0.025 * i, 3) for i in range(21))
    formats: tuple[str, ...] = ("fp32", "tf32", "bf16", "fp16", "fp8")
    sram_MiB: tuple[float, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    densities: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25, 0.1)


def run(report: Report, config: Config) -> None:
    """Five sweeps of one number, each split into groups of parts."""
    workload, chip = load_workload(config.workload), _chip()
    now = _row("as it is", chip, workload)
    sweeps = {
        "node": _nodes(chip, workload, config),
        "voltage": _voltages(chip, workload, config),
        "format": pd.DataFrame(
            _row(f, dataclasses.replace(chip, number_format=f), workload) for f in config.formats
        ),
        "memory": pd.DataFrame(
            _row(f"{m:g}", chip.replace(sram_capacity_MiB=m), workload) for m in config.sram_MiB
        ),
        "zeros": pd.DataFrame(
            _row(
                f"{d:g}" if kind == "gate" else "not gated",
                dataclasses.replace(chip, sparsity=kind),
                with_zeros(workload, d),
            )
            for kind, d in (("none", 1.0), *(("gate", d) for d in config.densities))
        ),
    }
    report.table("now", pd.DataFrame([now]))
    for name, table in sweeps.items():
        report.table(name, table)
    report.figure("watts", watts(sweeps, _per_product(now, workload)))
    _answer(report, now, sweeps, config)


def _chip() -> Accelerator:
    chip: Accelerator = VARIANTS["systolic"]().replace(rows=128, columns=128, arrays=4)
    return chip


def _row(label: str, chip: Accelerator, workload: Workload, **besides: Any) -> dict[str, Any]:
    """Energy of a sample by group [uJ], time of a step, share of Landauer's limit."""
    metrics = evaluate(chip, workload)
    terms = {name: float(value) for name, value in metrics.energy_terms.items()}
    per_sample = 1e6 / workload.samples
    groups = {g: per_sample * sum(terms.pop(name, 0.0) for name in parts)
              for g, parts in GROUPS.items()}  # fmt: skip
    groups["operand delivery"] += per_sample * sum(terms.values())
    return {
        "choice": label,
        **besides,
        "time_ms": float(metrics.time) * 1e3,
        "power_W": float(metrics.power),
        "energy_uJ": float(metrics.energy) * per_sample,
        "energy_delay_uJ_ms": float(metrics.energy) * per_sample * float(metrics.time) * 1e3,
        **{f"{group}_uJ": value for group, value in groups.items()},
    }


def _nodes(chip: Accelerator, workload: Workload, config: Config) -> pd.DataFrame:
    """The same structure at each node's nominal voltage, at most as fast as it is, where it can be
    made and cooled."""
    rows = []
    for node in config.nodes_nm:
        moved, _ = to_node(chip, node * 1e-9)
        if bool(evaluate(moved, workload).feasible):
            rows.append(_row(f"{node:g}", moved, workload, clock_GHz=float(moved.clock) / 1e9))
    return pd.DataFrame(rows)


def _voltages(chip: Accelerator, workload: Workload, config: Config) -> pd.DataFrame:
    """Each supply with the fastest clock that it allows, where the chip can be cooled."""
    rows = []
    for voltage in config.voltages_V:
        try:
            slow = chip.replace(voltage_V=voltage)
        except InputError:
            continue
        clock = float(slow.technology.resolve().max_clock) * (1 - 1e-6) / 1e9
        fast = slow.replace(clock_GHz=clock)
        if bool(evaluate(fast, workload).feasible):
            rows.append(_row(f"{voltage:g}", fast, workload, clock_GHz=clock))
    return pd.DataFrame(rows)


def landauer_uJ(macs: float, samples: float, bits: float) -> float:
    """Least energy [uJ] a sample of irreversible multiply-accumulates of `bits` by `bits`."""
    return macs / samples * bits**2 * FORGOTTEN_BITS * BOLTZMANN * ROOM_K * math.log(2) * 1e6


def _per_product(now: dict[str, Any], workload: Workload) -> dict[str, float]:
    """Energy for each multiply-accumulate [J]: of chip and parts, and the least there is."""
    products = workload.macs / workload.samples * 1e6  # uJ to J
    parts = {g: now[f"{g}_uJ"] / products for g in ("DRAM", "on-chip buffer", "multipliers")}
    least = landauer_uJ(workload.macs, workload.samples, MANTISSA_BITS) / products
    return {"the whole chip": now["energy_uJ"] / products, **parts, "Landauer's limit": least}


def _answer(
    report: Report, now: dict[str, Any], sweeps: dict[str, pd.DataFrame], config: Config
) -> None:
    workload = load_workload(config.workload)
    shares = {g: now[f"{g}_uJ"] / now["energy_uJ"] for g in GROUPS}
    said = ", ".join(f"{g} {share:.0%}" for g, share in sorted(shares.items(), key=lambda i: -i[1]))
    report.say(
        f"A sample of {config.workload} takes {now['energy_uJ']:.3g} uJ at 7 nm in bf16 "
        f"({now['power_W']:.3g} W): {said}."
    )
    node = sweeps["node"].set_index("choice")["energy_uJ"]
    report.say(
        f"Node: {node.iloc[0] / node.iloc[-1]:.3g} times less from {node.index[0]} to "
        f"{node.index[-1]} nm, but {node.iloc[-2] / node.iloc[-1]:.2g} times over the last step."
    )
    volts = sweeps["voltage"]
    best, least = optima(volts)
    lowest = volts["energy_uJ"].idxmin()
    report.say(
        f"Voltage with the fastest clock, from {LOWEST_SUPPLY_V:g} V, below which SRAM needs a "
        f"supply of its own, to {volts['choice'].iloc[-1]} V, above which this chip cannot be "
        f"cooled: energy x time is least at {best['choice']} V and {best['clock_GHz']:.2g} GHz, "
        f"energy at {least['choice']} V, "
        f"{best['energy_uJ'] / least['energy_uJ']:.3g} times below at "
        f"{least['time_ms'] / best['time_ms']:.3g} times the time; at {volts['choice'][lowest]} V "
        f"another {1 - volts['energy_uJ'][lowest] / least['energy_uJ']:.1%} would go."
    )
    for name, words in (("format", "Number format"), ("memory", "On-chip buffer, MiB")):
        table = sweeps[name].set_index("choice")["energy_uJ"]
        ratios = table / now["energy_uJ"]
        said = ", ".join(f"{choice} {ratio:.2g}x" for choice, ratio in ratios.items())
        report.say(f"{words}: {said} of the energy.")
    zeros = sweeps["zeros"].set_index("choice")["energy_uJ"]
    half = f"{sorted(config.densities)[len(config.densities) // 2]:g}"
    report.say(
        f"Gating of zeros saves {1 - zeros[half] / zeros['not gated']:.1%} at a density of {half}."
    )
    limit = landauer_uJ(workload.macs, workload.samples, MANTISSA_BITS)
    report.say(
        f"Landauer's limit for the multiplications alone ({MANTISSA_BITS:g}-bit mantissas, "
        f"{ROOM_K:g} K) is {limit:.2g} uJ a sample: {now['energy_uJ'] / limit:.2g} times less "
        f"than the chip takes, {now['multipliers_uJ'] / limit:.2g} times less than its multipliers."
    )


EXPERIMENT = Experiment(
    "energy",
    "Where do the watts go, and what lowers them?",
    run,
    Config(),
    Config(workload="mlp", nodes_nm=(28, 7), voltages_V=(0.6, 0.75, 0.9), formats=("fp32", "bf16"),
           sram_MiB=(4, 64), densities=(0.5,)),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
