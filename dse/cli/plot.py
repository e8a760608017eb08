"""`dse plot`: the figures and the explorer of a run's front, once more or in another size."""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd

from dse.cli.common import print_json
from dse.explorer import write_explorer
from dse.front import Front
from dse.plots import style
from dse.plots.fronts import pairwise, three_dimensional
from dse.plots.parallel import parallel
from dse.store import RunFolder, read_front
from hwmodels.errors import InputError, check_choice


@click.command(
    epilog="""\b
Examples:
  dse plot runs/pareto-20260101-120000
  dse plot runs/mine --columns 1 --format pdf --out paper
  dse plot runs/mine/front.parquet --out figures"""
)
@click.argument("run", metavar="RUN")
@click.option("--columns", default=2, show_default=True, metavar="N",
              help="Width of the projections: 1 or 2 columns of a page.")  # fmt: skip
@click.option("--format", "formats", multiple=True, metavar="NAME",
              help="png, svg or pdf; repeatable. Default: all.")  # fmt: skip
@click.option("--title", help="Title of the figures.")
@click.option("--out", metavar="DIR", help="New folder. Default: RUN-plots.")
@click.option("--json", "as_json", is_flag=True, help="Print the files as one JSON object.")
def command(
    run: str, columns: int, formats: tuple[str, ...], title: str | None, out: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Draw the front of a run folder, or of its front.parquet.

    Projections, the front in three dimensions, parallel coordinates, and front.html, which a
    browser opens without a network: brush, point, pin, filter by budgets, download.
    """
    if columns not in (1, 2):
        raise InputError("--columns", columns, "allowed: 1, 2")
    for name in formats:
        check_choice("--format", name, style.FORMATS)
    path = Path(run)
    front = read_front(path)
    words = title or f"Front of {path.resolve().name}"
    tables = variant_tables(path, front)
    figures = {"parallel": parallel(front.table, front.objectives, words)}
    if len(front.objectives) == 3:
        both, axes = (tables, front.table, words, ""), front.objectives
        figures["pairwise"] = pairwise(*both, axes, columns)
        figures["3d"] = three_dimensional(*both, axes)
    every = pd.concat(tables.values(), ignore_index=True)
    with RunFolder.create(out or f"{str(path).rstrip('/')}-plots") as folder:
        for name, figure in figures.items():
            style.save(figure, folder.folder / f"front_{name}", formats or style.FORMATS)
        write_explorer(folder.folder / "front.html", every, front.objectives, words)
        made = folder.commit()
    files = sorted(str(file) for file in made.iterdir())
    if as_json:
        print_json({"run_dir": str(made), "files": files})
        return
    for file in files:
        click.echo(file)


def variant_tables(path: Path, front: Front) -> dict[str, pd.DataFrame]:
    """Each variant's own front, if the run has them, else its share of the joint one."""
    own = path / "variant_fronts.parquet"
    if not (path.is_dir() and own.is_file()):
        return {name: share.table for name, share in front.by_variant().items()}
    return {str(name): part for name, part in pd.read_parquet(own).groupby("variant", sort=False)}
