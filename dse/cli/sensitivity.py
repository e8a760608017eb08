"""`dse sensitivity`: what a chip's metrics answer to, and what must improve to reach a target."""

from __future__ import annotations

import contextlib
from typing import Any

import click
import pandas as pd

from dse.breakdown import Breakdown, break_down, chip_name, find_chip, short_name
from dse.cli.common import print_json, progress_bars
from dse.cli.evaluate import RUNTIME_HELP
from dse.cli.tables import human, print_table
from dse.elasticity import PAIR_STEP, interactions, sensitivity, swings
from dse.point import GROUPS, METRICS, Point
from dse.provenance import provenance
from dse.readings import Constraint
from dse.remarks import broken_limits
from dse.store import RunFolder
from dse.targets import Reached, reach, target
from hwmodels import InputError, load_workload
from hwmodels.accelerators.composed import Composed
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import check_choice
from hwmodels.evaluate import RESIDENCY
from hwmodels.quantity import multiplied

SHOWN, OPERATIONS, PAIRED = 12, 5, 8
CHANGE = 0.1  # that the tornado shows
NAME = 48  # letters of an operation's name


@click.command(
    epilog="""\b
Examples:
  dse sensitivity tpu_v4
  dse sensitivity a100_80gb --workload mlp --metric power --out runs/tornado
  dse sensitivity h100 --second-order
  dse sensitivity my_chip.toml --target power=100 --free technology
  dse sensitivity tpu_v4 --target throughput=2e6 --free dram_bandwidth_GBps --free clock_GHz"""
)
@click.argument("chip")
@click.option("--workload", default="mlp-large", show_default=True, metavar="NAME")
@click.option("--metric", default="throughput_per_s", show_default=True, metavar="NAME",
              help="What the table and the tornado are of; --json has all metrics.")  # fmt: skip
@click.option("--second-order", is_flag=True, help="Which numbers gain by changing together.")
@click.option("--target", "targets", multiple=True, metavar="METRIC=NUMBER",
              help="To reach with the least change; several are reached together.")  # fmt: skip
@click.option("--free", multiple=True, metavar="GROUP|NAME",
              help=f"What may change for a target: {', '.join(GROUPS)}, or a number's name; "
              "technology by default.")  # fmt: skip
@click.option("--runtime", default="graph", show_default=True, metavar="|".join(LAUNCH_S),
              help=RUNTIME_HELP)  # fmt: skip
@click.option("--residency", default="warm", show_default=True, metavar="|".join(RESIDENCY),
              help="warm: tensors that fit stay on chip; cold: everything in DRAM.")  # fmt: skip
@click.option("--out", metavar="DIR", help="New folder for the tables and the tornado plot.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def command(
    chip: str, workload: str, metric: str, second_order: bool, targets: tuple[str, ...],
    free: tuple[str, ...], runtime: str, residency: str, out: str | None, as_json: bool,
) -> None:  # fmt: skip
    """How a chip's metrics answer to every number behind it.

    CHIP is a name of the catalog (dse chips), the path of a chip's TOML file, or a variant's name
    for its default design. An elasticity is percent of the metric for one percent of the number:
    by differentiation, and by re-evaluation one step less and one step more. Where these differ,
    the design stands at a step (a dimension that just fits an array) or between two bounds.
    """
    check_choice("--runtime", runtime, LAUNCH_S)
    check_choice("--residency", residency, RESIDENCY)
    metric = Constraint.parse(metric, "at_most", 1.0).metric
    check_choice("--metric", metric, METRICS)
    wanted = [target(text) for text in targets]
    if free and not wanted:
        raise InputError("--free", ", ".join(free), "allowed: with --target")
    design = find_chip(chip)
    traced, larger = load_workload(workload), load_workload(workload, 2)
    composed = isinstance(design, Composed)
    if isinstance(design, Composed):  # its mappings are chosen once, and held
        with progress_bars() as progress:
            design = design.mapped(traced, residency, progress)
    settings = {"runtime": runtime, "residency": residency}
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunFolder.create(out)) if out else None
        found = sensitivity(design, traced, None if composed else larger, **settings)
        point = Point(design, traced, **settings) if second_order or wanted or run else None
        pairs, broken = None, []
        if second_order and point is not None:
            strongest = [n for n in found.of(metric)["parameter"] if n in point.names][:PAIRED]
            pairs = interactions(point, metric, strongest)
        reached = None
        if wanted and point is not None:
            reached = reach(point, wanted, free or ("technology",))
            changed = multiplied(design, reached.factors)
            broken = broken_limits(break_down(chip, changed, traced, **settings))
        taken = break_down(chip_name(chip), design, traced, **settings)
        answer: dict[str, Any] = {
            "chip": chip, "workload": workload, "metric": metric, **settings,
            "metrics": found.metrics,
        }  # fmt: skip
        if reached is not None:
            answer["target"] = {
                "targets": [str(t) for t in reached.targets], "factors": reached.factors,
                "change": reached.total, "metrics": reached.metrics, "broken_limits": broken,
            }  # fmt: skip
        title = f"{_words(metric).capitalize()} of {taken.name} on {workload}"
        if run and point is not None:
            from dse.plots import style
            from dse.plots.tornado import tornado

            swung = swings(point, metric, CHANGE)
            figure = tornado(
                swung, CHANGE, title, metric=_words(metric), facts=taken.identity
            )  # fmt: skip
            style.save(figure, run.folder / "tornado")
            run.write_table("swings", swung)
            run.write_table("elasticities", found.table)
            run.write_manifest({**answer, "provenance": provenance()})
            run.commit()
    if as_json:
        tables = {"elasticities": _records(found.table)}
        if pairs is not None:
            tables["interactions"] = _records(pairs)
        print_json({**answer, **tables, **({"run_dir": str(run.path)} if run else {})})
        return
    click.echo(f"{title} ({taken.facts}): {human(found.metrics[metric])}\n")
    print_table(_shown(found.of(metric)), f"Percent of {_words(metric)} for one percent of")
    click.echo("\nWhat bounds the longest operations, and what a tenth more of it would save")
    print_table(_bounds(taken), "")
    if pairs is not None:
        click.echo("")
        print_table(_paired(pairs, metric), f"Together, each {100 * PAIR_STEP:.0f}% more")
    if reached is not None:
        click.echo(f"\n{_told(reached)}")
        if broken:
            click.echo(f"It would break limits: {'; '.join(broken)}.")
    if run:
        click.echo(f"\nwritten: {run.path}")


def _words(metric: str) -> str:
    return Constraint(metric, 1.0).text.split(" ≤")[0]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.astype(object).where(table.notna(), None).to_dict(orient="records")


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.head(SHOWN)
    table = rows[["parameter", "group", "value"]].copy()
    table["elasticity"] = rows["elasticity"]
    table["one step less"], table["one step more"] = rows["smaller"], rows["larger"]
    table[""] = ["" if agrees else "step or edge" for agrees in rows["agrees"]]
    return table


def _bounds(found: Breakdown) -> pd.DataFrame:
    """The longest operations; a tenth more of a resource saves a share of the time that it takes
    itself, at most until the next one bounds."""
    table = found.table.sort_values("time_s", ascending=False, kind="stable").head(OPERATIONS)
    bounding = [
        row[f"time_{row['bound']}_s"] if f"time_{row['bound']}_s" in table else row["time_s"]
        for _, row in table.iterrows()
    ]
    step = float(found.table["time_s"].sum())
    return pd.DataFrame({
        "operation": [short_name(name, NAME) for name in table["operation"]],
        "phase": table["phase"], "share %": 100 * table["share"], "bound": table["bound"],
        "saves at most % of the step": [100 * CHANGE / (1 + CHANGE) * t / step for t in bounding],
    })  # fmt: skip


def _paired(pairs: pd.DataFrame, metric: str) -> pd.DataFrame:
    table = pairs.head(PAIRED)
    return pd.DataFrame({
        "number": table["parameter_a"], "with": table["parameter_b"],
        f"% of {_words(metric)} beyond the sum": 100 * table["gain"],
    })  # fmt: skip


def _told(reached: Reached) -> str:
    """A target's answer in words."""
    goal = " and ".join(t.text for t in reached.targets)
    lines = [f"{goal} is reached with the least change by"]
    for name, factor in reached.factors.items():
        lines.append(f"  {name:28} x {factor:.3f}")
    lines.append("all together; then " + ", ".join(
        f"{t.metric} is {human(reached.metrics[t.metric])}" for t in reached.targets
    ) + ".")  # fmt: skip
    return "\n".join(lines)
