"""Where the watts go, as a picture: what `energy` draws."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from dse.defaults import LOWEST_SUPPLY_V
from dse.plots import style

GROUPS = {
    "multipliers": ("mac",),
    "operand delivery": ("register", "instruction", "pipeline", "local", "scratchpad", "network"),
    "on-chip buffer": ("buffer",),
    "DRAM": ("dram", "static_dram_idle"),
    "vector unit": ("vector",),
    "clock tree and idle": ("static_clock_tree", "static_idle", "static_waiting"),
    "leakage": ("static_leakage",),
    "links": ("static_link", "link"),
}
COLOURS = dict(zip(GROUPS, ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#999999",
                            "#444444", "#D55E00"), strict=True))  # fmt: skip


def watts(sweeps: dict[str, pd.DataFrame], per_product: dict[str, float]) -> Figure:
    """Energy of a sample by group along each sweep; the curve of energy against time; limits.

    Args:
      sweeps: node, voltage, format, memory, zeros: columns choice and `<group>_uJ`.
      per_product: energy of a multiply-accumulate [J] by what it is of.
    """
    with style.style():
        figure = Figure(figsize=(style.TWO_COLUMN_INCHES, 5.6), layout="constrained")
        panels = figure.subplot_mosaic("abc;def;ggg", height_ratios=(1, 1, 0.5))
        a, b, c, d, e, f, g = panels.values()
        _stack(a, sweeps["node"], "node (nm)")
        _stack(b, sweeps["format"], "number format")
        _stack(c, sweeps["memory"], "on-chip buffer (MiB)", every=2)
        _stack(d, sweeps["voltage"], "supply (V), fastest clock", every=4)
        _delay(e, sweeps["voltage"])
        _stack(f, sweeps["zeros"], "density, zeros gated", turn=True)
        _limits(g, per_product)
        handles, labels = b.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _stack(axes: Axes, table: pd.DataFrame, label: str, every: int = 1, turn: bool = False) -> None:
    """Energy of a sample by group."""
    x, low = np.arange(len(table)), np.zeros(len(table))
    for group in GROUPS:
        values = table[f"{group}_uJ"].to_numpy()
        axes.bar(x, values, bottom=low, color=COLOURS[group], width=0.8, label=group)
        low += values
    axes.set_ylabel("energy (µJ/sample)")
    axes.set_xlabel(label)
    axes.set_xticks(x[::every], table["choice"].iloc[::every])
    if turn:
        axes.tick_params(axis="x", rotation=60)


def _limits(axes: Axes, per_product: dict[str, float]) -> None:
    """Energy of a multiply-accumulate, against the physical limit."""
    y, values = np.arange(len(per_product)), np.array(list(per_product.values()))
    axes.plot(values, y, "o", ms=4, color="#0072B2")
    for at, value in zip(y, values, strict=True):
        axes.annotate(EngFormatter("J")(float(f"{value:.2g}")), (value, at), (6, 0), size=6.5,
                      textcoords="offset points", va="center")  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(values.min() / 10, values.max() * 100)
    axes.set_yticks(y, list(per_product))
    axes.set_ylim(len(y) - 0.5, -0.5)
    axes.set_xlabel("energy of a multiply-accumulate (J)")


def _delay(axes: Axes, table: pd.DataFrame) -> None:
    """Energy against time over the supply, with the least product marked."""
    axes.plot(table["time_ms"], table["energy_uJ"], color="#0072B2", marker="o", ms=2.5, lw=1.2)
    below = table[table["choice"].astype(float) < LOWEST_SUPPLY_V]
    axes.plot(below["time_ms"], below["energy_uJ"], "o", ms=2.5, color="white", mec="#0072B2",
              mew=0.6)  # fmt: skip
    best, least = optima(table)
    for row, colour, text, away, side in (
        (best, "#D55E00", "least energy × time", (7, 4), "left"),
        (least, "#009E73", "least energy", (8, 7), "left"),
    ):
        axes.plot(row["time_ms"], row["energy_uJ"], "o", ms=6, mfc="none", mec=colour)
        axes.annotate(f"{text}, {row['choice']} V", (row["time_ms"], row["energy_uJ"]), away,
                      textcoords="offset points", size=6.5, color=colour, ha=side)  # fmt: skip
    axes.margins(x=0.35, y=0.2)
    axes.set_xlabel(f"time of a step (ms); hollow: below {LOWEST_SUPPLY_V:g} V")
    axes.set_ylabel("energy (µJ/sample)")


def optima(volts: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The supplies of least energy x time and of least energy, of those that SRAM works at."""
    usual = volts[volts["choice"].astype(float) >= LOWEST_SUPPLY_V]
    return (
        usual.loc[usual["energy_delay_uJ_ms"].idxmin()], usual.loc[usual["energy_uJ"].idxmin()]
    )  # fmt: skip
