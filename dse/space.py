"""Design spaces: which numbers of a variant may vary, how, and under which budgets.

A point of a space is a vector u in [0, 1)^P, one coordinate a numeric parameter; `values` turns
it into numbers in the units of their names and `build` into an accelerator and a fleet. Choices
that are structure (dataflow, topology, number format) are enumerated as `structures`, one
compilation each; DRAM and link kinds are choices among tables of numbers, so they need none. A
number that a space names itself goes before that of a kind.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dse.parameter import KINDS, Parameter
from dse.readings import Constraint, check_budgets
from hwmodels import VARIANTS, Accelerator, Fleet, InputError
from hwmodels.accelerators.entry import PART_KINDS
from hwmodels.errors import check_choice
from hwmodels.quantity import quantities, replace_quantities, structure

DRAM_KIND = "dram_kind"


@dataclass(frozen=True)
class Space:
    """A variant, its varying parameters, fixed numbers and constraints.

    Raises:
      InputError: unknown variant, parameter or choice, a bound outside the physical range, an
        empty range.
    """

    variant: str
    parameters: tuple[Parameter, ...]
    fixed: tuple[tuple[str, float | str], ...] = ()
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        check_choice("variant", self.variant, VARIANTS)
        if not self.parameters:
            raise InputError("space.parameters", "none", "a space varies at least one parameter")
        cls = VARIANTS[self.variant]
        static = _static_choices(self.variant)
        numbers = quantities(cls)
        names = [p.name for p in self.parameters]
        for name in names:
            check_choice("parameter", name, [*numbers, *static, *PART_KINDS])
            if names.count(name) > 1:
                raise InputError("parameter", name, "each parameter is named once")
        for p in self.parameters:
            check_choice(f"{p.name}.kind", p.kind, KINDS)
            if p.kind == "choice":
                allowed = static.get(p.name, tuple(PART_KINDS.get(p.name, ())))
                if not p.choices:
                    raise InputError(f"{p.name}.choices", "empty", "at least one choice")
                for choice in p.choices:
                    check_choice(f"{p.name}.choices", choice, allowed)
                continue
            check_choice("numeric parameter", p.name, numbers)
            numbers[p.name].check(p.low, f"{p.name}.low")
            numbers[p.name].check(p.high, f"{p.name}.high")
            if p.low > p.high:
                raise InputError(p.name, f"low {p.low:g} > high {p.high:g}", "low <= high")
            if p.kind in ("log", "power2") and p.low <= 0:
                raise InputError(f"{p.name}.low", p.low, f"> 0 for kind {p.kind}")
            whole = p.kind == "integer" and (p.low % 1 or p.high % 1)
            if whole or (p.kind == "power2" and math.log2(p.high / p.low) % 1):
                rule = "whole bounds" if whole else "high / low a power of two"
                raise InputError(p.name, f"{p.low:g} to {p.high:g}", f"{p.kind} needs {rule}")
        for name, value in self.fixed:
            if name in static:
                check_choice(name, value, static[name])
            elif name in PART_KINDS:
                check_choice(name, value, PART_KINDS[name])
            else:
                check_choice("parameter", name, [*numbers, *static, *PART_KINDS])
                numbers[name].check(value)
            if name in names:
                raise InputError("fixed", name, "it is also a varying parameter")
        check_budgets(self.constraints)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all varying parameters, choices included."""
        return tuple(p.name for p in self.parameters)

    @property
    def numeric(self) -> tuple[Parameter, ...]:
        """The parameters that are coordinates of u (all but structural choices)."""
        return tuple(p for p in self.parameters if p.name not in _static_choices(self.variant))

    def structures(self) -> list[dict[str, str]]:
        """Every combination of the structural choices."""
        axes = [p for p in self.parameters if p.name in _static_choices(self.variant)]
        return [
            dict(zip([p.name for p in axes], combination, strict=True))
            for combination in itertools.product(*[p.choices for p in axes])
        ]

    def build(self, values: dict[str, Any], static: dict[str, str]) -> tuple[Accelerator, Fleet]:
        """One design: `values` of the numeric parameters, `static` one of `structures()`. A choice
        is a position, or a tuple of shares that mixes the choices' numbers."""
        settings: dict[str, Any] = {**dict(self.fixed), **values, **static}
        for name in PART_KINDS:
            kind = settings.pop(name, None)
            if kind is not None:
                settings = {**self._of_kind(name, kind), **settings}
        topology = settings.pop("topology", None)
        chip = replace_quantities(VARIANTS[self.variant](), settings)
        return chip, Fleet(topology=topology) if topology else Fleet()

    def design(self, row: Mapping[str, Any]) -> tuple[Accelerator, Fleet]:
        """The design of a row of a front's table, such as `front.knee()`, with plain numbers.

        Raises:
          InputError: a row of another variant, or without one of the space's parameters.
        """
        if row.get("variant", self.variant) != self.variant:
            raise InputError("variant", row["variant"], f"this space's: {self.variant}")
        for p in self.parameters:
            if p.name not in row:
                raise InputError("row", ", ".join(map(str, row.keys())), f"needs {p.name}")
        static = {name: str(row[name]) for name in self.structures()[0]}
        values = {
            p.name: str(row[p.name]) if p.kind == "choice" else float(row[p.name])
            for p in self.numeric
        }
        return self.build(values, static)

    def _of_kind(self, name: str, kind: Any) -> dict[str, Any]:
        if isinstance(kind, str):
            return PART_KINDS[name][kind]
        (choices,) = [p.choices for p in self.parameters if p.name == name]
        tables = [PART_KINDS[name][choice] for choice in choices]
        # A sum of masked constants, not a gather: it vectorises over designs.
        shares = kind if isinstance(kind, tuple) else [
            jnp.where(jnp.round(kind) == i, 1.0, 0.0) for i in range(len(tables))
        ]  # fmt: skip
        return {
            field: sum(share * table[field] for share, table in zip(shares, tables, strict=True))
            for field in tables[0]
        }

    def values(self, u: Any) -> dict[str, Any]:
        """Buildable values at `u`, shape (..., P), in the order of `numeric`."""
        return {p.name: p.value(u[..., i]) for i, p in enumerate(self.numeric)}

    def readable(self, values: dict[str, Any], static: dict[str, str]) -> dict[str, Any]:
        """Columns for a table: choices by name, fixed numbers left out."""
        columns: dict[str, Any] = dict(static)
        for p in self.numeric:
            column = np.asarray(values[p.name])
            if p.kind == "choice":
                columns[p.name] = np.asarray(p.choices)[np.round(column).astype(int)]
            else:
                columns[p.name] = column
        return columns

    def sample(self, key: Any, n: int, static: dict[str, str] | None = None) -> Accelerator:
        """`n` uniform random designs as one accelerator whose leaves have shape (n,).

        A batch has one structure: `static`, by default the first of `structures()`.
        """
        if n < 1:
            raise InputError("n", n, "allowed: >= 1")
        u = jax.random.uniform(key, (n, len(self.numeric)))
        chosen = self.structures()[0] if static is None else static
        return jax.vmap(lambda row: _floats(self.build(self.values(row), chosen)[0]))(u)

    def with_constraints(self, constraints: Constraint | Sequence[Constraint]) -> Space:
        """A copy with other constraints, one or several."""
        several = (constraints,) if isinstance(constraints, Constraint) else tuple(constraints)
        return Space(self.variant, self.parameters, self.fixed, several)

    def within(self, budgets: Sequence[Constraint]) -> Space:
        """A copy with `budgets` in the place of its own on the same metrics."""
        limits = {(b.metric, b.at_most) for b in budgets}
        kept = [c for c in self.constraints if (c.metric, c.at_most) not in limits]
        return self.with_constraints((*kept, *budgets))

    @classmethod
    def load(cls, path: str | Path) -> Space:
        """Read a space from TOML: `variant`, `[parameters]`, `[fixed]`, `[constraints]`."""
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError("space file", path, "no such file") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError("space file", path, f"not readable TOML: {error}") from None
        for key in data:
            check_choice("space file", key, ("variant", "parameters", "fixed", "constraints"))
        parameters = []
        for name, entry in _table(data, "parameters").items():
            if not isinstance(entry, dict):
                raise InputError(name, entry, "a table such as { kind = 'log', low = 1, high = 8 }")
            for key in entry:
                check_choice(f"{name} entry", key, ("kind", "low", "high", "choices"))
            choices = entry.get("choices", ())
            if not isinstance(choices, (list, tuple)):
                raise InputError(f"{name}.choices", choices, "a list of names")
            bounds = [entry.get(bound, 0.0) for bound in ("low", "high")]
            if any(isinstance(b, bool) or not isinstance(b, (int, float)) for b in bounds):
                raise InputError(name, bounds, "low and high are numbers")
            kind = entry.get("kind", "choice" if "choices" in entry else "linear")
            parameters.append(Parameter(name, kind, bounds[0], bounds[1], tuple(map(str, choices))))
        constraints = tuple(
            Constraint.parse(name, bound, limit)
            for name, bounds in _table(data, "constraints").items()
            for bound, limit in _bounds(name, bounds)
        )
        fixed = tuple(_table(data, "fixed").items())
        return cls(str(data.get("variant")), tuple(parameters), fixed, constraints)


def budget_words(spaces: Sequence[Space]) -> str:
    """The budgets of all spaces in words."""
    words = {", ".join(c.text for c in space.constraints) or "none" for space in spaces}
    return "; ".join(sorted(words))


def _static_choices(variant: str) -> dict[str, tuple[str, ...]]:
    """Structural fields of the variant and of the fleet, with their choices."""
    return {**structure(VARIANTS[variant]), "topology": structure(Fleet)["topology"]}


def _bounds(metric: str, bounds: Any) -> list[tuple[str, Any]]:
    if isinstance(bounds, dict):
        return list(bounds.items())
    raise InputError(f"constraints.{metric}", bounds, "allowed: such as { at_most = 400 }")


def _table(data: dict[str, Any], key: str) -> dict[str, Any]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise InputError(key, table, "a TOML table")
    return table


def _floats(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), tree)
