"""Run folders: the tables, manifest and figures of one run, written whole or not at all.

    with RunFolder.create(path) as run:
        run.write_table("front", front.table)
        run.write_manifest({"seed": 0, **provenance()})
        run.commit()

Content goes into a hidden temporary folder beside `path`, which `commit` renames into place: a
reader sees a complete run or none. On an exception, Ctrl-C included, the temporary folder goes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType

import numpy as np
import pandas as pd

from dse.front import OBJECTIVES, POWER, THROUGHPUT, Front, Objective
from dse.readings import objective
from dse.scalability import S80, scalability
from hwmodels.errors import InputError

MANIFEST = "manifest.json"
FRONT, VARIANT_FRONTS = "front.parquet", "variant_fronts.parquet"


class RunFolder:
    """One run's folder. `path` is where it is, or will be; `folder` is where to write now."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self._made_parents: list[Path] = []

    @classmethod
    def create(cls, path: str | Path) -> RunFolder:
        """A folder to be filled and committed; missing parents are made.

        `InputError` if `path` exists, which is then left untouched.
        """
        path = Path(path).absolute()
        if os.path.lexists(path):
            raise InputError("--out", path, "exists already; choose a new folder")
        made = [p for p in path.parents if not p.exists()]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = tempfile.mkdtemp(
                prefix=f".{path.name}.", suffix=".partial", dir=path.parent
            )
        except OSError as error:
            remove_empty(made)
            raise InputError("--out", path, f"cannot be written: {error.strerror}") from error
        run = cls(path, Path(temporary))
        run._made_parents = made
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run, to read. `InputError` if it is not a folder with a manifest."""
        path = Path(path)
        if not path.is_dir():
            raise InputError("run folder", path, "no such folder")
        if not (path / MANIFEST).is_file():
            raise InputError("run folder", path, f"it holds no {MANIFEST}")
        return cls(path, path)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()

    def commit(self) -> Path:
        """Rename the content into place, atomically; returns the final path."""
        umask = os.umask(0)
        os.umask(umask)
        self.folder.chmod(0o777 & ~umask)  # mkdtemp made it private
        if os.path.lexists(self.path):
            raise InputError("--out", self.path, "appeared meanwhile; choose a new folder")
        self.folder.rename(self.path)
        self.folder = self.path
        return self.path

    def discard(self) -> None:
        """Remove what was not committed; does nothing after `commit`, or to an opened run."""
        if self.folder != self.path:
            shutil.rmtree(self.folder, ignore_errors=True)
            remove_empty(self._made_parents)

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write `name`.parquet and `name`.csv (full precision), without the row index."""
        table.to_parquet(self.folder / f"{name}.parquet", index=False)
        table.to_csv(self.folder / f"{name}.csv", index=False)

    def write_manifest(self, content: Mapping[str, object]) -> None:
        """Write manifest.json, keys sorted. `InputError` names the key of a NaN or an infinity."""
        text = json.dumps(_plain(content, "manifest"), sort_keys=True, indent=2, allow_nan=False)
        (self.folder / MANIFEST).write_text(text + "\n", encoding="utf-8")

    def table(self, name: str) -> pd.DataFrame:
        """Read a table back. `InputError` if it is missing or not readable as parquet."""
        return _read_parquet(self.folder / f"{name}.parquet")

    def manifest(self) -> dict:
        """Read the manifest back. `InputError` if it is not a JSON object."""
        path = self.folder / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("manifest", path, f"cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise InputError("manifest", path, "it must be a JSON object")
        return content


def read_front(path: str | Path) -> Front:
    """The front of a run folder, on its own axes and with each variant's own, or of a parquet file
    of another kind with the default axes; `InputError` if bad."""
    path = Path(path)
    if path.name == FRONT and run_of(path.parent) is not None:
        path = path.parent
    if not path.is_dir():
        return Front.from_table(_read_parquet(path))
    front = Front.from_table(_read_parquet(path / FRONT), _objectives(run_of(path)))
    if not (path / VARIANT_FRONTS).is_file():
        return front
    groups = _read_parquet(path / VARIANT_FRONTS).groupby("variant", sort=False)
    return dataclasses.replace(front, own={str(name): part for name, part in groups})


def _objectives(run: Path | None) -> tuple[Objective, ...]:
    """The axes of a run's fronts."""
    if run is None:
        return OBJECTIVES
    manifest = RunFolder.open(run).manifest()
    settings = manifest.get("settings") or {}
    named = settings.get("objectives") or (manifest.get("sweep") or {}).get("objectives")
    if named:
        return tuple(objective(name) for name in named)
    axis = scalability(settings.get("scalability", S80.name))
    return THROUGHPUT, POWER, axis.objective


def run_of(path: Path) -> Path | None:
    """The run folder that a folder is, or whose workload's subfolder it is."""
    return next((folder for folder in (path, path.parent) if (folder / MANIFEST).is_file()), None)


def default_folder(command: str, root: str | Path = "runs", now: datetime | None = None) -> Path:
    """`runs/<command>-<YYYYmmdd-HHMMSS>` in local time, numbered on if that exists."""
    name = f"{command}-{now or datetime.now():%Y%m%d-%H%M%S}"
    path, count = Path(root) / name, 2
    while path.exists():
        path, count = Path(root) / f"{name}-{count}", count + 1
    return path


def write_whole(path: Path, data: bytes) -> None:
    """The whole file or none: a crash leaves the old one, or a temporary one."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read_parquet(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError("table", path, "no such file")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputError("table", path, "not a readable parquet file") from error


def remove_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first; one that someone else now uses stays."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _plain(value: object, where: str) -> object:
    """`value` as JSON types; `where` is the path to it, for the error."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(where, value, "allowed: finite numbers")
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    raise InputError(where, type(value).__name__, "allowed: numbers, text, lists, tables of them")
