"""What subcommands share: progress on standard error, tables, budgets from options."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dse.cli.tables import human, print_table
from dse.defaults import default_space
from dse.evaluating import Options
from dse.front import Front
from dse.readings import Constraint
from dse.scalability import scalability
from dse.space import Space
from hwmodels import VARIANTS, InputError, Workload, load_workload
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import check_choice


@contextlib.contextmanager
def progress_bars() -> Iterator[Callable[[str, float], None]]:
    """One bar a stage on standard error; where that is no terminal, one line a stage instead."""
    console = Console(stderr=True)
    if not console.is_terminal:
        seen: set[str] = set()

        def line(stage: str, done: float) -> None:
            if stage not in seen:
                seen.add(stage)
                click.echo(f"{stage} ...", err=True)

        yield line
        return
    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def update(stage: str, done: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0)
            bars.update(tasks[stage], completed=done)

        yield update


def print_front(front: Front, spaces: Sequence[Space], title: str) -> None:
    """A front's knee and its best designs by axis, a column each: objectives, what is budgeted,
    parameters."""
    rows = [{"": "knee", **front.knee().dropna()}]
    for axis in front.objectives:
        label = f"best {axis.label.split(',')[0].lower()}"
        rows.append({"": label, **front.best(axis).dropna()})
    columns = ["", "variant", "design", *[axis.column for axis in front.objectives]]
    columns += [c.metric for space in spaces for c in space.constraints]
    shown = dict.fromkeys([*columns, *[name for space in spaces for name in space.names]])
    frame = pd.DataFrame(rows)
    frame["design"] = [f"{number:,}" for number in frame["design"]]  # a name, not a quantity
    names = [name for name in shown if name in frame and name]
    designs = {label: row for label, (_, row) in zip(frame[""], frame.iterrows(), strict=True)}
    table = {label: [_or_none(row[name]) for name in names] for label, row in designs.items()}
    print_table(pd.DataFrame({"": names, **table}, dtype=object), title)


def _or_none(value: Any) -> str:
    return "-" if isinstance(value, float) and value != value else human(value)


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on standard output; NaN refused."""
    click.echo(json.dumps(content, allow_nan=False))


_FRONT_OPTIONS = (
    click.option("--objective", "metrics", multiple=True, metavar="METRIC",
                 help="An axis of the front, two to five in all. Default: throughput, power and "
                 "scalability."),
    click.option("--at-most", multiple=True, metavar="METRIC=NUMBER",
                 help="Budget, such as area_mm2=400; may be repeated."),
    click.option("--at-least", multiple=True, metavar="METRIC=NUMBER", help="Likewise, a floor."),
    click.option("--scalability", "axis", default="s80", show_default=True, metavar="NAME",
                 help="Third axis: s80, n80, strong or efficiency@N."),
    click.option("--runtime", default="graph", show_default=True, metavar="NAME",
                 help="Launch cost between operations: eager, graph or none."),
)  # fmt: skip


def front_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a front is of: axes, budgets, launch cost."""
    for option in reversed(_FRONT_OPTIONS):
        function = option(function)
    return function


def front_request(given: dict[str, Any]) -> tuple[Workload, Options]:
    """The workload and what `front_options` ask for, checked."""
    check_choice("--runtime", given["runtime"], LAUNCH_S)
    axis, workload = scalability(given["axis"]), load_workload(given["workload"])
    axis.check(workload)
    metrics = tuple(given["metrics"])
    return workload, Options(given["runtime"], scalability=axis, metrics=metrics)


def constraints(at_most: tuple[str, ...], at_least: tuple[str, ...]) -> tuple[Constraint, ...]:
    """Budgets from `metric=value` options."""
    found = []
    for option, entries in (("at_most", at_most), ("at_least", at_least)):
        for entry in entries:
            metric, sign, limit = entry.partition("=")
            if not sign:
                raise InputError(
                    "--" + option.replace("_", "-"), entry, "METRIC=NUMBER, such as area_mm2=400"
                )
            found.append(Constraint.parse(metric.strip(), option, limit.strip()))
    return tuple(found)


def named_spaces(names: tuple[str, ...], budgets: tuple[Constraint, ...]) -> tuple[Space, ...]:
    """Spaces from files or variants' names, `budgets` before their own on the same metric."""
    if not names:
        raise InputError("SPACE", "none", "a file, or a variant such as systolic")
    spaces: list[Space] = []
    for name in names:
        known = name in VARIANTS or not (name.endswith(".toml") or Path(name).exists())
        if known:
            check_choice("SPACE", name, VARIANTS)
        space = default_space(name) if known else Space.load(name)
        if space.variant in [other.variant for other in spaces]:
            raise InputError("SPACE", space.variant, "each variant has one space")
        spaces.append(space.within(budgets))
    return tuple(spaces)


def whole(option: str, text: str) -> int:
    """A whole number that may be written as 1e7."""
    try:
        number = float(text)
    except ValueError:
        number = 0.5
    if not 1 <= number < 1e15 or number % 1:
        raise InputError(option, text, "allowed: whole numbers from 1 to 1e15, such as 8 or 1e7")
    return int(number)


def read_table(option: str, name: str) -> pd.DataFrame:
    """A table of designs from a CSV or parquet file."""
    path = Path(name)
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())[:120]
        raise InputError(option, path, f"cannot be read: {text}") from None


def refuse_others(context: click.Context) -> None:
    """`InputError` for an option beside --resume that would ask for something else."""
    for parameter in context.command.params:
        name = str(parameter.name)
        typed = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if typed and name not in ("resume", "as_json"):
            option = parameter.opts[0] if name != "names" else "SPACE"
            raise InputError(option, context.params[name], "not beside --resume: it is kept there")
