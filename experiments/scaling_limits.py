"""What limits scaling? Links, wiring, latency, batch and the parallel plan.

Data-parallel fleets of one chip from 1 to 100,000, one number moved at a time; a step whose batch
stays; and a large model under the best plan of each kind of parallelism.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.plots import style
from experiments.report import Experiment, Report, main
from hwmodels import (
    Accelerator,
    Cluster,
    Fleet,
    InputError,
    best_plan,
    evaluate,
    load_chip,
    load_workload,
)
from hwmodels.fleet.scaling import Scaling

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
    bandwidths: tuple[float, ...] = (1 / 64, 1 / 16, 1 / 4, 1.0)
    latencies_us: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)
    topologies: tuple[str, ...] = (
        "ring", "torus2d", "torus3d", "fat_tree", "dragonfly", "fully_connected",
    )  # fmt: skip
    batches: tuple[int, ...] = (1, 4, 16, 64, 256)
    global_batches: tuple[int, ...] = (256, 4096, 65536)
    model_chip: str = "h100"
    model: str = "gpt3-175b"
    model_batch: int = 1536
    fleets: tuple[int, ...] = (8, 32, 64, 128, 256, 512, 1024, 1536, 3072, 6144, 12288)


def run(report: Report, config: Config) -> None:
    """Curves of efficiency against chips; the plans of a large model."""
    chip = load_chip(config.chip)
    chips = np.unique(np.round(np.geomspace(1, config.most_chips, 61)))
    families = {
        "link bandwidth": _bandwidths(chip, config),
        "link latency": _latencies(chip, config),
        "topology": _topologies(chip, config),
        "batch of a chip": _batches(chip, config),
    }
    curves = pd.DataFrame(
        {"limit": limit, "value": value, "chips": n, "efficiency": e}
        for limit, family in families.items()
        for value, scaling in family.items()
        for n, e in zip(chips, _efficiency(scaling, chips), strict=True)
    )
    strong = _strong(chip, config, chips)
    plans = _plans(load_chip(config.model_chip), config)
    report.table("weak", curves)
    report.table("strong", strong)
    report.table("plans", plans, f"Best plans of {config.model}, batch {config.model_batch}")
    report.figure("limits", _figure(curves, strong, plans, config))
    _answer(report, curves, strong, plans, config)


def _scaling(chip: Accelerator, config: Config, topology: str, batch: int) -> Scaling:
    joint = "," if "@" in config.workload else "@"
    workload = load_workload(f"{config.workload}{joint}batch={batch}")
    scaling = evaluate(chip, workload, Fleet(topology=topology)).scaling
    assert isinstance(scaling, Scaling)
    return scaling


def _bandwidths(chip: Accelerator, config: Config) -> dict[str, Scaling]:
    now = float(chip.link.bandwidth) / 1e9
    return {
        f"{factor * now * float(chip.link.count):.3g} GB/s": _scaling(
            chip.replace(link_bandwidth_GBps=factor * now), config, config.topology, config.batch
        )
        for factor in config.bandwidths
    }


def _latencies(chip: Accelerator, config: Config) -> dict[str, Scaling]:
    base = _scaling(chip, config, config.topology, config.batch)
    return {f"{us:g} µs": replace(base, latency=us * 1e-6) for us in config.latencies_us}


def _topologies(chip: Accelerator, config: Config) -> dict[str, Scaling]:
    return {name: _scaling(chip, config, name, config.batch) for name in config.topologies}


def _batches(chip: Accelerator, config: Config) -> dict[str, Scaling]:
    return {f"{batch} samples": _scaling(chip, config, config.topology, batch)
            for batch in config.batches}  # fmt: skip


def _efficiency(scaling: Scaling, chips: np.ndarray) -> np.ndarray:
    return np.asarray(jax.vmap(scaling.efficiency)(jnp.asarray(chips, jnp.float32)))


def _strong(chip: Accelerator, config: Config, chips: np.ndarray) -> pd.DataFrame:
    """A batch that stays: each chip's share of it shrinks as the fleet grows.

    The step of a share is interpolated, in logarithms, between the batches that were evaluated.
    """
    shares = np.array(sorted({*config.batches, 1, 2 * max(config.batches)}))
    found = [_scaling(chip, config, config.topology, int(share)) for share in shares]
    rows = []
    for whole in config.global_batches:
        for n in chips:
            share = whole / n
            if not 1 <= share <= shares[-1]:
                continue
            logs = np.log(share), np.log(shares)
            times = {
                name: float(
                    np.exp(np.interp(*logs, [np.log(float(getattr(s, name))) for s in found]))
                )
                for name in ("time", "backward")
            }
            step = times["time"] / float(replace(found[0], **times).efficiency(n))
            rows.append({"global_batch": whole, "chips": n, "throughput_per_s": whole / step})
    return pd.DataFrame(rows)


def _plans(chip: Accelerator, config: Config) -> pd.DataFrame:
    """The fastest plan of every fleet and kind of parallelism, where one fits in memory."""
    model, rows = load_workload(config.model), []
    for fleet in config.fleets:
        try:
            plans = best_plan(chip, model, Cluster(chips=float(fleet)), config.model_batch)
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
    curves: pd.DataFrame, strong: pd.DataFrame, plans: pd.DataFrame, config: Config
) -> Figure:
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 4.6), layout="constrained")
        axes = figure.subplots(2, 3).ravel()
        for panel, (limit, family) in zip(axes, curves.groupby("limit", sort=False), strict=False):
            for i, (value, one) in enumerate(family.groupby("value", sort=False)):
                panel.plot(one["chips"], one["efficiency"], LINES[i], color=COLOURS[i], lw=1.2,
                           label=value)  # fmt: skip
            panel.axhline(KEPT, color=style.MUTED, lw=0.6, ls=":")
            panel.set_ylim(0, 1.05)
            panel.set_ylabel("weak-scaling efficiency")
            _finish(panel, limit)
        for i, (whole, one) in enumerate(strong.groupby("global_batch", sort=False)):
            label = f"batch {whole:,}"
            axes[4].plot(one["chips"], one["throughput_per_s"], LINES[i], color=COLOURS[i], lw=1.2,
                         label=label)  # fmt: skip
        axes[4].set_yscale("log")
        axes[4].set_ylabel("samples/s")
        _finish(axes[4], "batch of the fleet")
        for i, (kind, one) in enumerate(plans.groupby("plan", sort=False)):
            axes[5].plot(one["chips"], one["MFU"], LINES[i], color=COLOURS[i], lw=1.2,
                         marker="os^Dv"[i], ms=3, label=kind)  # fmt: skip
        axes[5].set_ylabel("model FLOPs utilisation")
        axes[5].set_ylim(bottom=0)
        _finish(axes[5], f"plan, {config.model} on {config.model_chip}")
    return figure


def _finish(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.set_xlabel("chips")
    axes.set_title(title, loc="left")
    axes.legend(edgecolor="none", framealpha=0.85, fontsize=6.2, labelspacing=0.25)


def _answer(
    report: Report, curves: pd.DataFrame, strong: pd.DataFrame, plans: pd.DataFrame, config: Config
) -> None:
    kept = curves[curves["efficiency"] >= KEPT].groupby(["limit", "value"], sort=False)["chips"]
    most = kept.max()
    for limit in curves["limit"].unique():
        values = curves.loc[curves["limit"] == limit, "value"].unique()
        found = {v: int(most.get((limit, v), 1)) for v in values}
        said = ", ".join(
            f"{v}: {'all ' if n >= config.most_chips else ''}{n:,}" for v, n in found.items()
        )
        report.say(
            f"Chips at {KEPT:.0%} efficiency, {config.workload} on {config.chip}, {limit} of "
            f"{said}."
        )
    for whole, one in strong.groupby("global_batch"):
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
           topologies=("torus2d",), batches=(16, 64), global_batches=(64,), model="mlp-large",
           model_batch=1024, fleets=(8,)),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
