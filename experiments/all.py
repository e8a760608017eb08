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

from dse.store import write_whole
from experiments.report import Experiment
from hwmodels import InputError
from hwmodels.errors import check_choice

PROGRESS = Path("runs") / "experiments-all.json"
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
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help=f"This one alone: {', '.join(NAMES)}; may be repeated.",
)
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped, after its last "
              "experiment that ended.")  # fmt: skip
def command(quick: bool, only: tuple[str, ...], resume: bool) -> int:
    """Answer all questions; the answers are in experiments/results/."""
    asked, failed = list(only or NAMES), []
    questions = {name: load(name).question for name in asked}
    done = _stopped(asked, quick) if resume else []
    for name, question in questions.items():
        if name in done:
            continue
        click.echo(f"\n== {name}: {question}", err=True)
        begin = time.monotonic()
        arguments = [sys.executable, "-m", f"experiments.{name}", *["--quick"] * quick]
        status = subprocess.run(arguments, check=False).returncode
        click.echo(f"== {name}: {time.monotonic() - begin:.0f} s", err=True)
        if status == 130:
            click.echo("experiments: go on with --resume", err=True)
            return status
        if status:
            failed.append(name)
        else:
            done.append(name)
            PROGRESS.parent.mkdir(exist_ok=True)
            noted = {"asked": asked, "quick": quick, "done": done}
            write_whole(PROGRESS, json.dumps(noted).encode())
    PROGRESS.unlink(missing_ok=True)
    if failed:
        click.echo(f"failed: {', '.join(failed)}", err=True)
    return 1 if failed else 0


def _stopped(asked: list[str], quick: bool) -> list[str]:
    """What a run of the same experiments had done; `InputError` if none was stopped."""
    noted = json.loads(PROGRESS.read_text(encoding="utf-8")) if PROGRESS.is_file() else {}
    if (noted.get("asked"), noted.get("quick")) != (asked, quick):
        raise InputError("--resume", PROGRESS, "no run of these experiments was stopped here")
    return list(noted["done"])


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
