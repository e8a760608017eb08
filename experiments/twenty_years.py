"""Twenty years of chips: how far is each from the front of its own node, area and format?

Every chip of the catalog is compared with the best designs that a search finds in its own variant
around it: the same node, voltage, number format, memory devices and links, at most the same area
and peak power. Compute, on-chip memory and clock are free. Both run without the software losses
that were fitted to some chips. What is left is balance and clock.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import dse
from dse.plots import style
from experiments.report import Experiment, Report, main
from hwmodels import Accelerator, InputError, Workload, evaluate, load_workload
from hwmodels.accelerators.catalog import catalog
from hwmodels.quantity import quantities

WIDE = 8.0  # free numbers go from an eighth to eight times the chip's
FREE = ("clock_GHz", "sram_capacity_MiB", "sram_bandwidth_B_per_cycle", "vector_lanes")
OWN = {
    "systolic": ("rows", "columns", "arrays"),
    "simt": ("sms", "macs_per_sm", "lanes_per_sm", "register_file_KiB", "shared_memory_KiB"),
    "spatial": ("pe_rows", "pe_columns", "macs_per_pe", "scratchpad_B"),
    "vector": ("cores", "lanes", "private_cache_KiB"),
    "in_memory": ("macros", "rows", "columns"),
    "sram_only": ("tiles", "tile_side"),
}
CONTINUOUS = ("clock_GHz", "sram_capacity_MiB", "sram_bandwidth_B_per_cycle")
MEASURES = {"throughput_gap": "samples/s of the front over the chip's",
            "energy_gap": "samples/J, at no fewer samples/s"}  # fmt: skip


@dataclass(frozen=True)
class Config:
    workload: str = "resnet18@infer,batch=16"
    chips: tuple[str, ...] = ()  # none: all of the catalog
    evaluations: int = 12_000
    seed: int = 0


def run(report: Report, config: Config) -> None:
    """A search around every chip, by year."""
    workload, rows = load_workload(config.workload), []
    entries = catalog()
    for key in config.chips or sorted(entries, key=lambda k: (entries[k].year, k)):
        entry = entries[key]
        found = _compare(entry.chip(), workload, config)
        row = {"chip": key, "name": entry.name, "year": entry.year, "variant": entry.variant}
        rows.append(row | found)
    table = pd.DataFrame(rows)
    report.table("chips", table, f"Chips against the front around them, {config.workload}")
    report.figure("gaps", _figure(table))
    _answer(report, table, config)


def _compare(chip: Accelerator, workload: Workload, config: Config) -> dict[str, Any]:
    chip = chip.replace(
        tuning_compute_efficiency=1.0, tuning_dram_efficiency=1.0, tuning_overlap=1.0,
        tuning_overhead_us=0.0, tuning_energy_scale=1.0,
    )  # fmt: skip
    metrics = evaluate(chip, workload)
    area, peak = float(metrics.area) * 1e6, float(metrics.peak_power)
    nothing = {
        "node_nm": float(chip.technology.node) * 1e9, "area_mm2": area, "peak_power_W": peak,
        "throughput_per_s": float(metrics.throughput), "bound": _bound(metrics.frame()),
        "throughput_gap": np.nan, "energy_gap": np.nan, "changes": "",
    }  # fmt: skip
    try:
        space = _space(chip, area, peak)
        front = dse.search(
            space, workload, evaluations=config.evaluations, seed=config.seed,
            options=dse.Options(metrics=("throughput_per_s", "power_W")),
        ).front.table  # fmt: skip
    except InputError as error:
        if error.field != "limits":
            raise
        return nothing | {"changes": "nothing around it holds the workload"}
    now = float(metrics.throughput), float(metrics.throughput / metrics.power)
    best = front.loc[front["throughput_per_s"].idxmax()]
    as_fast = front[front["throughput_per_s"] >= now[0] * (1 - 1e-6)]
    per_joule = as_fast["throughput_per_s"] / as_fast["power_W"]
    before = chip.quantities()
    changes = {name: best[name] / float(before[name]) for name in space.names}  # the largest three
    largest = sorted(changes, key=lambda name: -abs(np.log(changes[name])))[:3]
    return nothing | {
        # The chip itself is in the space: where the search found nothing better it is the front.
        "throughput_gap": max(float(best["throughput_per_s"]) / now[0], 1.0),
        "energy_gap": max(float(per_joule.max()) / now[1], 1.0) if len(per_joule) else 1.0,
        "changes": ", ".join(f"{name} x{changes[name]:.2g}" for name in largest),
    }


def _bound(frame: pd.DataFrame) -> str:
    """What bounds most of the time."""
    shares = (frame["time_us"] * frame["count"]).groupby(frame["bound"]).sum()
    return str(shares.idxmax())


def _space(chip: Accelerator, area_mm2: float, peak_W: float) -> dse.Space:
    """Designs around a chip; all that is not free is the chip's."""
    limits, now = quantities(type(chip)), chip.quantities()
    free = [name for name in (*FREE, *OWN[chip.NAME]) if name in limits]
    parameters = []
    for name in free:
        value, low, high = float(now[name]), limits[name].low, limits[name].high
        whole = name not in CONTINUOUS
        least, most = max(value / WIDE, low, 1.0 if whole else 0.0), min(value * WIDE, high)
        parameters.append(
            dse.Parameter(name, "integer", float(np.ceil(least)), float(np.floor(most))) if whole
            else dse.Parameter(name, "log", least, most)
        )  # fmt: skip
    static = {
        field.name: getattr(chip, field.name)
        for field in dataclasses.fields(chip)
        if isinstance(getattr(chip, field.name), str)
    }
    fixed = {n: float(v) for n, v in now.items() if n not in free}
    budgets = dse.Constraint("area_mm2", area_mm2), dse.Constraint("peak_power_W", peak_W)
    return dse.Space(chip.NAME, tuple(parameters), (*fixed.items(), *static.items()), budgets)


def _figure(table: pd.DataFrame) -> Figure:
    """Gaps by year, a marker a chip."""
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 3.6), layout="constrained")
        for axes, (column, label) in zip(figure.subplots(1, 2), MEASURES.items(), strict=True):
            known = table.dropna(subset=[column])
            for variant, part in known.groupby("variant"):
                look = style.variant_style(str(variant))
                axes.plot(part["year"], part[column], ls="", marker=look.marker, ms=4,
                          color=look.colour, label=look.label)  # fmt: skip
            axes.set_yscale("log")
            low, high = style.log_limits(known[column].to_numpy())
            ticks = style.log_ticks(low, high)
            axes.set_ylim(10**low, 10**high)
            axes.set_yticks(ticks, [style.engineering(tick) for tick in ticks])
            axes.minorticks_off()
            axes.margins(x=0.12)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_xlabel("year")
            axes.set_ylabel(label)
            _name(figure, axes, known, column)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _name(figure: Figure, axes: Axes, table: pd.DataFrame, column: str, most: int = 14) -> None:
    """Names of the chips that are farthest, and of the nearest."""
    order = table.sort_values(column)
    named = pd.concat([order.tail(most - 3)[::-1], order.head(3)]).drop_duplicates()
    at = ["year", column]
    style.place_labels(
        figure, axes, named[at].to_numpy(float), list(named["chip"]), table[at].to_numpy(float)
    )


def _answer(report: Report, table: pd.DataFrame, config: Config) -> None:
    known = table.dropna(subset=["throughput_gap"])
    gaps, energy = known["throughput_gap"], known["energy_gap"]
    report.say(
        f"{len(known)} of {len(table)} chips hold {config.workload}. In their own area, peak "
        f"power, node, format and memory devices the front is a median {gaps.median():.2g} times "
        f"faster (quartiles {gaps.quantile(0.25):.2g} and {gaps.quantile(0.75):.2g}), or takes a "
        f"median {energy.median():.2g} times less energy at the same speed."
    )
    order = known.sort_values("throughput_gap")
    near = ", ".join(f"{r.chip} {r.throughput_gap:.2g}x" for r in order.head(5).itertuples())
    far = ", ".join(f"{r.chip} {r.throughput_gap:.2g}x" for r in order.tail(5).itertuples())
    report.say(f"Nearest to their front: {near}. Farthest: {far}.")
    by_time = known.groupby(pd.cut(known["year"], [2000, 2016, 2019, 2021, 2030]), observed=True)
    first, last = int(known["year"].min()), int(known["year"].max())
    said = ", ".join(
        f"{max(int(span.left) + 1, first)} to {min(int(span.right), last)}: {gap:.2g}x"
        for span, gap in by_time["throughput_gap"].median().items()
    )
    report.say(f"Median by year: {said}.")


EXPERIMENT = Experiment(
    "twenty_years",
    "Twenty years of chips: how far was each from the front of its own node and area?",
    run,
    Config(),
    Config(workload="mlp", chips=("a100_40gb",), evaluations=2_500),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
