"""`dse calibrate`: a chip's free constants, fitted to measured matrix products."""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd

from dse.calibration import Fit, calibrate
from dse.catalog_file import check_target, write_catalog_file
from dse.cli.common import print_json, progress_bars
from dse.cli.tables import print_table
from dse.validation.gemm import LATENCY
from hwmodels.accelerators.catalog import load_entry

WORST = 5  # rows shown


@click.command(
    epilog="""\b
Examples:
  dse calibrate mi210 gemm_latency.csv
  dse calibrate tpu_v4 gemm_latency.csv --out tpu_v4.toml --json
  dse calibrate my_chip.toml measured.csv --out my_chip.toml --force"""
)
@click.argument("chip")
@click.argument("file")
@click.option("--out", metavar="FILE.toml", help="New catalog file. Default: CHIP_calibrated.toml.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the fit as one JSON object.")
def command(chip: str, file: str, out: str | None, force: bool, as_json: bool) -> None:
    """Fit a chip's efficiencies, overlap and overhead to measured matrix products.

    CHIP is a chip of the catalog or the TOML file of one. FILE is a CSV file with columns device,
    dtype, M, N, K, latency_us and, if measured, power_W; rows of other devices are ignored. Errors
    are fractions: mape over the rows of the fit (in sample), held_out_mape over rows that a fit did
    not see. Intervals hold 68%; a constant whose interval is as wide as its prior's is said to rest
    on that, not on the data. The chip's file is written anew with the constants in it.
    """
    entry = load_entry(chip)
    target = Path(out or f"{entry.key}_calibrated.toml")
    check_target(target, force)
    with progress_bars() as progress:
        progress("fitting", 0.0)
        fit = calibrate(chip, file)
        progress("fitting", 1.0)
    write_catalog_file(fit, chip, target)
    if as_json:
        print_json(summary(fit) | {"out": str(target)})
        return
    click.echo(f"{entry.name}: {len(fit.table)} rows of {fit.path}\n")
    print_table(constants(fit), "")
    click.echo(f"\nmean error {fit.mape:.1%} in sample, on the rows of the fit")
    if fit.held_out_mape is not None:
        click.echo(f"mean error {fit.held_out_mape:.1%} held out, on rows that a fit did not see "
                   f"({fit.folds} fits)")  # fmt: skip
    click.echo(f"spread of log errors {fit.noise:.3f}")
    click.echo("\nLargest held-out errors:\n")
    print_table(worst(fit), "")
    click.echo(f"\nwritten: {target}")


def summary(fit: Fit) -> dict[str, object]:
    """What `--json` prints of a fit."""
    return {
        "chip": fit.entry.key,
        "file": str(fit.path),
        "rows": len(fit.table),
        "constants": {name: {**values, "rests_on": fit.rests_on()[name]}
                      for name, values in fit.named().items()},
        "noise": fit.noise,
        "mape": fit.mape,
        "held_out_mape": fit.held_out_mape,
        "folds": fit.folds,
    }  # fmt: skip


def constants(fit: Fit) -> pd.DataFrame:
    """A row for each constant."""
    rows = [
        {"constant": name, "value": x["value"], "68% from": x["low"], "to": x["high"],
         "prior": x["prior"], "rests on": fit.rests_on()[name]}
        for name, x in fit.named().items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def worst(fit: Fit) -> pd.DataFrame:
    """The rows that are furthest off when they are held out."""
    table = fit.table.assign(error=fit.table[f"held_out_{LATENCY}"] / fit.table[LATENCY] - 1.0)
    order = table["error"].abs().sort_values(ascending=False).index[:WORST]
    names = ["line", "M", "N", "K", LATENCY, f"held_out_{LATENCY}", "error"]
    return table.loc[order, names]
