"""`module:function`: a user's own JAX function, traced with the shapes it is called with.

Shapes are text, `f32[784,10] f32[32,784] i32[32]`, or the name of a function of the same module
(or `module:function`) that returns the arguments: arrays, `jax.ShapeDtypeStruct`, or what
makes them, as it is only evaluated abstractly. If that takes `batch`, so does the workload.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.errors import InputError, check_choice
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.tracing import trace
from hwmodels.workloads.workload import Workload

TYPES = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i64": "int64",
    "i32": "int32", "i16": "int16", "i8": "int8", "u32": "uint32", "u8": "uint8", "bool": "bool",
    "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2", "i4": "int4",
}  # fmt: skip
_SHAPE = re.compile(r"([a-z0-9]+)\[([0-9, ]*)\]")
_LIKE_SHAPES = re.compile(r"[^:]*\[.*\]\s*")
DEFAULT_ARGUMENTS = "example_args"


def load_function(target: str, settings: Settings, batches: int = 1) -> Workload:
    """The workload of `module:function`, or `file.py:function`.

    Raises:
      InputError: a module that cannot be imported, no such function, arguments that do not fit.
    """
    settings.only("args", "batch")
    module, function = _find("workload", target)
    found = _arguments(module, settings, batches)
    try:
        return trace(function, *found)
    except InputError:
        raise
    except Exception as error:  # the user's code may raise anything
        said = f"{type(error).__name__}: {error}"
        allowed = "allowed: a function that JAX can trace with these arguments"
        raise InputError(target, said, allowed) from error


def _find(field: str, target: str) -> tuple[Any, Callable[..., Any]]:
    """The module and the function of `module:function`."""
    where, _, name = target.rpartition(":")
    module = _module(field, where)
    names = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
    check_choice(f"{field}, function of {where}", name, names)
    return module, getattr(module, name)


def _module(field: str, where: str) -> Any:
    try:
        if where.endswith(".py"):
            path = Path(where)
            if not path.is_file():
                raise InputError(field, where, "no such file")
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(path.stem, module)  # dataclasses look themselves up there
            spec.loader.exec_module(module)
            return module
        if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)  # as `python -m` does
        return importlib.import_module(where)
    except InputError:
        raise
    except Exception as error:  # the user's code may raise anything
        said = f"cannot be imported: {type(error).__name__}: {error}"
        raise InputError(field, where, said) from error


def _arguments(module: Any, settings: Settings, batches: int) -> tuple[Any, ...]:
    maker: Any
    text = settings.args
    if text is not None and _LIKE_SHAPES.fullmatch(text):
        if batches > 1 or settings.batch is not None:
            raise InputError("batch", settings.batch or batches,
                             "with shapes as args, write the batch into them")  # fmt: skip
        return shapes(text)
    if text is not None and ":" in text:
        _, maker = _find("args", text)
    else:
        maker = getattr(module, text or DEFAULT_ARGUMENTS, None)
    if not callable(maker):
        raise InputError(
            "args", text or "nothing",
            "allowed: shapes such as f32[784,10] i32[32], or the name of a function that returns "
            f"the arguments (default: {DEFAULT_ARGUMENTS})",
        )  # fmt: skip
    known = inspect.signature(maker).parameters
    given: dict[str, int] = {}
    if settings.batch is not None or batches > 1:
        if "batch" not in known:
            raise InputError("batch", settings.batch or batches,
                             f"{text or DEFAULT_ARGUMENTS} takes no batch")  # fmt: skip
        usual = known["batch"].default
        least = settings.batch or (usual if isinstance(usual, int) else None)
        if least is None:
            raise InputError("batch", "nothing", "name one: its default is unknown")
        given["batch"] = least * batches
    needed = "batch" in known and known["batch"].default is inspect.Parameter.empty
    if needed and not given:
        where = text or DEFAULT_ARGUMENTS
        raise InputError("batch", "nothing", f"{where} takes it: name one (--batch N, or @batch=N)")
    try:
        made = jax.eval_shape(lambda: maker(**given))
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise InputError("args", said, "allowed: a function that returns the arguments") from error
    return made if isinstance(made, tuple) else (made,)


def shapes(text: str) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes from text: `f32[784,10] i32[32] f32[]`."""
    left = _SHAPE.sub("", text).replace(";", " ").split()
    if left:
        raise InputError("args", left[0], f"allowed: such as f32[784,10]; types {', '.join(TYPES)}")
    found = []
    for kind, sizes in _SHAPE.findall(text):
        check_choice("args, type", kind, TYPES)
        numbers = [part.strip() for part in sizes.split(",")] if sizes.strip() else []
        if not all(re.fullmatch("[0-9]{1,10}", n) and 0 < int(n) < 2**31 for n in numbers):
            raise InputError("args", f"{kind}[{sizes}]", "allowed: sizes 1 to 2147483647")
        found.append(jax.ShapeDtypeStruct(tuple(map(int, numbers)), jnp.dtype(TYPES[kind])))
    return tuple(found)
