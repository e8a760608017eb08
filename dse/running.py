"""Sweeps that survive: units of work checked into a run folder, whole or not at all.

Every unit that is done is a file: its SHA-256, a line of JSON and the designs that it added to the
front, written beside its final name, flushed to disk and renamed. A run that was killed goes on
with the units that are missing; one whose file was cut short or altered is named and done again.
The front does not depend on which units were done when, so the result is the same to the bit.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.feather as feather

from dse.archive import Survivors
from dse.gathering import Sweep
from dse.job import Found, Job, Unit
from dse.manifest import check_same, describe, rebuild
from dse.provenance import provenance
from dse.store import MANIFEST, RunFolder, write_whole
from dse.sweeping import WORKERS, Execute, Progress, check, run
from hwmodels import InputError

UNITS, DESIGNS, TABLE, LOCK = "units", "designs", "table.parquet", ".lock"
POINT, HASH = "point ", 64


def start(path: str | Path, job: Job, trial: Sequence[dict[str, Any]] = ()) -> None:
    """Make a run folder for `job`, chosen by `trial`. `InputError` if it exists, or cannot be."""
    folder = Path(path)
    check(job)
    if os.path.lexists(folder):
        raise InputError(
            "--out", folder, "exists already; choose a new folder, or continue it with --resume"
        )
    content = {
        "command": "sweep", "sweep": describe(job), "trial": list(trial), "status": "running",
        "provenance": provenance(),
    }  # fmt: skip
    with _writing(folder):
        (folder / UNITS).mkdir(parents=True)
        if job.keep_all:
            (folder / DESIGNS).mkdir()
        if hasattr(job.sampling, "frame"):
            write_whole(folder / TABLE, _parquet(job.sampling.frame))
        write_whole(folder / MANIFEST, json.dumps(content, indent=2).encode())


def reopen(path: str | Path) -> Job:
    """The job of a run folder. `InputError` if this is not one, or the code has changed since."""
    folder = Path(path)
    content = RunFolder.open(folder).manifest()
    if not isinstance(content.get("sweep"), dict):
        raise InputError("--resume", folder, "not the folder of a sweep")
    table = pd.read_parquet(folder / TABLE) if (folder / TABLE).is_file() else None
    job = rebuild(content["sweep"], table)
    check_same(content["sweep"], describe(job))
    return job


def proceed(
    path: str | Path,
    job: Job,
    progress: Progress | None = None,
    execute: Execute | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Sweep:
    """Do what is left of the run in `path`. `warn` is told of files that are done again.

    Raises:
      InputError: the folder cannot be written (what was done before stays), or no design meets the
        limits.
    """
    folder, owner = Path(path), _owner(job)

    def finished(unit: Unit, found: Found) -> None:
        with _writing(folder):
            header: dict[str, Any] = {
                "job": owner,
                "feasible": found.feasible,
                "designs": found.designs,
            }
            if found.everything is not None:
                rows = _parquet(found.everything)
                header["everything"] = hashlib.sha256(rows).hexdigest()
                write_whole(_designs_file(folder, unit), rows)
            write_whole(_unit_file(folder, unit), _pack(header, found.survivors))

    with _alone(folder):
        done = _read_units(folder, job, warn)
        return run(job, progress, execute=execute, done=done, finished=finished)


def finish(path: str | Path, summary: dict[str, Any]) -> None:
    """Mark a run as complete."""
    folder = Path(path)
    content = RunFolder.open(folder).manifest() | {"status": "complete"} | summary
    with _writing(folder):
        write_whole(folder / MANIFEST, (json.dumps(content, indent=2) + "\n").encode())


def write_front(path: str | Path, sweep: Sweep) -> None:
    """front.parquet and .csv, and variant_fronts likewise."""
    folder = Path(path)
    own = pd.concat([front.table for front in sweep.variant_fronts.values()], ignore_index=True)
    with _writing(folder):
        for name, table in (("front", sweep.front.table), ("variant_fronts", own)):
            write_whole(folder / f"{name}.parquet", _parquet(table))
            write_whole(folder / f"{name}.csv", table.to_csv(index=False).encode())


def _read_units(
    folder: Path, job: Job, warn: Callable[[str], None]
) -> Iterator[tuple[Unit, Found]]:
    owner = _owner(job)
    for unit in job.units(WORKERS):
        file = _unit_file(folder, unit)
        if not file.is_file():
            continue
        try:
            header, survivors = _unpack(file.read_bytes())
            if header["job"] != owner:
                raise ValueError("it is of another sweep")
            if job.keep_all and _digest(_designs_file(folder, unit)) != header["everything"]:
                raise ValueError("its designs do not have the checksum that was written")
            found = Found(survivors, int(header["feasible"]), int(header["designs"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            warn(f"{file}: {error}; done again")
            continue
        yield unit, found


def _owner(job: Job) -> str:
    """Says whose a unit is, whatever the manifest beside it says."""
    return hashlib.sha256(json.dumps(describe(job), sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a folder that another process works in; the system forgets the lock of a dead one."""
    with _writing(folder):
        file = (folder / LOCK).open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("--resume", folder, "another process is at work in it") from None
        yield


def _unit_file(folder: Path, unit: Unit) -> Path:
    return folder / UNITS / f"{unit.case:03d}-{unit.part:06d}-of-{unit.parts}.unit"


def _designs_file(folder: Path, unit: Unit) -> Path:
    return folder / DESIGNS / f"{unit.case:03d}-{unit.part:06d}-of-{unit.parts}.parquet"


def _pack(header: dict[str, Any], survivors: Survivors) -> bytes:
    columns: dict[str, Any] = {"index": survivors.indices}
    columns |= {f"{POINT}{i}": axis for i, axis in enumerate(survivors.points.T)}
    buffer = io.BytesIO()
    frame = pd.DataFrame(columns | survivors.payload)
    feather.write_feather(frame, buffer, compression="uncompressed")
    body = json.dumps(header).encode() + b"\n" + buffer.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _unpack(data: bytes) -> tuple[dict[str, Any], Survivors]:
    digest, body = data[:HASH], data[HASH + 1 :]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("it does not have the checksum that was written")
    line, _, rest = body.partition(b"\n")
    frame = feather.read_feather(io.BytesIO(rest))
    points = [name for name in frame if name.startswith(POINT)]
    payload = {n: frame[n].to_numpy() for n in frame if n != "index" and n not in points}
    stacked = np.stack([frame[name].to_numpy() for name in points], axis=-1)
    return json.loads(line), Survivors(frame["index"].to_numpy(), stacked, payload)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = f"; make room, then continue with --resume {folder}" if full else ""
        raise InputError("--out", folder, f"cannot be written: {error.strerror}{advice}") from error
