"""Sizes and settings of the reference trainer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import optax

from hwmodels.errors import InputError, check_choice

OPTIMIZERS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "adam": optax.adam,
    "sgd": optax.sgd,
}


def _check_integer(field: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(field, value, f"allowed: an integer >= {least}")


@dataclass(frozen=True)
class MlpConfig:
    """Sizes and settings of one training run.

    Args:
      widths: of the input, each hidden layer and the classes.
      batch: samples per step.
      epochs: passes over the training samples; each shuffles them and leaves out the last
        partial batch (of 1000 samples at batch 32: eight).
      train_samples, test_samples: number of samples.
      optimizer: "adam" (optax's defaults) or "sgd".
      learning_rate: step size.
      seed: of the weights, the shuffling and the random samples.
      max_global_batch: largest sensible global batch; default: the training samples.
    """

    name: str = "mlp"
    widths: tuple[int, ...] = (784, 10, 10, 10)
    batch: int = 32
    epochs: int = 10
    train_samples: int = 1000
    test_samples: int = 100
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    seed: int = 0
    max_global_batch: int | None = None

    def __post_init__(self) -> None:
        if len(self.widths) < 2:
            raise InputError(
                "widths", self.widths, "allowed: at least an input and an output width"
            )
        for width in self.widths:
            _check_integer("widths", width, 1)
        for field in ("batch", "epochs", "train_samples", "test_samples"):
            _check_integer(field, getattr(self, field), 1)
        _check_integer("seed", self.seed, 0)
        if self.batch > self.train_samples:
            raise InputError(
                "batch", self.batch, f"allowed: at most train_samples, {self.train_samples}"
            )
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError("learning_rate", self.learning_rate, "allowed: finite and > 0")
        if self.max_global_batch is not None:
            _check_integer("max_global_batch", self.max_global_batch, self.batch)

    @property
    def hidden_names(self) -> tuple[str, ...]:
        """Names of the hidden activations, as `densities` uses them: hidden_1, hidden_2, ..."""
        return tuple(f"hidden_{layer}" for layer in range(1, len(self.widths) - 1))


MLP = MlpConfig()
# The limit of 4,194,304 samples is an assumption: 4,096 chips at this per-chip batch, of the order
# of the global batches (in tokens) that large language models train with.
MLP_LARGE = MlpConfig(
    name="mlp-large",
    widths=(784, 4096, 4096, 10),
    batch=1024,
    train_samples=10_240,
    test_samples=1024,
    max_global_batch=4_194_304,
)
# Learns scikit-learn's 8x8 handwritten digits in seconds.
MLP_DIGITS = MlpConfig(
    name="mlp-digits", widths=(64, 64, 32, 10), epochs=30, train_samples=1437, test_samples=360
)
