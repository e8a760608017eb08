"""One chip for all, or a chip for each? Edge, datacentre training, LLM serving, recommendation.

For every scenario the best chip under its own budget of area and power is searched; the one chip
for all is the candidate with the largest geometric mean of shares: what it reaches of each best
one. Candidates are the fronts of all scenarios, of all variants.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import dse
from dse.cli.tables import short
from dse.plots import style
from experiments.report import Experiment, Report, main
from hwmodels import InputError, Workload, evaluate, load_workload

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


@dataclass(frozen=True)
class Config:
    scenarios: tuple[str, ...] = (
        "edge-vision", "datacentre-training", "llm-serving", "recommendation",
    )  # fmt: skip
    variants: tuple[str, ...] = ("systolic", "simt", "spatial")
    area_mm2: float = 600.0
    power_W: float = 400.0
    evaluations: int = 15_000
    candidates: int = 150  # of each front
    seed: int = 0


def run(report: Report, config: Config) -> None:
    """The best chip of each scenario; every candidate on every scenario."""
    workloads = {name: load_workload(name) for name in config.scenarios}
    designs = []
    for name, workload in workloads.items():
        for variant in config.variants:
            designs += _candidates(config, name, variant, workload)
    for design in designs:
        for name, workload in workloads.items():
            design[name] = design["throughput"].get(name, np.nan)
            if not np.isfinite(design[name]):
                metrics = evaluate(design["chip"], workload)
                fits = bool(metrics.feasible) and float(metrics.power) <= config.power_W
                design[name] = float(metrics.throughput) if fits else 0.0
    table = pd.DataFrame([{k: v for k, v in d.items() if k not in ("chip", "throughput")}
                          for d in designs])  # fmt: skip
    best = {name: table[name].max() for name in config.scenarios}
    shares = pd.DataFrame({name: table[name] / best[name] for name in config.scenarios})
    table["geometric_mean"] = np.exp(np.log(shares.clip(lower=1e-9)).mean(axis=1))
    chosen = {f"best for {n}": int(table[n].idxmax()) for n in config.scenarios}
    chosen["one for all"] = int(table["geometric_mean"].idxmax())
    rows = pd.DataFrame([
        {"chip": label, **table.loc[i].drop(list(config.scenarios)).to_dict(),
         **shares.loc[i].to_dict()}
        for label, i in chosen.items()
    ])  # fmt: skip
    units = {n: getattr(w, "unit", "sample") for n, w in workloads.items()}
    report.table("bests", pd.DataFrame([
        {"scenario": n, "unit": units[n], "best_per_s": best[n],
         "variant": table.loc[chosen[f"best for {n}"], "variant"]} for n in config.scenarios
    ]), "The best chip of each scenario")  # fmt: skip
    report.table("chips", rows.dropna(axis=1, how="all"), "Shares of the best of each scenario")
    report.figure("shares", _figure(rows, config))
    _answer(report, rows, best, units, config)


def _candidates(config: Config, scenario: str, variant: str, workload: Workload) -> list[dict]:
    budgets = dse.Constraint("area_mm2", config.area_mm2), dse.Constraint("power_W", config.power_W)
    space = dse.default_space(variant).with_constraints(budgets)
    try:
        front = dse.search(
            space, workload, evaluations=config.evaluations, seed=config.seed,
            options=dse.Options(metrics=("throughput_per_s", "power_W", "area_mm2")),
        ).front.table  # fmt: skip
    except InputError as error:
        if error.field != "limits":
            raise
        return []  # such as a latency limit that no design of this variant meets
    front = front.sort_values("throughput_per_s").tail(config.candidates)
    found = []
    for _, row in front.iterrows():
        values = {name: row[name] for name in space.names}
        static = {n: str(v) for n, v in values.items() if n in space.structures()[0]}
        chip, _ = space.build({n: v for n, v in values.items() if n not in static}, static)
        found.append({
            "scenario": scenario, "variant": variant, "chip": chip, **values,
            "area_mm2": row["area_mm2"],
            "throughput": {scenario: float(row["throughput_per_s"])},
        })  # fmt: skip
    return found


def _figure(rows: pd.DataFrame, config: Config) -> Figure:
    """Shares of the best, a group of bars a chip."""
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 2.6), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / len(config.scenarios)
        for i, name in enumerate(config.scenarios):
            x = np.arange(len(rows)) + (i - (len(config.scenarios) - 1) / 2) * width
            axes.bar(x, rows[name], width * 0.92, color=COLOURS[i], label=name)
            for at, share in zip(x, rows[name], strict=True):
                if share < 0.005:
                    axes.annotate("✕", (at, 0), (0, 1), textcoords="offset points", ha="center",
                                  size=6, color=COLOURS[i])  # fmt: skip
        labels = [f"{c}\n({v})" for c, v in zip(rows["chip"], rows["variant"], strict=True)]
        axes.set_xticks(
            range(len(rows)), [label.replace("best for ", "best for\n") for label in labels]
        )
        axes.set_ylabel("share of the best throughput")
        axes.set_ylim(0, 1.08)
        axes.grid(axis="x", visible=False)
        figure.legend(loc="outside lower center", ncols=len(config.scenarios), frameon=False)
    return figure


def _answer(
    report: Report, rows: pd.DataFrame, best: dict[str, float], units: dict[str, str],
    config: Config,
) -> None:  # fmt: skip
    said = ", ".join(f"{n} {short(best[n])} a second ({units[n]})" for n in config.scenarios)
    report.say(f"Best of each at {config.area_mm2:g} mm2 and {config.power_W:g} W, 7 nm: {said}.")
    one = rows.iloc[-1]
    said = ", ".join(f"{n} {one[n]:.0%}" for n in config.scenarios)
    report.say(
        f"One chip for all ({one['variant']}, {one['area_mm2']:.0f} mm2) keeps {said}: a geometric "
        f"mean of {one['geometric_mean']:.0%}."
    )
    for _, row in rows.iloc[:-1].iterrows():
        worst = min(config.scenarios, key=lambda n: row[n])
        lost = "cannot serve" if row[worst] == 0 else f"keeps {row[worst]:.0%} of"
        report.say(f"The chip {row['chip']} ({row['variant']}) {lost} {worst}.")


EXPERIMENT = Experiment(
    "one_chip_or_many",
    "One chip for all scenarios, or a chip for each?",
    run,
    Config(),
    Config(scenarios=("mlp", "mlp-large"), variants=("simt",), evaluations=2_500, candidates=3),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
