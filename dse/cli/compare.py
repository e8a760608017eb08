"""`dse compare`: two chips on one workload, and where their difference comes from."""

from __future__ import annotations

import contextlib
from typing import Any

import click
import pandas as pd

from dse.amounts import amount, amounts
from dse.breakdown import STATIC, chip_name, find_chip, short_name
from dse.cli.common import print_json
from dse.cli.evaluate import NAME, RUNTIME_HELP, totals
from dse.cli.tables import print_table
from dse.comparison import UNCERTAINTY, Comparison, compare
from dse.grouping import counted, gathered, phased
from dse.iso import ISO
from dse.provenance import provenance
from dse.remarks import whole_die_mm2
from dse.store import RunFolder
from hwmodels import load_workload
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import check_choice
from hwmodels.evaluate import RESIDENCY

SI = {"time": (1.0, "s"), "energy": (1.0, "J"), "power": (1.0, "W"), "peak_power": (1.0, "W"),
      "area": (1e6, "mm2")}  # fmt: skip
SHOWN, DRAWN = 8, 14  # operations, in the table and in the figure
UNITS = {"time": (1e6, "us"), "energy": (1e3, "mJ"), "power": (1.0, "W"),
         "peak_power": (1.0, "W"), "area": (1e6, "mm2")}  # fmt: skip


@click.command(
    epilog="""\b
Examples:
  dse compare tpu_v4 a100_40gb
  dse compare v100 h100 --iso node
  dse compare tpu_v4 simt --workload mlp --iso area --json
  dse compare gaudi2 a100_80gb --iso power --out runs/pair"""
)
@click.argument("a")
@click.argument("b")
@click.option("--workload", default="mlp-large", show_default=True, metavar="NAME")
@click.option("--iso", metavar="|".join(ISO),
              help="First scale B's units, SRAM, DRAM and links together until its area, or its "
                   "power averaged over the step, is A's; or move it to A's node.")  # fmt: skip
@click.option("--runtime", default="graph", show_default=True, metavar="|".join(LAUNCH_S),
              help=RUNTIME_HELP)  # fmt: skip
@click.option("--residency", default="warm", show_default=True, metavar="|".join(RESIDENCY),
              help="warm: tensors that fit stay on chip; cold: everything in DRAM.")  # fmt: skip
@click.option("--out", metavar="DIR", help="New folder for the tables and a plot of both.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    a: str, b: str, workload: str, iso: str | None, runtime: str, residency: str,
    out: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Compare chips A and B on a workload: the difference by operation and by term.

    A and B are names of the catalog (dse chips), paths of TOML files, or variants' names for
    their default designs. Differences are B - A and add up to the total. A ratio inside the
    model's own uncertainty (one standard deviation) is said to be so. With --out: both tables as
    CSV and parquet, and time and energy of both side by side, as PNG, SVG and PDF.
    """
    check_choice("--runtime", runtime, LAUNCH_S)
    check_choice("--residency", residency, RESIDENCY)
    if iso is not None:
        check_choice("--iso", iso, ISO)
    first, second = find_chip(a), find_chip(b)
    traced = load_workload(workload)
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunFolder.create(out)) if out else None
        found = compare(
            chip_name(a), first, chip_name(b), second, traced, iso=iso, runtime=runtime,
            residency=residency,
        )  # fmt: skip
        answer = summary(found)
        answer["a"]["whole_die_area_mm2"] = whole_die_mm2(a)
        answer["b"]["whole_die_area_mm2"] = None if found.changes else whole_die_mm2(b)
        if run:
            draw(found, run)
            for table in ("by_operation", "by_term"):
                run.write_table(table, getattr(found, table))
            facts = {k: v for k, v in answer.items() if k not in ("by_operation", "by_term")}
            run.write_manifest({**facts, "provenance": provenance()})
            run.commit()
    if as_json:
        print_json({**answer, **({"run_dir": str(run.path)} if run else {})})
        return
    _show(found)
    for side in "ab":
        if whole := answer[side]["whole_die_area_mm2"]:
            click.echo(f"\nArea of {side.upper()}: of what is enabled; "
                       f"its whole die has {amount(whole, 'mm2')}.")  # fmt: skip
    if run:
        click.echo(f"\nwritten: {run.path}")


def draw(found: Comparison, run: RunFolder) -> None:
    """Time by operation and energy by part of both, into a run folder."""
    from dse.plots import style
    from dse.plots.difference import difference
    from dse.plots.words import part

    time = largest(found, DRAWN)
    time = pd.DataFrame({
        "label": [phased(row) for _, row in time.iterrows()],
        "A": time["a_time_s"], "B": time["b_time_s"],
    })  # fmt: skip
    energy = terms(found).query("of == 'energy, mJ' and term != 'sum' and (A > 0 or B > 0)")
    energy = energy.assign(
        label=energy["term"].map(part), A=1e-3 * energy["A"], B=1e-3 * energy["B"]
    )
    moved = {"node": f", moved to {found.a.name}'s node"}
    made = moved.get(found.iso, f", scaled to {found.a.name}'s {found.iso}")
    names = (
        f"{found.a.name} ({found.a.identity})",
        f"{found.b.name}{made if found.changes else ''} ({found.b.identity})",
    )
    figure = difference(time, energy, names, found.headline.split(", mostly")[0])
    style.save(figure, run.folder / "difference")


def summary(found: Comparison) -> dict[str, Any]:
    """Everything, as plain values."""
    return {
        "headline": found.headline,
        "workload": found.workload,
        "iso": found.iso or None,
        "changes": list(found.changes),
        "a": {"chip": found.a.name, **totals(found.a)},
        "b": {"chip": found.b.name, **totals(found.b)},
        "ratios": {
            name: {"a": r.a, "b": r.b, "ratio": r.ratio, "uncertainty": r.uncertainty,
                   "within_uncertainty": r.within, "source": UNCERTAINTY[name][1]}
            for name, r in found.ratios.items()
        },
        "by_operation": found.by_operation.to_dict(orient="records"),
        "by_term": found.by_term.to_dict(orient="records"),
    }  # fmt: skip


def _show(found: Comparison) -> None:
    click.echo(found.headline + "\n")
    for side, one in (("A", found.a), ("B", found.b)):
        click.echo(f"  {side}: {one.name} ({one.facts})")
    if found.changes:
        click.echo(f"  B at A's {found.iso}: {', '.join(found.changes)}")
    click.echo()
    for name, ratio in found.ratios.items():
        scale, unit = SI[name]
        (a, b), unit = amounts([scale * ratio.a, scale * ratio.b], unit)
        said = f"{ratio.ratio:.3g}x, {ratio.verdict}"
        click.echo(f"  {name.replace('_', ' '):12}{f'{a} -> {b} {unit}':26} {said}")
    click.echo()
    print_table(operations(found), "B - A by operation")
    click.echo()
    print_table(terms(found), "B - A by term (time) and part (energy)")


def largest(found: Comparison, shown: int) -> pd.DataFrame:
    """The operations that differ most, gathered, and all others together: rows of
    `Comparison.by_operation` with a count."""
    keys = ["operation", "phase", "nth"]
    table = found.by_operation
    table["nth"] = table.groupby(["operation", "phase"]).cumcount()
    runs = [
        one.assign(nth=one.groupby(["operation", "phase"]).cumcount()).set_index(keys)["count"]
        for one in (found.a.table, found.b.table)
    ]
    table = table.join(runs[0].combine_first(runs[1]), on=keys)
    # Of equal differences the longer operation first.
    both = table["a_time_s"] + table["b_time_s"]
    table["size"] = table["difference_s"].abs() + 1e-9 * both
    return gathered(table.drop(columns="nth"), "size", shown)


def operations(found: Comparison) -> pd.DataFrame:
    """The largest differences, all others together, and the sum."""
    table = largest(found, SHOWN)
    table["operation"] = [short_name(counted(row), NAME) for _, row in table.iterrows()]
    numbers = table.select_dtypes("number").sum()
    total = {"operation": "sum", "phase": "", "a_bound": "", "b_bound": "", **numbers}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    return pd.DataFrame({
        "operation": table["operation"], "phase": table["phase"], "A us": 1e6 * table["a_time_s"],
        "B us": 1e6 * table["b_time_s"], "B - A us": 1e6 * table["difference_s"],
        "A bound": table["a_bound"], "B bound": table["b_bound"],
        "B - A mJ": 1e3 * table["difference_J"],
    })  # fmt: skip


def terms(found: Comparison) -> pd.DataFrame:
    """Time by term and energy by part, each with its sum."""
    blocks = []
    for quantity, part in found.by_term.groupby("quantity", sort=False):
        scale, unit = UNITS[str(quantity)]
        term = part["term"].mask(part["term"].str.startswith(STATIC), "static")
        part = part.assign(term=term).groupby("term", sort=False, as_index=False).sum(True)
        numbers = part[["a", "b", "difference"]] * scale
        numbers.columns = pd.Index(["A", "B", "B - A"])
        numbers = pd.concat([numbers, numbers.sum().to_frame().T], ignore_index=True)
        numbers.insert(0, "term", [*part["term"], "sum"])
        numbers.insert(0, "of", f"{quantity}, {unit}")
        blocks.append(numbers)
    return pd.concat(blocks, ignore_index=True)
