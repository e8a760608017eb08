"""Where does a deep-learning chip's performance come from?

Six choices, each plain or improved, in all 64 combinations: dies of one area at one node, filled
with the units that fit. Steps in a fixed order tell a story that depends on the order; Shapley's
values (the mean over all orders) do not, and second differences show which choices need another.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.plots import style
from experiments.report import Experiment, Report, main
from hwmodels import VARIANTS, Accelerator, Workload, evaluate, load_workload
from hwmodels.accelerators.entry import PART_KINDS
from hwmodels.quantity import quantities

FACTORS = {
    "parallelism": "256 multipliers -> as many as the area holds",
    "dataflow": "SIMD cores -> spatial array that reuses operands",
    "memory": "1 MiB, LPDDR5 -> 64 MiB, four HBM3",
    "format": "fp32 -> bf16",
    "sparsity": "every product -> products with a zero skipped",
    "specialisation": "operations launched one by one by a host -> the step as one program",
}
MEASURES = {"throughput": "samples/s", "energy": "samples/J"}
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


@dataclass(frozen=True)
class Config:
    workload: str = "mlp-large"
    density: float = 0.5  # of the hidden activations, which ReLU makes
    area_mm2: float = 400.0
    clock_GHz: float = 1.0
    factors: tuple[str, ...] = tuple(FACTORS)


def run(report: Report, config: Config) -> None:
    """All combinations; steps in order, Shapley's values and interactions."""
    workload = with_zeros(load_workload(config.workload), config.density)
    choices = list(itertools.product((False, True), repeat=len(config.factors)))
    table = pd.DataFrame(_combination(config, workload, on) for on in choices)
    report.table("combinations", table)
    logs = {m: dict(zip(choices, np.log2(table[m]), strict=True)) for m in MEASURES}
    effects = pd.DataFrame({
        "factor": config.factors,
        "what": [FACTORS[name] for name in config.factors],
        **{f"{m}_in_order": 2.0 ** in_order(logs[m]) for m in MEASURES},
        **{f"{m}_shapley": 2.0 ** shapley(logs[m]) for m in MEASURES},
        **{f"{m}_alone": 2.0 ** alone(logs[m]) for m in MEASURES},
    })  # fmt: skip
    report.table("factors", effects, "Factors of improvement")
    pairs = interactions(logs["throughput"])
    named = pd.DataFrame(2.0**pairs, index=config.factors, columns=config.factors)
    report.table("interactions", named.rename_axis("factor").reset_index())
    report.figure("ablation", _figure(effects, pairs, config))
    _answer(report, table, effects, pairs, config)


def with_zeros(workload: Workload, density: float) -> Workload:
    """The workload with `density` of each activation that a product reads after the first layer."""
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
    chosen = dict(zip(config.factors, on, strict=True))
    runtime = "graph" if chosen.get("specialisation") else "eager"
    chip = _chip(config, chosen)
    if chosen.get("parallelism"):
        chip = _filled(chip, workload, config.area_mm2)
    metrics = evaluate(chip, workload, runtime=runtime)
    return {
        **{name: int(value) for name, value in chosen.items()},
        "throughput": float(metrics.throughput),
        "energy": float(metrics.throughput / metrics.power),
        "power_W": float(metrics.power),
        "area_mm2": float(metrics.area) * 1e6,
        "multipliers": float(chip.macs_per_cycle),
    }


def _chip(config: Config, chosen: dict[str, bool]) -> Accelerator:
    """A chip of 256 multipliers; its lanes for other work are a quarter as many."""
    spatial, rich = chosen.get("dataflow", False), chosen.get("memory", False)
    chip = VARIANTS["spatial" if spatial else "vector"](
        number_format="bf16" if chosen.get("format") else "fp32",
        sparsity="skip" if chosen.get("sparsity") else "none",
    )
    units = {"pe_rows": 16, "pe_columns": 16, "macs_per_pe": 1, "vector_lanes": 64}
    found: Accelerator = chip.replace(
        **PART_KINDS["dram_kind"]["hbm3" if rich else "lpddr5"],
        **(units if spatial else {"cores": 4, "lanes": 64}),
        clock_GHz=config.clock_GHz,
        dram_stacks=4 if rich else 1,
        link_count=1,
        sram_capacity_MiB=64 if rich else 1,
        sram_bandwidth_B_per_cycle=8192 if rich else 512,
    )
    return found


def _filled(chip: Accelerator, workload: Workload, area_mm2: float) -> Accelerator:
    """As many units as the area holds, memory as it is."""
    names = ("pe_rows", "pe_columns") if "pe_rows" in chip.quantities() else ("cores",)
    now, limits = chip.quantities(), quantities(type(chip))

    def sized(factor: float) -> Accelerator:
        more = {name: float(now[name]) * factor ** (1 / len(names)) for name in names}
        if len(names) == 2:
            more["vector_lanes"] = float(now["vector_lanes"]) * factor
        found: Accelerator = chip.replace(
            **{name: min(round(value), limits[name].high) for name, value in more.items()}
        )
        return found

    low, high = 1.0, 2.0**14
    for _ in range(30):
        middle = math.sqrt(low * high)
        fits = float(evaluate(sized(middle), workload).area) * 1e6 <= area_mm2
        low, high = (middle, high) if fits else (low, middle)
    return sized(low)


Logs = dict[tuple[bool, ...], float]  # log2 of a measure, by what is switched on


def in_order(logs: Logs) -> np.ndarray:
    """What each factor adds when they are switched on one after the other."""
    count = len(next(iter(logs)))
    steps = [logs[tuple(j < i for j in range(count))] for i in range(count + 1)]
    return np.diff(steps)


def alone(logs: Logs) -> np.ndarray:
    """What each factor adds to nothing."""
    count = len(next(iter(logs)))
    nothing = logs[(False,) * count]
    return np.array([logs[tuple(j == i for j in range(count))] - nothing for i in range(count)])


def shapley(logs: Logs) -> np.ndarray:
    """Mean of what each factor adds, over all orders of switching (Shapley, 1953)."""
    count = len(next(iter(logs)))
    values = np.zeros(count)
    for on, value in logs.items():
        size = sum(on)
        for i in range(count):
            others = size - on[i]
            weight = math.factorial(others) * math.factorial(count - 1 - others)
            values[i] += (1 if on[i] else -1) * value * weight / math.factorial(count)
    return values


def interactions(logs: Logs) -> np.ndarray:
    """Mean second difference of each pair: above 0 the two together add more than apart."""
    count = len(next(iter(logs)))
    pairs = np.zeros((count, count))
    for i, j in itertools.combinations(range(count), 2):
        signs = [(1 if on[i] == on[j] else -1) * value for on, value in logs.items()]
        pairs[i, j] = pairs[j, i] = sum(signs) / 2 ** (count - 2)
    return pairs


def _figure(effects: pd.DataFrame, pairs: np.ndarray, config: Config) -> Figure:
    """Steps of both measures, Shapley's values beside; the interactions as a table."""
    names, ys = list(config.factors), np.arange(len(config.factors))
    with style.style():
        figure = Figure(
            figsize=(style.TWO_COLUMN_INCHES, 0.9 + 0.32 * len(names)), layout="constrained"
        )
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
        for axes, (measure, unit) in zip((left, middle), MEASURES.items(), strict=True):
            steps = effects[f"{measure}_in_order"].to_numpy()
            ends = np.cumprod(steps)
            starts = np.concatenate([[1.0], ends[:-1]])
            for y, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
                axes.barh(y, end - start, left=start, color=COLOURS[y], height=0.6)
                share = effects[f"{measure}_shapley"][y]
                axes.annotate(
                    f"{step:.3g}x ({share:.3g}x)", (max(start, end), y), (3, 0),
                    textcoords="offset points", va="center", size=6.5,
                )  # fmt: skip
            axes.set_xscale("log")
            low, high = style.log_limits(np.array([1.0, *ends]))
            axes.set_xlim(10**low, 10 ** (high + 0.45 * (high - low)))  # room for the numbers
            axes.set_xlabel(f"{unit}, over the plain chip's")
            axes.set_yticks(ys, names if axes is left else [])
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_title("in order (mean over all orders)", loc="left", color=style.MUTED)
        largest = max(np.abs(pairs).max(), 0.1)
        right.imshow(pairs, cmap="RdBu", vmin=-largest, vmax=largest)
        for i, j in itertools.permutations(ys, 2):
            dark = abs(pairs[i, j]) > 0.6 * largest
            right.text(
                j, i, f"{2 ** pairs[i, j]:.2g}x", ha="center", va="center", size=6.5,
                color="white" if dark else style.INK,
            )  # fmt: skip
        right.set_xticks(ys, names, rotation=30, ha="right", rotation_mode="anchor")
        right.set_yticks(ys, names)
        right.grid(False)
        right.set_title("samples/s, pairs: together over apart", loc="left", color=style.MUTED)
    return figure


def _answer(
    report: Report, table: pd.DataFrame, effects: pd.DataFrame, pairs: np.ndarray, config: Config
) -> None:
    plain, best = table.iloc[0], table.iloc[-1]
    gains = {m: best[m] / plain[m] for m in MEASURES}
    report.say(
        f"All six together make the step of {config.workload} {gains['throughput']:.3g} times as "
        f"fast, with {gains['energy']:.3g} times the samples per joule, on "
        f"{config.area_mm2:g} mm2 at most ({plain['multipliers']:.0f} to "
        f"{best['multipliers']:,.0f} multipliers)."
    )
    for measure, unit in MEASURES.items():
        order = effects.sort_values(f"{measure}_shapley", ascending=False)
        said = ", ".join(
            f"{row['factor']} {row[f'{measure}_shapley']:.3g}x" for _, row in order.iterrows()
        )
        report.say(f"Mean over all orders, {unit}: {said}.")
    names = config.factors
    upper = [(pairs[i, j], i, j) for i, j in itertools.combinations(range(len(names)), 2)]
    strong, weak = max(upper), min(upper)
    report.say(
        f"Most together: {names[strong[1]]} and {names[strong[2]]} ({2 ** strong[0]:.2g}x beyond "
        f"one by one). Most in each other's way: {names[weak[1]]} and {names[weak[2]]} "
        f"({2 ** weak[0]:.2g}x)."
    )


EXPERIMENT = Experiment(
    "ablation",
    "Where does a deep-learning chip's performance come from?",
    run,
    Config(),
    Config(workload="mlp", factors=("parallelism", "memory", "specialisation")),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
