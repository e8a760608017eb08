"""Fit a chip's free constants to measured matrix products: `calibrate(chip, file)`.

The constants are those of `chip.tuning`. Each is a number u on the real line: the logit of a share
(0 to 1), or the log of what has a scale. Maximum a posteriori over u and the noise s:

    log p = sum log t4((log predicted - log measured) / s) - n log s - sum (u - mean)^2 / (2 sd^2)

with Student's t of four degrees of freedom, as a compiler's bad choice is no noise, and Gaussian
priors (`dse.priors`). The model is the one that sweeps use, exact, in float64; L-BFGS descends it.
Uncertainty is Laplace's: the inverse Hessian of -log p at its minimum, stated as the 68% interval
of each constant, noise included. Held-out errors are of rows that a fit did not see: one row at a
time, from `LEAVE_ONE_OUT` rows on one tenth at a time.

The energy scale is free only where something measured depends on it: a column power_W, or, as one
more datum good to 2%, the sustained clock that the chip's file publishes, as the power cap sets it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from dse.priors import ENERGY_SCALE, PRIORS, Prior
from dse.validation.gemm import COLUMNS, LATENCY, MICRO, POWER, measure, products
from dse.validation.tables import Table, read_table
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.catalog import ChipEntry, find_entry, load_entry
from hwmodels.errors import InputError
from hwmodels.quantity import Quantity, quantities
from hwmodels.workloads.numeric import Operations

FREEDOM = 4.0
LEAVE_ONE_OUT = 50  # rows up to which each is held out alone
FOLDS = 10
STEPS = 80  # of L-BFGS; fits end within 30
NOISE = (math.log(0.1), 0.5)  # prior of log s
CLOCK_SPREAD = 0.02
SUSTAINED = "sustained_clock_GHz"
FITTED, PRIOR_ALONE = "fitted", "prior, not informed by the data"
DEVIATION = 1.0  # 68% of a Gaussian
# An interval this wide, over the prior's, says that the rows told nothing of a constant.
AS_WIDE = 0.9


@dataclass(frozen=True)
class Fit:
    """What came of a calibration.

    constants: fields of `Tuning` -> value and 68% interval, SI, with the prior's median. noise: the
    spread s of log errors. table: the rows with `predicted_<column>` and `held_out_<column>`.
    mape, held_out_mape: of latencies, the latter None of one row alone. chip: the accelerator with
    the constants in place. uninformed: fields of `Tuning` whose interval is as wide as the prior's.
    """

    entry: ChipEntry
    path: Path
    chip: Accelerator
    constants: dict[str, dict[str, float]]
    noise: float
    table: pd.DataFrame
    mape: float
    held_out_mape: float | None
    folds: int
    uninformed: tuple[str, ...] = ()

    def named(self) -> dict[str, dict[str, float]]:
        """The constants by boundary name, such as `tuning_overhead_us`, in the units of those."""
        return {
            number.name: {key: value / number.scale for key, value in self.constants[field].items()}
            for field, number in self._numbers.items()
        }

    def rests_on(self) -> dict[str, str]:
        """By boundary name: what a constant's value comes from."""
        return {
            number.name: PRIOR_ALONE if field in self.uninformed else FITTED
            for field, number in self._numbers.items()
        }

    @property
    def _numbers(self) -> dict[str, Quantity]:
        by_path = {q.path: q for q in quantities(type(self.chip)).values()}
        return {field: by_path["tuning", field] for field in self.constants}


def calibrate(chip: str | Path, path: str | Path) -> Fit:
    """Fit `chip`, by catalog name or TOML file, to the rows of its device in a CSV file.

    The columns are those of `dse validate gemm`: device, dtype, M, N, K, latency_us and, if
    measured, power_W.

    Raises:
      InputError: no such chip, a bad file, or no row of this chip in it.
    """
    entry = load_entry(chip)
    table = _own_rows(entry, read_table(path, COLUMNS))
    with jax.enable_x64(True):
        return _fit(entry, table)


def _own_rows(entry: ChipEntry, table: Table) -> Table:
    devices = table.frame["device"]
    mine = [device for device in devices.unique() if _same(entry, device)]
    if not mine:
        raise InputError(
            f"{table.path}, device", ", ".join(devices.unique()), f"no row of {entry.key}"
        )
    frame = table.frame[devices.isin(mine)].reset_index(drop=True)
    if len(frame["dtype"].unique()) > 1:
        raise InputError(
            f"{table.path}, dtype", ", ".join(frame["dtype"].unique()),
            "one format a fit: efficiencies differ by format",
        )  # fmt: skip
    return Table(table.path, frame)


def _same(entry: ChipEntry, device: str) -> bool:
    found = find_entry(device)
    names = {name.lower() for name in (entry.key, entry.name, *entry.aliases)}
    return device.lower() in names or (found is not None and found.key == entry.key)


def _fit(entry: ChipEntry, table: Table) -> Fit:
    frame = table.frame
    chip = entry.capped().replace(number_format=str(frame["dtype"].iloc[0]))
    priors = dict(PRIORS[entry.variant])
    sustained = entry.published.get(SUSTAINED)
    if frame[POWER].notna().any() or sustained is not None:
        priors["energy_scale"] = ENERGY_SCALE
    sizes = list(frame[["M", "N", "K"]].itertuples(index=False, name=None))
    operations = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float64), products(sizes, chip.number_format)
    )
    measured = jnp.asarray(np.log(frame[[LATENCY, POWER]].to_numpy(np.float64) * [MICRO, 1.0]))
    clock = None if sustained is None else math.log(sustained.number * 1e9)
    count = len(frame)
    weights = np.concatenate([np.ones((1, count)), _folds(count)])

    # Compiled, so that the search traces it once for all the places where it calls it.
    loss = jax.jit(functools.partial(_loss, chip, priors, operations, measured, clock))
    start = jnp.asarray([*(p.real(p.median) for p in priors.values()), NOISE[0]])
    fitted = jax.jit(jax.vmap(lambda w: _descend(lambda u: loss(u, w), start)))(weights)
    best = fitted[0]
    covariance = _inverse(np.asarray(jax.jit(jax.hessian(loss))(best, jnp.ones(count))))
    predict = jax.jit(jax.vmap(lambda u: _predict(chip, priors, operations, u)[0]))
    predicted = np.exp(np.asarray(predict(fitted)))  # [1 + folds, rows, 2]
    held_out = np.full((count, 2), np.nan)
    for fold, weight in zip(predicted[1:], weights[1:], strict=True):
        held_out[weight == 0] = fold[weight == 0]

    frame = frame.copy()
    for i, (name, unit) in enumerate(((LATENCY, MICRO), (POWER, 1.0))):
        frame[f"predicted_{name}"] = predicted[0, :, i] / unit
        frame[f"held_out_{name}"] = held_out[:, i] / unit
    return Fit(
        entry=entry, path=table.path,
        chip=_tuned(chip, priors, jax.tree.map(float, list(np.asarray(best)))),
        constants=_constants(priors, np.asarray(best), covariance),
        noise=float(np.exp(best[-1])), table=frame, folds=len(weights) - 1,
        mape=_mape(frame, "predicted"),
        held_out_mape=_mape(frame, "held_out") if count > 1 else None,
        uninformed=_uninformed(priors, covariance),
    )  # fmt: skip


def _folds(count: int) -> np.ndarray:
    """Weights [folds, rows]: 0 for the rows that a fold holds out."""
    if count < 2:
        return np.zeros((0, count))
    folds = count if count <= LEAVE_ONE_OUT else FOLDS
    which = np.random.default_rng(0).permutation(count) % folds
    return (which != np.arange(folds)[:, None]).astype(np.float64)


def _tuned(chip: Any, priors: Mapping[str, Prior], u: Any) -> Any:
    """`chip` with its constants at the point `u` (its last entry is the noise)."""
    values = {name: prior.value(u[i]) for i, (name, prior) in enumerate(priors.items())}
    return dataclasses.replace(chip, tuning=dataclasses.replace(chip.tuning, **values))


def _predict(chip: Any, priors: Mapping[str, Prior], operations: Operations, u: Any) -> Any:
    """Logs of latency and power [rows, 2], and of the clock."""
    metrics = measure(_tuned(chip, priors, u), operations)
    return jnp.log(jnp.stack([metrics.time, metrics.power], axis=-1)), jnp.log(metrics.clock[0])


def _loss(
    chip: Any, priors: Mapping[str, Prior], operations: Operations, measured: Any,
    clock: float | None, u: Any, weights: Any,
) -> Any:  # fmt: skip
    """-log p of the module docstring; rows of weight 0 do not count."""
    predicted, ran_at = _predict(chip, priors, operations, u)
    there = jnp.isfinite(measured)
    noise = jnp.exp(u[-1])
    miss = jnp.where(there, predicted - jnp.where(there, measured, 0.0), 0.0) / noise
    rows = 0.5 * (FREEDOM + 1.0) * jnp.log1p(miss**2 / FREEDOM) + jnp.log(noise)
    total = (rows * there * weights[:, None]).sum() + 0.5 * ((u[-1] - NOISE[0]) / NOISE[1]) ** 2
    for i, prior in enumerate(priors.values()):
        total += 0.5 * ((u[i] - prior.real(prior.median)) / prior.deviation) ** 2
    if clock is not None:
        total += 0.5 * ((ran_at - clock) / CLOCK_SPREAD) ** 2
    return total


def _descend(loss: Callable[[Any], Any], start: Any) -> Any:
    """The lowest point that L-BFGS comes by."""
    solver = optax.lbfgs()
    value_and_slope = optax.value_and_grad_from_state(loss)

    def step(carry: Any, _: None) -> tuple[Any, None]:
        u, state, least, best = carry
        value, slope = value_and_slope(u, state=state)
        better = value < least
        least, best = jnp.where(better, value, least), jnp.where(better, u, best)
        move, state = solver.update(slope, state, u, value=value, grad=slope, value_fn=loss)
        return (optax.apply_updates(u, move), state, least, best), None

    carry = (start, solver.init(start), jnp.asarray(jnp.inf, start.dtype), start)
    return jax.lax.scan(step, carry, None, length=STEPS)[0][3]


def _inverse(hessian: np.ndarray) -> np.ndarray:
    """Covariance; directions in which the loss does not curve upwards, at a kink, count as wide
    as the widest prior."""
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    widest = max(p.deviation for priors in PRIORS.values() for p in priors.values())
    return (vectors / np.maximum(values, widest**-2)) @ vectors.T


def _constants(
    priors: Mapping[str, Prior], best: np.ndarray, covariance: np.ndarray
) -> dict[str, dict[str, float]]:
    spread = DEVIATION * np.sqrt(np.diag(covariance))
    return {
        name: {
            "value": float(prior.value(best[i])),
            "low": float(prior.value(best[i] - spread[i])),
            "high": float(prior.value(best[i] + spread[i])),
            "prior": prior.median,
        }
        for i, (name, prior) in enumerate(priors.items())
    }


def _uninformed(priors: Mapping[str, Prior], covariance: np.ndarray) -> tuple[str, ...]:
    spread = np.sqrt(np.diag(covariance))
    return tuple(
        name for i, (name, prior) in enumerate(priors.items())
        if spread[i] >= AS_WIDE * prior.deviation
    )  # fmt: skip


def _mape(frame: pd.DataFrame, which: str) -> float:
    return float((frame[f"{which}_{LATENCY}"] / frame[LATENCY] - 1.0).abs().mean())
