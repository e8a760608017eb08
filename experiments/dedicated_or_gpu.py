"""Does a dedicated chip beat a GPU in throughput, energy and scalability, and on what?

Every variant is searched for its own best designs of each workload at one node, under one budget of
area and power together, and on some workloads of area alone and of power alone: equal area, equal
power, equal node, each at its own optimum. Pairs of real chips stand beside, as they were built.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

import dse
from dse.front import THROUGHPUT, Front
from experiments.ratios import TIE, budgets_figure, pairs_figure, ratios
from experiments.report import Experiment, Report, main
from hwmodels import VARIANTS, InputError, Metrics, evaluate, load_chip, load_workload

GPU = "simt"
# What a front is asked for: its best samples/s, samples/J and scalable samples/s.
MEASURES = {"throughput": "throughput (samples/s)", "energy": "efficiency (samples/J)",
            "scalability": "scalability, S80 (samples/s)"}  # fmt: skip


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
    # Where area alone and power alone are budgets too.
    split_workloads: tuple[str, ...] = (
        "mlp-large", "resnet18@train,batch=64", "bert-base@train,batch=32,sequence=128",
    )  # fmt: skip
    split_variants: tuple[str, ...] = ("simt", "systolic", "spatial", "in_memory")
    pairs: tuple[tuple[str, str], ...] = (
        ("v100", "tpu_v3"), ("a100_40gb", "tpu_v4"), ("a100_80gb", "gaudi2"),
        ("a100_80gb", "gc200"), ("h100", "tpu_v5p"), ("h100", "gaudi3"),
    )  # fmt: skip
    seed: int = 0


def run(report: Report, config: Config) -> None:
    """Fronts of every variant on every workload; real pairs; figures of ratios."""
    area, power = ("area_mm2", config.area_mm2), ("power_W", config.power_W)
    asked = [("area and power", (area, power), config.workloads, config.variants)]
    asked += [
        (name, (budget,), config.split_workloads, config.split_variants)
        for name, budget in (("area", area), ("power", power))
    ]
    table = pd.DataFrame(
        {"equal": name, "workload": workload, "variant": variant,
         **_bests(_front(config, workload, variant, budgets))}
        for name, budgets, workloads, variants in asked
        for workload in workloads
        for variant in variants
    )  # fmt: skip
    for measure in MEASURES:
        gpu = table[table["variant"] == GPU].set_index(["equal", "workload"])[measure]
        base = gpu.reindex(pd.MultiIndex.from_frame(table[["equal", "workload"]]))
        table[f"{measure}_vs_gpu"] = table[measure] / base.to_numpy()
    report.table("variants", table, "Each variant at its own optimum")
    pairs = _pairs(config)
    report.table("pairs", pairs, "Chips as they were built")
    whole = table[table["equal"] == "area and power"]
    report.figure("ratios", ratios(whole, config.workloads, config.variants))
    report.figure("budgets", budgets_figure(table, config.split_variants))
    report.figure("pairs", pairs_figure(pairs, config.workloads))
    _answer(report, table, pairs, config)


def _front(
    config: Config, workload: str, variant: str, budgets: tuple[tuple[str, float], ...]
) -> Front | None:
    limits = tuple(dse.Constraint(metric, limit) for metric, limit in budgets)
    space = dse.default_space(variant).with_constraints(limits)
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
                "scalability_ratio": float(b.scalability / a.scalability),
                "too_small": " ".join(short),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _too_small(metrics: Metrics) -> bool:
    margins = metrics.margins.items()
    return any("capacity" in name and float(value) < 0 for name, value in margins)


def _answer(report: Report, table: pd.DataFrame, pairs: pd.DataFrame, config: Config) -> None:
    others = table[(table["variant"] != GPU) & (table["equal"] == "area and power")]
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
    alone = table[(table["variant"] != GPU) & (table["equal"] != "area and power")]
    for equal, part in alone.groupby("equal", sort=False):
        medians = part.groupby("variant", sort=False)[
            [f"{measure}_vs_gpu" for measure in MEASURES]
        ].median()
        said = "; ".join(
            f"{variant} {row.iloc[0]:.2g}x samples/s, {row.iloc[1]:.2g}x samples/J"
            for variant, row in medians.iterrows()
        )
        report.say(f"At equal {equal} alone, median over training workloads: {said}.")
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
           split_workloads=("mlp",), split_variants=("spatial", GPU),
           pairs=(("a100_40gb", "tpu_v4"),)),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
