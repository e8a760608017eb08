"""What limits scaling? Links, wiring, latency, batch, uneven and failing chips, the parallel plan.

Data-parallel fleets of one chip from 1 to 100,000, one number moved at a time
(`scaling_families`); a step whose batch stays; and a large model under the best plan of each kind
of parallelism.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.plots import style
from dse.validation.training import MEGATRON
from experiments.report import Experiment, Report, main
from experiments.scaling_families import families, strong
from hwmodels import Accelerator, Cluster, InputError, best_plan, load_chip, load_workload

KEPT = 0.8
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
LINES = ("-", "--", "-.", ":", "-", "--", "-.")
# What a plan may use beside data parallelism, cumulative.
KINDS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "data, ZeRO 0": lambda p: (p["tensor"] == 1) & (p["pipeline"] == 1) & (p["zero"] == 0),
    "data, ZeRO 1 to 3": lambda p: (p["tensor"] == 1) & (p["pipeline"] == 1),
    "data, tensor": lambda p: p["pipeline"] == 1,
    "data, tensor, pipeline": lambda p: p["pipeline"] > 0,
}


@dataclass(frozen=True)
class Config:
    chip: str = "tpu_v4"
    workload: str = "resnet50@train"
    batch: int = 16
    topology: str = "torus3d"
    most_chips: int = 100_000
    bandwidths: tuple[float, ...] = (1 / 64, 1 / 16, 1 / 4, 1.0)  # shares of the chip's own
    latencies_us: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)
    topologies: tuple[str, ...] = (
        "ring", "torus2d", "torus3d", "fat_tree", "dragonfly", "fully_connected",
    )  # fmt: skip
    batches: tuple[int, ...] = (1, 4, 16, 64, 256)
    deviations: tuple[float, ...] = (0.0, 0.01, 0.02, 0.05)
    failures: tuple[float, ...] = (0.0, 0.02, 0.17, 1.0)  # of a chip, a year
    global_batches: tuple[int, ...] = (256, 4096, 65536)
    model_chip: str = "h100"
    model: str = "gpt3-175b"
    model_batch: int = 1536
    network_GBps: float = 50.0  # of a chip between nodes: 400 Gb/s (NVIDIA DGX H100 datasheet)
    fleets: tuple[int, ...] = (8, 32, 64, 128, 256, 512, 1024, 1536, 3072, 6144, 12288)


def run(report: Report, config: Config) -> None:
    """Curves of efficiency against chips; the plans of a large model."""
    chip = load_chip(config.chip)
    chips = np.unique(np.round(np.geomspace(1, config.most_chips, 61)))
    curves = pd.DataFrame(
        {
            "limit": limit,
            "value": value,
            "chips": n,
            "efficiency": e,
            "sensible_batch": bool(n <= case.sensible),
        }
        for limit, family in families(chip, config).items()
        for value, case in family.items()
        for n, e in zip(chips, case.efficiency(chips), strict=True)
    )
    stays = strong(chip, config, chips)
    plans = _plans(load_chip(config.model_chip), config)
    report.table("weak", curves)
    report.table("strong", stays)
    report.table("plans", plans, f"Best plans of {config.model}, batch {config.model_batch}")
    report.figure("limits", _figure(curves, stays, plans, config))
    _answer(report, curves, stays, plans, config)


def _plans(chip: Accelerator, config: Config) -> pd.DataFrame:
    """The fastest plan of every fleet and kind of parallelism, where one fits in memory, at the
    shares of the peak rates that Megatron-LM reaches on A100s."""
    model, rows = load_workload(config.model), []
    usual = Cluster()
    network = replace(usual.network, bandwidth=config.network_GBps * 1e9)
    for fleet in config.fleets:
        cluster = replace(usual, chips=float(fleet), network=network)
        tuned, cluster = MEGATRON.reached(chip, cluster)
        try:
            plans = best_plan(tuned, model, cluster, config.model_batch)
        except InputError:
            continue  # no plan fits, or none divides the fleet
        for kind, allowed in KINDS.items():
            chosen = plans[allowed(plans)]
            if len(chosen):
                best = chosen.iloc[0]
                rows.append({
                    "plan": kind, "chips": fleet, "throughput_per_s": best["throughput"],
                    "MFU": best["utilization"], "memory_GB": best["memory_GB"],
                    **{name: int(best[name])
                       for name in ("tensor", "pipeline", "data", "microbatch", "zero")},
                })  # fmt: skip
    return pd.DataFrame(rows)


def _figure(
    curves: pd.DataFrame, stays: pd.DataFrame, plans: pd.DataFrame, config: Config
) -> Figure:
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 8.4), layout="constrained")
        axes = figure.subplot_mosaic("012;345;677;899")
        panels = curves.groupby("limit", sort=False)
        for number, (limit, family) in enumerate(panels):
            panel = axes[str(number)]
            for i, (value, one) in enumerate(family.groupby("value", sort=False)):
                panel.plot(one["chips"], one["efficiency"], LINES[i], color=COLOURS[i], lw=1.2,
                           alpha=0.3)  # fmt: skip
                kept = one[one["sensible_batch"]]
                panel.plot(kept["chips"], kept["efficiency"], LINES[i], color=COLOURS[i], lw=1.2,
                           label=value)  # fmt: skip
            panel.axhline(KEPT, color=style.MUTED, lw=0.6, ls=":")
            panel.set_ylim(0, 1.05)
            panel.set_ylabel("weak-scaling efficiency")
            _finish(panel, limit)
        fixed, planned = axes["8"], axes["9"]
        for i, (whole, one) in enumerate(stays.groupby("global_batch", sort=False)):
            fixed.plot(one["chips"], one["throughput_per_s"], LINES[i], color=COLOURS[i], lw=1.2,
                       label=f"batch {whole:,}")  # fmt: skip
        fixed.set_yscale("log")
        fixed.set_ylabel("samples/s")
        _finish(fixed, "batch of the fleet, that stays")
        for i, (kind, one) in enumerate(plans.groupby("plan", sort=False)):
            planned.plot(one["chips"], one["MFU"], LINES[i], color=COLOURS[i], lw=1.2,
                         marker="os^Dv"[i], ms=3, label=kind)  # fmt: skip
        planned.set_ylabel("model FLOPs utilisation")
        planned.set_ylim(bottom=0)
        _finish(planned, f"plan, {config.model} on {config.model_chip}")
    return figure


def _finish(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.set_xlabel("chips")
    axes.set_title(title, loc="left")
    axes.legend(edgecolor="none", framealpha=0.85, fontsize=6.2, labelspacing=0.25)


def _answer(
    report: Report, curves: pd.DataFrame, stays: pd.DataFrame, plans: pd.DataFrame, config: Config
) -> None:
    kept = curves[curves["efficiency"] >= KEPT].groupby(["limit", "value"], sort=False)["chips"]
    most, last = kept.max(), curves[curves["chips"] == config.most_chips]
    at_most = last.set_index(["limit", "value"])["efficiency"]
    report.say(
        f"Chips that keep {KEPT:.0%} of their speed (and what is kept at {config.most_chips:,}), "
        f"{config.workload} on {config.chip}, {config.batch} samples a chip. Faint in the figure: "
        "fleets whose batch is above the workload's largest sensible one."
    )
    for limit in curves["limit"].unique():
        values = curves.loc[curves["limit"] == limit, "value"].unique()
        said = ", ".join(
            f"{value}: {int(most.get((limit, value), 1)):,} ({at_most[limit, value]:.0%})"
            for value in values
        )
        report.say(f"{limit}: {said}.")
    for whole, one in stays.groupby("global_batch"):
        best = one.loc[one["throughput_per_s"].idxmax()]
        first = one.iloc[0]
        gain = best["throughput_per_s"] / first["throughput_per_s"]
        more = best["chips"] / first["chips"]
        report.say(
            f"A batch of {whole:,} that stays: from {first['chips']:,.0f} to {best['chips']:,.0f} "
            f"chips it gains {gain:.3g} times for {more:.3g} times the chips."
        )
    for kind, one in plans.groupby("plan", sort=False):
        span = f"{one['chips'].min():,} to {one['chips'].max():,}"
        report.say(
            f"{config.model}, batch {config.model_batch:,}, {kind}: fits on {span} chips, MFU "
            f"{one['MFU'].max():.0%} at best and {one['MFU'].iloc[-1]:.0%} on the most."
        )


EXPERIMENT = Experiment(
    "scaling_limits",
    "What limits scaling?",
    run,
    Config(),
    Config(workload="mlp-large", batch=64, bandwidths=(1.0,), latencies_us=(1.0,),
           topologies=("torus2d",), batches=(16, 64), deviations=(0.01,), failures=(0.17,),
           global_batches=(64,), model="mlp-large", model_batch=1024, fleets=(8,)),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
