"""Does a dedicated chip beat a GPU in throughput, energy and scalability, and on what?

Every variant is searched for its own best designs of each workload under one budget of area and
power at one node: equal area, equal power, equal node, each at its own optimum. Pairs of real
chips stand beside, as they were built.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import dse
from dse.front import THROUGHPUT, Front
from dse.plots import style
from experiments.report import Experiment, Report, main
from hwmodels import VARIANTS, InputError, Metrics, evaluate, load_chip, load_workload

GPU = "simt"
# What a front is asked for: its best samples/s, samples/J and scalable samples/s.
MEASURES = {"throughput": "throughput (samples/s)", "energy": "efficiency (samples/J)",
            "scalability": "scalability, S80 (samples/s)"}  # fmt: skip
TIE = 1.25  # below this ratio two variants are not told apart


@dataclass(frozen=True)
class Config:
    workloads: tuple[str, ...] = (
        "mlp",
        "mlp-large",
        "resnet18@train,batch=64",
        "bert-base@train,batch=32,sequence=128",
        "llama3-8b@decode,batch=16,context=2048",
        "resnet50@infer,batch=1",
        "dlrm@infer,batch=256",
    )
    variants: tuple[str, ...] = tuple(VARIANTS)
    area_mm2: float = 400.0
    power_W: float = 300.0
    evaluations: int = 30_000
    pairs: tuple[tuple[str, str], ...] = (
        ("v100", "tpu_v3"), ("a100_40gb", "tpu_v4"), ("a100_80gb", "gaudi2"),
        ("a100_80gb", "gc200"), ("h100", "tpu_v5p"), ("h100", "gaudi3"),
    )  # fmt: skip
    seed: int = 0


def run(report: Report, config: Config) -> None:
    """Fronts of every variant on every workload; real pairs; a figure of ratios."""
    rows = []
    for name in config.workloads:
        for variant in config.variants:
            front = _front(config, name, variant)
            rows.append({"workload": name, "variant": variant, **_bests(front)})
    table = pd.DataFrame(rows)
    gpu = table[table["variant"] == GPU].set_index("workload")
    for measure in MEASURES:
        base = gpu[measure].reindex(table["workload"]).to_numpy()
        table[f"{measure}_vs_gpu"] = table[measure] / base
    report.table("variants", table, "Each variant at its own optimum")
    pairs = _pairs(config)
    report.table("pairs", pairs, "Chips as they were built")
    report.figure("ratios", _figure(table, config))
    _answer(report, table, pairs, config)


def _front(config: Config, workload: str, variant: str) -> Front | None:
    budgets = dse.Constraint("area_mm2", config.area_mm2), dse.Constraint("power_W", config.power_W)
    space = dse.default_space(variant).with_constraints(budgets)
    try:
        found = dse.search(
            space, load_workload(workload), evaluations=config.evaluations, seed=config.seed
        )
    except InputError as error:
        if error.field != "limits":
            raise
        return None  # such as a model that no chip without DRAM can hold
    return found.front


def _bests(front: Front | None) -> dict[str, float]:
    if front is None:
        return dict.fromkeys(MEASURES, np.nan)
    table = front.table
    per_joule = table["throughput_per_s"] / table["power_W"]
    return {
        "throughput": float(table["throughput_per_s"].max()),
        "energy": float(per_joule.max()),
        "scalability": float(table["scalability_per_s"].max()),
    }


def _pairs(config: Config) -> pd.DataFrame:
    rows = []
    for gpu, other in config.pairs:
        for name in config.workloads:
            workload = load_workload(name)
            a, b = (evaluate(load_chip(chip), workload) for chip in (gpu, other))
            short = [chip for chip, m in ((gpu, a), (other, b)) if _too_small(m)]
            rows.append({
                "gpu": gpu, "dedicated": other, "workload": name,
                "throughput_ratio": float(b.throughput / a.throughput),
                "energy_ratio": float(b.throughput / b.power / (a.throughput / a.power)),
                "too_small": " ".join(short),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _too_small(metrics: Metrics) -> bool:
    margins = metrics.margins.items()
    return any("capacity" in name and float(value) < 0 for name, value in margins)


def _figure(table: pd.DataFrame, config: Config) -> Figure:
    """A panel a measure: ratio to the GPU-like variant, a row a workload."""
    workloads = list(config.workloads)
    with style.style():
        figure = Figure(
            figsize=(style.TWO_COLUMN_INCHES, 1.3 + 0.3 * len(workloads)), layout="constrained"
        )
        panels = figure.subplots(1, 3, sharey=True)
        for axes, (measure, label) in zip(panels, MEASURES.items(), strict=True):
            axes.axvspan(1 / TIE, TIE, color="#eeeeee", lw=0, zorder=0)
            axes.axvline(1.0, color=style.VARIANT_STYLES[GPU].colour, lw=1.2, zorder=1)
            for variant in config.variants:
                if variant == GPU:
                    continue
                part = table[table["variant"] == variant].set_index("workload")
                look = style.variant_style(variant)
                axes.plot(
                    part[f"{measure}_vs_gpu"].reindex(workloads), np.arange(len(workloads)),
                    ls="", marker=look.marker, ms=4.5, color=look.colour, label=look.label,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.set_xlabel(f"{label.split(' (')[0]}\nover the GPU-like variant's")
            axes.set_yticks(range(len(workloads)), [w.replace(",", ", ") for w in workloads])
            axes.set_ylim(len(workloads) - 0.5, -0.5)
            low, high = style.log_limits(np.asarray([1.0, *table[f"{measure}_vs_gpu"].dropna()]))
            axes.set_xlim(10**low, 10**high)
            ticks = style.log_ticks(low, high, most=5)
            axes.set_xticks(ticks, [style.engineering(t) for t in ticks])
            axes.minorticks_off()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _answer(report: Report, table: pd.DataFrame, pairs: pd.DataFrame, config: Config) -> None:
    others = table[table["variant"] != GPU]
    for measure, label in MEASURES.items():
        column = f"{measure}_vs_gpu"
        best = others.loc[others.groupby("workload")[column].idxmax()].set_index("workload")
        best = best.reindex(config.workloads)
        said = "; ".join(f"{w} {row[column]:.2g}x ({row['variant']})" for w, row in best.iterrows())
        clear = int((best[column] > TIE).sum())
        report.say(
            f"{measure.capitalize()} ({label.split('(')[1]}: the best dedicated variant over the "
            f"GPU-like one, at {config.area_mm2:g} mm2, {config.power_W:g} W, 7 nm: {said}. Clear "
            f"of the model's uncertainty ({TIE:g}x) on {clear} of {len(best)} workloads."
        )
    lost = others[others[f"{THROUGHPUT.column.split('_')[0]}_vs_gpu"] < 1 / TIE]
    losers = ", ".join(f"{r.variant} on {r.workload}" for r in lost.itertuples())
    report.say(f"Where dedicated variants are clearly slower: {losers or 'nowhere'}.")
    fits = pairs[pairs["too_small"] == ""]
    medians = fits.groupby(["gpu", "dedicated"], sort=False)[["throughput_ratio", "energy_ratio"]]
    said = "; ".join(
        f"{b} over {a}: {row['throughput_ratio']:.2g}x samples/s, "
        f"{row['energy_ratio']:.2g}x samples/J"
        for (a, b), row in medians.median().iterrows()
    )
    report.say(f"Chips as built, median over workloads that fit in both: {said}.")


EXPERIMENT = Experiment(
    "dedicated_or_gpu",
    "Does a dedicated deep-learning chip beat a GPU, on which workloads, and where does it not?",
    run,
    Config(),
    Config(workloads=("mlp",), variants=("spatial", GPU), evaluations=2_500,
           pairs=(("a100_40gb", "tpu_v4"),)),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
