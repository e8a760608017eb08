"""Parallel plans as text: "tensor=8,pipeline=4,recompute=full", read and written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.plan import RECOMPUTE, Plan, make_plan

AUTO = "auto"
PARALLEL = ("tensor", "pipeline", "data", "expert", "microbatch", "interleave", "zero", "sequence",
            "recompute")  # fmt: skip
HELP = (
    f"Of a fleet: whole numbers of {', '.join(PARALLEL[:6])} (data: the rest of the chips), "
    f"zero=0 to 3, sequence=0 or 1, recompute={'|'.join(RECOMPUTE)}."
)
# Fields of the library's errors, by the option that sets them.
OPTIONS = {"cluster.chips": "--chips", "cluster.node_chips": "--node-chips",
           "cluster.topology": "--topology", "global_batch": "--batch"}  # fmt: skip


def read_plan(text: str, chips: int) -> Plan:
    """A plan from "tensor=8,pipeline=4,recompute=full"; data is what is left of the chips.

    Raises:
      InputError: no such field, no such value, or chips that the plan does not divide.
    """
    values: dict[str, Any] = {}
    for item in text.split(","):
        name, found, value = (part.strip() for part in item.partition("="))
        if not found:
            raise InputError("--plan", text, "allowed: auto, or names such as tensor=8,pipeline=4")
        check_choice("--plan", name, PARALLEL)
        if name in values:
            raise InputError("--plan", text, f"{name} stands there more than once")
        number = value.replace(".", "", 1).isdigit()
        if name == "recompute" and not number:
            check_choice("--plan, recompute", value, RECOMPUTE)
        elif not number:
            raise InputError(f"--plan, {name}", value, "allowed: a number")
        values[name] = float(value) if number else value
    used = int(values.get("tensor", 1) * values.get("pipeline", 1)) or 1
    if "data" not in values:
        if chips % used:
            raise InputError(
                "--plan", text, f"tensor x pipeline = {used} must divide {chips} chips"
            )
        values["data"] = chips // used
    with by_option():
        plan = make_plan(**values)
    if int(plan.chips) != chips:
        raise InputError(
            "--plan", text, f"tensor x pipeline x data = {plan.chips:g} must be {chips} chips"
        )
    return plan


def write_plan(plan: Plan) -> str:
    """What `read_plan` reads as this plan: data, and all else that is not its default."""
    default = Plan()
    values = {
        name: getattr(plan, name)
        for name in PARALLEL
        if name == "data" or getattr(plan, name) != getattr(default, name)
    }
    words = {name: f"{value:.0f}" for name, value in values.items()}
    if "recompute" in values:
        words["recompute"] = RECOMPUTE[int(values["recompute"])]
    return ",".join(f"{name}={word}" for name, word in words.items())


@contextlib.contextmanager
def by_option() -> Iterator[None]:
    """Make an `InputError` raised inside name the option instead of the library's field."""
    try:
        yield
    except InputError as error:
        field = OPTIONS.get(error.field, error.field)
        if field.startswith("plan."):
            field = f"--plan, {field.removeprefix('plan.')}"
        raise InputError(field, error.value, error.allowed) from None
