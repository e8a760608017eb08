"""`dse chips`: the catalog of real chips, and predictions beside what is published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
import pandas as pd

from dse.amounts import amount
from dse.cli.common import print_json
from dse.cli.tables import human, print_table
from hwmodels.accelerators.catalog import UNBUILT, catalog, examples, load_entry
from hwmodels.accelerators.entry import ChipEntry
from hwmodels.accelerators.facts import PUBLISHED, Fact
from hwmodels.accelerators.headline import Headline, headline
from hwmodels.quantity import Quantity, quantities

AREAS = ("core_area_mm2", "die_area_mm2")
POWERS = ("tdp_W", "peak_power_W")
COVERS = {
    "package": "die, memory on the package, links",
    "die": "die, without memory devices",
    "core": "a block: without host interface, PHYs, links and memory",
}


@click.command(
    epilog="""\b
Examples:
  dse chips
  dse chips tpu_v4
  dse chips my_chip.toml --json"""
)
@click.argument("name", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(name: tuple[str, ...], as_json: bool) -> None:
    """List the catalog of real chips, or show the one of that NAME: its key, name or TOML file.

    Areas and powers are predicted from structure alone; what is published is never an input, the
    power cap under which a chip runs excepted.
    """
    if name:
        entry = load_entry(" ".join(name))
        _show(entry, headline(entry), as_json)
        return
    rows = [summary(entry, headline(entry)) for entry in catalog().values()]
    if as_json:
        print_json({"chips": rows, "composed_examples": examples()})
        return
    print_table(pd.DataFrame([_line(row) for row in rows]).astype(object), "")
    click.echo(
        "\nAreas in mm2, of the whole die, disabled units included; powers in W, no cap applied."
    )
    click.echo("dse chips KEY shows one with sources and breakdown.")
    click.echo(f"Composed examples, which nobody has built: {', '.join(examples())}")


def published(entry: ChipEntry, names: tuple[str, ...]) -> Fact | None:
    """The first of several facts that is published."""
    return next((entry.published[name] for name in names if name in entry.published), None)


def summary(entry: ChipEntry, found: Headline) -> dict[str, Any]:
    """One chip in a row of plain values."""
    chip, area, power = entry.chip(), published(entry, AREAS), published(entry, POWERS)
    numbers = chip.quantities()
    memory, bandwidth = chip.dram.stacks * chip.dram.capacity / 2**30, chip.dram.total_bandwidth
    return {
        "key": entry.key,
        "name": entry.name,
        "variant": entry.variant,
        "year": None if entry.year == UNBUILT else entry.year,
        "node_nm": float(numbers["node_nm"]),
        "clock_GHz": float(numbers["clock_GHz"]),
        "number_format": chip.number_format,
        "peak_TFLOPs": found.peak_rate / 1e12,
        "memory_GiB": float(memory) if chip.HAS_DRAM else 0.0,
        "memory_GBps": float(bandwidth) / 1e9 if chip.HAS_DRAM else 0.0,
        "boundary": entry.boundary,
        "predicted_area_mm2": found.area_mm2,
        "published_area_mm2": _plain(area),
        "predicted_peak_power_W": found.peak_power_W,
        "published_power_W": _plain(power),
    }


def _plain(fact: Fact | None) -> dict[str, Any] | None:
    if fact is None:
        return None
    return {"value": fact.value, "bound": fact.bound or "exact", "source": fact.source,
            "confidence": fact.confidence}  # fmt: skip


def _line(row: dict[str, Any]) -> dict[str, str]:
    def said(fact: dict[str, Any] | None) -> str:
        sign = {"exact": "", "at_most": "<= ", "about": "~ "}
        return sign[fact["bound"]] + human(fact["value"]) if fact else "-"

    memory = f"{human(row['memory_GiB'])} GiB, {human(row['memory_GBps'])} GB/s"
    return {
        "key": row["key"],
        "name": row["name"],
        "variant": row["variant"],
        "year": str(row["year"] or "-"),
        "nm": human(row["node_nm"]),
        "GHz": human(row["clock_GHz"]),
        "peak TFLOP/s": f"{human(row['peak_TFLOPs'])} {row['number_format']}",
        "memory": memory if row["memory_GBps"] else "-",
        "area": human(row["predicted_area_mm2"]),
        "published": said(row["published_area_mm2"]),
        "power": human(row["predicted_peak_power_W"]),
        "cap or peak": said(row["published_power_W"]),
    }


def _show(entry: ChipEntry, found: Headline, as_json: bool) -> None:
    known = quantities(type(entry.chip()))
    fields = [_field(name, fact, known) for name, fact in entry.facts().items()]
    if as_json:
        print_json({
            **summary(entry, found),
            "family": entry.family,
            "remarks": entry.remarks,
            "fields": {f.pop("field"): f for f in fields},
            "die": {name: _plain(fact) for name, fact in entry.die.items()},
            "published": {name: _plain(fact) for name, fact in entry.published.items()},
            "area_terms_mm2": found.area_terms,
            "static_power_terms_W": found.static_terms,
            "dynamic_power_terms_W": found.dynamic_terms,
            "predicted_idle_power_W": found.idle_power_W,
            "predicted_typical_power_W": found.typical_power_W,
        })  # fmt: skip
        return
    year = f" ({entry.year})" if entry.year != UNBUILT else ""
    click.echo(f"{entry.name}{year}: {entry.variant}; covers {COVERS[entry.boundary]}")
    if entry.remarks:
        click.echo(entry.remarks)
    print_table(pd.DataFrame(fields).astype(object), "\nWhat the model reads")
    if entry.chip().HAS_DRAM:
        row = summary(entry, found)
        click.echo(f"DRAM of all stacks or channels together: {human(row['memory_GiB'])} GiB, "
                   f"{human(row['memory_GBps'])} GB/s.")  # fmt: skip
    if entry.die:
        rows = [_field(name, fact) for name, fact in entry.die.items()]
        print_table(pd.DataFrame(rows).astype(object), "\nOn the whole die")
    print_table(_comparison(entry, found), "\nPredicted and published")
    whole = ""
    if entry.die:
        enabled = amount(headline(replace(entry, die={})).area_mm2, "mm2")
        whole = f" of the whole die, disabled units included (enabled alone: {enabled})"
    for title, terms in (
        (f"Predicted area{whole}, mm2", found.area_terms),
        ("Predicted peak power at the clock stated, every part busy, no cap applied, W",
         {**found.static_terms, **found.dynamic_terms}),
    ):  # fmt: skip
        click.echo(f"\n{title}")
        print_table(_shares(terms), "")


def _field(name: str, fact: Fact, known: dict[str, Quantity] | None = None) -> dict[str, Any]:
    source = f"{fact.source} ({fact.note})" if fact.note else fact.source
    what = {"what": known[name].doc if name in known else "-"} if known else {}
    return {"field": name, "value": fact.value, **what, "source": source,
            "confidence": fact.confidence}  # fmt: skip


def _comparison(entry: ChipEntry, found: Headline) -> pd.DataFrame:
    integer = entry.chip().number_format == "int8"
    predictions = {
        **dict.fromkeys(AREAS, found.area_mm2),
        **dict.fromkeys(POWERS, found.peak_power_W),
        "typical_power_W": found.typical_power_W,
        "idle_power_W": found.idle_power_W,
        "peak_TOPS_int8" if integer else "peak_TFLOPs": found.peak_rate / 1e12,
    }
    if "tdp_W" in entry.published:
        predictions["sustained_clock_GHz"] = float(entry.capped().clock) / 1e9
    if entry.boundary == "core" and "core_area_mm2" in entry.published:
        del predictions["die_area_mm2"]
    rows = []
    for name, fact in entry.published.items():
        guess = predictions.get(name)
        error = guess / fact.number - 1.0 if guess is not None else None
        exact = error is not None and not fact.bound
        rows.append({
            "quantity": f"{name}: {PUBLISHED[name].doc}",
            "predicted": "-" if guess is None else human(guess),
            "published": fact.text(),
            "error": f"{error:+.0%}" if exact and error is not None else "-",
            "source": fact.source,
            "confidence": fact.confidence,
        })  # fmt: skip
    if not rows:
        area, power = human(found.area_mm2), human(found.peak_power_W)
        rows = [{"quantity": "area, mm2", "predicted": area, "published": "-"},
                {"quantity": "peak power, W", "predicted": power, "published": "-"}]  # fmt: skip
    return pd.DataFrame(rows).astype(object)


def _shares(terms: dict[str, float]) -> pd.DataFrame:
    total = sum(terms.values())
    ranked = sorted(terms.items(), key=lambda item: -item[1])
    rows = [(part, human(value), f"{value / total:.0%}") for part, value in ranked if value]
    rows.append(("total", human(total), ""))
    return pd.DataFrame(rows, columns=["part", "value", "share"]).astype(object)
