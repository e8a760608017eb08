"""Where a gradient search stands, in one file beside its run folder: killed, it goes on from there.

Written after every round, whole or not at all, with a checksum. It holds what decides the result
(`manifest.describe`, settings, the designs it was started with), every structure's archive and
random state, and the volumes that end a search; the search that goes on from it finds the same
front to the bit. Arrays are NumPy's format without pickle, all else is JSON.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dse.evaluating import Options
from dse.job import Job
from dse.manifest import check_same, describe, rebuild
from dse.rounds import NAMED, Known, StructureSearch
from dse.sampling import Sampled, Table
from dse.space import Space
from dse.store import write_whole
from hwmodels import InputError, Workload

MAGIC = b"chipgrad search\n"
INTERVAL_S = 1.0  # between two writes, at least
SUFFIX = ".checkpoint"


@dataclasses.dataclass(frozen=True)
class Request:
    """All that decides what a search finds: its arguments."""

    spaces: tuple[Space, ...]
    workload: Workload
    options: Options
    start: pd.DataFrame | None
    settings: dict[str, Any]  # evaluations, seed, optimizer, learning_rate

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        sampling = Sampled() if self.start is None else Table(self.start)
        job = Job(self.spaces, self.workload, sampling, self.options)
        return describe(job) | {"search": self.settings}


class Checkpoint:
    """The checkpoint of a run folder that is not there yet."""

    def __init__(self, folder: Path, request: Request, interval_s: float = INTERVAL_S):
        self.path = beside(folder)
        self.request, self._interval = request, interval_s
        self._last = time.monotonic()

    def check(self) -> None:
        """`InputError` if what stands there is of another search, or of another code."""
        if self.path.is_file():
            check_same(_read(self.path)[0]["request"], self.request.describe())

    def restore(
        self, cases: Sequence[StructureSearch], volumes: list[float], boxes: dict[str, Known]
    ) -> bool:
        """Put everything where it was; False if nothing was written yet."""
        if not self.path.exists():
            return False
        about, arrays = _read(self.path)
        for i, (case, state) in enumerate(zip(cases, about["cases"], strict=True)):
            case.gradients, case.candidates = state["gradients"], state["candidates"]
            case.rng.bit_generator.state = state["rng"]
            names = arrays[f"{i} seen"].tobytes()
            case.seen = {names[j : j + NAMED] for j in range(0, len(names), NAMED)}
            prefix = f"{i} payload "
            payload = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
            if f"{i} indices" in arrays:
                case.archive.add(arrays[f"{i} points"], arrays[f"{i} indices"], payload)
        volumes.extend(about["volumes"])
        for name in about["boxes"]:
            boxes[name] = Known(arrays[f"{name} values"], arrays[f"{name} logs"])
        return True

    def write(
        self, cases: Sequence[StructureSearch], volumes: list[float], boxes: dict[str, Known]
    ) -> None:
        """Note where a search stands, if the last time is long enough ago."""
        if time.monotonic() < self._last + self._interval:
            return
        arrays: dict[str, np.ndarray] = {}
        states = []
        for i, case in enumerate(cases):
            arrays[f"{i} seen"] = np.frombuffer(b"".join(case.seen), np.uint8)
            held = case.archive.finish()
            if len(held.indices):
                arrays |= {f"{i} indices": held.indices, f"{i} points": held.points}
                arrays |= {f"{i} payload {name}": a for name, a in held.payload.items()}
            states.append({
                "gradients": case.gradients, "candidates": case.candidates,
                "rng": case.rng.bit_generator.state,
            })  # fmt: skip
        for name, known in boxes.items():
            values, logs = known
            arrays |= {f"{name} values": values, f"{name} logs": logs}
        start = self.request.start
        about = {
            "request": self.request.describe(), "cases": states, "volumes": volumes,
            "boxes": list(boxes), "start": None if start is None else start.to_csv(index=False),
        }  # fmt: skip
        _write(self.path, about, arrays)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Done."""
        self.path.unlink(missing_ok=True)


def beside(folder: Path) -> Path:
    """The checkpoint's file for a run folder."""
    return folder.with_name(folder.name + SUFFIX)


def reopen(folder: Path) -> Request:
    """What the search of an unfinished run folder was asked for.

    Raises:
      InputError: nothing to resume, a damaged file, or another version of the code, with what
        differs.
    """
    path = beside(folder)
    if not path.is_file():
        done = "it is finished" if folder.is_dir() else "no search was interrupted there"
        raise InputError("--resume", folder, f"{done}: there is no {path.name}")
    about, _ = _read(path)
    asked = about["request"]
    start = None if about["start"] is None else pd.read_csv(io.StringIO(about["start"]))
    job = rebuild(asked, start)
    request = Request(job.spaces, job.workload, job.options, start, asked["search"])
    check_same(asked, request.describe())
    return request


def _write(path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, about=text, **{f"array {name}": a for name, a in arrays.items()})  # type: ignore[arg-type]
    content = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, MAGIC + hashlib.sha256(content).digest() + content)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    raw = path.read_bytes()
    head, digest, content = raw[: len(MAGIC)], raw[len(MAGIC) :][:32], raw[len(MAGIC) + 32 :]
    if head != MAGIC or hashlib.sha256(content).digest() != digest:
        raise InputError("--resume", path, "damaged: its checksum is another; start anew")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    about = json.loads(arrays.pop("about").tobytes())
    return about, {name.removeprefix("array "): array for name, array in arrays.items()}
