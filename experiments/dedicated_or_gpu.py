"""Does a dedicated chip beat a GPU in throughput, energy and scalability, and on what?

Every variant is searched for its own best designs of each workload at one node: under one area and
one peak power together, and on some workloads under one area alone and one peak power alone. Fronts
of two axes, throughput against power and, for training, scalable throughput against power: a search
of few axes reaches their ends. Several seeds each begin anew; the union of their fronts counts, and
how far apart they lie is reported. Pairs of real chips stand beside, as they were built, without
the losses that were fitted to some of them.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

import dse
from dse.space import DRAM_KIND
from dse.sweeping import WORKERS
from experiments.ratios import GPU, TIE, budgets_figure, pairs_figure, ratios
from experiments.report import Experiment, Report, main
from hwmodels import (
    VARIANTS,
    InputError,
    Metrics,
    Workload,
    evaluate,
    load_chip,
    load_workload,
)

BOTH = "area and peak power"
PACE = 0.8  # of the fastest GPU-like design: its last percents cost any energy
SAID = {"throughput": "samples/s of the fastest design",
        "energy": "samples/J at 80% of the fastest GPU-like design's speed at least",
        "scalability": "S80, samples/s"}  # fmt: skip


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
    peak_power_W: float = 300.0
    evaluations: int = 60_000
    seeds: int = 3
    dram_kinds: tuple[str, ...] = ("hbm3", "lpddr5")  # of the default four
    # Where S80 is asked for: of training, where something is reduced.
    scaled_workloads: tuple[str, ...] = (
        "mlp", "mlp-large", "resnet18@train,batch=64", "bert-base@train,batch=32,sequence=128",
    )  # fmt: skip
    # Where area alone and peak power alone are budgets too.
    split_workloads: tuple[str, ...] = (
        "resnet18@train,batch=64", "bert-base@train,batch=32,sequence=128",
    )  # fmt: skip
    split_variants: tuple[str, ...] = ("simt", "systolic", "spatial", "in_memory")
    pairs: tuple[tuple[str, str], ...] = (
        ("v100", "tpu_v3"), ("a100_40gb", "tpu_v4"), ("a100_80gb", "gaudi2"),
        ("a100_80gb", "gc200"), ("h100", "tpu_v5p"), ("h100", "gaudi3"),
    )  # fmt: skip


def run(report: Report, config: Config) -> None:
    """Fronts of every variant on every workload; real pairs; figures of ratios."""
    area, power = ("area_mm2", config.area_mm2), ("peak_power_W", config.peak_power_W)
    asked: list[tuple[str, tuple[Any, ...], tuple[str, ...], tuple[str, ...]]] = [
        (BOTH, (area, power), config.workloads, config.variants),
        ("area", (area,), config.split_workloads, config.split_variants),
        ("peak power", (power,), config.split_workloads, config.split_variants),
    ]
    rows = []
    for equal, budgets, workloads, variants in asked:
        for name in workloads:
            found = _compared(config, name, budgets, variants, equal == BOTH)
            rows += [{"equal": equal, "workload": name, **row} for row in found]
    table = pd.DataFrame(rows)
    report.table("variants", table, "Each variant at its own optimum")
    pairs = _pairs(config)
    report.table("pairs", pairs, "Chips as they were built")
    whole = table[table["equal"] == BOTH]
    report.figure("ratios", ratios(whole, config.workloads, config.variants))
    report.figure("budgets", budgets_figure(table, config.split_variants))
    report.figure("pairs", pairs_figure(pairs, config.workloads))
    _answer(report, table, pairs, config)


def _compared(
    config: Config, name: str, budgets: tuple[Any, ...], variants: tuple[str, ...], scaled: bool
) -> list[dict[str, Any]]:
    """A row a variant: its bests, over the GPU-like variant's; S80 where it is `scaled`."""
    workload, scaled = load_workload(name), scaled and name in config.scaled_workloads
    axes = ("throughput_per_s", *["scalability_per_s"] * scaled)
    asked = [(variant, axis) for axis in axes for variant in variants]
    with ThreadPoolExecutor(WORKERS) as pool:  # most of the time goes to compiling
        found = list(pool.map(lambda job: _front(config, workload, job[0], budgets, job[1]), asked))
    fronts = dict(zip(variants, found, strict=False))
    wide = dict(zip(variants, found[len(variants) :], strict=True)) if scaled else {}
    gpu = fronts[GPU]
    assert gpu is not None
    pace = PACE * float(gpu["throughput_per_s"].max())
    bests = {v: _bests(front, wide.get(v), pace) for v, front in fronts.items()}
    return [
        {"variant": v, **best, **{f"{m}_vs_gpu": best[m] / bests[GPU][m] for m in SAID}}
        for v, best in bests.items()
    ]


def _front(
    config: Config, workload: Workload, variant: str, budgets: tuple[Any, ...], axis: str
) -> pd.DataFrame | None:
    """The designs of all seeds' fronts, with `seed`; None where no design meets the limits, such
    as a model that no chip without DRAM can hold."""
    limits = tuple(dse.Constraint(metric, limit) for metric, limit in budgets)
    space = dse.default_space(variant).with_constraints(limits)
    kinds = dse.Parameter(DRAM_KIND, "choice", choices=config.dram_kinds)
    space = replace(
        space, parameters=tuple(kinds if p.name == DRAM_KIND else p for p in space.parameters)
    )
    found = []
    for seed in range(config.seeds):
        try:
            one = dse.search(
                space, workload, evaluations=config.evaluations, seed=seed,
                options=dse.Options(metrics=(axis, "power_W")),
            )  # fmt: skip
        except InputError as error:
            if error.field != "limits":
                raise
            return None
        found.append(one.front.table.assign(seed=seed))
    return pd.concat(found, ignore_index=True)


def _bests(front: pd.DataFrame | None, wide: pd.DataFrame | None, pace: float) -> dict[str, Any]:
    """The fastest design, the most samples/J at `pace` or more, the largest S80; by how much the
    fastest designs of the seeds differ."""
    nothing = dict.fromkeys((*SAID, "fastest_per_J", "fastest_V", "seeds_apart"), np.nan)
    if front is None:
        return nothing
    speed, per_joule = front["throughput_per_s"], front["throughput_per_s"] / front["power_W"]
    best, by_seed = front.loc[speed.idxmax()], speed.groupby(front["seed"]).max()
    as_fast = per_joule[speed >= pace * (1 - 1e-6)]
    return (
        nothing
        | {
            "throughput": float(speed.max()),
            "energy": float(as_fast.max()) if len(as_fast) else np.nan,
            "fastest_per_J": float(per_joule[speed.idxmax()]),
            "fastest_V": float(best["voltage_V"]),
            "seeds_apart": float(by_seed.max() / by_seed.min() - 1.0),
        }
        | ({} if wide is None else {"scalability": float(wide["scalability_per_s"].max())})
    )


def _pairs(config: Config) -> pd.DataFrame:
    """Ideal software on both, the number format of each chip's own catalog entry."""
    rows = []
    for gpu, other in config.pairs:
        for name in config.workloads:
            workload = load_workload(name)
            a, b = (evaluate(load_chip(chip).untuned, workload) for chip in (gpu, other))
            short = [chip for chip, m in ((gpu, a), (other, b)) if _too_small(m)]
            ratio = float(b.throughput / a.throughput)
            rows.append({
                "gpu": gpu, "dedicated": other, "workload": name, "throughput_ratio": ratio,
                "energy_ratio": ratio * float(a.power / b.power),
                "scalability_ratio": (
                    float(b.scalability / a.scalability) if workload.training else np.nan
                ),
                "per_area_ratio": ratio * float(a.area / b.area),
                "too_small": " ".join(short),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _too_small(metrics: Metrics) -> bool:
    margins = metrics.margins.items()
    return any("capacity" in name and float(value) < 0 for name, value in margins)


def _answer(report: Report, table: pd.DataFrame, pairs: pd.DataFrame, config: Config) -> None:
    others = table[(table["variant"] != GPU) & (table["equal"] == BOTH)]
    for measure, words in SAID.items():
        column = f"{measure}_vs_gpu"
        known = others.dropna(subset=[column])
        best = known.loc[known.groupby("workload", sort=False)[column].idxmax()]
        said = "; ".join(f"{r.workload} {getattr(r, column):.2g}x ({r.variant})"
                         for r in best.itertuples())  # fmt: skip
        clear = int((best[column] > TIE).sum())
        report.say(
            f"{measure.capitalize()} ({words}), the best dedicated variant over the GPU-like one "
            f"at {config.area_mm2:g} mm2, {config.peak_power_W:g} W at most, 7 nm: {said}. Above "
            f"{TIE:g}x, which is taken as a tie, on {clear} of {len(best)} workloads."
        )
    lost = others[others["throughput_vs_gpu"] < 1 / TIE]
    losers = ", ".join(f"{r.variant} on {r.workload}" for r in lost.itertuples())
    report.say(f"Where dedicated variants are clearly slower: {losers or 'nowhere'}.")
    report.say(
        f"Seeds of a search end within {table['seeds_apart'].median():.1%} (median) and "
        f"{table['seeds_apart'].max():.1%} (at most) of each other in samples/s."
    )
    for equal, part in table[table["variant"] != GPU].groupby("equal", sort=False):
        part = part[part["workload"].isin(config.split_workloads)]
        medians = part.groupby("variant", sort=False)["throughput_vs_gpu"].median()
        said = ", ".join(f"{v} {x:.2g}x" for v, x in medians.items() if v in config.split_variants)
        if said:
            report.say(f"Training at equal {equal}, samples/s, median over workloads: {said}.")
    fits = pairs[pairs["too_small"] == ""]
    columns = ["throughput_ratio", "energy_ratio", "per_area_ratio"]
    medians = fits.groupby(["gpu", "dedicated"], sort=False)[columns].median()
    said = "; ".join(
        f"{b} over {a}: {row.iloc[0]:.2g}x samples/s, {row.iloc[1]:.2g}x samples/J, "
        f"{row.iloc[2]:.2g}x samples/s and mm2"
        for (a, b), row in medians.iterrows()
    )
    report.say(f"Chips as built, ideal software, median over workloads that fit in both: {said}.")


EXPERIMENT = Experiment(
    "dedicated_or_gpu",
    "Does a dedicated deep-learning chip beat a GPU, on which workloads, and where does it not?",
    run,
    Config(),
    Config(workloads=("mlp",), variants=("spatial", GPU), evaluations=2_500, seeds=1,
           scaled_workloads=("mlp",), split_workloads=(), split_variants=("spatial", GPU),
           pairs=(("a100_40gb", "tpu_v4"),)),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
