"""`dse search`: a whole front by gradient, and what each budget costs."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import click
import pandas as pd

from dse.checkpoint import Checkpoint, Request, reopen
from dse.cli.common import (
    constraints,
    front_options,
    front_request,
    named_spaces,
    print_front,
    print_json,
    progress_bars,
    read_table,
    refuse_others,
    whole,
)
from dse.costing import costing
from dse.descent import OPTIMIZERS
from dse.evaluating import Options, evaluator
from dse.front import Front, plain
from dse.plots.fronts import draw_front
from dse.prices import Price, prices
from dse.provenance import provenance
from dse.searching import Search, search
from dse.space import Space, budget_words
from dse.store import RunFolder, default_folder
from hwmodels import InputError, Workload


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
@click.option("--learning-rate", default=0.3, show_default=True, metavar="RATE")
@click.option("--seed", default=0, show_default=True, metavar="N")
@front_options
@click.option("--out", metavar="DIR", help="Run folder to make. Default: runs/search-<time>.")
@click.option("--resume", metavar="DIR", help="Go on with a search that was killed or interrupted, "
              "as it was asked for.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.pass_context
def command(
    context: click.Context, names: tuple[str, ...], resume: str | None, out: str | None,
    as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Search spaces, files or variants' names, for their Pareto front by gradient.

    Many preferences descend together from the best designs known, are rounded to designs that
    can be built, evaluated exactly, and polished over their neighbours. For the best design by
    each axis, budgets that bind are listed with their prices: what a little more of each would
    buy. Where it stands is noted every second: a search that was killed goes on with --resume, and
    finds the same front to the bit.
    """
    begin = time.perf_counter()
    if resume is not None:
        refuse_others(context)
        folder = Path(resume)
        request = reopen(folder)
    else:
        request = _request(names, given)
        folder = Path(out or default_folder("search"))
    with RunFolder.create(folder):  # refuses a folder that is there already, or cannot be
        pass
    checkpoint = Checkpoint(folder, request)
    if resume is None:
        checkpoint.remove()
    spaces, trace, options = request.spaces, request.workload, request.options
    try:
        with progress_bars() as progress:
            progress("searching", 0.0)
            found = search(
                spaces, trace, start=request.start, options=options, **request.settings,
                progress=lambda done, total: progress("searching", done / total),
                checkpoint=checkpoint,
            )  # fmt: skip
            progress("pricing", 0.0)
            priced = _prices(spaces, trace, options, found.front)
    except KeyboardInterrupt:
        if not checkpoint.path.exists():
            raise
        click.echo(f"dse: interrupted; continue with: dse search --resume {folder}", err=True)
        return 130
    summary = _summary(found, priced)
    summary |= {"run_dir": str(_write(folder, request, found, summary))}
    checkpoint.remove()
    summary["wall_s"] = time.perf_counter() - begin
    if as_json:
        print_json(summary)
    else:
        _print(found, priced, spaces, summary)
    return 0


def _request(names: tuple[str, ...], given: dict[str, Any]) -> Request:
    """What was asked for, checked."""
    if not 0 <= given["seed"] < 2**32:
        raise InputError("--seed", given["seed"], "allowed: 0 to 4294967295")
    spaces = named_spaces(names, constraints(given["at_most"], given["at_least"]))
    trace, options = front_request(given)
    start = given["start"]
    return Request(
        spaces, trace, options, None if start is None else read_table("--start", start),
        {
            "evaluations": whole("--evaluations", given["evaluations"]), "seed": given["seed"],
            "optimizer": given["optimizer"], "learning_rate": given["learning_rate"],
        },
    )  # fmt: skip


def _write(folder: Path, request: Request, found: Search, summary: dict[str, Any]) -> Path:
    """The run folder: tables, figures, manifest."""
    own = found.variant_fronts
    with RunFolder.create(folder) as run:
        run.write_table("front", found.front.table)
        run.write_table("variant_fronts", pd.concat([f.table for f in own.values()]))
        draw_front(
            found.front.variant_tables(), found.front.table, run.folder,
            title=f"{request.workload.name}: gradient search",
            budgets=f"Budgets: {budget_words(request.spaces)}.", objectives=found.front.objectives,
        )  # fmt: skip
        run.write_manifest({
            "command": "search",
            "settings": {
                **request.settings, "workload": {"name": request.workload.name},
                "objectives": [o.column for o in found.front.objectives],
                "runtime": request.options.runtime, "residency": request.options.residency,
                "scalability": request.options.scalability.name,
                "spaces": [dataclasses.asdict(space) for space in request.spaces],
            },
            "summary": summary, "provenance": provenance(),
        })  # fmt: skip
        return run.commit()


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
