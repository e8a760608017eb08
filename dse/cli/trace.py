"""`dse trace`: the operations of a workload."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import click

from dse.breakdown import break_down, chip_name, find_chip
from dse.cli.common import print_json
from dse.cli.tables import human, print_table
from dse.provenance import provenance
from dse.store import RunFolder
from hwmodels import InputError, Workload, load_workload
from hwmodels.errors import check_choice
from hwmodels.workloads.importers.exporting import EXPORTERS
from hwmodels.workloads.importers.exporting import export as export_text
from hwmodels.workloads.settings import MODES


@click.command(
    epilog="""\b
Examples:
  dse trace mlp
  dse trace gpt2-xl --batch 4
  dse trace mynet:step --args "f32[784,10] f32[32,784]"
  dse trace network.onnx --train --batch 32
  dse trace resnet50 --infer --export scalesim=resnet50.csv
  dse trace mlp-large --plot mlp-large-plots --chip tpu_v4
  dse trace mlp-large --out mlp-large.csv"""
)
@click.argument("workload")
@click.option("--train", "mode", flag_value="train", help="The training step.")
@click.option("--infer", "mode", flag_value="infer", help="The forward phase alone.")
@click.option("--prefill", "mode", flag_value="prefill", help="A language model reads prompts.")
@click.option("--decode", "mode", flag_value="decode", help="It writes one token a sample.")
@click.option("--batch", type=int, metavar="N", help="Samples a step.")
@click.option("--sequence", type=int, metavar="N", help="Tokens a sample.")
@click.option("--context", type=int, metavar="N", help="Tokens in the cache when decoding.")
@click.option("--args", metavar="SHAPES", help="Of a function: shapes, or what returns them.")
@click.option("--plot", metavar="DIR", help="New folder: figures of the operations, and on the "
              "roofline of a chip.")  # fmt: skip
@click.option("--chip", default="tpu_v4", show_default=True, metavar="NAME",
              help="Whose roofline.")  # fmt: skip
@click.option("--out", metavar="FILE.csv", help="Also write the table to a new CSV file.")
@click.option("--export", metavar="KIND=FILE", help="Also write the forward products as a new file "
              f"for other tools, of KIND {', '.join(EXPORTERS)}.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print totals and rows as one JSON object.")
def command(
    workload: str,
    mode: str | None,
    batch: int | None,
    sequence: int | None,
    context: int | None,
    args: str | None,
    plot: str | None,
    chip: str,
    out: str | None,
    export: str | None,
    as_json: bool,
) -> None:
    """Print the operations of a step: sizes, FLOPs, bytes, arithmetic intensity.

    WORKLOAD is a network of the library, a scenario, module:function of your own, or a file of
    another tool; settings may follow an @, as in resnet50@infer,batch=8, which is how other
    commands take them. FLOPs and bytes are of one run; `count` says how often an operation runs
    in a step.
    """
    if out is not None and Path(out).exists():
        raise InputError("--out", out, "exists already; choose a new file")
    text = with_settings(workload, mode, batch=batch, sequence=sequence, context=context, args=args)
    traced = load_workload(text)
    frame = traced.frame()
    if out is not None:
        try:
            frame.to_csv(out, index=False)
        except OSError as error:
            raise InputError("--out", out, f"cannot be written: {error.strerror}") from None
    exported = None if export is None else _export(traced, export)
    folder = _draw(traced, chip, plot) if plot is not None else None
    parameters = sum(t.elements for t in traced.footprints if t.role == "parameter")
    totals = {
        "macs": traced.macs,
        "flops": traced.flops,
        "bytes": traced.bytes,
        "parameters": parameters,
        "samples": float(traced.samples),
        "max_global_batch": float(traced.max_global_batch),
    }
    if as_json:
        rows = frame.to_dict(orient="records")
        print_json({
            "workload": text, **totals, "coverage": traced.coverage, "notes": list(traced.notes),
            "collectives": [dataclasses.asdict(found) for found in traced.collectives],
            "rows": rows, **({"run_dir": folder} if folder else {}),
        })  # fmt: skip
        return
    columns = ["operation", "phase", "count", "batch", "m", "n", "k", "flops", "read_bytes",
               "write_bytes", "flops_per_byte"]  # fmt: skip
    summary = ", ".join(f"{human(value)} {name}" for name, value in totals.items())
    print_table(frame[columns], f"{text}, one step: {summary}")
    for note in traced.notes:
        click.echo(f"note: {note}")
    for found in traced.collectives:
        click.echo(
            f"between chips: {found.count:g} x {found.kind} of {human(found.bytes)} bytes a chip "
            f"over {', '.join(found.axes)} ({found.chips} chips), {found.phase}"
        )
    click.echo(_covered(traced.coverage))
    for written in filter(None, (out, exported, folder)):
        click.echo(f"written: {written}")


def _export(traced: Workload, text: str) -> str:
    """Write `KIND=FILE`; the file's path."""
    kind, _, file = text.partition("=")
    check_choice("--export", kind, EXPORTERS)
    if not file or Path(file).exists():
        raise InputError("--export", text, "allowed: KIND=FILE, a file that is not there yet")
    content = export_text(traced, kind)
    try:
        Path(file).write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError("--export", file, f"cannot be written: {error.strerror}") from None
    return file


def with_settings(text: str, mode: str | None, **settings: Any) -> str:
    """A workload's text with the settings of options behind it."""
    given = [mode] if mode in MODES else []
    given += [f"{name}={value}" for name, value in settings.items() if value is not None]
    if not given:
        return text
    return f"{text}{',' if '@' in text else '@'}{','.join(given)}"


def _covered(coverage: dict[str, str]) -> str:
    """How primitives were costed, in a line."""
    kinds = {
        kind: [name for name, how in coverage.items() if how == kind]
        for kind in ("rule", "elements", "fleet", "uncosted")
    }
    said = [f"{len(kinds['rule'])} primitives costed by rule"]
    if kinds["elements"]:
        said.append(f"by their elements: {', '.join(kinds['elements'])}")
    if kinds["fleet"]:
        said.append(f"between chips: {', '.join(kinds['fleet'])}")
    if kinds["uncosted"]:
        said.append(f"NOT COSTED: {', '.join(kinds['uncosted'])}")
    return f"coverage: {'; '.join(said)}"


def _draw(traced: Workload, chip: str, folder: str) -> str:
    """Figures in a new run folder."""
    from dse.plots import style
    from dse.plots.operations import operation_bars
    from dse.plots.roofline import roofline

    design = find_chip(chip)
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunFolder.create(folder))
        found = break_down(chip_name(chip), design, traced)
        style.save(operation_bars(traced), run.folder / "operations")
        style.save(roofline(found), run.folder / "roofline")
        run.write_table("operations", traced.frame())
        run.write_manifest({
            "command": "trace", "workload": traced.name, "chip": chip, "provenance": provenance(),
        })  # fmt: skip
        return str(run.commit())
