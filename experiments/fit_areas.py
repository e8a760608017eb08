"""Fit the area model's constants to published die areas, and say how far they can be trusted.

    python -m experiments.fit_areas [TABLE.csv]

Uses the catalog's chips with a published area, or only those named in the table of `dse validate
chips`. An area is linear in the constants, so each part is multiplied by one factor, the same for
all chips: arithmetic (mac.LAYOUT), registers of arrays (register_file.PLACED), SRAM cells
(sram.SHIPPED, inverse) and ports (sram.PORT_CELLS), control of GPU lanes (simt.CONTROL_45NM_M2),
and the uncore's share. Factors minimise a robust log error (soft L1, linear beyond 20%): every
family weighs as one, "~" areas half, bounds only where they are passed, published shares of dies
as much as a chip. Priors, one standard deviation in brackets: see PRIORS.

Prints the constants, then the error in sample, with each family left out (GPUs by architecture)
and with each vendor left out, and a table by chip; last, peak powers, to which nothing is fitted.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from dse.validation.tables import read_table, text
from hwmodels.accelerators import simt
from hwmodels.accelerators.catalog import catalog, find_entry
from hwmodels.accelerators.entry import ChipEntry
from hwmodels.accelerators.headline import headline
from hwmodels.accelerators.rates import chip_areas
from hwmodels.parts import die, mac, register_file, sram
from hwmodels.technology import Technology

MM2 = 1e-6
PARTS = ("logic", "pipeline", "control", "cells", "ports")
FACTORS = (*PARTS, "uncore")
_OF = {
    "mac": "logic", "vector": "logic", "network": "pipeline", "pipeline": "pipeline",
    "control": "control", "buffer": "cells", "local": "cells", "register": "cells",
    "dram_phy": "fixed", "link_phy": "fixed", "host": "host",
}  # fmt: skip
# Expected value of each constant and its spread [natural log]: placed over synthesised cells;
# placed registers with clock gates and multiplexers; cells over SRAM as shipped; cells worth a
# port (512 bits, four columns each, some 48 cell heights of periphery); a GPU's control a lane at
# 45 nm [m2]; uncore over the parts' sum.
PRIORS = {
    "logic": (2.0, 0.4), "pipeline": (2.4, 0.5), "control": (0.45e-6, 0.7), "cells": (0.31, 0.15),
    "ports": (1e5, 0.7), "uncore": (0.3, 0.3),
}  # fmt: skip
ROBUST = 0.2
NOISE = 0.3  # what one area says of the constants [natural log]


@dataclass(frozen=True)
class Share:
    """A published area of a part [mm2]: so many units, register bits, SRAM bits at a node."""

    family: str
    node_nm: float
    area: float
    number_format: str = ""
    units: float = 0.0
    register_bits: float = 0.0
    sram_bits: float = 0.0
    bound: bool = False


# Jouppi et al., ISCA 2017, Figure 2: array 24%, unified buffer 29% of at most 331 mm2; ISCA 2021,
# Figure 6: arrays 11%, CMEM 28% of less than 400 mm2. Genc et al., DAC 2021, Figure 6. Chen et al.,
# ASPLOS 2014, Table 6: 256 multipliers with adder trees.
SHARES = (
    Share("tpu", 28, 79.4, "int8", 65536, 56, bound=True),
    Share("tpu", 28, 96.0, sram_bits=24 * 2.0**23, bound=True),
    Share("tpu", 7, 44.0, "bf16", 65536, 80, bound=True),
    Share("tpu", 7, 112.0, sram_bits=128 * 2.0**23, bound=True),
    Share("gemmini", 22, 0.116, "int8", 256, 56),
    Share("gemmini", 22, 0.690, sram_bits=320 * 2.0**13),
    Share("diannao", 65, 0.847, "int16", 256, 80),
)


def constants() -> dict[str, float]:
    """The model's constants now, by factor."""
    return {
        "logic": mac.LAYOUT,
        "pipeline": register_file.PLACED,
        "control": simt.CONTROL_45NM_M2,
        "cells": sram.MACRO_EFFICIENCY * sram.SHIPPED,
        "ports": sram.PORT_CELLS,
        "uncore": die.UNCORE,
    }


def basis(entry: ChipEntry) -> dict[str, float]:
    """Area by kind of part [mm2] at the model's constants, within the chip's boundary."""
    chip = entry.chip(whole_die=True)
    process = chip.technology.resolve()
    full = {part: float(value) / MM2 for part, value in chip_areas(chip, process).items()}
    ports = sram.PORT_CELLS
    try:
        sram.PORT_CELLS = 0.0
        bare = {part: float(value) / MM2 for part, value in chip_areas(chip, process).items()}
    finally:
        sram.PORT_CELLS = ports
    row = dict.fromkeys((*PARTS, "fixed", "host"), 0.0)
    for part, kind in _OF.items():
        if part not in full or (entry.boundary == "core" and kind in ("fixed", "host")):
            continue
        row[kind] += bare[part]
        row["ports"] += full[part] - bare[part]
    return row


def table(entries: list[ChipEntry]) -> pd.DataFrame:
    """A row each chip: basis, published area and its bound."""
    rows = []
    for entry in entries:
        names = ("core_area_mm2", "die_area_mm2") if entry.boundary == "core" else ("die_area_mm2",)
        fact = next((entry.published[n] for n in names if n in entry.published), None)
        if fact is not None and not entry.partial:
            rows.append({"chip": entry.name, "family": entry.family, "area": fact.number,
                         "bound": fact.bound, **basis(entry)})  # fmt: skip
    return pd.DataFrame(rows)


def areas(rows: pd.DataFrame, factors: dict[str, float]) -> pd.Series:
    """Predicted areas [mm2]."""
    parts = sum(rows[part] * factors[part] for part in PARTS) + rows["fixed"]
    return parts * (1.0 + die.UNCORE * factors["uncore"]) + rows["host"]


def share_basis(share: Share) -> dict[str, float]:
    """Area of a share by kind [mm2] at the model's constants."""
    process = Technology(node=share.node_nm * 1e-9).resolve()
    unit = float(mac.area(process, share.number_format)) if share.units else 0.0
    bits = share.units * share.register_bits
    return {
        "logic": share.units * unit / MM2,
        "pipeline": float(register_file.placed_area(process, bits)) / MM2,
        "cells": float(sram.area(process, share.sram_bits / 8, 0.0)) / MM2,
    }


def fit(rows: pd.DataFrame, shares: list[Share]) -> dict[str, float]:
    """The factors that fit best."""
    now = constants()
    centre = {}
    for name, (expected, _) in PRIORS.items():
        ratio = expected / now[name]
        centre[name] = np.log(1.0 / ratio if name == "cells" else ratio)
    parts = [(share, share_basis(share)) for share in shares]
    members = rows.groupby("family")["family"].transform("count").to_numpy(float)
    weight = np.where(rows["bound"] == "about", 0.5, 1.0) / np.sqrt(members)
    bounded = (rows["bound"] == "at_most").to_numpy()

    def residuals(x: np.ndarray) -> np.ndarray:
        factors = dict(zip(FACTORS, np.exp(x), strict=True))
        log = np.log(areas(rows, factors) / rows["area"]).to_numpy()
        chips = weight * np.where(bounded, np.maximum(log, 0.0), log)
        found = []
        for share, own in parts:
            size = np.log(sum(own[k] * factors[k] for k in own) / share.area)
            found.append(max(size, 0.0) if share.bound else size)
        prior = [(v - centre[n]) / PRIORS[n][1] for n, v in zip(FACTORS, x, strict=True)]
        return np.concatenate([_soft(chips), _soft(np.asarray(found)), NOISE * np.asarray(prior)])

    answer = least_squares(residuals, [centre[name] for name in FACTORS])
    return dict(zip(FACTORS, np.exp(answer.x), strict=True))


def _soft(residual: np.ndarray) -> np.ndarray:
    """Residuals whose squares grow linearly beyond `ROBUST`."""
    ratio = residual / ROBUST
    return ROBUST * np.sign(ratio) * np.sqrt(2.0 * (np.sqrt(1.0 + ratio**2) - 1.0))


def left_out(rows: pd.DataFrame, groups: pd.Series) -> pd.Series:
    """Relative errors of each group under constants fitted without it."""
    error = pd.Series(np.nan, index=rows.index)
    for group in groups.unique():
        mine = groups == group
        shares = [s for s in SHARES if s.family.split()[0] != str(group).split()[0]]
        error[mine] = areas(rows[mine], fit(rows[~mine], shares)) / rows["area"][mine] - 1.0
    return error


def describe(name: str, error: pd.Series) -> str:
    """Median and mean absolute error."""
    return f"{name:24}median {error.abs().median():.3f}  mean {error.abs().mean():.3f}"


def main(path: str | None) -> None:
    """Print the report."""
    entries = list(catalog().values())
    if path:
        names = read_table(path, text("name")).frame["name"]
        entries = [entry for name in names if (entry := find_entry(name))]
    rows = table(entries)
    factors = fit(rows, list(SHARES))
    for name, now in constants().items():
        new = now / factors[name] if name == "cells" else now * factors[name]
        print(f"{name:10} now {now:.4g}, best {new:.4g}, prior {PRIORS[name][0]:.4g}")
    rows["now"] = areas(rows, dict.fromkeys(FACTORS, 1.0)) / rows["area"] - 1.0
    rows["best"] = areas(rows, factors) / rows["area"] - 1.0
    rows["no_family"] = left_out(rows, rows["family"])
    rows["no_vendor"] = left_out(rows, rows["family"].str.split().str[0])
    exact = rows[rows["bound"] == ""]
    for name in ("now", "best", "no_family", "no_vendor"):
        print(describe(name, exact[name]))
    shown = ["chip", "family", "bound", "area", "now", "best", "no_family", "no_vendor"]
    print(rows[shown].round(3).to_string(index=False))
    powers = [(e.name, e.market_cap, e.published[n].number, headline(e)) for e in entries
              for n in ("tdp_W", "peak_power_W") if n in e.published and not e.partial]  # fmt: skip
    frame = pd.DataFrame(
        [(name, cap, watts, found.peak_power_W) for name, cap, watts, found in powers],
        columns=["chip", "market_cap", "published_W", "predicted_W"],
    )
    frame["error"] = frame["predicted_W"] / frame["published_W"] - 1.0
    print(describe("peak power, uncapped", frame.loc[~frame["market_cap"], "error"]))
    print(frame.round(3).to_string(index=False))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python -m experiments.fit_areas [TABLE.csv]")
    main(sys.argv[1] if len(sys.argv) == 2 else None)
