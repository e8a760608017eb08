"""`dse plot`: the figures and the explorer of a run's front, and of chosen designs on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd

from dse.cli.common import print_json, progress_bars
from dse.cli.tables import human
from dse.front import Front
from dse.origin import Origin, origin
from dse.plots import style
from dse.plots.fronts import draw_front
from dse.space import budget_words
from dse.store import FRONT, RunFolder, read_front, run_of
from hwmodels import load_workload
from hwmodels.errors import InputError, check_choice

KNEE, NONE = "knee", "none"
SAME = 1e-3  # relative difference of a metric that is none


@click.command(
    epilog="""\b
Examples:
  dse plot runs/pareto-20260101-120000
  dse plot runs/mine --columns 1 --format pdf --out paper
  dse plot runs/mine --design knee --design throughput --design 20011
  dse plot runs/mine/front.parquet --out figures"""
)
@click.argument("run", metavar="RUN")
@click.option("--columns", default=2, show_default=True, metavar="N",
              help="Width of the figures: 1 or 2 columns of a page.")  # fmt: skip
@click.option("--format", "formats", multiple=True, metavar="NAME",
              help="png, svg or pdf; repeatable. Default: all.")  # fmt: skip
@click.option("--title", help="Title of the figures.")
@click.option("--design", "designs", multiple=True, metavar="NAME",
              help="A design to draw by itself: knee (the default), the name of an axis for the "
              "best by it, a number of the column design, or none; repeatable.")  # fmt: skip
@click.option("--out", metavar="DIR", help="New folder. Default: RUN-plots.")
@click.option("--json", "as_json", is_flag=True, help="Print the files as one JSON object.")
def command(
    run: str, columns: int, formats: tuple[str, ...], title: str | None, designs: tuple[str, ...],
    out: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Draw the front of a run folder, or of its front.parquet.

    Projections, the front in three dimensions, parallel coordinates, and front.html, which a
    browser opens without a network: brush, point, pin, filter by budgets, download. Of the run's
    designs by name: roofline, energy by operation, power and area by part, scaling, tornado.
    """
    if columns not in (1, 2):
        raise InputError("--columns", columns, "allowed: 1, 2")
    for name in formats:
        check_choice("--format", name, style.FORMATS)
    path, kinds = Path(run), formats or style.FORMATS
    if path.name == FRONT and run_of(path.parent) is not None:
        path = path.parent
    front, source = read_front(path), origin(path)
    if designs and designs != (NONE,) and source is None:
        raise InputError("--design", ", ".join(designs), "allowed: of a run folder")
    chosen = {} if source is None else _chosen(front, designs or (KNEE,))
    words = title or _title(path, source)
    budgets = f"Budgets: {budget_words(source.spaces)}." if source else ""
    drawn = (front.variant_tables(), front.table)
    remarks: list[str] = []
    with RunFolder.create(out or f"{str(path).rstrip('/')}-plots") as folder:
        draw_front(*drawn, folder.folder, words, budgets, front.objectives, columns, kinds)
        if source is not None and chosen:
            remarks = _draw_designs(source, chosen, folder.folder, kinds, columns)
        made = folder.commit()
    for remark in remarks:
        click.echo(remark, err=True)
    files = sorted(str(file) for file in made.iterdir())
    if as_json:
        print_json({"run_dir": str(made), "files": files})
        return
    for file in files:
        click.echo(file)


def _title(path: Path, source: Origin | None) -> str:
    """What a front is of, and the run that found it."""
    run = run_of(path)
    if source is None or run is None:
        return f"Front of {path.resolve().name}"
    return f"{source.workload}: front of {run.resolve().name}"


def _chosen(front: Front, names: tuple[str, ...]) -> dict[str, pd.Series]:
    """Rows of the front, by what they are called."""
    found = {}
    axes = {o.column.split("_")[0]: o for o in front.objectives}
    axes |= {o.column: o for o in front.objectives}
    for name in names:
        if name == NONE:
            continue
        if name == KNEE:
            found["knee"] = front.knee()
        elif name in axes:
            found[f"best_{axes[name].column.split('_')[0]}"] = front.best(axes[name])
        else:
            rows = front.table[front.table["design"].astype(str) == name]
            if not len(rows):
                allowed = f"knee, none, {', '.join(axes)}, a number of the column design"
                raise InputError("--design", name, f"allowed: {allowed}")
            found[f"design_{name}"] = rows.iloc[0]
    return found


def _draw_designs(
    source: Origin, chosen: dict[str, pd.Series], folder: Path, formats: tuple[str, ...],
    columns: int,
) -> list[str]:  # fmt: skip
    """Figures of each design into a folder; remarks on what differs from the run."""
    from dse.plots.design import plot_design
    from hwmodels import evaluate

    workload, remarks = load_workload(source.workload), []
    settings: dict[str, Any] = {"runtime": source.runtime, "residency": source.residency}
    with progress_bars() as progress:
        for i, (name, row) in enumerate(chosen.items()):
            progress("designs", i / len(chosen))
            chip, fleet = source.design(row)
            metrics = evaluate(chip, workload, fleet, **settings)
            for column, now in (
                ("throughput_per_s", metrics.throughput),
                ("power_W", metrics.power),
            ):
                if column in row and abs(float(now) / row[column] - 1.0) > SAME:
                    remarks.append(
                        f"dse: {name}: {column} was {human(row[column])} in the run and is "
                        f"{human(float(now))} with this code and workload"
                    )
            plot_design(
                chip, workload, folder, fleet=fleet, name=name, formats=formats, columns=columns,
                **settings,
            )  # fmt: skip
        progress("designs", 1.0)
    return remarks
