"""`dse pareto`: the main job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import pandas as pd

from dse import pareto
from dse.cli.common import constraints, print_json, progress_bars, refuse_others, whole
from dse.cli.tables import print_table
from dse.defaults import default_space
from dse.evaluating import Options
from dse.scalability import Scalability, scalability
from dse.searching import fewest
from dse.space import Space, budget_words
from dse.stages import Stages
from dse.store import RunFolder, default_folder
from hwmodels import VARIANTS, InputError
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import check_choice

_COLUMNS = {
    "throughput_per_s": "samples/s",
    "throughput_without_launch_per_s": "no launch",
    "power_W": "W",
    "peak_power_W": "peak W",
    "scalability_per_s": "S80 samples/s",
    "chips_80": "chips at S80",
    "area_mm2": "mm2",
    "cost_USD": "USD",
    "utilization": "utilization",
    "actual_clock_GHz": "GHz",
    "voltage_V": "V",
    "design": "design",
}

_LEGEND = """\
Knee: nearest to the ideal on all three axes (log scale). W: average over the step, links always on.
Hypervolume: dominated share of the box from the worst to the best of all variants (log scale).
No launch: samples/s without launch costs. Design: the row's number in front.csv and
variant_fronts.csv, which hold all parameters. Unless a space says otherwise: 7 nm, bf16 operands,
links wired as a 2-D torus (a chip with fewer than 4 links stays alone)."""


@click.command(
    epilog="""\b
Examples:
  dse pareto
  dse pareto --workload mlp-large --at-most power_W=150 --at-most area_mm2=200
  dse pareto --variant systolic --variant simt --json > summary.json
  dse pareto --resume runs/pareto-20260101-120000"""
)
@click.option("--workload", "workloads", multiple=True, metavar="NAME",
              help="Workload to design for, as dse trace takes it; repeatable. Default: mlp and "
              "mlp-large.")  # fmt: skip
@click.option("--variant", "variants", multiple=True, metavar="NAME",
              help="Accelerator variant; repeatable. Default: all.")  # fmt: skip
@click.option("--space", "files", multiple=True, metavar="FILE.toml",
              help="Design space instead of a variant's default; repeatable.")  # fmt: skip
@click.option("--designs", default="1e6", show_default=True, metavar="N",
              help="Random designs per workload, over all variants.")  # fmt: skip
@click.option("--at-most", multiple=True, metavar="METRIC=NUMBER",
              help="Budget, e.g. area_mm2=400; repeatable. Replaces the default ones (area_mm2="
              "400, power_W=300), or a space file's on the same metric.")  # fmt: skip
@click.option("--at-least", multiple=True, metavar="METRIC=NUMBER", help="Likewise, a floor.")
@click.option("--evaluations", default="1e5", show_default=True, metavar="N",
              help="Of the gradient search, per workload over all variants.")  # fmt: skip
@click.option("--runtime", default="graph", show_default=True, metavar="NAME",
              help="Launch cost between operations: eager, graph or none.")  # fmt: skip
@click.option("--scalability", "axis", default="s80", show_default=True, metavar="NAME",
              help="Third axis: s80, n80, strong or efficiency@N, e.g. efficiency@64.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Seed of training, sweep and search.")
@click.option("--out", metavar="DIR", help="Run folder to make. Default: runs/pareto-<time>.")
@click.option("--resume", metavar="DIR", help="Go on with a run that was killed or interrupted, "
              "as it was asked for.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.pass_context
def command(
    context: click.Context,
    workloads: tuple[str, ...],
    variants: tuple[str, ...],
    files: tuple[str, ...],
    designs: str,
    at_most: tuple[str, ...],
    at_least: tuple[str, ...],
    evaluations: str,
    runtime: str,
    axis: str,
    seed: int,
    out: str | None,
    resume: str | None,
    as_json: bool,
) -> int:
    """Sweep all variants on a workload, refine by gradient, draw the Pareto front.

    Trains the reference MLP briefly, traces its step, evaluates a million designs, spread over
    the accelerator variants, under the budgets, improves the front by gradient descent, and
    writes a run folder with tables, manifest and figures: throughput against power against
    scalability. A run that was killed goes on with --resume, and finds the same fronts.
    """
    begin = time.perf_counter()
    if resume is not None:
        refuse_others(context)
        folder = Path(resume)
        stages, asked = Stages.reopen(folder)
        settings = pareto.Settings.read(asked)
    else:
        spaces = _spaces(variants, files, constraints(at_most, at_least))
        settings = _settings(workloads, spaces, designs, evaluations, runtime, axis, seed)
        folder = Path(out or default_folder("pareto"))
        with RunFolder.create(folder):  # refuses a folder that is there already, or cannot be
            pass
        stages = Stages.begin(folder, settings.describe())
    try:
        answers, run_dir = _run(folder, settings, stages)
    except KeyboardInterrupt:
        click.echo(f"dse: interrupted; continue with: dse pareto --resume {folder}", err=True)
        return 130
    stages.remove()
    seconds = time.perf_counter() - begin
    if as_json:
        _print_json(answers, run_dir, seconds)
    else:
        _print(answers, settings)
        click.echo(f"Tables and figures: {run_dir} ({seconds:.0f} s)")
    return 0


def _run(
    folder: Path, settings: pareto.Settings, stages: Stages
) -> tuple[list[pareto.Answer], Path]:
    """All stages, and the run folder that they make."""
    try:
        with RunFolder.create(folder) as run:
            with progress_bars() as progress:
                answers, seconds = pareto.run_pareto(settings, progress, stages)
                progress("drawing", 0.0)
                pareto.write(run, settings, answers, {"compute": seconds})
                progress("drawing", 1.0)
            return answers, run.commit()
    except InputError as error:
        if error.field not in ("--out", "--resume"):  # as it was asked for, it cannot end
            stages.remove()
        raise


def _settings(
    workloads: tuple[str, ...], spaces: tuple[Space, ...], designs: str, evaluations: str,
    runtime: str, axis: str, seed: int,
) -> pareto.Settings:  # fmt: skip
    """What was asked for, checked."""
    check_choice("--runtime", runtime, LAUNCH_S)
    structures = sum(len(space.structures()) for space in spaces)
    count, tried = whole("--designs", designs), whole("--evaluations", evaluations)
    if count < structures:
        raise InputError("--designs", designs, f"allowed: >= {structures}, one of each structure")
    if tried < (least := fewest(structures)):
        raise InputError("--evaluations", evaluations, f"allowed: >= {least}")
    if not 0 <= seed < 2**32:
        raise InputError("--seed", seed, "allowed: 0 to 4294967295")
    return pareto.Settings(
        workloads=tuple(dict.fromkeys(workloads)) or pareto.DEFAULT_WORKLOADS,
        spaces=spaces,
        designs=count,
        evaluations=tried,
        seed=seed,
        options=Options(runtime=runtime, scalability=scalability(axis)),
    )


def _spaces(
    variants: tuple[str, ...], files: tuple[str, ...], budgets: tuple[Any, ...]
) -> tuple[Space, ...]:
    for name in variants:
        check_choice("--variant", name, VARIANTS)
    chosen = dict.fromkeys(variants) if variants or files else VARIANTS
    spaces = [default_space(name) for name in chosen] + [Space.load(path) for path in files]
    names = [space.variant for space in spaces]
    for name in names:
        if names.count(name) > 1:
            raise InputError("--space", name, "each variant has one space")
    given = {(budget.metric, budget.at_most) for budget in budgets}
    bounded = []
    for space in spaces:
        kept = [c for c in space.constraints if (c.metric, c.at_most) not in given]
        bounded.append(space.with_constraints((*kept, *budgets) or pareto.DEFAULT_BUDGETS))
    if len({frozenset(space.constraints) for space in bounded}) > 1:
        found = "; ".join(f"{s.variant}: {', '.join(map(str, s.constraints))}" for s in bounded)
        raise InputError("budgets", found, "all spaces on one front need the same budgets")
    return tuple(bounded)


def _print_json(answers: list[pareto.Answer], run_dir: Path, seconds: float) -> None:
    summaries = {answer.workload.name: answer.summary() for answer in answers}
    name = answers[0].workload.name
    print_json({
        **summaries[name], "designs": sum(summary["designs"] for summary in summaries.values()),
        "wall_s": seconds, "run_dir": str(run_dir), "workload": name, "workloads": summaries,
    })  # fmt: skip


def _print(answers: list[pareto.Answer], settings: pareto.Settings) -> None:
    axis = settings.options.scalability
    for answer in answers:
        summary = answer.summary()
        _print_answer(answer.workload.name, summary, axis)
        without = [s.variant for s in settings.spaces if s.variant not in summary["knee"]]
        if without:
            click.echo(f"No feasible design: {', '.join(without)}.")
        click.echo(f"At most {summary['most_chips']:,} chips in a fleet: the workload's largest "
                   "sensible global batch.")  # fmt: skip
    click.echo(f"\n{_LEGEND}")
    click.echo(f"Scalability is {axis.name}: it {axis.rewards}.")
    click.echo(f"Budgets: {budget_words(settings.spaces)}. Runtime: {settings.options.runtime}.")


def _print_answer(name: str, summary: dict[str, Any], axis: Scalability) -> None:
    rows = [{"": "knee", "variant": v, **design} for v, design in summary["knee"].items()]
    rows += [
        {"": f"best {column.rsplit('_', 1)[0].removesuffix('_per')}", **design}
        for column, design in summary["best"].items()
    ]
    frame = pd.DataFrame(rows)
    columns = {**_COLUMNS, axis.objective.column: _COLUMNS.get(axis.objective.column, axis.name)}
    shown = ["", "variant", *columns, "dram_kind", "dram_stacks", "link_count"]
    frame = frame[[column for column in shown if column in frame]].rename(columns=columns)
    click.echo("")
    gain = summary["hypervolume"] - summary["hypervolume_before_refinement"]
    print_table(
        frame,
        f"{name}: {summary['front_size']:,} designs on the front of {summary['designs']:,} "
        f"({summary['feasible']:,} feasible); hypervolume {summary['hypervolume']:.3f}, "
        f"{gain:+.3f} by gradient",
    )
