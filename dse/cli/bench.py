"""`dse bench`: speeds, measured in one run on this machine."""

from __future__ import annotations

import click
import pandas as pd

from dse.bench import bench
from dse.cli.common import print_json, progress_bars
from dse.cli.tables import human, print_table


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

    Takes about 80 seconds. Compilation is left out and reported apart. These figures vary by tens
    of percent from run to run on shared machines: compare ratios within one run.
    """
    with progress_bars() as progress:
        figures = bench(workload=workload, variant=variant, progress=progress)
    if as_json:
        print_json(figures)
        return
    spread, compiling = figures.pop("spread"), figures.pop("compile_s")
    rows = []
    for name, value in figures.items():
        if isinstance(value, dict):  # by number of operations
            rows += [(f"{name}: {n}", v, f"{n}_operations") for n, v in value.items()]
        else:
            rows.append((name, value, name))
    table = pd.DataFrame({
        "figure": [name for name, *_ in rows], "value": [human(value) for _, value, _ in rows],
        "spread": [f"{spread[key]:.0%}" if key in spread else "" for *_, key in rows],
        "compiled in": [f"{compiling[key]:.2g} s" if key in compiling else "" for *_, key in rows],
    })  # fmt: skip
    print_table(table, f"{variant} on {workload}")
