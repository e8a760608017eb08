"""`dse sweep`: a space to its exact front, as large as it may be, in a folder that survives."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dse import running
from dse.cli.common import (
    constraints,
    front_options,
    front_request,
    named_spaces,
    print_front,
    print_json,
    read_table,
    whole,
)
from dse.cli.tables import short
from dse.cluster import cluster
from dse.front import plain
from dse.gathering import Sweep
from dse.job import Job
from dse.manifest import check_same, describe
from dse.plots.fronts import draw_front
from dse.sampling import DEFAULT_POINTS, Grid, Sampled, Sampling, Table
from dse.space import budget_words
from dse.store import default_folder
from dse.trial import WORTH, tried
from hwmodels import InputError
from hwmodels.errors import check_choice

LINE_S = 5.0  # between lines of progress where there is no terminal


@click.command(
    epilog="""\b
Examples:
  dse sweep systolic --workload mlp-large --designs 1e8
  dse sweep my_space.toml --grid 8 --grid clock_GHz=25 --out runs/mine
  dse sweep --resume runs/mine
  dse sweep systolic simt --sampler sobol --objective throughput_per_s --objective cost_USD
  dse sweep my_space.toml --table designs.csv --keep all
  dse sweep systolic --designs 1e9 --cluster tcp://10.0.0.1:8786"""
)
@click.argument("spaces", nargs=-1, metavar="SPACE...")
@click.option("--workload", default="mlp", show_default=True, metavar="NAME")
@click.option("--designs", metavar="N", help="Random designs over all structures. Default: 1e7.")
@click.option("--sampler", metavar="NAME", help="random (default), latin or sobol.")
@click.option("--seed", type=int, metavar="N", help="Seed of the sampler. Default: 0.")
@click.option("--grid", multiple=True, metavar="[PARAMETER=]POINTS",
              help="Every combination instead: POINTS values of each parameter, or of one; may "
              "be repeated.")  # fmt: skip
@click.option("--table", metavar="FILE", help="The designs of a CSV or parquet file instead.")
@front_options
@click.option("--epsilon", default=0.0, metavar="E",
              help="Approximate front: a design in each box of sides 1 + E.")  # fmt: skip
@click.option("--keep", default="front", show_default=True, metavar="WHAT",
              help="front, or all: every design goes to parquet files in designs/.")  # fmt: skip
@click.option("--out", metavar="DIR", help="Run folder to make. Default: runs/sweep-<time>.")
@click.option("--resume", metavar="DIR", help="Continue the run in DIR; all other settings are "
              "its own, and a SPACE given again must be the same.")  # fmt: skip
@click.option("--cluster", "address", metavar="ADDRESS", help="Do the work on the workers of a "
              "dask scheduler, or on local:N processes.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.pass_context
def command(
    context: click.Context, resume: str | None, out: str | None, address: str | None,
    as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Sweep a space, a file or a variant's name, to its exact Pareto front.

    Designs are drawn at random, or are a grid, or a table. The run folder is written as the work
    goes on: a run that was killed, or ran out of disk, continues with --resume, and its front is
    the same to the bit.
    """
    begin = time.perf_counter()
    typed = {
        name
        for name in given
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    if resume is not None and out is not None:
        raise InputError("--out", out, "not beside --resume, which continues in its folder")
    job = _job(given) if resume is None else _resumed(Path(resume), given, typed)
    folder = Path(resume or out or default_folder("sweep"))
    who: Any = contextlib.nullcontext() if address is None else cluster(address)
    try:
        with who as execute:
            if resume is None:
                job = _start(folder, job)
            with _progress(job.designs) as report:
                swept = running.proceed(folder, job, report, execute, _warn)
    except KeyboardInterrupt:
        click.echo(f"dse: interrupted; continue with: dse sweep --resume {folder}", err=True)
        return 130
    except InputError as error:
        # Where no design meets the limits there is nothing to go on with.
        if resume is None and error.field.startswith("budget") and not job.keep_all:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    summary = _finish(folder, job, swept, time.perf_counter() - begin)
    if as_json:
        print_json(summary)
        return 0
    _print(summary, swept, job, folder)
    return 0


def _warn(text: str) -> None:
    click.echo(f"dse: {text}", err=True)


def _start(folder: Path, job: Job) -> Job:
    """Make the run folder; `job` with the settings that suit it best."""
    trial: list[dict[str, Any]] = []
    if job.designs >= WORTH and not job.keep_all:
        click.echo("choosing chunk and filter by a trial ...", err=True)
        job, trial = tried(job)
    running.start(folder, job, trial)
    return job


def _resumed(folder: Path, given: dict[str, Any], typed: set[str]) -> Job:
    """The sweep of a folder; `InputError` if it is not what was asked for beside, by the options
    that were typed."""
    job = running.reopen(folder)
    options, drawn = job.options, {"designs", "sampler", "seed"}
    own = {
        "workload": job.workload.name, "metrics": options.metrics, "runtime": options.runtime,
        "axis": options.scalability.name, "epsilon": job.epsilon,
        "keep": "all" if job.keep_all else "front",
    }  # fmt: skip
    if isinstance(job.sampling, Sampled) and typed & drawn:
        own |= {"designs": str(job.sampling.designs), "sampler": job.sampling.sampler}
        own["seed"] = job.sampling.seed
    asked = given | {name: value for name, value in own.items() if name not in typed}
    budgets = constraints(given["at_most"], given["at_least"])
    spaces = tuple(space.within(budgets) for space in job.spaces)
    if "spaces" in typed:
        kept = [c for space in job.spaces for c in space.constraints]
        spaces = named_spaces(given["spaces"], budgets or tuple(dict.fromkeys(kept)))
    sampling = job.sampling
    if typed & {*drawn, "grid", "table"}:
        sampling = _sampling(asked)
    if typed:
        wanted = dataclasses.replace(job, spaces=spaces, **_settings(asked), sampling=sampling)
        check_same(describe(job), describe(wanted))
    return job


def _job(given: dict[str, Any]) -> Job:
    """The sweep that was asked for."""
    spaces = named_spaces(given["spaces"], constraints(given["at_most"], given["at_least"]))
    return Job(spaces, sampling=_sampling(given), **_settings(given))


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    check_choice("--keep", given["keep"], ("front", "all"))
    if not 0.0 <= given["epsilon"] <= 1.0:
        raise InputError("--epsilon", given["epsilon"], "allowed: 0 to 1")
    workload, options = front_request(given)
    return {
        "workload": workload,
        "options": options,
        "keep_all": given["keep"] == "all",
        "epsilon": given["epsilon"],
    }


def _sampling(given: dict[str, Any]) -> Sampling:
    drawn = [name for name in ("designs", "sampler", "seed") if given[name] is not None]
    chosen = [name for name in ("grid", "table") if given[name]]
    if len(chosen) + bool(drawn) > 1:
        both = ", ".join(f"--{name}" for name in [*chosen, *drawn])
        raise InputError("designs", both, "allowed: a grid, a table or random designs, one of them")
    if given["table"]:
        return Table(read_table("--table", given["table"]))
    if given["grid"]:
        points, others = [], DEFAULT_POINTS
        for entry in given["grid"]:
            name, sign, count = entry.rpartition("=")
            number = whole("--grid", count)
            if sign:
                points.append((name.strip(), number))
            else:
                others = number
        return Grid(tuple(points), others)
    return Sampled(
        given["sampler"] or "random", whole("--designs", given["designs"] or "1e7"),
        given["seed"] or 0,
    )  # fmt: skip


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int], None]]:
    """Designs done, designs/s, designs held and time left, on standard error."""
    begin, shown, first, ended = time.perf_counter(), 0.0, -1, False
    live = sys.stderr.isatty()

    def report(done: int, held: int) -> None:
        nonlocal shown, first, ended
        now = time.perf_counter()
        first = done if first < 0 else first  # what an earlier run had done is not this one's speed
        if now - shown < (0.2 if live else LINE_S) and (done < total or ended):
            return
        ended = done >= total
        shown = now
        speed = (done - first) / max(now - begin, 1e-9)
        left = f", {(total - done) / speed:,.0f} s left" if speed and done < total else ""
        text = (f"{done / total:4.0%} of {short(float(total))} designs, {short(speed)}/s, "
                f"front at most {held:,}{left}")  # fmt: skip
        click.echo(f"\r{text:<78}" if live else text, nl=not live, err=True)

    yield report
    if live:
        click.echo("", err=True)


def _finish(folder: Path, job: Job, swept: Sweep, seconds: float) -> dict[str, Any]:
    running.write_front(folder, swept)
    front = swept.front
    summary = {
        "designs": swept.designs,
        "feasible": swept.census.feasible,
        "front_size": len(front),
        "approximate": bool(job.epsilon),
        "front_by_variant": {v: len(f) for v, f in front.by_variant().items()},
        "best": {o.column: plain(front.best(o)) for o in front.objectives},
        "knee": plain(front.knee()),
        "wall_s": seconds,
        "designs_per_s": swept.designs_per_s,
        "run_dir": str(folder.absolute()),
    }
    draw_front(
        front.variant_tables(), front.table, folder,
        title=f"{job.workload.name}: {', '.join(swept.variant_fronts)}",
        budgets=f"Budgets: {budget_words(job.spaces)}. {swept.designs:,} designs.",
        objectives=front.objectives,
    )  # fmt: skip
    running.finish(folder, {"summary": summary})
    return summary


def _print(summary: dict[str, Any], swept: Sweep, job: Job, folder: Path) -> None:
    front = swept.front
    kind = f"approximate (epsilon {job.epsilon:g}) " if job.epsilon else ""
    print_front(
        front,
        job.spaces,
        f"{job.workload.name}: {len(front):,} designs on the {kind}front of "
        f"{swept.designs:,} ({swept.census.feasible:,} feasible)",
    )
    click.echo(f"Tables and figures: {folder} ({summary['wall_s']:.0f} s)")
