"""`dse evaluate CHIP --chips N`: a training step on a fleet, under a given or the best plan."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import click
import pandas as pd

from dse.cli.common import human, print_json, print_table
from dse.store import RunFolder, provenance
from hwmodels.accelerators.base import Accelerator
from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.curves import SCALING, scaling_curve
from hwmodels.fleet.network import TOPOLOGIES
from hwmodels.fleet.plan import Cluster, Plan, make_plan
from hwmodels.fleet.planning import best_plan, plan_of
from hwmodels.fleet.reliability import YEAR_S, Reliability
from hwmodels.fleet.step import PlanMetrics, evaluate_plan
from hwmodels.quantity import check_quantities
from hwmodels.workloads.workload import Workload

AUTO = "auto"
SHOWN = 5  # plans
PARALLEL = ("tensor", "pipeline", "data", "expert", "microbatch", "interleave", "zero", "sequence",
            "recompute")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks for; `batch` None: as many samples a chip as the trace has."""

    chips: int
    batch: int | None
    topology: str
    node_chips: int
    plan: str
    runtime: str
    residency: str
    reliability: Reliability = dataclasses.field(default_factory=Reliability)


def read_plan(text: str, chips: int) -> Plan:
    """A plan from "tensor=8,pipeline=4,recompute=full"; data is what is left of the chips.

    Raises:
      InputError: no such field, no such value, or chips that the plan does not divide.
    """
    values: dict[str, Any] = {}
    for item in text.split(","):
        name, found, value = (part.strip() for part in item.partition("="))
        if not found:
            raise InputError("--plan", text, "allowed: auto, or names such as tensor=8,pipeline=4")
        check_choice("--plan", name, PARALLEL)
        number = value.replace(".", "", 1).isdigit()
        if not number and name != "recompute":
            raise InputError(f"--plan, {name}", value, "allowed: a number")
        values[name] = float(value) if number else value
    used = int(values.get("tensor", 1) * values.get("pipeline", 1)) or 1
    if "data" not in values:
        if chips % used:
            raise InputError("--plan", text, f"tensor x pipeline must divide {chips} chips")
        values["data"] = chips // used
    plan = make_plan(**values)
    if int(plan.chips) != chips:
        raise InputError("--plan", text, f"tensor x pipeline x data must be {chips} chips")
    return plan


def read_reliability(speed_spread: float, failures_per_year: float) -> Reliability:
    """How chips differ and fail; `InputError` for what is outside its range."""
    found = Reliability(deviation=speed_spread, failures=failures_per_year / YEAR_S)
    check_quantities(found, "--")
    return found


def evaluate_fleet(
    name: str, chip: Accelerator, workload: Workload, request: Request, out: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Evaluate, print, and with `out` write tables and the scaling plot."""
    if not workload.training:
        raise InputError("--workload", workload.name, "allowed with --chips: a training step")
    check_choice("--topology", request.topology, TOPOLOGIES)
    cluster = Cluster(
        chips=float(request.chips), node_chips=float(request.node_chips),
        topology=request.topology, reliability=request.reliability,
    )  # fmt: skip
    batch = request.batch
    if batch is None:
        batch = int(min(request.chips * workload.samples, workload.max_global_batch))
    options = {"runtime": request.runtime, "residency": request.residency}
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunFolder.create(out)) if out else None
        table = None
        if request.plan == AUTO:
            table = best_plan(chip, workload, cluster, batch, **options)
            plan = plan_of(table.iloc[0])
        else:
            plan = read_plan(request.plan, request.chips)
        metrics = evaluate_plan(chip, workload, cluster, plan, float(batch), **options)
        curves = {
            kind: scaling_curve(chip, workload, cluster, plan, batch, scaling=kind, **options)
            for kind in SCALING
        }
        answer = _summary(name, workload, request, batch, plan, metrics, table)
        answer["efficiency"] = {kind: _at(curve, request.chips) for kind, curve in curves.items()}
        if run:
            _write(run, answer, table, curves, f"{name}, {workload.name}")
    if as_json:
        rows = {kind: curve.to_dict(orient="records") for kind, curve in curves.items()}
        print_json({**answer, "scaling": rows, **({"run_dir": str(run.path)} if run else {})})
        return
    _show(answer, metrics, table)
    if run:
        click.echo(f"\nwritten: {run.path}")


def _at(curve: pd.DataFrame, chips: int) -> float | None:
    found = curve.loc[curve["chips"] == chips, "efficiency"]
    return float(found.iloc[0]) if len(found) else None


def _summary(
    name: str, workload: Workload, request: Request, batch: int, plan: Plan, metrics: PlanMetrics,
    table: pd.DataFrame | None,
) -> dict[str, Any]:  # fmt: skip
    times = {k: float(v) for k, v in metrics.time_terms.items()}
    memory = {f"{k}_GB": float(v) / 1e9 for k, v in metrics.memory_terms.items()}
    return {
        "chip": name,
        "workload": workload.name,
        "chips": request.chips,
        "topology": request.topology,
        "global_batch": batch,
        "plan": {
            field.name: float(getattr(plan, field.name)) for field in dataclasses.fields(plan)
        },
        "plans_that_fit": None if table is None else len(table),
        "time_s": float(metrics.time),
        "throughput_per_s": float(metrics.throughput),
        "utilization": float(metrics.utilization),
        "memory_GB": float(metrics.memory) / 1e9,
        "power_kW": float(metrics.power) / 1e3,
        "samples_per_J": float(metrics.throughput / metrics.power),
        "feasible": bool(metrics.feasible),
        "margins": {k: float(v) for k, v in metrics.margins.items()},
        "time_terms_s": times,
        "memory_terms_GB": memory,
        "power_terms_kW": {k: float(v) / 1e3 for k, v in metrics.power_terms.items()},
    }


def _write(
    run: RunFolder, answer: dict[str, Any], table: pd.DataFrame | None,
    curves: dict[str, pd.DataFrame], title: str,
) -> None:  # fmt: skip
    from dse.plots import style
    from dse.plots.scaling import scaling

    plan = answer["plan"]
    replica = f"replicas of {plan['tensor'] * plan['pipeline']:g} chips"
    style.save(scaling(curves, f"{title}: {replica}"), run.folder / "scaling")
    for kind, curve in curves.items():
        run.write_table(f"{kind}_scaling", curve)
    if table is not None:
        run.write_table("plans", table)
    run.write_manifest({**answer, "provenance": provenance()})
    run.commit()


def _show(answer: dict[str, Any], metrics: PlanMetrics, table: pd.DataFrame | None) -> None:
    chosen = ", ".join(f"{k} {v:g}" for k, v in answer["plan"].items() if v not in (0.0, 1.0))
    click.echo(
        f"{answer['chips']} x {answer['chip']} on {answer['workload']}, global batch "
        f"{answer['global_batch']:,}, {answer['topology']} in nodes\n"
    )
    found = f" (best of {len(table):,} that fit)" if table is not None else ""
    for label, value in (
        ("plan", f"{chosen or 'one replica on one chip'}{found}"),
        ("time of a step", f"{answer['time_s']:,.4g} s"),
        ("throughput", f"{human(answer['throughput_per_s'])} samples/s"),
        ("utilisation", f"{100 * answer['utilization']:.3g}% of the peak, useful work only"),
        ("memory a chip", f"{answer['memory_GB']:,.4g} GB"),
        ("power of the fleet", f"{answer['power_kW']:,.4g} kW"),
    ):
        click.echo(f"  {label:20} {value}")
    broken = [f"{name} {value:+.3g}" for name, value in answer["margins"].items() if value < 0]
    click.echo(f"  {'limits broken':20} {', '.join(broken) or 'none'}\n")
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
