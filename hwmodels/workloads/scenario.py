"""Scenarios: named mixtures of workloads that one chip serves in turn.

A scenario counts in units of its own: a request, a frame, a query. `samples` says how many samples
of a part one unit takes, so that throughput is units a second; `latency_ms` how long a step of the
part may take. A file:

    name = "llm-serving"
    unit = "request"
    about = "one prompt, 256 tokens of answer"
    [[part]]
    workload = "llama3-8b@decode,batch=16,context=2048"
    samples = 256
    latency_ms = 50
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from hwmodels.errors import InputError, check_choice
from hwmodels.workloads.numeric import Operations
from hwmodels.workloads.operation import Widths
from hwmodels.workloads.workload import Workload

FOLDER = Path(__file__).parents[1] / "catalog" / "scenarios"
LARGEST, MOST_PARTS = 1 << 20, 64  # bytes of a file, parts
_KEYS, _PART = ("name", "unit", "about", "part"), ("workload", "samples", "latency_ms")


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["parts", "runs"],
    meta_fields=["latencies", "names", "training"],
)
@dataclass(frozen=True)
class Mixture:
    """The numeric form of a scenario: a tuple entry a part.

    `parts`: their operations; `runs`: steps a unit; `latencies` [s]: a step's time at most,
    infinite where there is no limit; `training`: whether a step updates parameters.
    """

    parts: tuple[Operations, ...]
    runs: tuple[Any, ...]
    latencies: tuple[float, ...]
    names: tuple[str, ...]
    training: tuple[bool, ...]


@dataclass(frozen=True)
class Part:
    """A workload of a scenario: `samples` a unit, a step's `latency` [s] at most."""

    workload: Workload
    samples: float
    latency: float = math.inf

    @property
    def runs(self) -> float:
        """Steps a unit."""
        return self.samples / self.workload.samples


@dataclass(frozen=True, eq=False, repr=False)
class Scenario(Workload):
    """A mixture of workloads, usable wherever a workload is; a step is one `unit`.

    `rows`: of all parts, counted per unit; `footprints`: of the part that stores most.
    """

    parts: tuple[Part, ...] = ()
    unit: str = "unit"

    @classmethod
    def of(cls, name: str, unit: str, parts: tuple[Part, ...], about: str = "") -> Scenario:
        """A scenario of parts that are loaded."""
        rows = tuple(
            dataclasses.replace(
                row, name=f"{part.workload.name}: {row.name}", count=part.runs * row.count
            )
            for part in parts
            for row in part.workload.rows
        )
        largest = max(parts, key=lambda p: sum(t.bytes() for t in p.workload.footprints))
        notes = [f"a step is one {unit}: " + "; ".join(map(_described, parts))]
        notes += [f"{p.workload.name}: {note}" for p in parts for note in p.workload.notes]
        return cls(
            name=name, rows=rows, samples=1.0,
            max_global_batch=min(p.workload.max_global_batch / p.samples for p in parts)
            if all(p.workload.max_global_batch >= p.samples for p in parts) else 1.0,
            training=any(p.workload.training for p in parts),
            footprints=largest.workload.footprints, parts=parts, unit=unit,
            coverage={k: v for p in parts for k, v in p.workload.coverage.items()},
            notes=((about, *notes) if about else tuple(notes)),
        )  # fmt: skip

    @functools.cached_property
    def operations(self) -> Any:
        """Numeric form at traced widths: a `hwmodels.mixture.Mixture`."""
        return self._mixture(lambda part: part.operations)

    def at_format(self, width: float | Widths) -> Any:
        """Numeric form with floats narrowed, as of a workload."""
        return self._mixture(lambda part: part.at_format(width))

    def _mixture(self, numeric: Callable[[Workload], Any]) -> Mixture:
        return Mixture(
            parts=tuple(numeric(part.workload) for part in self.parts),
            runs=tuple(part.runs for part in self.parts),
            latencies=tuple(part.latency for part in self.parts),
            names=tuple(part.workload.name for part in self.parts),
            training=tuple(part.workload.training for part in self.parts),
        )


def single(workload: Workload, what: str) -> Workload:
    """The workload; `InputError` for a scenario, which `what` does not take."""
    if isinstance(workload, Scenario):
        raise InputError("workload", workload.name, f"{what}: allowed: one workload, no scenario")
    return workload


def _described(part: Part) -> str:
    limit = "" if math.isinf(part.latency) else f" in at most {1e3 * part.latency:g} ms a step"
    return f"{part.samples:g} of {part.workload.name}{limit}"


def names() -> list[str]:
    """Scenarios of the library."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_scenario(path: Path, load: Callable[[str], Workload]) -> Scenario:
    """The scenario of a TOML file, its workloads read by `load`; `InputError` names the field."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(str(path), "a larger file", f"allowed: up to {LARGEST} bytes")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(str(path), error, "allowed: a scenario in TOML") from None
    for key in content:
        check_choice(f"{path.name}, field", key, _KEYS)
    tables = content.get("part")
    if not isinstance(tables, list) or not 1 <= len(tables) <= MOST_PARTS:
        raise InputError(f"{path.name}, part", "none" if not tables else "too many",
                         f"allowed: 1 to {MOST_PARTS} tables [[part]]")  # fmt: skip
    parts = tuple(_part(f"{path.name}, part {i}", t, load) for i, t in enumerate(tables, 1))
    usual = {"name": path.stem, "unit": "unit", "about": ""}
    name, unit, about = (
        _text(f"{path.name}, {key}", content.get(key, default)) for key, default in usual.items()
    )
    return Scenario.of(name, unit, parts, about)


def _part(where: str, table: Any, load: Callable[[str], Workload]) -> Part:
    if not isinstance(table, Mapping):
        raise InputError(where, table, "allowed: a table")
    for key in table:
        check_choice(f"{where}, field", key, _PART)
    if "workload" not in table:
        raise InputError(f"{where}, workload", "nothing", "allowed: a workload's text")
    workload = load(_text(f"{where}, workload", table["workload"]))
    if isinstance(workload, Scenario):
        raise InputError(f"{where}, workload", workload.name, "a scenario holds no scenario")
    samples = _number(f"{where}, samples", table.get("samples", 1.0))
    latency = table.get("latency_ms")
    limit = math.inf if latency is None else _number(f"{where}, latency_ms", latency) / 1e3
    return Part(workload, samples, limit)


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000:
        raise InputError(where, value, "allowed: a text of up to 1000 characters")
    return value


def _number(where: str, value: Any) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not 0 < value < 1e18:
        raise InputError(where, value, "allowed: a number > 0")
    return float(value)
