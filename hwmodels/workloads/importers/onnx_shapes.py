"""ONNX operators that arrange: shapes, slices, joins, look-ups. Shapes they take are constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx

Attributes = dict[str, Any]


def ints(value: Any) -> list[int]:
    """Whole numbers of a constant operand."""
    if not isinstance(value, np.ndarray):
        raise ValueError("a shape, axis or index that depends on data")
    return [int(x) for x in np.atleast_1d(value)]


def reshape(a: Attributes, x: Any, shape: Any) -> Any:
    """Reshape: 0 keeps an axis, -1 takes the rest."""
    sizes = ints(shape)
    if not a.get("allowzero", 0):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def flatten(a: Attributes, x: Any) -> Any:
    """Flatten."""
    axis = a.get("axis", 1) % (x.ndim + 1) if a.get("axis", 1) < 0 else a.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _axes(a: Attributes, given: Any) -> Any:
    return ints(given) if given is not None else a.get("axes")


def squeeze(a: Attributes, x: Any, axes: Any = None) -> Any:
    """Squeeze."""
    found = _axes(a, axes)
    return x.squeeze(None if found is None else tuple(found))


def unsqueeze(a: Attributes, x: Any, axes: Any = None) -> Any:
    """Unsqueeze."""
    return jnp.expand_dims(x, tuple(_axes(a, axes)))


def split(a: Attributes, x: Any, sizes: Any = None) -> Any:
    """Split, in parts that are given or equal."""
    axis = a.get("axis", 0)
    parts = ints(sizes) if sizes is not None else a.get("split")
    if parts is None:
        count = a["num_outputs"] if "num_outputs" in a else a["outputs"]
        each = -(-x.shape[axis] // count)
        parts = [each] * (count - 1) + [x.shape[axis] - each * (count - 1)]
    if sum(parts) != x.shape[axis]:
        raise ValueError(f"parts {parts} of an axis of {x.shape[axis]}")
    return tuple(jnp.split(x, np.cumsum(parts[:-1]), axis))


def cut(
    a: Attributes, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None
) -> Any:
    """Slice."""
    begin = ints(starts) if starts is not None else a["starts"]
    end = ints(ends) if ends is not None else a["ends"]
    places = ints(axes) if axes is not None else a.get("axes", range(len(begin)))
    strides = ints(steps) if steps is not None else [1] * len(begin)
    index = [slice(None)] * x.ndim
    for axis, i, j, step in zip(places, begin, end, strides, strict=True):
        stop = None if step < 0 and j < -x.shape[axis] else j
        index[axis] = slice(i, stop, step)
    return x[tuple(index)]


def gather(a: Attributes, x: Any, indices: Any) -> Any:
    """Gather."""
    return jnp.take(x, indices, axis=a.get("axis", 0), mode="clip")


def gather_elements(a: Attributes, x: Any, indices: Any) -> Any:
    """GatherElements."""
    return jnp.take_along_axis(x, indices, axis=a.get("axis", 0))


def expand(a: Attributes, x: Any, shape: Any) -> Any:
    """Expand."""
    return jnp.broadcast_to(x, jnp.broadcast_shapes(x.shape, tuple(ints(shape))))


def pad(a: Attributes, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    """Pad."""
    given = ints(pads) if pads is not None else a["pads"]
    places = ints(axes) if axes is not None else range(x.ndim)
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(places):
        widths[axis] = (given[i], given[i + len(given) // 2])
    mode = {b"constant": "constant", b"reflect": "reflect", b"edge": "edge"}[
        a.get("mode", b"constant")
    ]
    return jnp.pad(x, widths, mode)


def constant_of_shape(a: Attributes, shape: Any) -> Any:
    """ConstantOfShape."""
    value = onnx.numpy_helper.to_array(a["value"]) if "value" in a else np.zeros(1, np.float32)
    return jnp.full(ints(shape), value.reshape(()))


def resize(a: Attributes, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
    """Resize and Upsample: nearest and linear."""
    if sizes is not None:
        shape = ints(sizes)
    else:
        factors = scales if scales is not None and np.size(scales) else roi
        if not isinstance(factors, np.ndarray):
            raise ValueError("scales that depend on data")
        shape = [int(n * f) for n, f in zip(x.shape, factors, strict=True)]
    method = "nearest" if a.get("mode", b"nearest") == b"nearest" else "linear"
    return jax.image.resize(x, shape, method)


def span(a: Attributes, start: Any, limit: Any, delta: Any) -> Any:
    """Range."""
    numbers = [v.item() if isinstance(v, np.ndarray) else v for v in (start, limit, delta)]
    if not all(isinstance(n, (int, float)) for n in numbers) or numbers[2] == 0:
        raise ValueError("a range that depends on data")
    if abs((numbers[1] - numbers[0]) / numbers[2]) > 2**31:
        raise ValueError("a range of more than 2^31")
    return jnp.arange(*numbers)


def shape_of(a: Attributes, x: Any) -> Any:
    """Shape: always known."""
    return np.asarray(x.shape[a.get("start", 0) : a.get("end", None)], np.int32)


SHAPES: dict[str, Callable[..., Any]] = {
    "Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze,
    "Transpose": lambda a, x: jnp.transpose(x, a.get("perm")),
    "Concat": lambda a, *xs: jnp.concatenate(xs, a["axis"]),
    "Split": split, "Slice": cut, "Gather": gather, "GatherElements": gather_elements,
    "Expand": expand, "Tile": lambda a, x, repeats: jnp.tile(x, ints(repeats)), "Pad": pad,
    "ConstantOfShape": constant_of_shape, "Resize": resize, "Upsample": resize, "Range": span,
    "Shape": shape_of, "Size": lambda a, x: np.asarray(math.prod(x.shape), np.int32),
    "DepthToSpace": lambda a, x: _depth_to_space(x, a["blocksize"], a.get("mode", b"DCR")),
}  # fmt: skip


def _depth_to_space(x: Any, block: int, mode: bytes) -> Any:
    n, c, h, w = x.shape
    made = c // block**2
    if mode == b"DCR":
        y = x.reshape(n, block, block, made, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, made, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, made, h * block, w * block)
