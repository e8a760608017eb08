"""A workload as text: `TARGET@SETTINGS`, the same on the command line, in files and in Python.

    resnet50                             a network of the library, as it is trained
    resnet50@infer,batch=1               its forward phase, one image
    llama3-8b@decode,batch=16,context=8192
    mynet:step@args=f32[784,10] f32[32,784]   a function of the user's module
    model.onnx@train,batch=32            a file of another tool

Settings are separated by commas; a bare word is the mode.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from hwmodels.errors import InputError, check_choice

MODES = ("train", "infer", "prefill", "decode")
MOST = 2**31 - 1  # of a size
_NUMBERS = ("batch", "sequence", "context")
_BETWEEN = re.compile(r",(?![^\[]*\])")  # commas outside of brackets
_SHAPES = re.compile(r"\]\s*,\s*(?=\w+\[)")  # a comma between two shapes is as good as a space


@dataclass(frozen=True)
class Settings:
    """How a workload is to be traced; None: as the workload has it.

    `mode`: of `MODES`; `batch`: samples a step; `sequence`: tokens a sample; `context`: tokens
    that decoding has in its cache; `args`: shapes of the arguments of a user's function.
    """

    mode: str | None = None
    batch: int | None = None
    sequence: int | None = None
    context: int | None = None
    args: str | None = None

    def __post_init__(self) -> None:
        if self.mode is not None:
            check_choice("mode", self.mode, MODES)
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MOST:
                raise InputError(name, value, f"allowed: 1 to {MOST}")

    def filled(self, **defaults: object) -> Settings:
        """With `defaults` where nothing was asked for."""
        missing = {k: v for k, v in defaults.items() if getattr(self, k) is None}
        return dataclasses.replace(self, **missing)  # type: ignore[arg-type]

    def only(self, *names: str) -> None:
        """Raise `InputError` for a setting that the workload does not have."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and field.name not in names:
                allowed = f"allowed here: {', '.join(names) or 'no settings'}"
                raise InputError(field.name, value, allowed)


def parse(text: str) -> tuple[str, Settings]:
    """The target and the settings of a workload's text; `InputError` names a bad setting."""
    target, _, rest = text.partition("@")
    given: dict[str, str | int] = {}
    rest = _SHAPES.sub("] ", rest)
    for part in _BETWEEN.split(rest) if rest else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            name, value = "mode", name
            check_choice("mode", value, MODES)
        check_choice("setting", name, ("mode", *_NUMBERS, "args"))
        if name in given:
            raise InputError(name, value, "given twice")
        if name in _NUMBERS:
            if not re.fullmatch(r"[0-9]{1,10}", value):
                raise InputError(name, value, f"allowed: 1 to {MOST}")
            given[name] = int(value)
        else:
            given[name] = value
    if not target:
        raise InputError("workload", text, "a name, a file or module:function comes first")
    return target, Settings(**given)  # type: ignore[arg-type]
