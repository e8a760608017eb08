"""`dse robust`: which designs of a front stay good if technology is not as tabled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd

from dse.cli.common import (
    constraints,
    front_options,
    front_request,
    named_spaces,
    print_json,
    read_table,
    whole,
)
from dse.cli.tables import human, print_table
from dse.origin import origin
from dse.provenance import provenance
from dse.robustness import UNCERTAIN, Robust, robust_front
from dse.store import RunFolder
from hwmodels import InputError

SHOWN = 12


@click.command(
    epilog="""\b
Examples:
  dse robust runs/found/front.csv
  dse robust front.csv --workload mlp-large
  dse robust runs/found/front.csv my_space.toml --worlds 1000 --out runs/robust"""
)
@click.argument("table")
@click.argument("names", nargs=-1, metavar="[SPACE]...")
@click.option("--workload", metavar="NAME", help="Default: that of TABLE's run folder, or mlp.")
@click.option("--worlds", default="256", show_default=True, metavar="N",
              help="Draws of all uncertain constants together.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, metavar="N")
@front_options
@click.option("--out", metavar="DIR", help="New folder for the table and the figure.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(
    table: str, names: tuple[str, ...], worlds: str, seed: int, out: str | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Rank designs by their chance of being non-dominated under uncertain technology.

    TABLE is a front as CSV or parquet, of dse pareto, sweep or search; SPACE the spaces that it
    was found in, by default those of its run folder, or of the variants in it. Energies, leakage,
    delay, areas, prices and DRAM and link energies are drawn together, log-normal about the
    model's values with deviations by the confidence in their sources; all designs meet the same
    draws.
    """
    if not 0 <= seed < 2**32:
        raise InputError("--seed", seed, "allowed: 0 to 4294967295")
    designs = read_table("TABLE", table)
    if "variant" not in designs:
        raise InputError("TABLE", table, "allowed: a front, whose columns begin with variant")
    budgets, run_of = constraints(given["at_most"], given["at_least"]), origin(Path(table).parent)
    if names or run_of is None:
        found_in = tuple(dict.fromkeys(designs["variant"].astype(str)))
        spaces = named_spaces(names or found_in, budgets)
    else:
        spaces = tuple(space.within(budgets) for space in run_of.spaces)
    given["workload"] = given["workload"] or (run_of.workload if run_of else "mlp")
    trace, options = front_request(given)
    if out:
        with RunFolder.create(out):  # refuses a folder that is there already, before the work
            pass
    found = robust_front(
        designs, spaces, trace, worlds=whole("--worlds", worlds), seed=seed, options=options
    )
    summary = _summary(found) | {"workload": trace.name, "worlds": len(found.points), "seed": seed}
    if out:
        with RunFolder.create(out) as run:
            run.write_table("robust", found.table)
            title = f"{trace.name}: {len(found.table):,} designs in {len(found.points):,} worlds"
            _draw(found, run, title)
            run.write_manifest(
                {"command": "robust", "summary": summary, "provenance": provenance()}
            )
            summary["run_dir"] = str(run.commit())
    if as_json:
        print_json(summary)
        return
    _print(found, summary)


def _summary(found: Robust) -> dict[str, Any]:
    chance = found.table["chance"]
    return {
        "designs": len(found.table),
        "sure": int((chance >= 0.95).sum()),
        "doubtful": int((chance < 0.5).sum()),
        "uncertain": {name: deviation for name, (deviation, _) in UNCERTAIN.items()},
        "best": found.table.head(SHOWN).astype(object).where(
            found.table.head(SHOWN).notna(), None
        ).to_dict(orient="records"),
    }  # fmt: skip


def _draw(found: Robust, run: RunFolder, title: str) -> None:
    from dse.plots import style
    from dse.plots.bands import bands

    first, *others = found.objectives
    panels = [(x, first, found.band(x.column, first.column)) for x in others[:2]]
    note = (
        "Bands and medians: the best of the axis up among designs that meet all limits and are no "
        "worse than the axis across; drawn from where 95% of worlds (medians: half) have one."
    )
    style.save(bands(found.table, panels, title, note), run.folder / "robust")


def _print(found: Robust, summary: dict[str, Any]) -> None:
    rows = found.table.head(SHOWN)
    columns: dict[str, Any] = {n: rows[n] for n in ("variant", "design") if n in rows}
    columns["on the front %"] = 100 * rows["chance"]
    columns["limits met %"] = 100 * rows["chance_of_limits"]
    for axis in found.objectives:
        low, median, high = (
            rows[f"{axis.column}_{name}"].map(human) for name in ("low", "median", "high")
        )
        columns[f"{axis.column} (5 to 95%)"] = median + " (" + low + " to " + high + ")"
    shown = pd.DataFrame(columns)
    if "design" in shown:
        shown["design"] = [f"{number:,}" for number in shown["design"]]
    print_table(shown, f"The safest of {len(found.table):,} designs, {summary['worlds']:,} worlds")
    click.echo(
        f"{summary['sure']:,} designs are on the front in at least 95% of worlds, "
        f"{summary['doubtful']:,} in less than half."
    )
    if "run_dir" in summary:
        click.echo(f"written: {summary['run_dir']}")
