"""One design from all sides: roofline, energy, power and area by part, scaling, tornado."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.breakdown import Breakdown, break_down
from dse.elasticity import swings
from dse.plots import style
from dse.plots.energy import energy_bars
from dse.plots.parts import part_bars
from dse.plots.roofline import roofline
from dse.plots.scaling import scaling
from dse.plots.tornado import tornado
from dse.point import Point
from hwmodels import Accelerator, Fleet, Workload
from hwmodels.fleet.scaling import LARGEST_FLEET, ports_margin
from hwmodels.fleet.strong import shares, strong_curve
from hwmodels.workloads.scenario import Scenario

CHANGE = 0.1  # of every number, in the tornado
METRIC = "throughput_per_s"


def plot_design(
    chip: Accelerator, workload: Workload, folder: str | Path, *, fleet: Fleet | None = None,
    name: str = "design", runtime: str = "graph", residency: str = "warm",
    formats: tuple[str, ...] = style.FORMATS, columns: int = 2,
) -> list[Path]:  # fmt: skip
    """Write `name`_roofline, _energy, _parts, _scaling and _tornado into a folder (made if
    missing), one or two columns of a page wide; returns the files.

    Raises:
      InputError: as `hwmodels.evaluate`.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    settings = {"runtime": runtime, "residency": residency}
    drawn = design_figures(name, chip, workload, fleet, columns=columns, **settings)
    stem = name.replace(" ", "_")
    return [
        path
        for kind, figure in drawn.items()
        for path in style.save(figure, Path(folder) / f"{stem}_{kind}", formats)
    ]


def design_figures(
    name: str, chip: Accelerator, workload: Workload, fleet: Fleet | None = None, *,
    runtime: str = "graph", residency: str = "warm", columns: int = 2,
) -> dict[str, Figure]:  # fmt: skip
    """The figures of one design, by kind; `fleet`: how its links are wired."""
    fleet = fleet or Fleet()
    settings = {"runtime": runtime, "residency": residency}
    found = break_down(name, chip, workload, fleet=fleet, **settings)
    swung = swings(Point(chip, workload, **settings), METRIC, CHANGE)
    curves = {"weak": weak_curve(found, fleet)}
    if not isinstance(workload, Scenario):
        curves["strong"] = _strong(found, fleet, **settings)
    said = f"{name} on {workload.name}"
    about: dict[str, Any] = {"facts": found.identity, "columns": columns}
    return {
        "roofline": roofline(found, columns=columns),
        "energy": energy_bars(found, columns=columns),
        "parts": part_bars(found, columns=columns),
        "scaling": scaling(
            curves, f"{said}: data-parallel fleets, {fleet.topology}",
            note=_unformed(found.chip, fleet, curves["weak"]), **about,
        ),
        "tornado": tornado(
            swung, CHANGE, f"Throughput of {said}", metric="throughput", **about
        ),
    }  # fmt: skip


def weak_curve(found: Breakdown, fleet: Fleet) -> pd.DataFrame:
    """Fleets of 1, 2, 4, ... chips, each with the step's batch, up to the workload's largest:
    columns as `dse.plots.scaling` reads them."""
    most = min(LARGEST_FLEET, found.workload.max_global_batch / found.workload.samples)
    chips = 2.0 ** np.arange(int(np.log2(max(most, 1.0))) + 1)
    kept = np.array([float(found.metrics.scaling.efficiency(n)) if n > 1 else 1.0 for n in chips])
    return _curve(found, fleet, chips, kept)


def _strong(found: Breakdown, fleet: Fleet, **settings: Any) -> pd.DataFrame:
    """The step's batch on 1, 2, 4, ... chips."""
    parts = shares(found.chip, found.workload, settings["residency"])
    options = settings | {"training": found.workload.training}
    curve = functools.partial(strong_curve, parts=parts, fleet=fleet, **options)
    rates = np.asarray(jax.jit(curve)(found.chip.bare), float)
    return _curve(found, fleet, parts.chips.astype(float), rates / rates[0] / parts.chips)


def _curve(found: Breakdown, fleet: Fleet, chips: np.ndarray, kept: np.ndarray) -> pd.DataFrame:
    """From efficiencies; NaN where the chip's links do not suffice for the topology."""
    alone = found.workload.samples / found.totals["time"]
    needed = np.array([_links(found.chip, fleet, n) for n in chips])
    kept = np.where((chips == 1) | (float(found.chip.link.count) > needed - 0.5), kept, np.nan)
    return pd.DataFrame(
        {"chips": chips, "throughput": alone * chips * kept, "efficiency": kept, "feasible": True}
    )


def _links(chip: Accelerator, fleet: Fleet, chips: float) -> float:
    """That a chip needs in a fleet of so many."""
    margin = ports_margin(Fleet(chips, fleet.topology), chip.link)
    return float(chip.link.count) / (1.0 + float(margin))


def _unformed(chip: Accelerator, fleet: Fleet, curve: pd.DataFrame) -> str:
    """Why some fleets cannot be formed."""
    beyond = curve["chips"][curve["throughput"].isna()]
    if not len(beyond):
        return ""
    links, needed = float(chip.link.count), _links(chip, fleet, beyond.min())
    return (
        f"Fleets of {beyond.min():.0f} chips or more cannot be formed: {links:.0f} "
        f"{'link' if links == 1 else 'links'} a chip, where {fleet.topology} takes {needed:.0f}."
    )
