"""One chip for all, or a chip for each? Edge, recommendation, LLM serving, datacentre training.

Every scenario has a product with budgets of its own (`experiments.products`): area, power, memory
and number format. For each, the best design of each variant is searched. One design for several
products is searched for the largest geometric mean of shares: what it does within a product's
budgets over what the best design for that product does there. It computes in bf16 where one of
them trains. All are searched alike, by evolution from several seeds and once more from what these
found. A share of one variant over another says as much about the model as about chips.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dse.cli.tables import short
from dse.sweeping import WORKERS
from experiments.product_design import Design, best_design, in_product
from experiments.products import PRODUCTS, Done, Product, silicon
from experiments.ratios import TIE
from experiments.report import Experiment, Report, main
from experiments.shares_figure import shares_figure
from hwmodels import load_workload

Job = tuple[str, tuple[Product, ...]]  # a variant, and what one design of it is for
NAMED = {product.scenario: product for product in PRODUCTS}


@dataclass(frozen=True)
class Config:
    scenarios: tuple[str, ...] = tuple(NAMED)
    groups: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("one for all", tuple(NAMED)),
        ("one for the datacentre", tuple(NAMED)[1:]),
    )
    variants: tuple[str, ...] = ("systolic", "simt", "spatial")
    generations: int = 150
    seeds: int = 6


def run(report: Report, config: Config) -> None:
    """The best design of each product, the best for several, and each in the others."""
    products = [NAMED[name] for name in config.scenarios]
    jobs: list[Job] = [(v, (p,)) for p in products for v in config.variants]
    with ThreadPoolExecutor(WORKERS) as pool:  # most of the time goes to compiling
        found = list(
            pool.map(
                lambda job: best_design(job[0], job[1], config.generations, config.seeds), jobs
            )
        )
    own = {(p.scenario, v): d for (v, (p,)), d in zip(jobs, found, strict=True)}
    best = {
        p.scenario: max((own[p.scenario, v] for v in config.variants), key=lambda d: d.scores[-1])
        for p in products
    }
    reference = {name: float(design.done[name].per_s) for name, design in best.items()}
    jobs = [(v, tuple(NAMED[n] for n in names)) for _, names in config.groups
            for v in config.variants]  # fmt: skip
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(
            pool.map(
                lambda job: best_design(
                    job[0], job[1], config.generations, config.seeds, reference
                ),
                jobs,
            )
        )
    groups = {
        label: found[i * len(config.variants) : (i + 1) * len(config.variants)]
        for i, (label, _) in enumerate(config.groups)
    }
    report.table("bests", _bests(own, products), "The best designs of each scenario")
    chosen = {f"best for {name}": design for name, design in best.items()}
    chosen |= {label: max(some, key=lambda d: d.scores[-1]) for label, some in groups.items()}
    rows = pd.DataFrame([
        _row(label, design, products, reference) for label, design in chosen.items()
    ])  # fmt: skip
    report.table("chips", rows, "Shares of the best of each scenario")
    lacking = [label for label, some in config.groups if not all(_of(rows, label)[list(some)])]
    drawn = rows[~rows["chip"].isin(lacking)]
    report.figure("shares", shares_figure(drawn, config.scenarios))
    _answer(report, own, groups, rows, reference, config)


def _bests(own: dict[tuple[str, str], Design], products: Sequence[Product]) -> pd.DataFrame:
    rows = []
    for p in products:
        for (scenario, variant), design in own.items():
            if scenario == p.scenario:
                done = design.done[scenario]
                rows.append({
                    "scenario": scenario, "budgets": p.text, "variant": variant,
                    "unit": getattr(load_workload(scenario), "unit", "sample"),
                    "measure": "S80" if p.fleet else "throughput",
                    "best_per_s": float(done.per_s) if done.margin >= 0 else np.nan,
                    "weakest_seed": design.weakest,
                    "copies": float(done.copies), "area_mm2": float(done.area_mm2),
                    "peak_W": float(done.peak_W),
                })  # fmt: skip
    return pd.DataFrame(rows)


def _row(
    label: str, design: Design, products: Sequence[Product], reference: dict[str, float]
) -> dict[str, Any]:
    row: dict[str, Any] = {"chip": label, "variant": design.variant,
                           "number_format": design.number_format}  # fmt: skip
    for p in products:
        trains = design.number_format == "bf16" or not p.trains
        done = in_product(design, p) if trains else None
        held = done if done is not None and done.margin >= 0 else None
        row[p.scenario] = float(held.per_s) / reference[p.scenario] if held else 0.0
        row[f"copies in {p.scenario}"] = float(held.copies) if held else 0.0
        row[f"not in {p.scenario}"] = "" if held else _reason(done)
        if done is not None:
            row["area_mm2"] = float(done.area_mm2)
    made = silicon(design.variant, design.number_format).readable(design.columns, {})
    row["design"] = ", ".join(
        f"{name} {value.item() if value.dtype.kind == 'U' else f'{value.item():.4g}'}"
        for name, value in made.items()
    )
    return row


def _of(rows: pd.DataFrame, label: str) -> pd.Series:
    return rows[rows["chip"] == label].iloc[0]


def _reason(done: Done | None) -> str:
    """Which limit a design meets least, in the first words of its name."""
    if done is None:
        return "number format"
    name = "power" if done.held_by == "tdp" else str(done.held_by)
    return name.split(",")[0].split("@")[0]


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.995 else "100%"


def _answer(
    report: Report, own: dict[tuple[str, str], Design], groups: dict[str, list[Design]],
    rows: pd.DataFrame, reference: dict[str, float], config: Config,
) -> None:  # fmt: skip
    for name in config.scenarios:
        report.say(_scenario_said(name, own, reference[name], config))
    every = [*own.values(), *(design for some in groups.values() for design in some)]
    short_by = [1.0 - design.weakest for design in every]
    report.say(
        f"The weakest of {config.seeds} seeds falls a median {np.median(short_by):.1%}, at most "
        f"{max(short_by):.0%}, short of the search from all of them: results that are nearer to "
        f"each other than that are ties, and so are variants nearer than {TIE:g}x, which the model "
        f"does not tell apart."
    )
    for label, names in config.groups:
        row = _of(rows, label)
        missing = [n for n in names if row[n] == 0]
        if missing:
            why = ", ".join(f"{n} ({row[f'not in {n}']})" for n in missing)
            kept = ", ".join(f"{n} {_percent(row[n])}" for n in names if n not in missing)
            report.say(
                f"{label.capitalize()}: no design was found that fits the budgets of all of "
                f"{', '.join(names)}; the best leaves out {why} and keeps {kept}."
            )
            continue
        mean = np.exp(np.mean([np.log(row[n]) for n in names]))
        kept = ", ".join(f"{n} {_percent(row[n])} (x{row[f'copies in {n}']:.0f})" for n in names)
        report.say(
            f"{label.capitalize()} ({row['variant']}, {row['area_mm2']:.0f} mm2): {kept} of what "
            f"a chip for each does, a geometric mean of {_percent(mean)}. By variant: "
            + ", ".join(f"{d.variant} {_percent(_mean(d, reference))}" for d in groups[label]) + "."
        )  # fmt: skip
    for name in config.scenarios:
        row = _of(rows, f"best for {name}")
        said = ", ".join(
            f"{n} {_percent(row[n])}" if row[n] else f"{n} not at all ({row[f'not in {n}']})"
            for n in config.scenarios if n != name
        )  # fmt: skip
        report.say(f"The chip best for {name} ({row['variant']}) does in the others: {said}.")


def _mean(design: Design, reference: dict[str, float]) -> float:
    """The geometric mean of shares; 0 for a design that a product cannot hold."""
    if any(done.margin < 0 for done in design.done.values()):
        return 0.0
    return float(np.exp(np.mean([np.log(d.per_s / reference[n]) for n, d in design.done.items()])))


def _scenario_said(
    name: str, own: dict[tuple[str, str], Design], best: float, config: Config
) -> str:
    unit = getattr(load_workload(name), "unit", "sample")
    does = {v: own[name, v].done[name] for v in config.variants}
    ratios = {v: best / float(d.per_s) for v, d in does.items() if d.margin >= 0}
    order = sorted(ratios, key=lambda v: ratios[v])
    tied = ", ".join(f"{v} {_percent(1 / ratios[v])}" for v in order[1:] if ratios[v] < TIE)
    slower = ", ".join(f"{v} {_percent(1 / ratios[v])}" for v in order[1:] if ratios[v] >= TIE)
    measure = "a second by the largest efficient fleet" if NAMED[name].fleet else "a second"
    return (
        f"{name} ({NAMED[name].text}): {short(best)} {measure} ({unit}), {order[0]}"
        + (f"; not told apart from it: {tied}" if tied else "")
        + (f"; slower: {slower}" if slower else "") + "."
    )  # fmt: skip


EXPERIMENT = Experiment(
    "one_chip_or_many",
    "One chip for all scenarios, or a chip for each?",
    run,
    Config(),
    Config(
        scenarios=("recommendation", "llm-serving"),
        groups=(("one for both", ("recommendation", "llm-serving")),),
        variants=("simt",), generations=5, seeds=2,
    ),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
