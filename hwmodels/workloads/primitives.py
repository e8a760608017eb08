"""What each JAX primitive costs: XLA's FLOPs and transcendentals, a vector unit's operations.

FLOPs follow `jax.jit(f).lower(...).cost_analysis()`, measured primitive by primitive with
jax 0.10.2: one per element of an arithmetic, comparison, selection or conversion result,
integers included; a reduction counts inputs minus outputs; roots, exponentials and
trigonometric functions count as transcendentals and not as FLOPs; movement counts nothing.
`simple` and `special` are what a vector unit issues: a division is special there although XLA
calls it a FLOP.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hwmodels.workloads.algorithms import algorithm_flops
from hwmodels.workloads.contractions import (
    ContractionShape,
    convolution_shape,
    dot_shape,
    ragged_shape,
)

if TYPE_CHECKING:
    from hwmodels.workloads.shards import Collective


def _names(*lines: str) -> list[str]:
    return " ".join(lines).split()


# Calls and control flow, which are inlined.
STRUCTURE = frozenset(
    _names(
        "jit pjit closed_call core_call checkpoint remat remat2 custom_jvp_call custom_vjp_call "
        "custom_vjp_call_jaxpr custom_linear_solve shard_map scan cond while"
    )
)
# A named call of at most this many equations without a contraction is shown by its name ("relu").
_LABEL_EQUATIONS = 12
# Tensors seen through these are read where they lie.
VIEWS = frozenset(
    _names(
        "reshape transpose squeeze expand_dims broadcast_in_dim rev copy copy_p stop_gradient name "
        "sharding_constraint pvary pbroadcast optimization_barrier slice split random_wrap "
        "random_unwrap device_put layout_constraint pcast reshard"
    )
)
# Results that a copy would have to make permanent when nothing computes them.
LAYOUT_CHANGES = frozenset(_names("transpose rev slice split broadcast_in_dim"))

# primitive -> (FLOPs, transcendentals, simple, special) per element of the result.
_ONE = dict.fromkeys(
    _names(
        "add add_any sub mul neg sign floor ceil round abs is_finite square max min eq ne lt gt ge "
        "le eq_to lt_to le_to and or xor not shift_left shift_right_logical shift_right_arithmetic "
        "population_count clz select_n clamp convert_element_type reduce_precision real imag conj "
        "complex copysign bitcast_convert_type"
    ),
    (1.0, 0.0, 1.0, 0.0),
)
_DIVIDE = dict.fromkeys(_names("div rem reciprocal"), (1.0, 0.0, 0.0, 1.0))
_SPECIAL = dict.fromkeys(
    _names("exp log expm1 log1p tanh sin cos tan atan erf rsqrt sqrt cbrt pow atan2"),
    (0.0, 1.0, 0.0, 1.0),
)
# Composites, as XLA expands them.
_COMPOSITE = {
    "exp2": (1.0, 1.0, 1.0, 1.0),
    "logistic": (3.0, 1.0, 2.0, 2.0),
    "asin": (5.0, 2.0, 4.0, 3.0),
    "acos": (3.0, 2.0, 2.0, 3.0),
    "sinh": (10.0, 3.0, 9.0, 4.0),
    "cosh": (3.0, 2.0, 3.0, 2.0),
    "asinh": (11.0, 3.0, 10.0, 4.0),
    "acosh": (7.0, 4.0, 7.0, 4.0),
    "atanh": (6.0, 2.0, 6.0, 2.0),
    "erfc": (62.0, 1.0, 61.0, 2.0),
    "erf_inv": (37.0, 2.0, 37.0, 2.0),
    "lgamma": (53.0, 4.0, 52.0, 5.0),
    "digamma": (73.0, 3.0, 71.0, 5.0),
    "nextafter": (24.0, 0.0, 24.0, 0.0),
    "axis_index": (0.0, 0.0, 0.0, 0.0),
    "platform_index": (0.0, 0.0, 0.0, 0.0),
    "iota": (0.0, 0.0, 0.0, 0.0),
}
ELEMENTWISE = {**_ONE, **_DIVIDE, **_SPECIAL, **_COMPOSITE}
REDUCTIONS = frozenset(
    _names("reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor reduce")
)
# One simple operation per element: the larger of input and result.
_SCANNED = frozenset(
    _names(
        "argmax argmin cumsum cumprod cummax cummin cumlogsumexp reduce_window "
        "select_and_gather_add random_bits random_seed random_split random_fold_in "
        "threefry2x32 rng_bit_generator rng_uniform random_gamma approx_top_k"
    )
)
# What they compute is not in the trace.
_OPAQUE = frozenset(
    _names(
        "pallas_call pure_callback io_callback debug_callback debug_print ffi_call custom_call "
        "tpu_custom_call triton_call"
    )
)
_WINDOWS = frozenset(_names("reduce_window_sum reduce_window_max reduce_window_min"))
MOVEMENT = frozenset(
    _names(
        "gather dynamic_slice dynamic_update_slice concatenate pad scatter scatter_mul scatter-mul "
        "scatter_min scatter_max scatter-min scatter-max empty"
    )
)
_SCATTER_ADD = frozenset(_names("scatter-add scatter_add scatter-sub scatter_sub"))
SCATTERS = _SCATTER_ADD | {name for name in MOVEMENT if name.startswith("scatter")}


@dataclass(frozen=True)
class Cost:
    """Cost of one run of a primitive.

    `category`: "elementwise", "reduction", "contraction" or "movement"; `coverage`: "rule",
    "elements" (one simple operation per element), "fleet" (a collective) or "uncosted".
    """

    category: str
    flops: float = 0.0
    transcendentals: float = 0.0
    simple: float = 0.0
    special: float = 0.0
    coverage: str = "rule"
    shape: ContractionShape | None = field(default=None)
    collective: Collective | None = None


def cost_of(eqn: Any) -> Cost:
    """Cost of a jaxpr equation that is neither a view nor a call nor control flow."""
    name = eqn.primitive.name
    out = max((_size(v) for v in eqn.outvars), default=0.0)
    largest = max((_size(v) for v in eqn.invars), default=0.0)
    if name == "dot_general":
        return _contraction(dot_shape(eqn))
    if name == "conv_general_dilated":
        return _contraction(convolution_shape(eqn))
    if name == "ragged_dot_general":
        return _contraction(ragged_shape(eqn))
    if name in ELEMENTWISE:
        flops, transcendentals, simple, special = ELEMENTWISE[name]
        return Cost("elementwise", flops * out, transcendentals * out, simple * out, special * out)
    if name == "integer_pow":
        multiplies, divides = _powers(eqn.params["y"])
        return Cost(
            "elementwise", (multiplies + divides) * out, 0.0, multiplies * out, divides * out
        )
    if name in REDUCTIONS:
        flops = sum(_size(v) for v in eqn.invars) - sum(_size(v) for v in eqn.outvars)
        return Cost("reduction", max(flops, 0.0), 0.0, max(flops, 0.0))
    if name in _WINDOWS:
        flops = out * (math.prod(eqn.params["window_dimensions"]) - 1)
        return Cost("reduction", flops, 0.0, flops)
    if name == "select_and_scatter_add":
        source = _size(eqn.invars[0])
        flops = source * math.prod(eqn.params["window_dimensions"])
        return Cost("movement", flops, 0.0, flops)
    if name in _SCATTER_ADD:
        updates = _size(eqn.invars[2])
        return Cost("movement", updates, 0.0, updates)
    if name in MOVEMENT:
        return Cost("movement")
    hidden = algorithm_flops(eqn)
    if hidden is not None:
        return Cost("movement", hidden, 0.0, hidden)
    elements = max(out, largest)
    if name in _SCANNED:
        category = "reduction" if largest > out else "elementwise"
        return Cost(category, elements, 0.0, elements, coverage="elements")
    known = name not in _OPAQUE and eqn.outvars
    if known and any(_shape(v) == _shape(eqn.outvars[0]) for v in eqn.invars):
        return Cost("elementwise", elements, 0.0, elements, coverage="elements")
    return Cost("movement", coverage="uncosted")


def touched(name: str, eqn: Any, position: int, elements: float) -> float:
    """Elements of operand `position` that a movement primitive really reads."""
    if name in ("gather", "dynamic_slice") and position == 0:
        return min(elements, _size(eqn.outvars[0]))
    if name == "dynamic_update_slice" and position == 0:
        return 0.0  # updated in place, as XLA does for loop-carried and donated buffers
    if name in SCATTERS and position == 0:
        return min(elements, _size(eqn.invars[2]))  # likewise; what is added to is read
    return elements


def made(name: str, eqn: Any) -> float | None:
    """Elements that a movement primitive writes where they are fewer than its result's."""
    if name == "dynamic_update_slice":
        return _size(eqn.invars[1])
    return min(_size(eqn.invars[2]), _size(eqn.outvars[0])) if name in SCATTERS else None


def _contraction(shape: ContractionShape) -> Cost:
    return Cost("contraction", 2.0 * shape.valid_macs, shape=shape)


def _powers(exponent: int) -> tuple[int, int]:
    """Multiplications (by repeated squaring) and divisions of an integer power."""
    magnitude = abs(exponent)
    if magnitude == 0:
        return 0, 0
    multiplies = magnitude.bit_length() - 1 + magnitude.bit_count() - 1
    return multiplies, int(exponent < 0)


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(getattr(variable.aval, "shape", ()))


def _size(variable: Any) -> float:
    return float(math.prod(_shape(variable)))


def is_relabelling(eqn: Any) -> bool:
    """A reduction over axes of size one; a cast to the same type (JAX drops weak types so)."""
    if eqn.primitive.name in REDUCTIONS and len(eqn.invars) == 1:
        return bool(eqn.invars[0].aval.size == eqn.outvars[0].aval.size)
    if eqn.primitive.name not in ("convert_element_type", "bitcast_convert_type"):
        return False
    return bool(eqn.invars[0].aval.dtype == eqn.outvars[0].aval.dtype)


def is_window(eqn: Any) -> bool:
    """A `dynamic_slice` that is one contiguous piece, such as a layer of a stack: it is read where
    it lies. Whole in all axes behind the last that it cuts, one long in those before."""
    if eqn.primitive.name != "dynamic_slice":
        return False
    pairs = list(zip(eqn.params["slice_sizes"], eqn.invars[0].aval.shape, strict=True))
    cut = max((i for i, (size, full) in enumerate(pairs) if size != full), default=0)
    return all(size == 1 for size, _ in pairs[:cut])


def call_label(eqn: Any, jaxpr: Any) -> str:
    """The name of a small named call, such as relu, gelu or softmax."""
    name = str(eqn.params.get("name") or "")
    small = len(jaxpr.eqns) <= _LABEL_EQUATIONS
    plain = all(e.primitive.name not in ("dot_general", "conv_general_dilated") for e in jaxpr.eqns)
    return name if name and not name.startswith(("_", "<")) and small and plain else ""
