"""Twenty years of chips: how far is each from the front of its own node, area and format?

Every chip of the catalog is compared with the best designs that searches find in its own variant
around it (`experiments.chip_box`): the same node, voltage, number format, memory devices and
links, at most the same area and peak power. Both run without the software losses that were fitted
to some chips. What is left is balance and clock, on one workload at a time: a chip was built for
many, and for customers, schedules and yields that no model here knows.

Chips whose format trains are compared on a training step too. In medians a family counts once.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dse.sweeping import WORKERS
from experiments import chip_box
from experiments.report import Experiment, Report, main
from experiments.years_figure import gaps
from hwmodels import Accelerator, InputError, Workload, evaluate, load_workload
from hwmodels.accelerators.catalog import catalog

ERAS = (2000, 2016, 2019, 2021, 2030)


@dataclass(frozen=True)
class Config:
    workloads: tuple[str, ...] = ("resnet18@infer,batch=16", "gpt2@train,batch=1")
    chips: tuple[str, ...] = ()  # none: all of the catalog
    evaluations: int = 20_000  # of each search
    seeds: int = 3


def run(report: Report, config: Config) -> None:
    """A search around every chip, by year."""
    entries = catalog()
    keys = config.chips or sorted(entries, key=lambda k: (entries[k].year, k))
    asked = []
    for name in config.workloads:
        workload = load_workload(name)
        chips = [(key, entries[key].chip().untuned) for key in keys]
        asked += [(k, chip, workload) for k, chip in chips if chip.admits(workload.training)]
    # Most of the time goes to compiling a program for each chip, on one core each.
    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(lambda job: _compare(job[1], job[2], config), asked))
    table = pd.DataFrame([
        {"workload": workload.name, "chip": key, "name": entries[key].name,
         "year": entries[key].year, "family": entries[key].family,
         "variant": entries[key].variant, **row}
        for (key, _, workload), row in zip(asked, found, strict=True)
    ])  # fmt: skip
    report.table("chips", table, "Chips against the front around them")
    report.figure("gaps", gaps(table, config.workloads))
    for name, part in table.groupby("workload", sort=False):
        _answer(report, str(name), part)


def _compare(chip: Accelerator, workload: Workload, config: Config) -> dict[str, Any]:
    metrics = evaluate(chip, workload)
    area, peak = float(metrics.area) * 1e6, float(metrics.peak_power)
    speed, efficiency = float(metrics.throughput), float(metrics.throughput / metrics.power)
    row = {
        "node_nm": float(chip.technology.node) * 1e9, "area_mm2": area, "peak_power_W": peak,
        "throughput_per_s": speed, "throughput_gap": np.nan, "energy_gap": np.nan,
        "lowest_seed": np.nan, "highest_seed": np.nan, "changes": "", "at_end": "",
    }  # fmt: skip
    space = chip_box.box(chip, area, peak, speed)
    try:
        found = chip_box.search(space, chip, workload, config.evaluations, config.seeds)
    except InputError as error:
        if error.field != "limits":
            raise
        return row | {"changes": "nothing around it is as fast within all limits"}
    front = found.front
    fastest = front.loc[front["throughput_per_s"].idxmax()]
    seeds = [table["throughput_per_s"].max() / speed for table in found.seeds]
    now = chip.quantities()
    changes = {name: float(fastest[name]) / float(now[name]) for name in space.names}
    largest = sorted(changes, key=lambda name: -abs(np.log(changes[name])))[:3]
    return row | {
        "throughput_gap": float(fastest["throughput_per_s"]) / speed,
        "energy_gap": float((front["throughput_per_s"] / front["power_W"]).max()) / efficiency,
        "lowest_seed": float(min(seeds)), "highest_seed": float(max(seeds)),
        "changes": ", ".join(f"{name} x{changes[name]:.2g}" for name in largest),
        "at_end": " ".join(chip_box.at_end(space, fastest)),
    }  # fmt: skip


def by_family(part: pd.DataFrame, column: str) -> pd.Series:
    """The median of each family, so that seven configurations of one block count once."""
    return part.groupby("family")[column].median()


def eras(part: pd.DataFrame) -> list[str]:
    """Medians by time: of families, with the years and chips that there are."""
    said = []
    for _, chips in part.groupby(pd.cut(part["year"], ERAS), observed=True):
        gap = by_family(chips, "throughput_gap")
        years = " to ".join(map(str, sorted({chips["year"].min(), chips["year"].max()})))
        said.append(
            f"{years} (chips: {len(chips)}, families: {len(gap)}) {gap.median():.2g}x, quartiles "
            f"{gap.quantile(0.25):.2g} and {gap.quantile(0.75):.2g}"
        )
    return said


def _answer(report: Report, workload: str, part: pd.DataFrame) -> None:
    known = part.dropna(subset=["throughput_gap"])
    gap, energy = (by_family(known, column) for column in ("throughput_gap", "energy_gap"))
    report.say(
        f"{workload}: {len(known)} of {len(part)} chips, of {known['year'].min()} to "
        f"{known['year'].max()}, hold it with their format. In their own area, peak power, node, "
        f"format and memory devices the best design found in their box is a median "
        f"{gap.median():.2g} times faster (quartiles {gap.quantile(0.25):.2g} and "
        f"{gap.quantile(0.75):.2g}, {len(gap)} families), or takes a median {energy.median():.2g} "
        f"times less energy at no less speed."
    )
    spread = known["highest_seed"] / known["lowest_seed"] - 1.0
    gained = (known["throughput_gap"] / known["highest_seed"] - 1.0).max()
    report.say(
        f"{workload}: searches from different seeds differ by a median {spread.median():.1%}, at "
        f"most {spread.max():.0%} ({known.loc[spread.idxmax(), 'chip']}); the search from all "
        f"their fronts adds at most {gained:.1%} to the best of them."
    )
    ended = known[known["at_end"] != ""]
    often = ended["at_end"].str.split().explode().value_counts().head(3)
    most = ", ".join(f"{name} ({count})" for name, count in often.items())
    report.say(
        f"{workload}: of {len(ended)} of them the fastest design lies at an end of the box, most "
        f"often in {most or 'nothing'}: in a wider box these gaps may be larger."
    )
    order = known.sort_values("throughput_gap")
    near, far = (
        ", ".join(f"{r.chip} {r.throughput_gap:.3g}x" for r in some.itertuples())
        for some in (order.head(5), order.tail(5))
    )
    report.say(f"{workload}: nearest to their front: {near}. Farthest: {far}.")
    report.say(f"{workload}: medians of families by year: {'; '.join(eras(known))}.")


EXPERIMENT = Experiment(
    "twenty_years",
    "Twenty years of chips: how far was each from the front of its own node and area?",
    run,
    Config(),
    Config(workloads=("mlp",), chips=("a100_40gb",), evaluations=2_500, seeds=2),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
