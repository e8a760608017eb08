"""`dse validate`: predictions against measurements."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pandas as pd

from dse.breakdown import short_name
from dse.cli.common import print_json, progress_bars
from dse.cli.tables import human, print_table
from dse.provenance import provenance
from dse.store import RunFolder
from dse.validation import KINDS, Report, load_kind, validate
from dse.validation.kind import Figures, error, mape, predicted
from hwmodels.accelerators.catalog import load_entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST = 5  # rows shown
LISTED = 6  # of a list of figures
LETTERS = 64  # of what a row is of
NAMING = ("chip", "workload", "batch", "config", "network")  # columns that name a row, if not blank
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
    fractions: mape, the mean absolute error, and max, the largest. Of kind published, rows are
    scored where there is a figure to reach, reported where a source contradicts itself or the model
    leaves out what decides, and skipped with the reason. Of kind gemm, chips of the catalog whose
    constants were fitted are named with what to: errors on those rows are in sample.
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
        more = {"in_sample": in_sample(report)} if kind == "gemm" else {}
        print_json({**report.figures, **more, "file": str(report.path)})
        return
    click.echo(f"{kind}: {report.path}\n")
    for line in remarks(kind, report):
        click.echo(line)
    for i, table in enumerate(tables(report.figures)[1 if kind == "published" else 0 :]):
        if i:
            click.echo()
        print_table(table, "")
    rows = worst(report)
    if len(rows):
        click.echo("\nLargest errors:\n")
        print_table(rows, "")
    if out:
        click.echo(f"\nwritten: {out}")


def remarks(kind: str, report: Report) -> list[str]:
    """Lines that say how the figures are meant."""
    if kind == "published":
        return [_scored(report.figures), ""]
    if kind == "gemm":
        fitted = in_sample(report)
        said = "Errors of rows that constants were fitted to are in sample:"
        return [said, *(f"  {device}: {source}" for device, source in fitted.items()), ""] \
            if fitted else []  # fmt: skip
    return []


def _scored(figures: Figures) -> str:
    lines = [
        f"{figures['scored']} rows scored, with a figure to reach: mean error "
        f"{_percent(figures['mape']) if figures['scored'] else '-'}.",
        f"{figures['reported']} rows reported only, as their sources contradict themselves or the "
        f"model leaves out what decides them: mean error {_percent(figures['reported_mape'])}.",
        f"{figures['skipped']} rows skipped: facts that predictions start from, or nothing that is "
        "modelled.",
    ]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def in_sample(report: Report) -> dict[str, str]:
    """Devices of a table of matrix products whose constants in the catalog were fitted, and to
    what."""
    found = {}
    for device in report.table.loc[report.table["skipped"] == "", "device"].unique():
        facts = load_entry(device).inputs
        sources = [f.source for f in facts.values() if f.confidence == "fitted"]
        if sources:
            rows, _, rest = sources[0].partition("; ")
            held_out = rest.rpartition("; ")[2]
            found[device] = f"{rows}; {held_out}" if "held-out" in held_out else rows
    return found


def tables(figures: Figures) -> list[pd.DataFrame]:
    """Figures as tables: the plain ones, then each that is a table, a row for each of its own, the
    smallest tables in a cell. Long lists are cut."""
    plain = {name: value for name, value in figures.items() if not isinstance(value, dict)}
    found = [_frame("figure", plain)]
    for name, value in figures.items():
        if not isinstance(value, dict) or not value:
            continue
        if all(isinstance(row, dict) for row in value.values()):
            keys = dict.fromkeys(k for row in value.values() for k in row)
            rows = {k: {n: _cell(row.get(n)) for n in keys} for k, row in value.items()}
            frame = pd.DataFrame(list(rows.values())).astype(object)
            frame.insert(0, name, list(rows))
        else:
            shown = dict(list(value.items())[:LISTED])
            if rest := len(value) - len(shown):
                shown[f"and {rest} more (--json lists all)"] = None
            frame = _frame(name, shown)
        found.append(frame)
    return found


def _frame(name: str, figures: Figures) -> pd.DataFrame:
    rows = [(str(key), value) for key, value in figures.items()]
    return pd.DataFrame(rows, columns=[name, "value"]).astype(object)


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{key} {human(number)}" for key, number in value.items())
    return value


def worst(report: Report) -> pd.DataFrame:
    """The largest errors, of a rival's numbers those above 0: file line, what the row is of,
    quantity, numbers."""
    parts = []
    for quantity in report.kind.quantities:
        names = ["line", quantity.column, predicted(quantity.column), error(quantity.column)]
        part = report.table[names].set_axis(["line", *report.kind.sides, "error"], axis=1)
        part.insert(1, "quantity", quantity.column)
        parts.append(part.dropna())
    rows = pd.concat(parts, ignore_index=True)
    size = rows["error"] if report.kind.rival else rows["error"].abs()
    order = size[size > NEGLIGIBLE].sort_values(ascending=False, kind="stable").index
    rows = rows.loc[order[:WORST]]
    lines = report.table.set_index("line")
    rows.insert(1, "of", [_said(report, lines.loc[line]) for line in rows["line"]])
    return rows


def _said(report: Report, row: pd.Series) -> str:
    """What a row is of: names as they are, numbers after the names of their columns."""
    names, sizes = [], []
    for column in report.kind.columns:
        value = row.get(column.name, "")
        if column.kind == "text" and (not column.blank or column.name in NAMING) and value:
            names.append(str(value))
        elif column.kind == "whole" and pd.notna(value):
            sizes.append(f"{column.name} {value:g}")
    return short_name(" ".join([*names, *sizes]), LETTERS)


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
