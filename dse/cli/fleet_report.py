"""What `dse evaluate CHIP --chips N` says: one JSON object, a run folder, or text."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
import pandas as pd

from dse.cli.plans import PARALLEL, write_plan
from dse.cli.tables import human, print_table
from dse.provenance import provenance
from dse.store import RunFolder
from hwmodels.accelerators.base import Accelerator
from hwmodels.fleet.limits import memory_in_words, memory_room
from hwmodels.fleet.network import square_sides
from hwmodels.fleet.plan import RECOMPUTE, SCHEDULES, Cluster, Plan
from hwmodels.fleet.reliability import YEAR_S, checkpoint_interval
from hwmodels.fleet.sizing import DIMENSIONS
from hwmodels.fleet.step import PlanMetrics
from hwmodels.workloads.workload import Workload

SHOWN = 5  # plans
POWERS = {"chips": ("chip_dynamic", "chip_static"), "hosts": ("hosts",), "boards": ("boards",),
          "network": ("network_traffic", "network_ports")}  # fmt: skip


def summary(
    chip: Accelerator, cluster: Cluster, workload: Workload, batch: int, plan: Plan,
    metrics: PlanMetrics,
) -> dict[str, Any]:  # fmt: skip
    """Plan, totals and terms of a step, in the units of their names."""
    values = {field.name: float(getattr(plan, field.name)) for field in dataclasses.fields(plan)}
    names = {"recompute": RECOMPUTE[int(plan.recompute)], "schedule": SCHEDULES[int(plan.schedule)]}
    work = 2.0 * workload.macs / workload.samples * float(metrics.throughput) / float(plan.chips)
    return {
        "chips": int(cluster.chips),
        "topology": cluster.topology,
        "node_chips": int(cluster.node_chips),
        "global_batch": batch,
        "plan": {**values, **names},
        "plan_text": write_plan(plan),
        "time_s": float(metrics.time),
        "throughput_per_s": float(metrics.throughput),
        "utilization": float(metrics.utilization),
        "clock_GHz": float(chip.clock) / 1e9,
        "peak_TFLOPs": work / float(metrics.utilization) / 1e12,
        "memory_GB": float(metrics.memory) / 1e9,
        "memory_limit_GB": float(memory_room(chip, cluster)) / 1e9,
        "power_kW": float(metrics.power) / 1e3,
        "samples_per_J": float(metrics.throughput / metrics.power),
        "feasible": bool(metrics.feasible),
        "margins": {k: float(v) for k, v in metrics.margins.items()},
        "time_terms_s": {k: float(v) for k, v in metrics.time_terms.items()},
        "memory_terms_GB": {f"{k}_GB": float(v) / 1e9 for k, v in metrics.memory_terms.items()},
        "power_terms_kW": {k: float(v) / 1e3 for k, v in metrics.power_terms.items()},
    }


def write(
    run: RunFolder, answer: dict[str, Any], table: pd.DataFrame | None,
    curves: dict[str, pd.DataFrame],
) -> None:  # fmt: skip
    """Tables, scaling plot and manifest into a run folder."""
    from dse.plots import style
    from dse.plots.scaling import scaling

    plan = answer["plan"]
    each = plan["tensor"] * plan["pipeline"]
    title = f"{answer['chip']} on {answer['workload']}: "
    title += "replicas of one chip" if each == 1 else f"replicas of {each:g} chips"
    facts = (
        f"Plan of {answer['chips']:,} chips: {answer['plan_text'].replace(',', ', ')}; global "
        f"batch {answer['global_batch']:,}; {answer['topology']} in nodes of "
        f"{answer['node_chips']:,}; {answer['clock_GHz']:.3g} GHz; software: {answer['software']}"
    )
    style.save(scaling(curves, title, facts), run.folder / "scaling")
    for kind, curve in curves.items():
        run.write_table(f"{kind}_scaling", curve)
    if table is not None:
        run.write_table("plans", table)
    run.write_manifest({**answer, "provenance": provenance()})
    run.commit()


def show(answer: dict[str, Any], cluster: Cluster, table: pd.DataFrame | None) -> None:
    """What a person reads."""
    click.echo(
        f"{answer['chips']} x {answer['chip']} on {answer['workload']}, global batch "
        f"{answer['global_batch']:,}, {_wiring(cluster)}\n"
    )
    found = f"  (best of {len(table):,} that fit)" if table is not None else ""
    for label, value in (
        ("plan", f"{answer['plan_text']}{found}"),
        ("software", _software(answer)),
        ("time of a step", f"{answer['time_s']:,.4g} s"),
        ("throughput", f"{human(answer['throughput_per_s'])} samples/s"),
        ("useful work", _useful(answer)),
        ("utilisation", _utilisation(answer)),
        ("memory a chip", f"{answer['memory_GB']:,.4g} GB of "
         f"{memory_in_words(answer['memory_limit_GB'] * 1e9)}, nothing kept in reserve"),
        ("power of the fleet", _power(answer)),
        *_reliability(cluster),
    ):  # fmt: skip
        click.echo(f"  {label:20} {value}")
    click.echo()
    times = answer["time_terms_s"]
    rows = [(k, v, 100 * v / answer["time_s"]) for k, v in times.items() if v > 0]
    print_table(pd.DataFrame(rows, columns=["term", "s", "share %"]), "time of a step")
    click.echo()
    memory = [(k.removesuffix("_GB"), v) for k, v in answer["memory_terms_GB"].items() if v > 0]
    print_table(pd.DataFrame(memory, columns=["term", "GB"]), "memory of the fullest chip")
    if table is not None:
        click.echo()
        columns = [*PARALLEL, "time_s", "utilization", "memory_GB"]
        print_table(table[columns].head(SHOWN), "the fastest plans")


def _wiring(cluster: Cluster) -> str:
    chips = int(cluster.node_chips)
    words = f"{cluster.topology} in nodes of {chips}"
    dimensions = DIMENSIONS.get(cluster.topology, 1)
    if chips == 1 or dimensions == 1:
        return words
    whole = square_sides(chips, dimensions)
    equal = chips ** (1.0 / dimensions)
    shape = " x ".join(f"{side:g}" for side in whole)
    if len(set(whole)) > 1:
        shape += f", taken as equal sides of {equal:.3g}"
    return f"{words} ({shape})"


def _software(answer: dict[str, Any]) -> str:
    if answer["software"] == "ideal":
        return (
            f"ideal, {answer['runtime']} launches: attention as traced, links and network at full "
            "rate (--software for measured frameworks)"
        )
    fused = ", fused causal attention" if answer["software"] == "fsdp" else ""
    return (
        f"shares of peak rates as fitted to {answer['software']}, {answer['runtime']} launches"
        f"{fused}"
    )


def _useful(answer: dict[str, Any]) -> str:
    words = f"{answer['model_TFLOPs_per_chip']:,.4g} TFLOP/s a chip"
    if answer["mfu"] is None:
        return words
    return f"{words}, MFU {answer['mfu']:.1%} of the datasheet's {answer['datasheet_TFLOPs']:,.4g}"


def _utilisation(answer: dict[str, Any]) -> str:
    stated, peak = answer["datasheet_TFLOPs"], answer["peak_TFLOPs"]
    capped = ", which its power cap leaves" if stated is not None and peak < 0.99 * stated else ""
    return (
        f"{answer['utilization']:.1%} of {peak:,.4g} TFLOP/s, a chip's peak at "
        f"{answer['clock_GHz']:.3g} GHz{capped}"
    )


def _power(answer: dict[str, Any]) -> str:
    each = 1e3 / answer["chips"]
    terms = answer["power_terms_kW"]
    shares = (f"{name} {each * sum(terms[t] for t in of):,.3g}" for name, of in POWERS.items())
    whole = answer["power_kW"]
    return f"{whole:,.4g} kW, {each * whole:,.4g} W a chip: {', '.join(shares)}"


def _reliability(cluster: Cluster) -> list[tuple[str, str]]:
    """The assumptions of stragglers and failures, where they are given."""
    found, rows = cluster.reliability, []
    if found.deviation:
        rows.append(("speeds of chips", f"relative deviation {found.deviation:g}"))
    if found.failures:
        rate = found.failures * cluster.chips
        tau = float(checkpoint_interval(found, cluster.chips))
        rows.append(
            (
                "failures",
                f"{found.failures * YEAR_S:g} a chip and year, one every {_span(1.0 / rate)}; "
                f"{found.checkpoint:g} s to write a checkpoint every {_span(tau)}, "
                f"{found.restart:g} s to restart",
            )
        )
    return rows


def _span(seconds: float) -> str:
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
