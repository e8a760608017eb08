"""The `dse` command: one file a subcommand, imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from hwmodels.errors import InputError

GROUPS = {
    "Find designs": {
        "pareto": "Sweep all variants on a workload, refine by gradient, draw the Pareto front.",
        "sweep": "Sweep a space to its exact front: a grid, random designs, or a table; resumable.",
        "search": "Search spaces for their front by gradient; prices of budgets.",
        "robust": "Rank a front's designs by their chance under uncertain technology.",
        "plot": "Draw a run's front again, and the page that explores it.",
    },
    "Look at a chip": {
        "evaluate": "One chip on a workload: time, bound and energy of each operation.",
        "compare": "Two chips on a workload: the difference by operation and by term.",
        "sensitivity": "What a chip's metrics answer to; what must improve to reach a target.",
        "chips": "List real chips: predicted against published area and power.",
    },
    "Look at a workload": {
        "trace": "Print the operations of a training step.",
        "train": "Train the reference MLP.",
    },
    "Check the models": {
        "validate": "Compare the models with measurements.",
        "calibrate": "Fit a chip's free constants to measured matrix products.",
        "bench": "Measure designs and gradients per second against NumPy.",
    },
}
COMMANDS = {name: words for group in GROUPS.values() for name, words in group.items()}


class Commands(click.Group):
    """Subcommands of `COMMANDS`, each the function `command` of dse.cli.<name>."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one subcommand; unknown names raise `InputError` with the nearest one."""
        from hwmodels.errors import check_choice

        check_choice("command", name, COMMANDS)
        command: click.Command = importlib.import_module(f"dse.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without importing (and so without starting JAX)."""
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(list(group.items()))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="chipgrad", prog_name="dse")
def cli() -> None:
    """Explore designs of deep-learning chips: which chip for this training job, and what would
    each extra watt, mm2 or link buy?

    \b
    Start with:   dse pareto
    Completion:   eval "$(_DSE_COMPLETE=bash_source dse)"    (or zsh_source, fish_source)
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for bad input, 130 for Ctrl-C."""
    # Wide vectors are worth some 20% on AVX-512 machines, and XLA does not choose them itself.
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_prefer_vector_width" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_prefer_vector_width=512".strip()
    try:
        status = cli.main(args=arguments, prog_name="dse", standalone_mode=False)
    except InputError as error:
        return _complain(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "dse"
        return _complain(f"{error.format_message()} (see {where} --help)")
    except click.ClickException as error:
        return _complain(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        print("dse: interrupted; nothing was written", file=sys.stderr)
        return 130
    return status if isinstance(status, int) else 0


def _complain(message: str) -> int:
    print("dse:", " ".join(message.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
