"""ONNX operators as JAX functions of (attributes, *operands), by name; absent operands are None."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import onnx

from hwmodels.workloads.importers.onnx_shapes import SHAPES, ints
from hwmodels.workloads.importers.onnx_windows import WINDOWS

Attributes = dict[str, Any]
Operator = Callable[..., Any]


def _plain(function: Operator) -> Operator:
    return lambda a, *xs: function(*xs)


def gemm(a: Attributes, x: Any, y: Any, c: Any = None) -> Any:
    """Gemm."""
    x = x.T if a.get("transA", 0) else x
    y = y.T if a.get("transB", 0) else y
    made = x @ y
    if a.get("alpha", 1.0) != 1.0:
        made = made * a["alpha"]
    if c is None:
        return made
    return made + (c if a.get("beta", 1.0) == 1.0 else c * a["beta"])


def batch_norm(a: Attributes, x: Any, scale: Any, shift: Any, mean: Any, spread: Any) -> Any:
    """BatchNormalization: of inference, so a scale and a shift."""
    shape = (-1, *[1] * (x.ndim - 2))
    factor = scale * jax.lax.rsqrt(spread + a.get("epsilon", 1e-5))
    return x * factor.reshape(shape) + (shift - mean * factor).reshape(shape)


def _normed(x: Any, axes: Any, epsilon: float) -> Any:
    centred = x - x.mean(axes, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axes, keepdims=True) + epsilon)


def layer_norm(a: Attributes, x: Any, scale: Any, shift: Any = None) -> Any:
    """LayerNormalization."""
    axis = a.get("axis", -1)
    axes = tuple(range(axis % x.ndim, x.ndim))
    y = _normed(x, axes, a.get("epsilon", 1e-5)) * scale
    return y if shift is None else y + shift


def rms_norm(a: Attributes, x: Any, scale: Any) -> Any:
    """RMSNormalization."""
    axes = tuple(range(a.get("axis", -1) % x.ndim, x.ndim))
    spread = jnp.square(x).mean(axes, keepdims=True)
    return x * jax.lax.rsqrt(spread + a.get("epsilon", 1e-5)) * scale


def instance_norm(a: Attributes, x: Any, scale: Any, shift: Any) -> Any:
    """InstanceNormalization."""
    shape = (-1, *[1] * (x.ndim - 2))
    y = _normed(x, tuple(range(2, x.ndim)), a.get("epsilon", 1e-5))
    return y * scale.reshape(shape) + shift.reshape(shape)


def group_norm(a: Attributes, x: Any, scale: Any, shift: Any) -> Any:
    """GroupNormalization, with a scale a channel."""
    n, c, shape = x.shape[0], x.shape[1], (-1, *[1] * (x.ndim - 2))
    groups = a["num_groups"]
    y = x.reshape(n, groups, c // groups, *x.shape[2:])
    y = _normed(y, tuple(range(2, y.ndim)), a.get("epsilon", 1e-5)).reshape(x.shape)
    return y * scale.reshape(shape) + shift.reshape(shape)


def clip(a: Attributes, x: Any, low: Any = None, high: Any = None) -> Any:
    """Clip."""
    low = a.get("min") if low is None else low
    high = a.get("max") if high is None else high
    return jnp.clip(x, low, high)


def cast(a: Attributes, x: Any) -> Any:
    """Cast: widths above 32 bits are narrowed, as JAX has them."""
    kind = jnp.dtype(onnx.helper.tensor_dtype_to_np_dtype(a["to"]))
    return x.astype(jax.dtypes.canonicalize_dtype(kind))


def _reduction(function: Operator) -> Operator:
    def reduced(a: Attributes, x: Any, axes: Any = None) -> Any:
        found = ints(axes) if axes is not None else a.get("axes")
        if found is None:
            if a.get("noop_with_empty_axes", 0):
                return x
            found = range(x.ndim)
        return function(x, axis=tuple(found), keepdims=bool(a.get("keepdims", 1)))

    return reduced


def _arg(function: Operator) -> Operator:
    return lambda a, x: function(x, a.get("axis", 0), keepdims=bool(a.get("keepdims", 1)))


def einsum(a: Attributes, *xs: Any) -> Any:
    """Einsum."""
    return jnp.einsum(a["equation"].decode(), *xs)


def top_k(a: Attributes, x: Any, k: Any) -> Any:
    """TopK, the largest of the last axis."""
    if a.get("axis", -1) % x.ndim != x.ndim - 1:
        raise NotImplementedError("TopK over an axis that is not the last")
    return jax.lax.top_k(x, ints(k)[0])


def gelu(a: Attributes, x: Any) -> Any:
    """Gelu."""
    return jax.nn.gelu(x, approximate=a.get("approximate", b"none") == b"tanh")


def cumsum(a: Attributes, x: Any, axis: Any) -> Any:
    """CumSum, forward and inclusive."""
    if a.get("exclusive", 0) or a.get("reverse", 0):
        raise NotImplementedError("CumSum exclusive or reverse")
    return jnp.cumsum(x, ints(axis)[0])


_PLAIN: dict[str, Operator] = {
    "Add": jnp.add, "Sub": jnp.subtract, "Mul": jnp.multiply, "Pow": jnp.power,
    "MatMul": jnp.matmul, "Neg": jnp.negative, "Abs": jnp.abs, "Exp": jnp.exp, "Log": jnp.log,
    "Sqrt": jnp.sqrt, "Erf": jax.lax.erf, "Tanh": jnp.tanh, "Sin": jnp.sin, "Cos": jnp.cos,
    "Floor": jnp.floor, "Ceil": jnp.ceil, "Round": jnp.round, "Sign": jnp.sign,
    "Reciprocal": jnp.reciprocal, "Relu": jax.nn.relu, "Sigmoid": jax.nn.sigmoid,
    "Softplus": jax.nn.softplus, "Softsign": jax.nn.soft_sign, "Mish": jax.nn.mish,
    "HardSwish": lambda x: x * jnp.clip(x / 6 + 0.5, 0, 1),
    "PRelu": lambda x, s: jnp.where(x < 0, x * s, x), "Where": jnp.where, "Equal": jnp.equal,
    "Less": jnp.less, "Greater": jnp.greater, "LessOrEqual": jnp.less_equal,
    "GreaterOrEqual": jnp.greater_equal, "Not": jnp.logical_not, "And": jnp.logical_and,
    "Or": jnp.logical_or, "Identity": lambda x: x, "IsNaN": jnp.isnan,
    "Mod": jnp.mod,
}  # fmt: skip
OPERATORS: dict[str, Operator] = {
    **WINDOWS, **SHAPES, **{name: _plain(function) for name, function in _PLAIN.items()},
    "Div": lambda a, x, y: jnp.divide(x, y)
    if jnp.issubdtype(jnp.result_type(x, y), jnp.inexact) else jnp.floor_divide(x, y),
    "Gemm": gemm, "Einsum": einsum, "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm, "RMSNormalization": rms_norm,
    "InstanceNormalization": instance_norm, "GroupNormalization": group_norm, "Clip": clip,
    "Cast": cast, "Gelu": gelu, "TopK": top_k, "CumSum": cumsum,
    "CastLike": lambda a, x, y: x.astype(y.dtype),
    "Softmax": lambda a, x: jax.nn.softmax(x, a.get("axis", -1)),
    "LogSoftmax": lambda a, x: jax.nn.log_softmax(x, a.get("axis", -1)),
    "LeakyRelu": lambda a, x: jnp.where(x < 0, x * a.get("alpha", 0.01), x),
    "Elu": lambda a, x: jax.nn.elu(x, a.get("alpha", 1.0)),
    "Selu": lambda a, x: jax.nn.selu(x),
    "HardSigmoid": lambda a, x: jnp.clip(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0, 1),
    "Max": lambda a, *xs: _folded(jnp.maximum, xs), "Min": lambda a, *xs: _folded(jnp.minimum, xs),
    "Sum": lambda a, *xs: _folded(jnp.add, xs), "Dropout": lambda a, x, *_: x,
    "ReduceMean": _reduction(jnp.mean), "ReduceSum": _reduction(jnp.sum),
    "ReduceMax": _reduction(jnp.max), "ReduceMin": _reduction(jnp.min),
    "ReduceProd": _reduction(jnp.prod),
    "ReduceL2": _reduction(lambda x, **k: jnp.sqrt(jnp.sum(jnp.square(x), **k))),
    "ReduceSumSquare": _reduction(lambda x, **k: jnp.sum(jnp.square(x), **k)),
    "ArgMax": _arg(jnp.argmax), "ArgMin": _arg(jnp.argmin),
    "Trilu": lambda a, x, k=None: (jnp.triu if a.get("upper", 1) else jnp.tril)(
        x, 0 if k is None else ints(k)[0]
    ),
}  # fmt: skip


def _folded(function: Operator, xs: tuple[Any, ...]) -> Any:
    made = xs[0]
    for x in xs[1:]:
        made = function(made, x)
    return made
