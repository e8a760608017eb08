"""`dse bench`: speeds, measured in one run on this machine."""

from __future__ import annotations

import click
import pandas as pd

from dse.bench import bench
from dse.cli.common import print_json, print_table


@click.command(
    epilog="""\b
Examples:
  dse bench
  dse bench --json"""
)
@click.option("--workload", default="mlp", show_default=True, metavar="NAME")
@click.option("--variant", default="systolic", show_default=True, metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(workload: str, variant: str, as_json: bool) -> None:
    """Measure designs and gradients per second against the same equations in NumPy.

    Compilation is left out and reported apart. These figures vary by tens of percent from run
    to run on shared machines: compare ratios within one run.
    """
    figures = bench(workload=workload, variant=variant)
    if as_json:
        print_json(figures)
        return
    rows = [{"figure": name, "value": value} for name, value in figures.items()]
    print_table(pd.DataFrame(rows).astype({"value": object}), f"{variant} on {workload}")
