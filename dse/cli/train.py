"""`dse train`: the reference trainer."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from dse.cli.common import print_json
from hwmodels import InputError
from hwmodels.errors import check_choice
from hwmodels.workloads import datasets, mlp

CONFIGS = {config.name: config for config in (mlp.MLP, mlp.MLP_LARGE)}


@click.command(
    epilog="""\b
Examples:
  dse train
  dse train --data digits
  dse train --widths 784,256,10 --batch 64 --optimizer sgd --learning-rate 0.1"""
)
@click.argument("config", default="mlp")
@click.option("--data", default="random", show_default=True, metavar="NAME",
              help="random samples, or digits: scikit-learn's handwritten digits.")  # fmt: skip
@click.option("--widths", metavar="N,N,...", help="Widths of input, hidden layers and classes.")
@click.option("--batch", type=int, help="Samples per step.")
@click.option("--epochs", type=int, help="Passes over the training samples.")
@click.option("--samples", "train_samples", type=int, help="Training samples.")
@click.option("--test-samples", type=int, help="Test samples.")
@click.option("--optimizer", metavar="NAME", help="adam or sgd.")
@click.option("--learning-rate", type=float, help="Step size.")
@click.option("--seed", type=int, help="Seed of weights, shuffling and random samples.")
@click.option("--json", "as_json", is_flag=True, help="Print the history as one JSON object.")
def command(config: str, data: str, widths: str | None, as_json: bool, **changes: Any) -> None:
    """Train the reference MLP and show loss and accuracy of every epoch.

    CONFIG is mlp (784-10-10-10, batch 32) or mlp-large (784-4096-4096-10, batch 1024); options
    override it. With --data digits the default is a configuration that learns them.
    """
    check_choice("--data", data, ("random", "digits"))
    check_choice("config", config, CONFIGS)
    base = mlp.MLP_DIGITS if data == "digits" and config == "mlp" else CONFIGS[config]
    given = {name: value for name, value in changes.items() if value is not None}
    if widths is not None:
        given["widths"] = _widths(widths)
    if given.get("max_global_batch") is None and "train_samples" in given:
        given["max_global_batch"] = None
    settings = dataclasses.replace(base, **given)
    samples = (
        datasets.digits(settings.train_samples, settings.test_samples, settings.seed)
        if data == "digits"
        else datasets.random_samples(settings)
    )

    def report(epoch: mlp.Epoch) -> None:
        if not as_json:
            click.echo(
                f"epoch {epoch.epoch:3d}/{settings.epochs}  loss {epoch.loss:.4f}  "
                f"accuracy {epoch.accuracy:6.1%}  {epoch.seconds:.2f} s"
            )

    result = mlp.train(settings, samples, report)
    if as_json:
        print_json({
            "config": dataclasses.asdict(settings), "data": data, "device": result.device,
            "history": [dataclasses.asdict(epoch) for epoch in result.history],
            "test_accuracy": result.test_accuracy, "densities": result.densities,
        })  # fmt: skip
        return
    dense = ", ".join(f"{name} {value:.1%}" for name, value in result.densities.items())
    click.echo(f"test accuracy {result.test_accuracy:.1%} on {settings.test_samples} samples")
    click.echo(f"non-zero activations: {dense or 'no hidden layer'}")
    click.echo(f"device: {result.device}")


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise InputError(
            "--widths", text, "allowed: whole numbers and commas, as in 784,10,10"
        ) from None
