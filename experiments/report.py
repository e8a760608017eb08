"""What every experiment shares: a frozen configuration, a folder of results, a command line.

An experiment is a module with `EXPERIMENT`, run by `python -m experiments.NAME [--quick] [--out
DIR]`. A full run writes to `experiments/results/NAME/`, whose tables, answer and PNG figures are
kept under version control; a quick one, which tests that it works, to `runs/NAME-quick`.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jax
import pandas as pd
from matplotlib.figure import Figure

from dse.cli.tables import print_table
from dse.plots import style
from hwmodels import InputError

RESULTS = Path(__file__).parent / "results"
DIGITS = 4  # of the tables


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A question and how it is answered.

    Args:
      name: of the module and the folder.
      question: as a chip team asks it.
      run: fills a report, for a configuration.
      full, quick: the configuration, a frozen dataclass, and one for tests.
    """

    name: str
    question: str
    run: Callable[[Report, Any], None]
    full: Any
    quick: Any


class Report:
    """A folder of tables, figures and sentences, written as they come."""

    def __init__(self, folder: Path, formats: tuple[str, ...] = style.FORMATS):
        self.folder, self.formats = folder, formats
        self.answers: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)

    def table(self, name: str, frame: pd.DataFrame, title: str = "") -> None:
        """Write `name`.csv with four significant digits; print it where it has a title."""
        numbers = frame.select_dtypes("float").columns
        rounded = frame.copy()
        for column in numbers:
            rounded[column] = [float(f"{value:.{DIGITS}g}") for value in frame[column]]
        rounded.to_csv(self.folder / f"{name}.csv", index=False)
        if title:
            print_table(rounded, title)

    def figure(self, name: str, figure: Figure) -> None:
        """Write a figure in every format."""
        style.save(figure, self.folder / name, self.formats)

    def say(self, sentence: str) -> None:
        """A sentence of the answer, printed now and written at the end."""
        self.answers.append(sentence)
        click.echo(sentence)


def conduct(experiment: Experiment, quick: bool, folder: Path | None = None) -> Report:
    """Run an experiment into its folder: its answer and its manifest beside tables and figures."""
    config = experiment.quick if quick else experiment.full
    usual = Path("runs") / f"{experiment.name}-quick" if quick else RESULTS / experiment.name
    report = Report(folder or usual, ("png",) if quick else style.FORMATS)
    begin = time.monotonic()
    experiment.run(report, config)
    lines = [f"# {experiment.question}", "", *[f"- {said}" for said in report.answers], ""]
    (report.folder / "answer.md").write_text("\n".join(lines), encoding="utf-8")
    manifest = {
        "experiment": experiment.name,
        "question": experiment.question,
        "quick": quick,
        "configuration": dataclasses.asdict(config),
        "jax": jax.__version__,
        "seconds": round(time.monotonic() - begin, 1),
    }
    text = json.dumps(manifest, indent=1, default=str) + "\n"
    (report.folder / "manifest.json").write_text(text, encoding="utf-8")
    return report


def main(experiment: Experiment) -> int:
    """The command line of one experiment."""

    @click.command(help=f"{experiment.question}\n\nWrites tables, figures and answer.md.")
    @click.option("--quick", is_flag=True, help="A small configuration, to see that it works.")
    @click.option("--out", type=click.Path(path_type=Path), help="Folder of the results.")
    def command(quick: bool, out: Path | None) -> None:
        report = conduct(experiment, quick, out)
        click.echo(f"written: {report.folder}")

    try:
        command.main(standalone_mode=False)
    except InputError as error:
        click.echo(f"{experiment.name}: {error}", err=True)
        return 2
    except click.ClickException as error:
        click.echo(f"{experiment.name}: {error.format_message()}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{experiment.name}: interrupted", err=True)
        return 130
    return 0
