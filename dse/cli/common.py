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
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dse.defaults import default_space
from dse.evaluating import Options
from dse.front import Front
from dse.readings import Constraint
from dse.scalability import scalability
from dse.space import Space
from hwmodels import VARIANTS, InputError, Workload, load_workload
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import check_choice

TURNED = 12  # rows, at most, of a table that is turned where a terminal is too narrow
FOLDED = 12  # letters from which a text may be folded


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


def print_table(frame: pd.DataFrame, title: str) -> None:
    """A table a person reads: three significant digits, right-aligned numbers, one form a column.

    Where output is no terminal it is as wide as it takes. In a terminal that is too narrow, a
    table of a few rows is turned, a row a column, in as many blocks as it takes; of a longer one
    the words are folded, never the numbers.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    folded = len(frame) > TURNED
    table = _rendered(frame, folded)
    if title:
        console.print(f"[italic]{escape(title)}[/]", highlight=False)
    if folded or _width(table) <= console.width:
        console.print(table)
        return
    names = [str(name) for name in frame.columns]
    turned = pd.DataFrame({"": names})
    for number, row in enumerate(_cells(frame)):
        wider = turned.assign(**{f"{number}": row})
        if len(turned.columns) > 1 and _width(_plain(wider)) > console.width:
            console.print(_plain(turned), "")
            wider = pd.DataFrame({"": names, f"{number}": row})
        turned = wider
    console.print(_plain(turned))


def _width(table: Table) -> int:
    """Letters that a table takes where nothing is folded."""
    return Console(width=10_000).measure(table).maximum


def _rendered(frame: pd.DataFrame, folded: bool) -> Table:
    """The table as it is, numbers to the right; words may be `folded`."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for i, name in enumerate(frame.columns):
        column = frame.iloc[:, i]
        numeric = pd.api.types.is_numeric_dtype(column)
        words = folded and any(isinstance(v, str) and len(v) > FOLDED for v in column)
        table.add_column(
            str(name), justify="right" if numeric else "left", overflow="fold", no_wrap=not words
        )
    for row in _cells(frame):
        table.add_row(*[escape(cell) for cell in row])
    return table


def _plain(frame: pd.DataFrame) -> Table:
    """A turned table: what each line is, then its values; no head."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for i in range(len(frame.columns)):
        table.add_column(style="bold" if i == 0 else "", justify="right" if i else "left",
                         no_wrap=True)  # fmt: skip
    for row in frame.itertuples(index=False):
        table.add_row(*[escape(cell) for cell in row])
    return table


def _cells(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """Rows as texts."""
    columns = []
    for i in range(len(frame.columns)):
        column = frame.iloc[:, i]
        # Beside fractions, a number that happens to be whole is rounded as they are.
        fractions = column.dtype.kind == "f" and (column.dropna() % 1 != 0).any()
        columns.append([(short if fractions else human)(value) for value in column])
    return list(zip(*columns, strict=True))


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


def human(value: Any) -> str:
    """A whole number below ten million in full, others with three digits and an SI prefix."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "-"
    if abs(value) < 1e7 and float(value).is_integer():
        return f"{int(value):,}"
    return short(value)


def short(value: float) -> str:
    """Three significant digits and an SI prefix from 1000 on."""
    if pd.isna(value):
        return "-"
    size = abs(value)
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= factor * 0.9995:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"


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
