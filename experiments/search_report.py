"""Tables and figures of `experiments.search_comparison`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dse.plots import style

# Okabe and Ito's colours; lines tell apart those of the same method by two packages.
LOOKS = {
    "random": ("#999999", "-", "random"),
    "sobol": ("#555555", "--", "Sobol"),
    "nsga2": ("#0072B2", "-", "NSGA-II (pymoo)"),
    "optuna_nsga2": ("#56B4E9", "--", "NSGA-II (Optuna)"),
    "nsga3": ("#009E73", "-", "NSGA-III (pymoo)"),
    "sms_emoa": ("#CC79A7", "-", "SMS-EMOA (pymoo)"),
    "tpe": ("#E69F00", "--", "TPE (Optuna)"),
    "gradient": ("#D55E00", "-", "gradient search"),
}
LEAST = 1e-5  # shares below are drawn here
LIBRARIES = ("jax", "numpy", "moocore", "pymoo", "optuna")
STEPS = 300  # of a drawn curve


def at(curve: pd.DataFrame, axis: str, grid: np.ndarray) -> np.ndarray:
    """The share reached by each of `grid`, evaluations or seconds: that of the last batch done."""
    batches = np.searchsorted(curve[axis].to_numpy(), grid, side="right")
    return np.concatenate([[0.0], curve["ratio"].to_numpy()])[batches]


def reaching(curve: pd.DataFrame, target: float) -> tuple[float, float]:
    """Evaluations and seconds after which a search has the share `target`; infinite if never."""
    rows = curve[curve["ratio"] >= target]
    if not len(rows):
        return np.inf, np.inf
    return float(rows["evaluations"].iloc[0]), float(rows["seconds"].iloc[0])


def table(curves: pd.DataFrame) -> pd.DataFrame:
    """A row for each space and method.

    `ratio`: median share of the reference front's hypervolume at the end, and its quartiles;
    `to_best`: median evaluations and seconds to the best baseline's own median `ratio`, infinite
    where fewer than half of the seeds get there, `reached` of them; `speedup`: the best
    baseline's seconds to there over the method's.
    """
    rows = []
    for name, group in curves.groupby("space", sort=False):
        searches = {
            method: [curve for _, curve in some.groupby("seed")]
            for method, some in group.groupby("method", sort=False)
        }
        final = {m: [c["ratio"].iloc[-1] for c in some] for m, some in searches.items()}
        medians = {m: np.median(values) for m, values in final.items() if m != "gradient"}
        best = max(medians or {m: np.median(v) for m, v in final.items()}, key=medians.get)
        reached = {m: [reaching(c, medians[best]) for c in some] for m, some in searches.items()}
        # With an even number of seeds the median may lie between one that got there and one
        # that did not: the lower of the two is meant.
        middle = {
            m: np.quantile(values, 0.5, axis=0, method="lower") for m, values in reached.items()
        }
        for method, some in searches.items():
            low, median, high = np.quantile(final[method], [0.25, 0.5, 0.75])
            rows.append({
                "space": name, "method": method, "ratio": median, "q25": low, "q75": high,
                "evaluations": int(np.median([c["evaluations"].iloc[-1] for c in some])),
                "seconds": np.median([c["seconds"].iloc[-1] for c in some]),
                "to_best_evaluations": middle[method][0], "to_best_s": middle[method][1],
                "reached": sum(np.isfinite(e) for e, _ in reached[method]),
                "speedup": middle[best][1] / middle[method][1], "best": method == best,
            })  # fmt: skip
    return pd.DataFrame(rows)


def draw(curves: pd.DataFrame, title: str) -> Figure:
    """What is missing of the hypervolume, against evaluations and seconds; a row for each space.

    Missing, since near the end all methods have 99% of it and more: a logarithm tells them apart.
    Lines are medians over seeds, bands quartiles. A curve ends where half of the searches have.
    """
    spaces = list(dict.fromkeys(curves["space"]))
    with style.style():
        height = 1.0 + 2.15 * len(spaces)
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, height))
        grid = figure.subplots(
            len(spaces), 2, sharey="row", squeeze=False,
            gridspec_kw={
                "left": 0.095, "right": 0.985, "top": 1 - 0.82 / height, "bottom": 0.42 / height,
                "wspace": 0.06, "hspace": 0.2,
            },
        )  # fmt: skip
        for name, row in zip(spaces, grid, strict=True):
            group = curves[curves["space"] == name]
            for axes, axis in zip(row, ("evaluations", "seconds"), strict=True):
                _panel(axes, group, axis)
            row[0].set_ylabel(f"{name}: hypervolume missing")
        grid[-1][0].set_xlabel("Evaluated designs")
        grid[-1][1].set_xlabel("Seconds, after compilation")
        figure.text(0.012, 1 - 0.08 / height, title, va="top", size=9.5, weight="bold")
        figure.legend(
            *grid[0][0].get_legend_handles_labels(), loc="upper left", ncols=4, frameon=False,
            bbox_to_anchor=(0.004, 1 - 0.25 / height), fontsize=7,
        )  # fmt: skip
    return figure


def _panel(axes: Axes, group: pd.DataFrame, axis: str) -> None:
    drawn = []
    for method in [name for name in LOOKS if name in set(group["method"])]:
        searches = [c for _, c in group[group["method"] == method].groupby("seed")]
        begin = float(np.median([c[axis].iloc[0] for c in searches]))
        end = float(np.median([c[axis].iloc[-1] for c in searches]))
        grid = np.geomspace(begin, end, STEPS)
        grid[-1] = end  # not a rounding before it, where the last batch is missing
        missing = np.clip(1 - np.asarray([at(c, axis, grid) for c in searches]), LEAST, 1)
        low, median, high = np.quantile(missing, [0.25, 0.5, 0.75], axis=0)
        colour, line, label = LOOKS[method]
        width = 1.6 if method == "gradient" else 1.0
        axes.plot(
            grid, median, line, color=colour, linewidth=width, label=label, drawstyle="steps-post"
        )
        axes.fill_between(grid, low, high, color=colour, alpha=0.18, linewidth=0, step="post")
        drawn.append((grid, median))
    x, y = (np.concatenate(values) for values in zip(*drawn, strict=True))
    for values, scale, limits, ticks, text in (
        (x, axes.set_xscale, axes.set_xlim, axes.set_xticks, style.engineering),
        (y, axes.set_yscale, axes.set_ylim, axes.set_yticks, lambda share: f"{100 * share:.4g}%"),
    ):
        low, high = style.log_limits(values)
        places = style.log_ticks(low, high)
        scale("log")
        limits(10**low, 10**high)
        ticks(places, [text(place) for place in places])
        ticks([], minor=True)


def write(folder: Path, found: list[dict[str, Any]], settings: dict[str, Any]) -> str:
    """The run folder: curves, table, summary and figures; returns the table for a terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    curves = pd.DataFrame([row for space in found for row in space["curves"]])
    rows = table(curves)
    curves.to_csv(folder / "curves.csv", index=False)
    rows.to_csv(folder / "table.csv", index=False)
    installed = {n: importlib.metadata.version(n) for n in LIBRARIES if importlib.util.find_spec(n)}
    summary = {
        "settings": settings,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "libraries": installed,
        "spaces": [space["space"] for space in found],
        # JSON has no infinity.
        "rows": json.loads(rows.replace(np.inf, np.nan).to_json(orient="records")),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    title = (
        f"{settings['workload']}: {settings['budget']:,} evaluations or {settings['cap_s']:g} s "
        f"a search, {settings['seeds']} seeds"
    )
    style.save(draw(curves, title), folder / "hypervolume")
    return f"{title}\n\n{printed(rows)}\n\n{folder}"


def printed(rows: pd.DataFrame) -> str:
    """The table for a terminal; * marks the best baseline of a space."""
    names = ["space", "method", "ratio", "quartiles", "evaluations", "s", "to best: evaluations"]
    lines = ["{:10} {:14}{:>8} {:>15} {:>11} {:>8} {:>21} {:>8} {:>8} {:>8}".format(
        *names, "s", "reached", "speedup")]  # fmt: skip
    for row in rows.itertuples():
        finite = np.isfinite(row.to_best_s)
        cells = (
            f"{row.to_best_evaluations:21,.0f} {row.to_best_s:8.2f} {row.reached:8d} "
            f"{row.speedup:8.2f}"
            if finite
            else f"{'-':>21} {'-':>8} {row.reached:8d} {'-':>8}"
        )
        lines.append(
            f"{row.space:10} {row.method + ('*' if row.best else ''):14}{row.ratio:8.4f} "
            f"{row.q25:7.4f} {row.q75:7.4f} {row.evaluations:11,d} {row.seconds:8.2f} {cells}"
        )
    return "\n".join(lines)


def tuning(space: str, shares: dict[str, dict[int, float]]) -> str:
    """What each method reaches with each population."""
    lines = [
        f"  {method:14}" + "".join(f"{n:6}: {share:.4f}" for n, share in row.items())
        for method, row in shares.items()
    ]
    return "\n".join([space, *lines])
