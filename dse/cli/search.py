"""`dse search`: a whole front by gradient, and what each budget costs."""

from __future__ import annotations

import time
from typing import Any

import click
import pandas as pd

from dse.cli.common import (
    constraints,
    named_spaces,
    print_front,
    print_json,
    progress_bars,
    read_table,
    whole,
)
from dse.costing import costing
from dse.descent import OPTIMIZERS
from dse.evaluating import Options, evaluator
from dse.front import Front, plain
from dse.plots.fronts import draw_front
from dse.prices import Price, prices
from dse.scalability import scalability
from dse.searching import Search, search
from dse.space import Space, budget_words
from dse.store import RunFolder, default_folder, provenance
from hwmodels import InputError, Workload, load_workload
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import check_choice


@click.command(
    epilog="""\b
Examples:
  dse search systolic --workload mlp-large --at-most area_mm2=400 --at-most power_W=300
  dse search my_space.toml --evaluations 1e6 --out runs/mine
  dse search systolic simt --objective throughput_per_s --objective cost_USD"""
)
@click.argument("names", nargs=-1, metavar="SPACE...")
@click.option("--workload", default="mlp", show_default=True, metavar="NAME")
@click.option("--evaluations", default="100000", show_default=True, metavar="N",
              help="Designs evaluated at most, with or without gradient; fewer when the front "
              "stops growing.")  # fmt: skip
@click.option("--start", metavar="FILE", help="Improve the designs of a CSV or parquet file, such "
              "as a front; only their structures are searched.")  # fmt: skip
@click.option("--optimizer", default="adam", show_default=True, metavar="NAME",
              help=f"Of optax: {', '.join(OPTIMIZERS)}.")  # fmt: skip
@click.option("--learning-rate", default=0.1, show_default=True, metavar="RATE")
@click.option("--seed", default=0, show_default=True, metavar="N")
@click.option("--objective", "metrics", multiple=True, metavar="METRIC",
              help="An axis of the front, two to five in all. Default: throughput, power and "
              "scalability.")  # fmt: skip
@click.option("--at-most", multiple=True, metavar="METRIC=NUMBER",
              help="Budget, such as area_mm2=400; may be repeated.")  # fmt: skip
@click.option("--at-least", multiple=True, metavar="METRIC=NUMBER", help="Likewise, a floor.")
@click.option("--scalability", "axis", default="s80", show_default=True, metavar="NAME",
              help="Third axis: s80, n80, strong or efficiency@N.")  # fmt: skip
@click.option("--runtime", default="graph", show_default=True, metavar="NAME",
              help="Launch cost between operations: eager, graph or none.")  # fmt: skip
@click.option("--out", metavar="DIR", help="Run folder to make. Default: runs/search-<time>.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(
    names: tuple[str, ...], workload: str, evaluations: str, start: str | None, optimizer: str,
    learning_rate: float, seed: int, metrics: tuple[str, ...], at_most: tuple[str, ...],
    at_least: tuple[str, ...], axis: str, runtime: str, out: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Search spaces, files or variants' names, for their Pareto front by gradient.

    Many preferences descend together from the best designs known, are rounded to designs that
    can be built, evaluated exactly, and polished over their neighbours. For the best design by
    each axis, budgets that bind are listed with their prices: what a little more of each would
    buy.
    """
    begin = time.perf_counter()
    check_choice("--runtime", runtime, LAUNCH_S)
    if not 0 <= seed < 2**32:
        raise InputError("--seed", seed, "allowed: 0 to 4294967295")
    spaces = named_spaces(names, constraints(at_most, at_least))
    chosen = scalability(axis)
    trace = load_workload(workload)
    chosen.check(trace)
    options = Options(runtime, scalability=chosen, metrics=metrics)
    settings: dict[str, Any] = {
        "evaluations": whole("--evaluations", evaluations), "seed": seed, "optimizer": optimizer,
        "learning_rate": learning_rate,
    }  # fmt: skip
    given = None if start is None else read_table("--start", start)
    with RunFolder.create(out or default_folder("search")) as run:
        with progress_bars() as progress:
            progress("searching", 0.0)
            found = search(
                spaces, trace, start=given, options=options, **settings,
                progress=lambda done, total: progress("searching", done / total),
            )  # fmt: skip
            progress("pricing", 0.0)
            priced = _prices(spaces, trace, options, found.front)
        run.write_table("front", found.front.table)
        own = found.variant_fronts
        run.write_table("variant_fronts", pd.concat([f.table for f in own.values()]))
        if len(found.front.objectives) == 3:
            draw_front(
                {v: f.table for v, f in own.items()}, found.front.table, run.folder,
                title=f"Training {trace.name}: gradient search", budgets=budget_words(spaces),
                objectives=found.front.objectives,
            )  # fmt: skip
        summary = _summary(found, priced)
        run.write_manifest({
            "command": "search", "settings": settings, "workload": trace.name,
            "spaces": [repr(space) for space in spaces], "summary": summary,
            "provenance": provenance(),
        })  # fmt: skip
        folder = run.commit()
    summary |= {"wall_s": time.perf_counter() - begin, "run_dir": str(folder)}
    if as_json:
        print_json(summary)
        return
    _print(found, priced, spaces, summary)


def _prices(
    spaces: tuple[Space, ...], workload: Workload, options: Options, front: Front
) -> dict[str, tuple[list[Price], list[str]]]:
    """By objective, what binds at its best design."""
    made = {}
    for i, axis in enumerate(front.objectives):
        row = front.best(axis)
        (space,) = [s for s in spaces if s.variant == row["variant"]]
        static = {name: row[name] for name in space.structures()[0]}
        engine = evaluator(space, static, workload.training, options)
        made[axis.column] = prices(costing(engine, workload), i, row)
    return made


def _summary(found: Search, priced: dict[str, tuple[list[Price], list[str]]]) -> dict[str, Any]:
    front = found.front
    return {
        "front_size": len(front),
        "front_by_variant": {v: len(f) for v, f in front.by_variant().items()},
        "evaluations": found.evaluations,
        "gradients": found.gradients,
        "best": {o.column: plain(front.best(o)) for o in front.objectives},
        "knee": plain(front.knee()),
        "search_s": found.wall_s,
        "prices": {
            axis: [
                {
                    "budget": str(p.budget), "per_unit": p.per_unit, "elasticity": p.elasticity,
                    "text": str(p),
                }
                for p in bought
            ]
            for axis, (bought, _) in priced.items()
        },
        "other_limits": {axis: others for axis, (_, others) in priced.items()},
    }  # fmt: skip


def _print(
    found: Search,
    priced: dict[str, tuple[list[Price], list[str]]],
    spaces: tuple[Space, ...],
    summary: dict[str, Any],
) -> None:
    front = found.front
    print_front(
        front, spaces,
        f"{len(front):,} designs on the front, {found.evaluations:,} evaluations "
        f"({found.gradients:,} with gradient) in {found.wall_s:.1f} s",
    )  # fmt: skip
    for axis, (bought, others) in priced.items():
        for price in bought:
            click.echo(f"best {axis}: {price}")
        if others:
            click.echo(f"best {axis}: limits of the chip itself bind too: {', '.join(others)}")
    if not any(bought for bought, _ in priced.values()):
        click.echo("No budget binds at the best designs." if budget_words(spaces) != "none" else
                   "No budgets were given.")  # fmt: skip
    click.echo("Prices hold for small changes, with whole numbers taken as continuous.")
    click.echo(f"Tables and figures: {summary['run_dir']} ({summary['wall_s']:.0f} s)")
