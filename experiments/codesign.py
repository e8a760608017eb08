"""Algorithm and hardware together: width, batch and number format against accuracy and energy.

The reference perceptron is really trained on handwritten digits, with the operands of every matrix
product rounded to a format on the way forward and back; the same step, its rounding included, is
evaluated on a small systolic chip sized to the network. Accuracy is cross-validated, so that each
sample is tested once, and comes with its error.

Integer formats are for inference, and chips that have only them fail the model's `format` margin in
training. It is overridden here: whether they train this network is what is asked.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.stats import t as student

from dse.front import non_dominated
from experiments.codesign_figure import codesign_figure
from experiments.codesign_hardware import PARTS, costs
from experiments.codesign_training import GRIDS, trained
from experiments.report import Experiment, Report, main
from hwmodels.workloads.datasets import digits
from hwmodels.workloads.mlp import workload
from hwmodels.workloads.mlp_config import MlpConfig

Design = tuple[int, int, str]  # width, batch, format
KEYS = ["width", "batch", "format"]


@dataclass(frozen=True)
class Config:
    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    batches: tuple[int, ...] = (32, 256)
    formats: tuple[str, ...] = tuple(GRIDS)
    epochs: int = 30
    folds: int = 10
    learning_rate: float = 2e-3
    clock_GHz: float = 0.5
    shown: tuple[int, int] = (32, 256)  # width and batch whose energy is split in figure and answer


def run(report: Report, config: Config) -> None:
    """Train and evaluate every combination; the joint front."""
    sizes = list(itertools.product(config.widths, config.batches))
    networks = [_network(config, *size) for size in sizes]
    data = digits()
    x = jnp.concatenate([data.x_train, data.x_test])
    y = jnp.concatenate([data.y_train, data.y_test])
    runs: dict[Design, np.ndarray] = {
        (*size, name): accuracies
        for size, network in zip(sizes, networks, strict=True)
        for name, accuracies in zip(
            config.formats, trained(network, x, y, config.formats, config.folds), strict=True
        )
    }
    steps, widths = [workload(network) for network in networks], [width for width, _ in sizes]
    cost = {
        (*size, name): found
        for name in config.formats
        for size, found in zip(sizes, costs(steps, widths, name, config.clock_GHz), strict=True)
    }
    table = pd.DataFrame(
        {
            **dict(zip(KEYS, design, strict=True)),
            "accuracy": float(np.mean(accuracies)),
            "standard_error": float(np.std(accuracies, ddof=1) / len(accuracies) ** 0.5),
            **cost[design],
        }
        for design, accuracies in runs.items()
    )
    table["front"] = _standing(table, runs)
    report.table("designs", table)
    front = table[table["front"] != ""].sort_values("dynamic_nJ")
    report.table("front", front, "Joint front: accuracy, dynamic energy, throughput")
    report.figure("codesign", codesign_figure(table, config.shown))
    _answer(report, table, runs, config)


def _network(config: Config, width: int, batch: int) -> MlpConfig:
    return MlpConfig(
        name=f"digits-{width}-{batch}", widths=(64, width, width, 10), batch=batch,
        epochs=config.epochs, learning_rate=config.learning_rate * (batch / 32) ** 0.5,
    )  # fmt: skip


def half_width(differences: np.ndarray) -> float:
    """Of the 95% interval of the mean of paired differences, by Student's t.

    Folds share training samples, so it is somewhat too narrow (Nadeau and Bengio, 2003).
    """
    count = len(differences)
    spread = float(np.std(differences, ddof=1)) / count**0.5
    return float(student.ppf(0.975, count - 1)) * spread


def _standing(table: pd.DataFrame, runs: dict[Design, np.ndarray]) -> list[str]:
    """Of each design: "" off the front, "clear" on it; "tie" on it, but a design of no more energy
    and no less throughput is less accurate by no more than noise."""
    points = table[["accuracy", "dynamic_nJ", "throughput_per_s"]].to_numpy()
    on_front = non_dominated(points, maximise=(True, False, True))
    designs = list(table[KEYS].itertuples(index=False, name=None))
    found = []
    for i, (_, energy, rate) in enumerate(points):
        rivals = np.flatnonzero((points[:, 1] <= energy) & (points[:, 2] >= rate))
        gains = [runs[designs[i]] - runs[designs[j]] for j in rivals if j != i]
        tie = any(float(np.mean(gain)) <= half_width(gain) for gain in gains)
        found.append(("tie" if tie else "clear") if on_front[i] else "")
    return found


def _answer(
    report: Report, table: pd.DataFrame, runs: dict[Design, np.ndarray], config: Config
) -> None:
    pairs = [
        half_width(runs[(*size, a)] - runs[(*size, b)])
        for size in itertools.product(config.widths, config.batches)
        for a, b in itertools.combinations(config.formats, 2)
    ]
    noise = 100 * float(np.median(pairs))
    report.say(
        f"Accuracy on unseen digits is the mean of {config.folds} folds, which test every sample "
        f"once, each from a start of its own: standard error "
        f"{100 * table['standard_error'].median():.2g} points (median of {len(table)} designs). "
        f"Between formats on one network, on the same folds and starts, differences below "
        f"{noise:.2g} points are noise (median 95% interval)."
    )
    best = table.loc[table.groupby("format", sort=False)["accuracy"].idxmax()]
    said = ", ".join(
        f"{r['format']} {r['accuracy']:.1%} (+-{r['standard_error']:.1%})"
        for _, r in best.iterrows()
    )
    report.say(
        f"Best network of each format, chosen on the same folds, with its standard error: {said}."
    )
    _answer_formats(report, table, runs, config)
    for aim in (0.9, 0.95, 0.97):
        enough = table[table["accuracy"] >= aim]
        if len(enough):
            cheap = enough.loc[enough["dynamic_nJ"].idxmin()]
            report.say(
                f"{aim:.0%} accuracy takes {cheap['dynamic_nJ']:.3g} nJ of dynamic energy a "
                f"training sample at least: width {cheap['width']}, batch {cheap['batch']}, "
                f"{cheap['format']} ({cheap['accuracy']:.1%} +- {cheap['standard_error']:.1%}, "
                f"{cheap['throughput_per_s']:.3g} samples/s)."
            )
    front = table[table["front"] != ""]
    counts = front["format"].value_counts()
    said = ", ".join(f"{name} {n}" for name, n in counts.items())
    report.say(
        f"On the joint front of accuracy, dynamic energy and throughput: {len(front)} of "
        f"{len(table)} designs ({said}); {(front['front'] == 'tie').sum()} are ties, no more "
        "accurate beyond noise than a design that costs no more and is as fast."
    )
    _answer_energy(report, table, config)


def _answer_formats(
    report: Report, table: pd.DataFrame, runs: dict[Design, np.ndarray], config: Config
) -> None:
    """Each format against the first one, over all networks."""
    first, *others = config.formats
    energy = table.set_index(KEYS)["dynamic_nJ"]
    sizes = list(itertools.product(config.widths, config.batches))
    said = []
    for name in others:
        lost = [runs[(*size, first)] - runs[(*size, name)] for size in sizes]
        mean = np.mean(lost, axis=0)
        saved = [energy[(*size, first)] / energy[(*size, name)] for size in sizes]
        said.append(
            f"{name} {np.median(saved):.2g}x less ({min(saved):.2g} to {max(saved):.2g}) for "
            f"{100 * np.mean(mean):+.2g} +- {100 * half_width(mean):.1g} points of error"
        )
    report.say(
        f"Dynamic energy against {first}, same network, median and range, and mean error over "
        f"{len(sizes)} networks with its 95% interval: {'; '.join(said)}."
    )


def _answer_energy(report: Report, table: pd.DataFrame, config: Config) -> None:
    """What the energy is made of."""
    width, batch = config.shown
    part = table[(table["width"] == width) & (table["batch"] == batch)]
    for _, row in part[part["format"].isin(["bf16", "int8"])].iterrows():
        shares = ", ".join(f"{p} {row[f'{p}_nJ'] / row['dynamic_nJ']:.0%}" for p in PARTS)
        report.say(
            f"Width {width}, batch {batch}, {row['format']}: {row['dynamic_nJ']:.3g} nJ dynamic "
            f"({shares}), {row['static_nJ']:.3g} nJ static."
        )
    over = table["static_nJ"] / table["dynamic_nJ"]
    report.say(
        f"Static energy (leakage, clock tree, idle) is {over.min():.2g} to {over.max():.2g} times "
        "the dynamic and left out of the comparison: the model puts a host interface of 10 mm2 and "
        f"the idle power of datacentre chips on a die of {table['area_mm2'].min():.3g} to "
        f"{table['area_mm2'].max():.3g} mm2, and neither is a parameter. Rounding is charged to "
        "the vector unit, a second pass over memory for the maximum is not."
    )
    report.say(
        "int8 and int4 fail the model's `format` margin in training, which is overridden here: "
        "they are emulated, with sums, weights and optimizer in fp32."
    )


EXPERIMENT = Experiment(
    "codesign",
    "Which width, batch and number format give accuracy for the least energy?",
    run,
    Config(),
    Config(widths=(8,), batches=(64,), formats=("bf16", "int4"), epochs=2, folds=3, shown=(8, 64)),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
