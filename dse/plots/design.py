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
from hwmodels.fleet.scaling import LARGEST_FLEET
from hwmodels.fleet.strong import shares, strong_curve
from hwmodels.workloads.scenario import Scenario

CHANGE = 0.1  # of every number, in the tornado
METRIC = "throughput_per_s"


def plot_design(
    chip: Accelerator, workload: Workload, folder: str | Path, *, fleet: Fleet | None = None,
    name: str = "design", runtime: str = "graph", residency: str = "warm",
    formats: tuple[str, ...] = style.FORMATS,
) -> list[Path]:  # fmt: skip
    """Write `name`_roofline, _energy, _parts, _scaling and _tornado into a folder (made if
    missing); returns the files.

    Raises:
      InputError: as `hwmodels.evaluate`.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    drawn = design_figures(name, chip, workload, fleet, runtime=runtime, residency=residency)
    stem = name.replace(" ", "_")
    return [
        path
        for kind, figure in drawn.items()
        for path in style.save(figure, Path(folder) / f"{stem}_{kind}", formats)
    ]


def design_figures(
    name: str, chip: Accelerator, workload: Workload, fleet: Fleet | None = None, *,
    runtime: str = "graph", residency: str = "warm",
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
    return {
        "roofline": roofline(found),
        "energy": energy_bars(found),
        "parts": part_bars(found),
        "scaling": scaling(curves, f"{said}: data-parallel fleets, {fleet.topology}"),
        "tornado": tornado(swung, CHANGE, f"Throughput of {said}"),
    }


def weak_curve(found: Breakdown, fleet: Fleet) -> pd.DataFrame:
    """Fleets of 1, 2, 4, ... chips, each with the step's batch, up to the workload's largest:
    columns as `dse.plots.scaling` reads them."""
    most = min(LARGEST_FLEET, found.workload.max_global_batch / found.workload.samples)
    chips = 2.0 ** np.arange(int(np.log2(max(most, 1.0))) + 1)
    kept = np.array([float(found.metrics.scaling.efficiency(n)) if n > 1 else 1.0 for n in chips])
    return _curve(found, chips, kept)


def _strong(found: Breakdown, fleet: Fleet, **settings: Any) -> pd.DataFrame:
    """The step's batch on 1, 2, 4, ... chips."""
    parts = shares(found.chip, found.workload, settings["residency"])
    options = settings | {"training": found.workload.training}
    curve = functools.partial(strong_curve, parts=parts, fleet=fleet, **options)
    rates = np.asarray(jax.jit(curve)(found.chip.bare), float)
    return _curve(found, parts.chips.astype(float), rates / rates[0] / parts.chips)


def _curve(found: Breakdown, chips: np.ndarray, kept: np.ndarray) -> pd.DataFrame:
    """From efficiencies; a fleet whose links do not suffice does no more than one chip."""
    alone = found.workload.samples / found.totals["time"]
    joined = (chips == 1) | (kept > 1.0 / chips * (1 + 1e-6))
    return pd.DataFrame(
        {"chips": chips, "throughput": alone * chips * kept, "efficiency": kept, "feasible": joined}
    )
