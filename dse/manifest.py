"""A sweep's manifest: everything that decides its result, as JSON, and what two of them differ in.

A run is resumed only by the same model code on the same space and workload; otherwise its front
would mix the answers to two questions. What differs is named.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import dse
import hwmodels
from dse.evaluating import Options
from dse.job import Job
from dse.parameter import Parameter
from dse.readings import Constraint
from dse.sampling import Grid, Sampled, Table
from dse.scalability import scalability
from dse.space import Space
from hwmodels import InputError, Workload, load_workload

LIBRARIES = ("jax", "jaxlib", "numpy", "moocore", "scipy")
SHOWN = 8  # differences in an error message


def describe(job: Job) -> dict[str, Any]:
    """What decides the result of `job`, its speed settings too, in JSON types."""
    sampling: dict[str, Any] = {"kind": type(job.sampling).__name__.lower()}
    if isinstance(job.sampling, Table):
        sampling["sha256"] = hashlib.sha256(
            job.sampling.frame.to_csv(index=False).encode()
        ).hexdigest()
    else:
        sampling |= dataclasses.asdict(job.sampling)
    content = {
        "spaces": [dataclasses.asdict(space) for space in job.spaces],
        "workload": {"name": job.workload.name, "sha256": _of_workload(job.workload)},
        "sampling": sampling,
        "objectives": [o.column for o in job.options.objectives],
        "runtime": job.options.runtime,
        "residency": job.options.residency,
        "scalability": job.options.scalability.name,
        "keep_all": job.keep_all,
        "epsilon": job.epsilon,
        "chunk": job.chunk,
        "filter_points": job.filter_points,
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "code": code_version(),
    }
    return json.loads(json.dumps(content))


def rebuild(content: Mapping[str, Any], table: pd.DataFrame | None) -> Job:
    """The job of a manifest; `table`: its designs where they were given.

    Raises `InputError` if it cannot be understood, or its workload is another one today.
    """
    try:
        spaces = tuple(map(read_space, content["spaces"]))
        sampling = dict(content["sampling"])
        kind = sampling.pop("kind")
        drawn: Sampled | Grid | Table
        if kind == "table":
            if table is None:
                raise InputError("manifest", "a sweep of a table", "its table is missing")
            drawn = Table(table)
        elif kind == "grid":
            drawn = Grid(
                tuple((n, c) for n, c in sampling["points"]), sampling["others"], sampling["limit"]
            )
        else:
            drawn = Sampled(**sampling)
        axis = scalability(content["scalability"])
        options = Options(content["runtime"], content["residency"], axis)
        if [o.column for o in options.objectives] != content["objectives"]:
            options = dataclasses.replace(options, metrics=tuple(content["objectives"]))
        return Job(
            spaces, load_workload(content["workload"]["name"]), drawn, options,
            content["chunk"], content["filter_points"], content["keep_all"], content["epsilon"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("manifest", repr(error), "not one that this command wrote") from None


def read_space(content: Mapping[str, Any]) -> Space:
    """A space of a manifest, as `dataclasses.asdict` wrote it."""
    return Space(
        content["variant"],
        tuple(Parameter(**p | {"choices": tuple(p["choices"])}) for p in content["parameters"]),
        tuple((name, value) for name, value in content["fixed"]),
        tuple(Constraint(**c) for c in content["constraints"]),
    )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Where two manifests differ, each as "name: was X, is Y"; code as "FILE changed"."""
    found = []
    before, after = _flat(old), _flat(new)
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, "absent"), after.get(name, "absent")
        if was == now:
            continue
        if name.startswith("code."):
            what = {"absent": "new"}.get(str(was), "gone" if now == "absent" else "changed")
            found.append(f"{name.removeprefix('code.')} {what}")
        else:
            found.append(f"{name}: was {was}, is {now}")
    return found


def check_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise `InputError` with the differences, if there are any."""
    found = differences(old, new)
    if found:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise InputError(
            "--resume", "; ".join(found[:SHOWN]) + more,
            "allowed: what the run was started with; start a new one instead",
        )  # fmt: skip


@functools.cache
def code_version() -> dict[str, str]:
    """Hash of every source file of the models and the sweep."""
    found = {}
    for package in (hwmodels, dse):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root.parent).as_posix()
            if not name.startswith(("dse/cli/", "dse/plots/", "dse/validation/")):
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return found


def _of_workload(workload: Workload) -> str:
    rest = [workload.samples, workload.max_global_batch, workload.training]
    text = workload.frame().to_csv(index=False) + repr(rest) + repr(workload.footprints)
    return hashlib.sha256(text.encode()).hexdigest()


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(content, Mapping):
        items = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list) and content and isinstance(content[0], Mapping):
        names = [str(item.get("name", item.get("variant", item.get("metric", i))))
                 for i, item in enumerate(content)]  # fmt: skip
        items = list(zip(names, content, strict=True))
    else:
        return {prefix: content}
    found: dict[str, Any] = {}
    for key, value in items:
        found |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return found
