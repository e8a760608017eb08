"""`dse evaluate CHIP --chips N`: a training step on a fleet, under a given or the best plan."""

from __future__ import annotations

import contextlib
import dataclasses

import click
import pandas as pd
from click.core import ParameterSource

from dse.breakdown import chip_name
from dse.cli.common import print_json
from dse.cli.fleet_report import show, summary, write
from dse.cli.plans import AUTO, by_option, read_plan, write_plan
from dse.store import RunFolder
from dse.validation.fsdp import FSDP
from dse.validation.llm import RUNTIME
from dse.validation.training import MEGATRON
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.catalog import find_entry, load_entry
from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.curves import SCALING, scaling_curve
from hwmodels.fleet.limits import broken_limits
from hwmodels.fleet.network import TOPOLOGIES, square_sides
from hwmodels.fleet.plan import Cluster, Plan
from hwmodels.fleet.planning import best_plan, plan_of
from hwmodels.fleet.problem import pose
from hwmodels.fleet.reliability import Reliability
from hwmodels.fleet.sizing import DIMENSIONS
from hwmodels.fleet.step import PlanMetrics, evaluate_plan
from hwmodels.quantity import quantities
from hwmodels.workloads.attention import fuse_attention
from hwmodels.workloads.scenario import single
from hwmodels.workloads.workload import Workload

IDEAL = "ideal"
FRAMEWORKS = {"megatron": MEGATRON, "fsdp": FSDP}
SOFTWARE = (IDEAL, *FRAMEWORKS)
OF_FLEETS = ("batch", "plan", "topology", "node_chips", "speed_spread", "failures_per_year",
             "software")  # fmt: skip


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
    software: str = IDEAL


def refuse_alone(context: click.Context) -> None:
    """Raise `InputError` if an option that describes a fleet was given without `--chips`."""
    for name in OF_FLEETS:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise InputError(option, context.params[name], "allowed with --chips only")


def read_reliability(speed_spread: float, failures_per_year: float) -> Reliability:
    """How chips differ and fail; `InputError` for what is outside its range."""
    known = quantities(Reliability)
    spread, failures = known["deviation"], known["failures_per_year"]
    return Reliability(
        deviation=spread.check(speed_spread, "--speed-spread"),
        failures=failures.check(failures_per_year, "--failures-per-year") * failures.scale,
    )


def evaluate_fleet(
    chip: str, design: Accelerator, workload: Workload, request: Request, out: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Evaluate, print, and with `out` write tables and the scaling plot; `chip`: as it was named
    on the command line."""
    if not single(workload, "--chips").training:
        raise InputError("--workload", workload.name, "allowed with --chips: a training step")
    check_choice("--topology", request.topology, TOPOLOGIES)
    check_choice("--software", request.software, SOFTWARE)
    _check_torus(request)
    cluster = Cluster(
        chips=float(request.chips), node_chips=float(request.node_chips),
        topology=request.topology, reliability=request.reliability,
    )  # fmt: skip
    batch = request.batch
    if batch is None:
        batch = int(min(request.chips * workload.samples, workload.max_global_batch))
    run_as = {"runtime": request.runtime, "residency": request.residency}
    step = workload
    if request.software != IDEAL:
        design, cluster = FRAMEWORKS[request.software].reached(design, cluster)
        run_as["runtime"] = RUNTIME
        if request.software == "fsdp":
            step = fuse_attention(workload, causal=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(by_option())
        run = stack.enter_context(RunFolder.create(out)) if out else None
        plan, metrics, table = _planned(design, step, cluster, batch, request.plan, run_as)
        curves = {
            kind: scaling_curve(design, step, cluster, plan, batch, scaling=kind, **run_as)
            for kind in SCALING
        }
        answer = {
            "chip": chip_name(chip),
            "workload": workload.name,
            "software": request.software,
            **run_as,
            "plans_that_fit": None if table is None else len(table),
            **summary(design, cluster, step, batch, plan, metrics),
            **useful_work(chip, workload, request.chips, float(metrics.throughput)),
            "efficiency": {kind: _at(curve, request.chips) for kind, curve in curves.items()},
        }
        if run:
            write(run, answer, table, curves)
    if as_json:
        rows = {kind: curve.to_dict(orient="records") for kind, curve in curves.items()}
        print_json({**answer, "scaling": rows, **({"run_dir": str(run.path)} if run else {})})
        return
    show(answer, cluster, table)
    if run:
        click.echo(f"\nwritten: {run.path}")


def _check_torus(request: Request) -> None:
    """Refuse nodes that no torus of so many dimensions holds, as of a prime number of chips."""
    dimensions, chips = DIMENSIONS.get(request.topology, 1), request.node_chips
    sides = square_sides(chips, dimensions)
    if chips > 1 and min(sides) < 2:
        shape = " x ".join(f"{side:g}" for side in sides)
        raise InputError(
            "--node-chips", chips,
            f"a {request.topology} of them is {shape}; allowed: products of {dimensions} numbers "
            "above 1",
        )  # fmt: skip


def _planned(
    design: Accelerator, workload: Workload, cluster: Cluster, batch: int, text: str,
    run_as: dict[str, str],
) -> tuple[Plan, PlanMetrics, pd.DataFrame | None]:  # fmt: skip
    """The plan that was asked for, or the fastest with the table of all that fit."""
    if text == AUTO:
        table = best_plan(design, workload, cluster, batch, **run_as)
        plan = plan_of(table.iloc[0])
        return plan, evaluate_plan(design, workload, cluster, plan, float(batch), **run_as), table
    plan = read_plan(text, int(cluster.chips))
    metrics = evaluate_plan(design, workload, cluster, plan, float(batch), **run_as)
    if not metrics.feasible:
        problem = pose(design, workload, cluster, float(batch), **run_as)
        broken = broken_limits(problem, plan, metrics.margins, float(metrics.memory))
        said = list(broken.values())
        if "ports" not in broken:  # else no plan fits
            said.append(_smallest(design, workload, cluster, batch, run_as))
        raise InputError("--plan", text, "; ".join(said))
    return plan, metrics, None


def _smallest(
    design: Accelerator, workload: Workload, cluster: Cluster, batch: int, run_as: dict[str, str]
) -> str:
    """The plan that fits with the fewest chips a replica, the fastest of them; or why none does."""
    try:
        table = best_plan(design, workload, cluster, batch, **run_as)
    except InputError as error:
        return error.allowed
    smallest = (table["tensor"] * table["pipeline"]).idxmin()  # the first, so the fastest
    return f"the smallest replica that fits: {write_plan(plan_of(table.loc[smallest]))}"


def useful_work(
    chip: str, workload: Workload, chips: int, throughput: float
) -> dict[str, float | None]:
    """Model operations of a chip, and over its datasheet's peak where the catalog has it.

    As in published MFU, operations that are made again do not count, masked ones do.
    """
    rate = 2.0 * workload.macs / workload.samples * throughput / chips / 1e12
    entry = load_entry(chip) if chip.endswith(".toml") else find_entry(chip)
    stated = entry.published.get("peak_TFLOPs") if entry else None
    peak = stated.number if stated else None
    return {
        "model_TFLOPs_per_chip": rate,
        "datasheet_TFLOPs": peak,
        "mfu": None if peak is None else rate / peak,
    }


def _at(curve: pd.DataFrame, chips: int) -> float | None:
    found = curve.loc[curve["chips"] == chips, "efficiency"]
    return float(found.iloc[0]) if len(found) else None
