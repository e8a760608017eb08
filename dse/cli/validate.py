"""`dse validate`: predictions against measurements."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click
import numpy as np
import pandas as pd

from dse.cli.common import human, print_json, print_table, progress_bars
from dse.store import RunFolder, provenance
from dse.validation import KINDS, Report, load_kind, validate
from dse.validation.kind import Figures, error, mape, predicted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST = 5  # rows shown
NEGLIGIBLE = 1e-6  # of errors: not worth a row


def _kinds() -> str:
    return "\n".join(f"  {name:10} {line}" for name, line in KINDS.items())


@click.command(
    epilog=f"""\b
Kinds:
{_kinds()}
\b
Examples:
  dse validate timeloop mappings.csv
  dse validate mapper best.csv --machine my_machine.toml --json
  dse validate scalesim runs.csv --out runs/scalesim"""
)
@click.argument("kind")
@click.argument("file")
@click.option("--machine", default="", metavar="NAME|FILE.toml",
              help="Machine that a mapper is judged on. Default: ws32.")  # fmt: skip
@click.option("--out", metavar="DIR", help="New folder for the errors by row and a plot.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(kind: str, file: str, machine: str, out: str | None, as_json: bool) -> None:
    """Compare the models with measurements, published ones or your own.

    FILE is a CSV file with the columns that KIND needs (a wrong file names those that it
    lacks); further columns are ignored. Errors are predicted / measured - 1; figures are
    fractions: mape, the mean absolute error, and max, the largest.
    """
    load_kind(kind)
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunFolder.create(out)) if out else None
        progress = stack.enter_context(progress_bars())
        report = validate(kind, file, machine=machine, progress=progress)
        if run:
            from dse.plots import style

            run.write_table("errors", report.table)
            run.write_manifest({"kind": kind, "file": str(report.path), "figures": report.figures,
                                "machine": machine or report.kind.machine,
                                "provenance": provenance()})  # fmt: skip
            style.save(draw(report), run.folder / "predicted_vs_measured")
            run.commit()
    if as_json:
        print_json({**report.figures, "file": str(report.path)})
        return
    figures = pd.DataFrame(flat(report.figures), columns=["figure", "value"]).astype(object)
    click.echo(f"{kind}: {report.path}\n")
    print_table(figures, "")
    rows = worst(report)
    if len(rows):
        click.echo("\nLargest errors:\n")
        print_table(rows, "")
    if out:
        click.echo(f"\nwritten: {out}")


def flat(figures: Figures) -> list[tuple[str, float | None]]:
    """Figures one by one; those of a table are named `<table>: <row>`."""
    rows: list[tuple[str, float | None]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += [(f"{name}: {key}", number) for key, number in flat(value)]
        else:
            rows.append((name, value))
    return rows


def worst(report: Report) -> pd.DataFrame:
    """The largest errors, of a rival's numbers those above 0: file line, quantity, numbers."""
    parts = []
    for quantity in report.kind.quantities:
        names = ["line", quantity.column, predicted(quantity.column), error(quantity.column)]
        part = report.table[names].set_axis(["line", *report.kind.sides, "error"], axis=1)
        part.insert(1, "quantity", quantity.column)
        parts.append(part.dropna())
    rows = pd.concat(parts, ignore_index=True)
    size = rows["error"] if report.kind.rival else rows["error"].abs()
    order = size[size > NEGLIGIBLE].sort_values(ascending=False, kind="stable").index
    return rows.loc[order[:WORST]]


def draw(report: Report) -> Figure:
    """Predicted against measured, a panel for each quantity."""
    from dse.plots.validation import Panel, predicted_against_measured

    table, kind = report.table, report.kind
    groups = table[kind.group].to_numpy(np.str_) if kind.group else np.full(len(table), "")
    panels = [
        Panel(
            f"{quantity.label}\n{_summary(report, quantity.column)}",
            quantity.unit,
            table[quantity.column].to_numpy(np.float64),
            table[predicted(quantity.column)].to_numpy(np.float64),
            groups,
            kind.sides,
        )
        for quantity in kind.quantities
    ]
    title = f"{kind.title}: {len(table):,} rows of {report.path.name}"
    return predicted_against_measured(panels, title)


def _summary(report: Report, column: str) -> str:
    if report.kind.rival:
        return f"ours / theirs at most {1 + report.table[error(column)].max():.4g}"
    mean = mape(report.table, column)
    return "not measured" if mean is None else f"mean error {human(100 * mean)}%"
