"""Every experiment, one after the other: `python -m experiments.all [--quick] [--only NAME]`.

Each runs in a process of its own, so that a run that was stopped goes on with those that are left
(`--resume`), and what one compiled is let go.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import click

from experiments.report import RESULTS, Experiment
from hwmodels import InputError
from hwmodels.errors import check_choice

NAMES = (
    "dedicated_or_gpu", "ablation", "energy", "scaling_limits", "codesign", "one_chip_or_many",
    "twenty_years", "validation",
)  # fmt: skip


def load(name: str) -> Experiment:
    """The experiment of a module; `InputError` for an unknown name."""
    check_choice("--only", name, NAMES)
    found: Experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    return found


@click.command()
@click.option("--quick", is_flag=True, help="Small configurations, to see that all work.")
@click.option("--only", multiple=True, metavar="NAME", help="This one alone; may be repeated.")
@click.option("--resume", is_flag=True, help="Skip those that have a manifest of a full run.")
def command(quick: bool, only: tuple[str, ...], resume: bool) -> int:
    """Answer all questions; the answers are in experiments/results/."""
    failed = []
    for name in only or NAMES:
        question = load(name).question
        if resume and not quick and _done(RESULTS / name):
            continue
        click.echo(f"\n== {name}: {question}", err=True)
        begin = time.monotonic()
        arguments = [sys.executable, "-m", f"experiments.{name}", *["--quick"] * quick]
        status = subprocess.run(arguments, check=False).returncode
        click.echo(f"== {name}: {time.monotonic() - begin:.0f} s", err=True)
        if status == 130:
            return status
        if status:
            failed.append(name)
    if failed:
        click.echo(f"failed: {', '.join(failed)}", err=True)
    return 1 if failed else 0


def _done(folder: Path) -> bool:
    manifest = folder / "manifest.json"
    return manifest.exists() and not json.loads(manifest.read_text(encoding="utf-8"))["quick"]


def main() -> int:
    """Run the command line; the exit status."""
    try:
        status = command.main(standalone_mode=False)
    except InputError as error:
        click.echo(f"experiments: {error}", err=True)
        return 2
    except click.ClickException as error:
        click.echo(f"experiments: {error.format_message()}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main())
