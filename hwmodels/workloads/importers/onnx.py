"""ONNX models: the graph as a JAX function, traced as any other.

Types are the model's own; a chip narrows them to its format. Weights are shapes: their values are
never read, external files never opened. What shapes depend on (`Shape`, `Gather`, `Concat` chains
into `Reshape`) is computed while tracing. The training step is that of jax.grad: the mean square
of the float outputs, and Adam.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hwmodels.errors import InputError
from hwmodels.workloads.networks.network import inference, training_step
from hwmodels.workloads.settings import MOST, Settings
from hwmodels.workloads.workload import Workload

LARGEST = 2 << 30  # bytes: what a protocol buffer may have
MOST_NODES, DEEPEST = 100_000, 16  # nodes, axes of a tensor
FOLDED = 1 << 16  # elements of a constant that is computed while tracing
SAMPLES = 65536  # largest sensible global batch: an assumption
_EDGE = 2**31 - 1


def from_onnx(path: Path, settings: Settings) -> Workload:
    """The workload of a model: mode "infer" (default) or "train"; symbolic first axes are the
    batch, other symbolic axes `sequence`.

    Raises:
      InputError: no ONNX model, an operator that is not known, a size that is not given.
    """
    settings.only("mode", "batch", "sequence")
    if settings.mode not in (None, "infer", "train"):
        raise InputError("mode", settings.mode, "allowed for ONNX: infer, train")
    graph = _read(path).graph
    if len(graph.node) > MOST_NODES:
        raise InputError(str(path), f"{len(graph.node)} nodes", f"allowed: up to {MOST_NODES}")
    constants, weights = _initializers(path, graph)
    inputs = {
        value.name: _input(path, value, settings)
        for value in graph.input
        if value.name not in constants and value.name not in weights
    }
    outputs = [value.name for value in graph.output]
    batch = settings.batch or next((s.shape[0] for s in inputs.values() if s.shape), 1)

    def forward(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[Any]:
        return _run(path, graph, {**constants, **weights, **inputs}, outputs)

    def loss(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
        floats = [y for y in forward(weights, inputs) if jnp.issubdtype(y.dtype, jnp.floating)]
        return sum(jnp.mean(jnp.square(y.astype(jnp.float32))) for y in floats)

    common: dict[str, Any] = {"name": path.stem, "samples": batch, "max_global_batch": SAMPLES,
                              "mixed": False}  # fmt: skip
    try:
        if settings.mode == "train":
            return training_step(loss, weights, inputs, **common)
        return inference(forward, weights, inputs, **common)
    except InputError:
        raise
    except Exception as error:  # JAX refuses in many ways what a file may ask for
        raise InputError(str(path), _said(error), "allowed: a model of consistent shapes") from None


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError("workload", path, "no such file")
    try:
        import onnx
    except ImportError:
        allowed = "needs the package: pip install -c constraints.txt -e '.[onnx]'"
        raise InputError("onnx", path, allowed) from None
    if path.stat().st_size > LARGEST:
        raise InputError(str(path), f"{path.stat().st_size} bytes", f"allowed: up to {LARGEST}")
    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as error:  # of the protocol buffer's library, which has many
        raise InputError(str(path), _said(error), "allowed: an ONNX model") from None


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _initializers(path: Path, graph: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Constants that shapes may depend on, and weights as shapes."""
    constants: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for tensor in graph.initializer:
        shape = _shape(f"{path.name}, initializer {tensor.name}", tensor.dims)
        kind = _type(f"{path.name}, initializer {tensor.name}", tensor.data_type)
        small = math.prod(shape) <= FOLDED and not tensor.external_data
        if small and (not jnp.issubdtype(kind, jnp.floating) or math.prod(shape) <= 1):
            constants[tensor.name] = _array(path, tensor)
        else:
            weights[tensor.name] = jax.ShapeDtypeStruct(shape, kind)
    return constants, weights


def _shape(where: str, dims: Any) -> tuple[int, ...]:
    shape = tuple(int(d) for d in dims)
    if len(shape) > DEEPEST or any(not 0 <= d <= MOST for d in shape):
        allowed = f"allowed: up to {DEEPEST} axes of 0 to {MOST}"
        raise InputError(where, shape[:DEEPEST], allowed)
    return shape


def _type(where: str, number: int) -> Any:
    import onnx

    try:
        kind = jnp.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
        return jax.dtypes.canonicalize_dtype(kind)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(where, f"type {number}", "allowed: numbers and booleans") from error


def _array(path: Path, tensor: Any) -> np.ndarray:
    import onnx

    try:
        array = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # inconsistent data
        where = f"{path.name}, tensor {tensor.name}"
        raise InputError(where, _said(error), "allowed: data as long as its shape says") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{path.name}, tensor {tensor.name}", array.dtype, "allowed: numbers")
    return _narrow(array)


def _narrow(array: np.ndarray) -> np.ndarray:
    """At most 32 bits, as JAX has them; indices "to the end" stay beyond every axis."""
    if array.dtype == np.int64:
        return np.asarray(np.clip(array, -_EDGE, _EDGE), np.int32)
    return np.asarray(array, np.float32 if array.dtype == np.float64 else None)


def _input(path: Path, value: Any, settings: Settings) -> jax.ShapeDtypeStruct:
    where = f"{path.name}, input {value.name}"
    tensor = value.type.tensor_type
    sizes: list[int] = []
    for i, axis in enumerate(tensor.shape.dim):
        named = axis.WhichOneof("value") != "dim_value"
        if i == 0 and (named or settings.batch is not None):
            sizes.append(settings.batch or 1)
        elif named:
            if settings.sequence is None:
                said = f"axis {i} is {axis.dim_param or 'open'}"
                raise InputError(where, said, "give its size: @sequence=N, or --sequence N")
            sizes.append(settings.sequence)
        else:
            sizes.append(axis.dim_value)
    return jax.ShapeDtypeStruct(_shape(where, sizes), _type(where, tensor.elem_type))


def _run(path: Path, graph: Any, values: dict[str, Any], outputs: list[str]) -> list[Any]:
    """The graph's outputs, node by node."""
    values[""] = None
    for number, node in enumerate(graph.node):
        where = f"{path.name}, node {node.name or number} ({node.op_type})"
        try:
            operands = [values[name] for name in node.input]
            made = _node(path, where, node, operands)
        except InputError:
            raise
        except KeyError as error:
            raise InputError(where, f"no tensor {error}", "allowed: nodes in order") from None
        except Exception as error:  # JAX refuses in many ways what a file may ask for
            raise InputError(where, _said(error), "allowed: operands that fit") from None
        results = made if isinstance(made, (tuple, list)) else (made,)
        values.update(zip(node.output, results, strict=False))
    missing = [name for name in outputs if name not in values]
    if missing or not outputs:
        said = missing[0] if missing else "none"
        raise InputError(f"{path.name}, output", said, "allowed: what a node makes")
    return [jnp.asarray(values[name]) for name in outputs]


def _node(path: Path, where: str, node: Any, operands: list[Any]) -> Any:
    import onnx

    from hwmodels.workloads.importers.onnx_operators import OPERATORS

    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Constant":
        if "value" in attributes:
            return _array(path, attributes["value"])
        found = [attributes[k] for k in attributes if k.startswith("value_")]
        return _narrow(np.asarray(found[0]))
    if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
        allowed = f"allowed: {len(OPERATORS)} operators, {', '.join(sorted(OPERATORS)[:6])}, ..."
        raise InputError(where, f"operator {node.domain}{node.op_type}", allowed)
    if node.op_type == "Split":
        attributes["outputs"] = len(node.output)
    operator = OPERATORS[node.op_type]

    def run() -> Any:
        return operator(attributes, *operands)

    known = all(x is None or isinstance(x, np.ndarray) for x in operands)
    if not known:
        return run()
    small = sum(x.size for x in jax.tree.leaves(jax.eval_shape(run))) <= FOLDED
    if not small:
        return run()
    with jax.ensure_compile_time_eval():
        return jax.tree.map(np.asarray, run())
