"""`dse trace`: the operations of a workload."""

from __future__ import annotations

from pathlib import Path

import click

from dse.cli.common import human, print_json, print_table
from hwmodels import InputError, load_workload


@click.command(
    epilog="""\b
Examples:
  dse trace mlp
  dse trace mlp-large --out mlp-large.csv"""
)
@click.argument("workload")
@click.option("--out", metavar="FILE.csv", help="Also write the table to a new CSV file.")
@click.option("--json", "as_json", is_flag=True, help="Print totals and rows as one JSON object.")
def command(workload: str, out: str | None, as_json: bool) -> None:
    """Print the operations of a training step: sizes, FLOPs, bytes, arithmetic intensity.

    WORKLOAD is a name such as mlp or mlp-large. FLOPs and bytes are of one run; `count` says
    how often an operation runs in a step.
    """
    if out is not None and Path(out).exists():
        raise InputError("--out", out, "exists already; choose a new file")
    traced = load_workload(workload)
    frame = traced.frame()
    if out is not None:
        try:
            frame.to_csv(out, index=False)
        except OSError as error:
            raise InputError("--out", out, f"cannot be written: {error.strerror}") from None
    totals = {
        "macs": traced.macs,
        "flops": traced.flops,
        "bytes": traced.bytes,
        "samples": float(traced.samples),
        "max_global_batch": float(traced.max_global_batch),
    }
    if as_json:
        rows = frame.to_dict(orient="records")
        print_json({"workload": workload, **totals, "notes": list(traced.notes), "rows": rows})
        return
    columns = ["operation", "phase", "count", "batch", "m", "n", "k", "flops", "read_bytes",
               "write_bytes", "flops_per_byte"]  # fmt: skip
    summary = ", ".join(f"{human(value)} {name}" for name, value in totals.items())
    print_table(frame[columns], f"{workload}, one step: {summary}")
    for note in traced.notes:
        click.echo(f"note: {note}")
    if out is not None:
        click.echo(f"written: {out}")
