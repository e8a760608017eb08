"""Where does a deep-learning chip's performance come from?

Six choices, each plain or improved, in all 64 combinations: dies of at most one area at one node,
256 multipliers or as many as fit. Memory is three numbers; a second table takes them apart, in all
256 combinations. Zeros are as frequent as training the same hidden layers on digits leaves them.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.ablation_chips import filled, plain_or_improved
from experiments.ablation_figure import ablation_figure
from experiments.report import Experiment, Report, main
from experiments.switches import Logs, alone, in_order, interactions, last, shapley, spans
from hwmodels import Accelerator, Workload, evaluate, load_workload
from hwmodels.workloads.datasets import digits
from hwmodels.workloads.mlp import train
from hwmodels.workloads.mlp_config import MLP, MLP_LARGE

FACTORS = {
    "parallelism": "256 multipliers -> as many as the area holds",
    "dataflow": "memory beside 64 multipliers: 16 KiB of a core, 64 B of an element -> 64 KiB, "
    "2 KiB",
    "memory": "capacity 1 -> 64 MiB, buffer 512 -> 8192 B/cycle, DRAM 25.6 -> 3276 GB/s (128x)",
    "format": "fp32 -> bf16",
    "sparsity": "every product -> products with a zero skipped",
    "specialisation": "SIMD cores with front ends, operations launched by a host -> processing "
    "elements without, the step as one program",
}
MEMORY = {
    "capacity": "buffer of 1 -> 64 MiB",
    "on-chip bandwidth": "buffer of 512 -> 8192 B/cycle",
    "off-chip bandwidth": "one LPDDR5 channel of 25.6 GB/s -> four HBM3 stacks, 3276 GB/s",
}
MEASURES = {"throughput": "samples/s", "energy": "samples/J"}


@dataclass(frozen=True)
class Config:
    workload: str = "mlp-large"
    batch: int = 128  # of the training that measures densities
    epochs: int = 5
    area_mm2: float = 400.0
    clock_GHz: float = 1.0
    factors: tuple[str, ...] = tuple(FACTORS)

    @property
    def switches(self) -> tuple[str, ...]:
        """The factors with memory taken apart."""
        return tuple(s for f in self.factors for s in (MEMORY if f == "memory" else (f,)))


def run(report: Report, config: Config) -> None:
    """All combinations; steps in order, Shapley's values and interactions."""
    density = measured_density(config)
    workload = with_zeros(load_workload(config.workload), density)
    choices = list(itertools.product((False, True), repeat=len(config.switches)))
    table = pd.DataFrame(_combination(config, workload, on) for on in choices)
    report.table("combinations", table)
    apart = {m: dict(zip(choices, np.log2(table[m]), strict=True)) for m in MEASURES}
    logs = {m: _together(config, apart[m]) for m in MEASURES}
    effects = _effects(config.factors, logs)
    report.table("factors", effects, "Factors of improvement")
    parts = _effects(config.switches, apart)
    report.table("memory_apart", parts, "The same with memory taken apart")
    for name, names, of in (
        ("interactions", config.factors, logs),
        ("interactions_apart", config.switches, apart),
    ):
        pairs = pd.DataFrame(2.0 ** interactions(of["throughput"]), names, names)
        report.table(name, pairs.rename_axis("factor").reset_index())
    report.figure("ablation", ablation_figure(effects, pairs, MEASURES))
    _answer(report, workload, table, (effects, parts, pairs), config, density)


def measured_density(config: Config) -> float:
    """Mean share of non-zeros in the hidden activations, over the last epoch of training the
    workload's hidden layers on digits."""
    named = {network.name: network for network in (MLP, MLP_LARGE)}[config.workload]
    data = digits()
    trained = train(
        dataclasses.replace(
            named, widths=(data.width, *named.widths[1:]), batch=config.batch,
            epochs=config.epochs, train_samples=len(data.x_train), test_samples=len(data.x_test),
        ),
        data,
    )  # fmt: skip
    return float(np.mean(list(trained.densities.values())))


def with_zeros(workload: Workload, density: float) -> Workload:
    """The workload with `density` of each activation that a product reads after the first layer;
    error signals, which ReLU's derivative multiplies, have the same zeros."""
    rows = []
    for row in workload.rows:
        kinds = [tensor.role for tensor in row.reads[:2]]
        changes = {
            side: density
            for side, role in zip(("lhs_density", "rhs_density"), kinds, strict=False)
            if row.kind == "contraction" and role == "activation"
        }
        rows.append(dataclasses.replace(row, **changes))
    return dataclasses.replace(workload, rows=tuple(rows))


def _combination(config: Config, workload: Workload, on: tuple[bool, ...]) -> dict[str, object]:
    chosen = dict(zip(config.switches, on, strict=True))
    chip = _chip(config, chosen)
    runtime = "graph" if chosen.get("specialisation") else "eager"
    metrics = evaluate(chip, workload, runtime=runtime)
    return {
        **{name: int(value) for name, value in chosen.items()},
        "throughput": float(metrics.throughput),
        "energy": float(metrics.throughput / metrics.power),
        "power_W": float(metrics.power),
        "area_mm2": float(metrics.area) * 1e6,
        "clock_GHz": float(metrics.clock) / 1e9,
        "multipliers": float(chip.macs_per_cycle),
        "utilization": float(metrics.utilization),
    }


def _chip(config: Config, chosen: dict[str, bool]) -> Accelerator:
    chip = plain_or_improved(chosen, config.clock_GHz)
    return filled(chip, config.area_mm2) if chosen.get("parallelism") else chip


def _together(config: Config, logs: Logs) -> Logs:
    """Of a measure by switches, that by factors: the parts of memory are all on or all off."""
    found = {}
    for on, value in logs.items():
        chosen = dict(zip(config.switches, on, strict=True))
        parts = {chosen.pop(name) for name in MEMORY if name in chosen}
        if len(parts) == 1:
            chosen["memory"] = parts.pop()
        if all(name in chosen for name in config.factors):
            found[tuple(chosen[name] for name in config.factors)] = value
    return found


def _effects(names: tuple[str, ...], logs: dict[str, Logs]) -> pd.DataFrame:
    """What each of `names` does to each measure, as factors."""
    ranges = {m: 2.0 ** spans(logs[m]) for m in MEASURES}
    return pd.DataFrame({
        "factor": names,
        "what": [{**FACTORS, **MEMORY}[name] for name in names],
        **{f"{m}_{word}": 2.0 ** effect(logs[m]) for m in MEASURES for word, effect in (
            ("in_order", in_order), ("shapley", shapley), ("alone", alone), ("last", last))},
        **{f"{m}_{word}": ranges[m][:, i] for m in MEASURES for i, word in enumerate(
            ("least", "most"))},
    })  # fmt: skip


def _answer(
    report: Report,
    workload: Workload,
    table: pd.DataFrame,
    found: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    config: Config,
    density: float,
) -> None:
    effects, parts, pairs = found
    plain, best = table.iloc[0], table.iloc[-1]
    gains = {m: best[m] / plain[m] for m in MEASURES}
    small = table[table["multipliers"] == plain["multipliers"]]["area_mm2"]
    report.say(
        f"All together make the step of {config.workload} {gains['throughput']:.3g} times as "
        f"fast, with {gains['energy']:.3g} times the samples per joule: from "
        f"{plain['multipliers']:.0f} multipliers ({small.min():.0f} to {small.max():.0f} mm2, by "
        f"memory) to {best['multipliers']:,.0f} on at most {config.area_mm2:g} mm2."
    )
    for measure, unit in MEASURES.items():
        order = effects.sort_values(f"{measure}_shapley", ascending=False)
        said = ", ".join(
            f"{row['factor']} {row[f'{measure}_shapley']:.3g}x ({row[f'{measure}_least']:.2g} to "
            f"{row[f'{measure}_most']:.3g})"
            for _, row in order.iterrows()
        )
        report.say(f"{unit}, mean over all orders (least to most, by what else is on): {said}.")
    steps = "; ".join(f"{row['factor']}, {row['what']}" for _, row in effects.iterrows())
    report.say(f"A factor weighs as much as the step that it stands for: {steps}.")
    memory = parts[parts["factor"].isin(list(MEMORY))]
    said = ", ".join(f"{r['factor']} {r['throughput_shapley']:.3g}x" for _, r in memory.iterrows())
    report.say(f"Memory taken apart, samples/s, mean over all orders: {said}.")
    ranked = sorted((pairs.loc[a, b], a, b) for a, b in itertools.combinations(pairs.index, 2))
    for words, (value, a, b) in (("Complements", ranked[-1]), ("Substitutes", ranked[0])):
        report.say(
            f"{words} above all, samples/s: {a} and {b}, together {value:.2g} times what the "
            "two make one by one."
        )
    if {"dataflow", "specialisation"} <= set(config.factors):
        _answer_structure(report, table, workload, config)
    if "sparsity" in config.factors:
        report.say(
            f"Zeros: a density of {density:.2f}, measured as the mean of the hidden activations in "
            f"epoch {config.epochs} of training these hidden layers on digits, and taken for error "
            "signals too; other data and networks have others."
        )


def _answer_structure(
    report: Report, table: pd.DataFrame, workload: Workload, config: Config
) -> None:
    """Where dataflow and specialisation help: all else on, or one thing off besides."""

    def reached(*off: str) -> pd.Series:
        on = [name not in off for name in config.switches]
        return table[(table[list(config.switches)] == on).all(axis=1)].iloc[0]

    def gain(name: str, *off: str) -> float:
        return float(reached(*off)["throughput"] / reached(*off, name)["throughput"])

    port = "on-chip bandwidth"
    report.say(
        f"Dataflow, with all else on, gives {gain('dataflow'):.2g}x behind a buffer of 8192 "
        f"B/cycle and {gain('dataflow', port):.2g}x behind one of 512: local reuse replaces "
        "bandwidth of the buffer. Elements share operands by multicast in both cases, so this is "
        "what their memories add."
    )
    launched = evaluate(
        _chip(config, dict.fromkeys(config.switches, True)), workload, runtime="eager"
    )
    report.say(
        f"Specialisation is density: {reached('specialisation')['multipliers']:,.0f} multipliers "
        f"in SIMD cores, {reached()['multipliers']:,.0f} in elements on the same area; at 256 each "
        f"it gives {gain('specialisation', 'parallelism'):.3g}x. Of its "
        f"{gain('specialisation'):.3g}x with all else on, launches are "
        f"{float(reached()['throughput'] / launched.throughput):.3g}x. The area of a core's front "
        "end (1.8 mm2) is an estimate."
    )


EXPERIMENT = Experiment(
    "ablation",
    "Where does a deep-learning chip's performance come from?",
    run,
    Config(),
    Config(workload="mlp", epochs=1, factors=("parallelism", "memory", "specialisation")),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
