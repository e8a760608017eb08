"""Algorithm and hardware together: width, batch and number format against accuracy and energy.

The reference perceptron is really trained on handwritten digits, with the operands of every matrix
product rounded to a format on the way forward and back (weights and optimizer in fp32); the same
step is evaluated on a small systolic chip that multiplies in that format.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from matplotlib.figure import Figure

from dse.front import non_dominated
from dse.plots import style
from experiments.report import Experiment, Report, main
from hwmodels import VARIANTS, evaluate
from hwmodels.accelerators.entry import KINDS
from hwmodels.workloads.datasets import Data, digits
from hwmodels.workloads.mlp import cross_entropy, initial_state, workload
from hwmodels.workloads.mlp_config import MlpConfig

FORMATS = {
    "fp32": ("#444444", "X"), "bf16": ("#0072B2", "o"), "fp8": ("#009E73", "s"),
    "int8": ("#E69F00", "^"), "int4": ("#D55E00", "v"),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    batches: tuple[int, ...] = (32, 256)
    formats: tuple[str, ...] = tuple(FORMATS)
    epochs: int = 30
    seeds: int = 4
    learning_rate: float = 2e-3
    array: int = 32
    clock_GHz: float = 0.5
    sram_MiB: float = 4.0


def run(report: Report, config: Config) -> None:
    """Train and evaluate every combination; the joint front."""
    data = digits()
    rows = []
    for width in config.widths:
        for batch in config.batches:
            step = _network(config, width, batch)
            for number_format in config.formats:
                accuracies = trained(step, data, number_format, config.seeds)
                rows.append({
                    "width": width, "batch": batch, "format": number_format,
                    "accuracy": float(np.mean(accuracies)),
                    "accuracy_spread": float(np.std(accuracies)),
                    **_hardware(config, step, number_format),
                })  # fmt: skip
    table = pd.DataFrame(rows)
    points = table[["accuracy", "energy_nJ", "throughput_per_s"]].to_numpy()
    table["on_front"] = non_dominated(points, maximise=(True, False, True))
    report.table("designs", table)
    front = table[table["on_front"]].sort_values("energy_nJ")
    report.table("front", front.drop(columns="on_front"), "Joint front")
    report.figure("codesign", _figure(table))
    _answer(report, table, config)


def _network(config: Config, width: int, batch: int) -> MlpConfig:
    return MlpConfig(
        name=f"digits-{width}-{batch}", widths=(64, width, width, 10), batch=batch,
        epochs=config.epochs, train_samples=1437, test_samples=360,
        learning_rate=config.learning_rate * (batch / 32) ** 0.5,
    )  # fmt: skip


def _hardware(config: Config, step: MlpConfig, number_format: str) -> dict[str, float]:
    """Energy of a sample and throughput of a 7 nm edge chip that multiplies in the format, without
    links, its steps sequenced in hardware."""
    chip = VARIANTS["systolic"](number_format=number_format).replace(
        **KINDS["dram_kind"]["lpddr5"], **KINDS["link_kind"]["none"], dram_stacks=1,
        rows=config.array, columns=config.array, arrays=1, vector_lanes=64,
        clock_GHz=config.clock_GHz, sram_capacity_MiB=config.sram_MiB,
        sram_bandwidth_B_per_cycle=256,
    )  # fmt: skip
    metrics = evaluate(chip, workload(step), runtime="none")
    return {
        "energy_nJ": float(metrics.energy) / step.batch * 1e9,
        "throughput_per_s": float(metrics.throughput),
        "power_W": float(metrics.power),
        "area_mm2": float(metrics.area) * 1e6,
    }


def rounded(x: jax.Array, number_format: str, gradient: bool = False) -> jax.Array:
    """`x` as the format holds it: integers and fp8 scaled to the tensor's largest magnitude.

    fp8 is e4m3 forward and e5m2 for gradients; integers are symmetric, rounded to nearest.
    """
    if number_format == "fp32":
        return x
    if number_format == "bf16":
        return x.astype(jnp.bfloat16).astype(jnp.float32)
    largest = jnp.maximum(jnp.max(jnp.abs(x)), 1e-30)
    if number_format == "fp8":
        kind = jnp.float8_e5m2 if gradient else jnp.float8_e4m3fn
        scale = float(jnp.finfo(kind).max) / largest
        return (x * scale).astype(kind).astype(jnp.float32) / scale
    steps = 2.0 ** (int(number_format[3:]) - 1) - 1
    return jnp.round(x * (steps / largest)) * (largest / steps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: jax.Array, w: jax.Array, number_format: str) -> jax.Array:
    """x @ w with rounded operands, and so are the products of its derivative."""
    return rounded(x, number_format) @ rounded(w, number_format)


def _forward(x: jax.Array, w: jax.Array, number_format: str) -> Any:
    kept = rounded(x, number_format), rounded(w, number_format)
    return kept[0] @ kept[1], kept


def _backward(number_format: str, kept: Any, slope: jax.Array) -> Any:
    x, w = kept
    slope = rounded(slope, number_format, gradient=True)
    return slope @ w.T, x.T @ slope


product.defvjp(_forward, _backward)


def logits(params: Any, x: jax.Array, number_format: str) -> jax.Array:
    """The reference network with rounded products."""
    for layer in params[:-1]:
        x = jax.nn.relu(product(x, layer["w"], number_format) + layer["b"])
    return product(x, params[-1]["w"], number_format) + params[-1]["b"]


def trained(step: MlpConfig, data: Data, number_format: str, seeds: int) -> np.ndarray:
    """Test accuracy after training from each of `seeds` starts, all at once."""
    optimizer = optax.adam(step.learning_rate)
    count = len(data.x_train) // step.batch

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return cross_entropy(logits(params, x, number_format), y)

    def update(state: Any, rows: jax.Array) -> Any:
        params, moments = state
        slope = jax.grad(loss)(params, data.x_train[rows], data.y_train[rows])
        updates, moments = optimizer.update(slope, moments, params)
        return (optax.apply_updates(params, updates), moments), None

    def epoch(state: Any, key: jax.Array) -> Any:
        order = jax.random.permutation(key, len(data.x_train))[: count * step.batch]
        return jax.lax.scan(update, state, order.reshape(count, step.batch))

    def one(key: jax.Array) -> jax.Array:
        start, shuffles = jax.random.split(key)
        state, _ = jax.lax.scan(
            epoch, initial_state(step, start), jax.random.split(shuffles, step.epochs)
        )
        guess = jnp.argmax(logits(state[0], data.x_test, number_format), axis=-1)
        return jnp.mean(guess == data.y_test)

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(step.seed), seeds)))


def _figure(table: pd.DataFrame) -> Figure:
    """Accuracy and throughput against energy; size of a mark is the width, a ring the front."""
    panels: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
        ("accuracy", "test error", lambda a: 1 - a),
        ("throughput_per_s", "throughput (samples/s)", lambda t: t),
    )
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 3.0), layout="constrained")
        for axes, (column, label, shown) in zip(figure.subplots(1, 2), panels, strict=True):
            for number_format, part in table.groupby("format", sort=False):
                colour, marker = FORMATS[str(number_format)]
                axes.scatter(
                    part["energy_nJ"], shown(part[column]), s=4 + 5 * np.log2(part["width"] / 4),
                    c=colour, marker=marker, alpha=0.8, linewidths=0, label=number_format,
                )  # fmt: skip
            best = table[table["on_front"]]
            axes.scatter(best["energy_nJ"], shown(best[column]), s=52, facecolors="none",
                         edgecolors=style.INK, linewidths=0.6, label="joint front")  # fmt: skip
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("energy (nJ/sample, training)")
            axes.set_ylabel(label)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    return figure


def _answer(report: Report, table: pd.DataFrame, config: Config) -> None:
    best = table.groupby("format", sort=False)["accuracy"].max()
    said = ", ".join(f"{name} {value:.1%}" for name, value in best.items())
    report.say(f"Best accuracy on unseen digits, mean of {config.seeds} seeds: {said}.")
    base = table[table["format"] == config.formats[0]].set_index(["width", "batch"])
    ratios = []
    for name in config.formats[1:]:
        part = table[table["format"] == name].set_index(["width", "batch"])
        saved = (base["energy_nJ"] / part["energy_nJ"]).median()
        lost = (base["accuracy"] - part["accuracy"]).median()
        ratios.append(f"{name} {saved:.2g}x less energy for {100 * lost:+.1f} points of error")
    report.say(f"Against {config.formats[0]}, same network, medians: {'; '.join(ratios)}.")
    for aim in (0.9, 0.95, 0.97):
        enough = table[table["accuracy"] >= aim]
        if len(enough):
            cheap = enough.loc[enough["energy_nJ"].idxmin()]
            report.say(
                f"{aim:.0%} accuracy takes {cheap['energy_nJ']:.3g} nJ a training sample at least: "
                f"width {cheap['width']}, batch {cheap['batch']}, {cheap['format']} "
                f"({cheap['throughput_per_s']:.3g} samples/s)."
            )
    front = table[table["on_front"]]
    counts = front["format"].value_counts()
    said = ", ".join(f"{name} {n}" for name, n in counts.items())
    report.say(f"On the joint front: {len(front)} of {len(table)} designs ({said}).")


EXPERIMENT = Experiment(
    "codesign",
    "Which width, batch and number format give accuracy for the least energy?",
    run,
    Config(),
    Config(widths=(8,), batches=(64,), formats=("bf16", "int4"), epochs=2, seeds=2),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
