"""Fit what a training framework reaches of a cluster's peaks, and say how far that can be trusted.

    python -m experiments.fit_training training FILE
    python -m experiments.fit_training fsdp FILE

FILE: the columns of `dse validate training` or `fsdp`. Minimises a robust log error (linear beyond
2%) over six shares, each with a weak prior (one logit unit around what is usual), by Adam through
the model. Prints the shares, the error in sample, with each row's group left out (FSDP: a GPU type;
Megatron-LM: one row), and the range of the shares over these fits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dse.validation import fsdp, training
from dse.validation.llm import Framework, Steps
from dse.validation.tables import read_table

USUAL = Framework(0.8, 0.6, 0.5, 0.8, 0.8, 0.3)
PRIOR = 0.01  # of a squared logit unit, against a row's log error
LINEAR, STEPS, RATE = 0.02, 300, 0.05


def main(arguments: Sequence[str]) -> int:
    """Fit and print."""
    kind, path = arguments
    module: Any = {"training": training, "fsdp": fsdp}[kind]
    table = read_table(path, module.COLUMNS)
    rows = list(table.rows())
    steps = Steps([module.job_of(table, row) for row in rows])
    if kind == "fsdp":
        measured = np.asarray([100 * fsdp.work_share(table, r) / r[fsdp.MFU] for r in rows])
        groups = np.asarray([row["GPU"] for row in rows])
    else:
        measured = np.asarray([row[training.SECONDS] for row in rows])
        groups = np.arange(len(rows)).astype(str)

    def fit(weights: np.ndarray) -> Framework:
        return _fit(steps, jnp.asarray(measured), jnp.asarray(weights, jnp.float32))

    every = fit(np.ones(len(rows)))
    errors = np.abs(np.asarray(steps.times(every)) / measured - 1.0)
    print("shares", {name: round(float(x), 3) for name, x in vars(every).items()})
    print(f"in sample: mape {errors.mean():.4f}, largest {errors.max():.3f}")
    left, shares = np.zeros(len(rows)), []
    for group in np.unique(groups):
        found = fit((groups != group).astype(float))
        shares.append([float(x) for x in vars(found).values()])
        mine = groups == group
        left[mine] = np.abs(np.asarray(steps.times(found)) / measured - 1.0)[mine]
        print(f"without {group}: mape of it {left[mine].mean():.4f}")
    print(f"left out: mape {left.mean():.4f}, largest {left.max():.3f}")
    low, high = np.min(shares, axis=0), np.max(shares, axis=0)
    for name, a, b in zip(vars(every), low, high, strict=True):
        print(f"  {name}: {a:.3f} to {b:.3f}")
    return 0


def _fit(steps: Steps, measured: Any, weights: Any) -> Framework:
    centre = jax.tree.map(lambda x: jnp.log(x / (1.0 - x)), USUAL)

    def loss(logits: Framework) -> Any:
        times = steps.times(jax.tree.map(jax.nn.sigmoid, logits))
        wrong = jnp.sqrt(jnp.log(times / measured) ** 2 + LINEAR**2)
        away = jax.tree.map(lambda x, y: (x - y) ** 2, logits, centre)
        return jnp.sum(weights * wrong) + PRIOR * sum(jax.tree.leaves(away))

    slope = jax.jit(jax.grad(loss))
    optimizer = optax.adam(RATE)
    logits = jax.tree.map(jnp.asarray, centre)
    state = optimizer.init(logits)
    for _ in range(STEPS):
        updates, state = optimizer.update(slope(logits), state)
        logits = optax.apply_updates(logits, updates)
    found: Framework = jax.tree.map(lambda x: float(jax.nn.sigmoid(x)), logits)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
