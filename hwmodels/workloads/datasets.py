"""Data for the reference trainer: random samples, and scikit-learn's handwritten digits."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from hwmodels.errors import InputError
from hwmodels.workloads.mlp_config import MlpConfig

_DIGITS = 1797


@dataclass(frozen=True, eq=False)
class Data:
    """Samples (n, width) in float32 and labels (n,) in int32, for training and for testing."""

    x_train: jax.Array
    y_train: jax.Array
    x_test: jax.Array
    y_test: jax.Array
    classes: int

    @property
    def width(self) -> int:
        """Numbers per sample."""
        return int(self.x_train.shape[1])


def random_samples(config: MlpConfig, key: jax.Array | None = None) -> Data:
    """Uniform samples in [0, 1) with random labels, as many as `config` wants.

    There is nothing to learn in them: they exercise the step, not the model.
    """
    key = jax.random.key(config.seed) if key is None else key
    x_train, y_train, x_test, y_test = _random(config, key)
    return Data(x_train, y_train, x_test, y_test, config.widths[-1])


@functools.partial(jax.jit, static_argnums=0)
def _random(config: MlpConfig, key: jax.Array) -> tuple[jax.Array, ...]:
    samples, labels = jax.random.split(key)
    total, n = config.train_samples + config.test_samples, config.train_samples
    x = jax.random.uniform(samples, (total, config.widths[0]), jnp.float32)
    y = jax.random.randint(labels, (total,), 0, config.widths[-1], jnp.int32)
    return x[:n], y[:n], x[n:], y[n:]


def digits(train_samples: int = 1437, test_samples: int = 360, seed: int = 0) -> Data:
    """Scikit-learn's 1797 bundled handwritten digits (8x8, width 64, scaled to [0, 1]), shuffled.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            "data", "digits", "needs scikit-learn, the extra [digits]: pip install -e '.[digits]'"
        ) from None
    for field, value in (("train_samples", train_samples), ("test_samples", test_samples)):
        if value < 1 or train_samples + test_samples > _DIGITS:
            raise InputError(field, value, f"allowed: >= 1, with all samples at most {_DIGITS}")
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))[: train_samples + test_samples]
    samples = jnp.asarray(x[order] / 16.0, jnp.float32)
    labels = jnp.asarray(y[order], jnp.int32)
    n = train_samples
    return Data(samples[:n], labels[:n], samples[n:], labels[n:], classes=10)
