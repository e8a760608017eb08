"""`dse evaluate`: one chip on one workload, operation by operation."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import click
import pandas as pd

from dse.amounts import amount
from dse.breakdown import Breakdown, break_down, chip_name, energy_by_part, find_chip, short_name
from dse.cli.common import print_json, progress_bars
from dse.cli.fleet import (
    IDEAL,
    SOFTWARE,
    Request,
    evaluate_fleet,
    read_reliability,
    refuse_alone,
)
from dse.cli.plans import AUTO, HELP
from dse.cli.tables import print_table, short
from dse.provenance import provenance
from dse.remarks import broken_limits, clock_remark, whole_die_mm2
from dse.store import RunFolder
from hwmodels import load_workload
from hwmodels.accelerators.composed import Composed
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import check_choice
from hwmodels.evaluate import RESIDENCY
from hwmodels.fleet.network import TOPOLOGIES
from hwmodels.workloads.scenario import Scenario

ENERGY_UNITS = ((1.0, "J"), (1e3, "mJ"), (1e6, "uJ"), (1e9, "nJ"))
RUNTIME_HELP = (
    "What starts an operation: eager, a host's launch of 5 us; graph, a node of a captured graph, "
    "1 us; none, a compiled schedule, nothing; alone, each is launched and waited for by itself, "
    "at the chip's measured overhead, as benchmarks time it."
)
NAME = 48  # letters of an operation's name in the table


@click.command(
    epilog="""\b
Examples:
  dse evaluate tpu_v4
  dse evaluate h100 --workload mlp --runtime eager
  dse evaluate my_chip.toml --out runs/mine
  dse evaluate a100_80gb --workload gpt3-175b --chips 1024 --batch 1536 \\
      --software megatron
  dse evaluate h100 --workload gpt3-175b --chips 64 --plan tensor=8,pipeline=8,recompute=full"""
)
@click.argument("chip")
@click.option("--workload", default="mlp-large", show_default=True, metavar="NAME")
@click.option("--runtime", default="graph", show_default=True, metavar="|".join(LAUNCH_S),
              help=RUNTIME_HELP)  # fmt: skip
@click.option("--residency", default="warm", show_default=True, metavar="|".join(RESIDENCY),
              help="warm: tensors that fit stay on chip; cold: everything in DRAM.")  # fmt: skip
@click.option("--chips", type=click.IntRange(1, 65536),
              help="Train on a fleet of so many under a parallel plan.")  # fmt: skip
@click.option("--batch", type=click.IntRange(1),
              help="Samples of a fleet's step; default: the trace's on every chip.")  # fmt: skip
@click.option("--plan", default=AUTO, show_default=True, metavar="auto|NAME=N,...",
              help=HELP)  # fmt: skip
@click.option("--software", default=IDEAL, show_default=True, metavar="|".join(SOFTWARE),
              help="Of a fleet: rates that software reaches, ideal or as fitted to measurements of "
              "a framework on GPUs.")  # fmt: skip
@click.option("--topology", default="switch", show_default=True, metavar="|".join(TOPOLOGIES),
              help="How the links inside a node of a fleet are wired.")  # fmt: skip
@click.option("--node-chips", default=8, show_default=True, type=click.IntRange(1, 65536),
              help="Chips of a node of a fleet; between nodes: 200 Gb/s a chip.")  # fmt: skip
@click.option(
    "--speed-spread",
    default=0.0,
    show_default=True,
    help="Of a fleet: relative deviation of its chips' speeds; the slowest sets the pace.",
)
@click.option(
    "--failures-per-year",
    default=0.0,
    show_default=True,
    help="Of a fleet: failures of one chip; checkpoints and restarts cost time.",
)
@click.option("--out", metavar="DIR", help="New folder for the table, roofline and energy plots.")
@click.option("--json", "as_json", is_flag=True, help="Print totals and rows as one JSON object.")
def command(
    chip: str, workload: str, runtime: str, residency: str, chips: int | None, batch: int | None,
    plan: str, software: str, topology: str, node_chips: int, speed_spread: float,
    failures_per_year: float, out: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Evaluate a chip on a workload: totals, then each operation's time, bound and energy.

    CHIP is a name of the catalog (dse chips), the path of a chip's TOML file, or a variant's
    name for its default design. With --out: the table as CSV and parquet, a roofline plot and
    the energy and area by part, as PNG, SVG and PDF. With --chips: a training step on a fleet
    under the fastest of all parallel plans that fit in memory, or under the one given, and how it
    scales.
    """
    if chips is None:
        refuse_alone(click.get_current_context())
    check_choice("--runtime", runtime, LAUNCH_S)
    check_choice("--residency", residency, RESIDENCY)
    design = find_chip(chip)
    traced = load_workload(workload)
    if chips is not None:
        reliability = read_reliability(speed_spread, failures_per_year)
        request = Request(
            chips, batch, topology, node_chips, plan, runtime, residency, reliability, software
        )
        evaluate_fleet(chip, design, traced, request, out, as_json)
        return
    if isinstance(design, Composed):  # whose mappings take their time
        with progress_bars() as progress:
            design = design.mapped(traced, residency, progress)
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunFolder.create(out)) if out else None
        found = break_down(chip_name(chip), design, traced, runtime=runtime, residency=residency)
        answer = {"chip": chip, "workload": workload, "runtime": runtime, "residency": residency,
                  **totals(found), "whole_die_area_mm2": whole_die_mm2(chip),
                  "clock_remark": clock_remark(chip, found)}  # fmt: skip
        if run:
            draw(found, run)
            run.write_table("operations", found.table)
            run.write_manifest({**answer, "provenance": provenance()})
            run.commit()
    if as_json:
        rows = found.table.to_dict(orient="records")
        print_json({**answer, "rows": rows, **({"run_dir": str(run.path)} if run else {})})
        return
    _show(found, f"{workload}, {residency}, runtime {runtime}", answer)
    if run:
        click.echo(f"\nwritten: {run.path}")


def totals(found: Breakdown) -> dict[str, Any]:
    """A step's totals in the units of their names; margins that are not finite are None."""
    metrics, sums = found.metrics, found.totals
    margins = {name: float(value) for name, value in metrics.margins.items()}
    return {
        "throughput_per_s": float(metrics.throughput),
        "time_us": sums["time"] * 1e6,
        "energy_mJ": sums["energy"] * 1e3,
        "power_W": sums["power"],
        "peak_power_W": sums["peak_power"],
        "area_mm2": sums["area"] * 1e6,
        "clock_GHz": float(metrics.clock) / 1e9,
        "utilization": float(metrics.utilization),
        "feasible": bool(metrics.feasible),
        "broken_limits": broken_limits(found),
        "margins": {k: v if math.isfinite(v) else None for k, v in margins.items()},
    }


def draw(found: Breakdown, run: RunFolder) -> None:
    """Roofline, energy by operation, power and area by part, into a run folder."""
    from dse.plots import style
    from dse.plots.energy import energy_bars
    from dse.plots.parts import part_bars
    from dse.plots.roofline import roofline

    style.save(roofline(found), run.folder / "roofline")
    style.save(energy_bars(found), run.folder / "energy")
    style.save(part_bars(found), run.folder / "parts")


def _show(found: Breakdown, conditions: str, about: dict[str, Any]) -> None:
    if about["broken_limits"]:
        click.echo(f"INFEASIBLE: {'; '.join(about['broken_limits'])}.")
        click.echo("Without these limits it would do what follows.\n")
    click.echo(f"{found.name} ({found.facts}) on {conditions}")
    click.echo(f"{about['clock_remark']}\n".lstrip())
    area = amount(about["area_mm2"], "mm2")
    if whole := about["whole_die_area_mm2"]:
        area += f" enabled; {amount(whole, 'mm2')} with what is disabled on the die"
    served = found.workload
    unit, step = (served.unit,) * 2 if isinstance(served, Scenario) else ("sample", "step")
    for label, value in (
        ("throughput", f"{short(about['throughput_per_s'])} {unit}s/s"),
        (f"time of a {step}", amount(found.totals["time"], "s")),
        (f"energy of a {step}", amount(found.totals["energy"], "J")),
        ("power, step average", amount(about["power_W"], "W")),
        ("peak power", amount(about["peak_power_W"], "W")),
        ("die area", area),
        ("utilisation", f"{100 * about['utilization']:.3g}% of the multiply-accumulate units"),
    ):
        click.echo(f"  {label:20} {value}")
    broken = [f"{name} {value:+.3g}" for name, value in found.negative_margins.items()]
    click.echo(f"  {'limits broken':20} {', '.join(broken) or 'none'}\n")
    order = found.table.sort_values("time_s", ascending=False, kind="stable")
    # The largest unit in which the step has three digits.
    whole = found.totals["energy"]
    scale, unit = next((s, u) for s, u in ENERGY_UNITS if whole * s >= 100 or u == "nJ")
    energy = scale * energy_by_part(found).loc[order.index]
    names = [short_name(name, NAME) for name in order["operation"]]
    shown = pd.DataFrame({
        "operation": names, "phase": order["phase"], "count": order["count"],
        "time us": 1e6 * order["time_s"], "share %": 100 * order["share"], "bound": order["bound"],
        "util %": 100 * order["utilization"],
        **{f"{part} {unit}": energy[part] for part in energy if energy[part].sum() > 0},
    })  # fmt: skip
    print_table(shown, "")
