"""What `dse pareto` has done so far, in a folder beside its run folder: killed, it goes on there.

`<run>.checkpoint/` holds what was asked for and, for every workload, the units of its sweep
(`dse.running`) and where its search stands (`dse.checkpoint`). A run that goes on reads back what
is there, does the rest, and finds the same fronts to the bit; the folder goes with its end.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dse import running
from dse.checkpoint import Checkpoint, Request, beside
from dse.gathering import Sweep
from dse.job import Job
from dse.manifest import check_same, describe
from dse.origin import subfolder
from dse.store import MANIFEST, RunFolder, remove_empty, write_whole
from dse.sweeping import Progress
from hwmodels import InputError

ASKED = "request.json"


class Stages:
    """The stages of one run."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._made = [parent for parent in folder.absolute().parents if not parent.exists()]

    @classmethod
    def begin(cls, run: Path, asked: dict[str, Any]) -> Stages:
        """Of a new run. `InputError` if one was interrupted there, or nothing can be written."""
        stages = cls(beside(run))
        if stages.folder.exists():
            raise InputError(
                "--out", run, f"a run was interrupted there: --resume it, or remove {stages.folder}"
            )
        try:
            stages.folder.mkdir(parents=True)
            write_whole(stages.folder / ASKED, json.dumps(asked, indent=2).encode())
        except OSError as error:
            raise InputError("--out", run, f"cannot be written: {error.strerror}") from error
        return stages

    @classmethod
    def reopen(cls, run: Path) -> tuple[Stages, dict[str, Any]]:
        """Of a run that was interrupted, and what it was asked for."""
        stages = cls(beside(run))
        if not (stages.folder / ASKED).is_file():
            done = "it is finished" if run.is_dir() else "no run was interrupted there"
            raise InputError("--resume", run, f"{done}: there is no {stages.folder.name}")
        try:
            asked = json.loads((stages.folder / ASKED).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("--resume", stages.folder / ASKED, f"not readable: {error}") from None
        return stages, asked

    def sweep(self, job: Job, progress: Progress) -> Sweep:
        """The sweep of a workload, or what is left of it."""
        folder = self._of(job.workload.name) / "sweep"
        if (folder / MANIFEST).is_file():
            check_same(RunFolder.open(folder).manifest()["sweep"], describe(job))
        else:
            shutil.rmtree(folder, ignore_errors=True)  # killed before it was begun
            running.start(folder, job)
        return running.proceed(folder, job, progress)

    def checkpoint(self, request: Request) -> Checkpoint:
        """Of the search of a workload. `InputError` if it was begun as another."""
        found = Checkpoint(self._of(request.workload.name) / "search", request)
        found.check()
        return found

    def remove(self) -> None:
        """Done."""
        shutil.rmtree(self.folder, ignore_errors=True)
        remove_empty(self._made)

    def _of(self, workload: str) -> Path:
        return self.folder / subfolder(workload)
