"""The one exception for bad input: it names the field, the value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONG = 300  # letters of a list of choices


class InputError(ValueError):
    """Bad input from a person. `str(error)` is one line: field, value, what is allowed."""

    def __init__(self, field: str, value: object, allowed: str):
        self.field, self.value, self.allowed = field, value, allowed
        super().__init__(f"{field}: got {_one_line(value)}; {allowed}")

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # From a worker process it arrives as it was, its value as text.
        return type(self), (self.field, _one_line(self.value), self.allowed)


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
    """Raise `InputError` unless `value` is one of `choices`, suggesting the nearest one."""
    choices = list(choices)
    if value in choices:
        return
    close = difflib.get_close_matches(str(value), choices, n=1)
    allowed, hint = ", ".join(choices), f"did you mean {close[0]}?" if close else ""
    if hint and len(allowed) > LONG:  # where nobody would look for it at the end
        raise InputError(field, value, f"{hint} allowed: {allowed}")
    raise InputError(field, value, f"allowed: {allowed}{f' ({hint})' if hint else ''}")


def _one_line(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else text[:197] + "..."
