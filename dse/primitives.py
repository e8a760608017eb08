"""The primitives of a straight-line program in NumPy: to fold constants, and as a baseline."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np


def numpy_rule(name: str, setting: Any, arguments: tuple[Any, ...]) -> Any:
    """A call on NumPy arrays or scalars; `NotImplementedError` for a primitive without a rule."""
    if name == "integer_pow":
        product = functools.reduce(np.multiply, [arguments[0]] * abs(setting))
        return np.float32(1.0) / product if setting < 0 else product
    if name == "convert_element_type":
        return operator.methodcaller("astype", setting)(arguments[0])
    if name not in UFUNCS:
        raise NotImplementedError(f"{name}: no NumPy rule for this primitive; add one here")
    return UFUNCS[name](*arguments)


UFUNCS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "max": np.maximum, "min": np.minimum, "abs": np.abs, "sign": np.sign, "exp": np.exp,
    "exp2": np.exp2, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt,
    "square": np.square, "pow": np.power, "floor": np.floor, "ceil": np.ceil, "round": np.rint,
    "tanh": np.tanh, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert, "is_finite": np.isfinite,
    "shift_left": np.left_shift, "shift_right_logical": np.right_shift,
    "select_n": lambda which, no, yes: np.where(which, yes, no),
}  # fmt: skip
