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

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.iso import to_node
from dse.plots import style
from experiments.ablation import with_zeros
from experiments.report import Experiment, Report, main
from hwmodels import VARIANTS, Accelerator, InputError, Workload, evaluate, load_workload

# One bit of a full adder dissipates at least the bits it forgets: of a multiplication of n by n
# bits n^2 adders, each with two results from three inputs. Landauer (1961): kT ln 2 a bit.
FORGOTTEN_BITS = 1.0
ROOM_K = 300.0
BOLTZMANN = 1.380649e-23  # J/K, exact in the SI
GROUPS = {
    "multipliers": ("mac",),
    "operand delivery": ("register", "instruction", "pipeline", "local", "scratchpad", "network"),
    "on-chip buffer": ("buffer",),
    "DRAM": ("dram", "static_dram_idle"),
    "vector unit": ("vector",),
    "clock tree and idle": ("static_clock_tree", "static_idle", "static_waiting"),
    "leakage": ("static_leakage",),
    "links": ("static_link", "link"),
}
COLOURS = dict(zip(GROUPS, ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#999999",
                            "#444444", "#D55E00"), strict=True))  # fmt: skip


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
    report.figure("watts", _figure(sweeps))
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
    rows = []
    for voltage in config.voltages_V:
        try:
            slow = chip.replace(voltage_V=voltage)
        except InputError:
            continue
        clock = float(slow.technology.resolve().max_clock) * (1 - 1e-6) / 1e9
        rows.append(_row(f"{voltage:g}", slow.replace(clock_GHz=clock), workload, clock_GHz=clock))
    return pd.DataFrame(rows)


def landauer_uJ(macs: float, samples: float, bits: float) -> float:
    """Least energy [uJ] a sample of irreversible multiply-accumulates of `bits` by `bits`."""
    return macs / samples * bits**2 * FORGOTTEN_BITS * BOLTZMANN * ROOM_K * math.log(2) * 1e6


def _figure(sweeps: dict[str, pd.DataFrame]) -> Figure:
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 4.4), layout="constrained")
        (a, b, c), (d, e, f) = figure.subplots(2, 3)
        _stack(a, sweeps["node"], "node (nm)")
        _stack(b, sweeps["format"], "number format")
        _stack(c, sweeps["memory"], "on-chip buffer (MiB)")
        _stack(d, sweeps["voltage"], "supply (V), fastest clock", every=4)
        _delay(e, sweeps["voltage"])
        _stack(f, sweeps["zeros"], "density, zeros gated", turn=True)
        handles, labels = b.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _stack(axes: Axes, table: pd.DataFrame, label: str, every: int = 1, turn: bool = False) -> None:
    """Energy of a sample by group."""
    x, low = np.arange(len(table)), np.zeros(len(table))
    for group in GROUPS:
        values = table[f"{group}_uJ"].to_numpy()
        axes.bar(x, values, bottom=low, color=COLOURS[group], width=0.8, label=group)
        low += values
    axes.set_ylabel("energy (µJ/sample)")
    axes.set_xlabel(label)
    axes.set_xticks(x[::every], table["choice"].iloc[::every])
    if turn:
        axes.tick_params(axis="x", rotation=60)


def _delay(axes: Axes, table: pd.DataFrame) -> None:
    """Energy against time over the supply, with the least product marked."""
    axes.plot(table["time_ms"], table["energy_uJ"], color="#0072B2", marker="o", ms=2.5, lw=1.2)
    best = table.loc[table["energy_delay_uJ_ms"].idxmin()]
    least = table.loc[table["energy_uJ"].idxmin()]
    for row, colour, text, away, side in (
        (best, "#D55E00", "least energy × time", (7, 4), "left"),
        (least, "#009E73", "least energy", (0, 9), "center"),
    ):
        axes.plot(row["time_ms"], row["energy_uJ"], "o", ms=6, mfc="none", mec=colour)
        axes.annotate(f"{text}, {row['choice']} V", (row["time_ms"], row["energy_uJ"]), away,
                      textcoords="offset points", size=6.5, color=colour, ha=side)  # fmt: skip
    axes.margins(x=0.35, y=0.2)
    axes.set_xlabel("time of a step (ms)")
    axes.set_ylabel("energy (µJ/sample)")


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
    best = volts.loc[volts["energy_delay_uJ_ms"].idxmin()]
    least = volts.loc[volts["energy_uJ"].idxmin()]
    edge = " (the least voltage tried)" if least.name == 0 else ""
    report.say(
        f"Voltage with the fastest clock: energy x time is least at {best['choice']} V and "
        f"{best['clock_GHz']:.2g} GHz, energy at {least['choice']} V{edge}, "
        f"{best['energy_uJ'] / least['energy_uJ']:.2g} times below at "
        f"{least['time_ms'] / best['time_ms']:.2g} times the time."
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
    limit = landauer_uJ(workload.macs, workload.samples, 8.0)
    report.say(
        f"Landauer's limit for the multiplications alone (8-bit mantissas, {ROOM_K:g} K) is "
        f"{limit:.2g} uJ a sample: {now['energy_uJ'] / limit:.2g} times less, of which the "
        f"multipliers themselves are {now['multipliers_uJ'] / limit:.2g}."
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
