"""Sizes of contractions: matrix products and convolutions as batched (m, k) x (k, n).

A convolution is the product that im2col makes of it: m = images x output positions,
n = output channels, k = input channels x kernel positions, per group. Padding is part of these
sizes (an array streams the zeros), but not of the FLOPs, which count valid multiply-adds only,
as XLA does. The zeros that an input gradient inserts between elements (`lhs_dilation`) are
skipped by every implementation worth modelling, so there k counts the kernel positions that
meet an element.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwmodels.workloads.operation import Convolution


@dataclass(frozen=True)
class ContractionShape:
    """`batch` products of (m, k) by (k, n); `valid_macs` are those that XLA counts."""

    batch: float
    m: float
    n: float
    k: float
    valid_macs: float
    convolution: Convolution | None = None

    @property
    def text(self) -> str:
        """ "m x n x k", with the batch in front where there is one."""
        sizes = "x".join(map(_digits, (self.m, self.n, self.k)))
        return sizes if self.batch == 1 else f"{_digits(self.batch)}*({sizes})"


def _digits(size: float) -> str:
    """A size in full: exponents are not read as sizes. Groups of ragged ones may be fractions."""
    return f"{size:.0f}" if float(size).is_integer() else f"{size:.1f}"


def dot_shape(eqn: Any) -> ContractionShape:
    """Sizes of a `dot_general` equation."""
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = eqn.params["dimension_numbers"]
    lhs, rhs = (v.aval.shape for v in eqn.invars[:2])
    batch = math.prod(lhs[d] for d in lhs_batch)
    k = math.prod(lhs[d] for d in lhs_contract)
    m = math.prod(s for d, s in enumerate(lhs) if d not in (*lhs_contract, *lhs_batch))
    n = math.prod(s for d, s in enumerate(rhs) if d not in (*rhs_contract, *rhs_batch))
    return ContractionShape(batch, m, n, k, float(batch) * m * n * k)


def ragged_shape(eqn: Any) -> ContractionShape:
    """Sizes of a `ragged_dot_general` equation: groups of one size, as balanced routing makes.

    Rows of the left side divide among the groups of the right one (or, in a gradient, the
    contracted axis does), so that the multiply-accumulates do not depend on the groups.
    """
    numbers = eqn.params["ragged_dot_dimension_numbers"]
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers.dot_dimension_numbers
    lhs, rhs = (v.aval.shape for v in eqn.invars[:2])
    groups = eqn.invars[2].aval.shape[-1]
    batch = math.prod(lhs[d] for d in lhs_batch)
    k = math.prod(lhs[d] for d in lhs_contract)
    m = math.prod(s for d, s in enumerate(lhs) if d not in (*lhs_contract, *lhs_batch))
    aside = (*rhs_contract, *rhs_batch, *numbers.rhs_group_dimensions)
    n = math.prod(s for d, s in enumerate(rhs) if d not in aside)
    ragged = set(numbers.lhs_ragged_dimensions)
    by_rows = ragged.isdisjoint(lhs_contract)
    return ContractionShape(
        batch=float(batch) * groups,
        m=m / groups if by_rows else m,
        n=n,
        k=k if by_rows else k / groups,
        valid_macs=float(batch) * m * n * k,
    )


def convolution_shape(eqn: Any) -> ContractionShape:
    """Sizes of a `conv_general_dilated` equation."""
    p = eqn.params
    numbers = p["dimension_numbers"]
    lhs, rhs = (v.aval.shape for v in eqn.invars[:2])
    out = eqn.outvars[0].aval.shape
    kernel = [rhs[d] for d in numbers.rhs_spec[2:]]
    spatial_in = [lhs[d] for d in numbers.lhs_spec[2:]]
    spatial_out = [out[d] for d in numbers.out_spec[2:]]
    groups = p["feature_group_count"] * p["batch_group_count"]
    images = out[numbers.out_spec[0]]
    channels_out = rhs[numbers.rhs_spec[0]] // groups
    channels_in = rhs[numbers.rhs_spec[1]]
    taps = math.prod(
        -(-size // dilation) for size, dilation in zip(kernel, p["lhs_dilation"], strict=True)
    )
    valid = math.prod(
        _valid_positions(*sizes)
        for sizes in zip(
            spatial_in,
            spatial_out,
            kernel,
            p["window_strides"],
            [low for low, _ in p["padding"]],
            p["lhs_dilation"],
            p["rhs_dilation"],
            strict=True,
        )
    )
    per_position = float(groups) * images * channels_out * channels_in
    forward_like = len(kernel) in (1, 2) and all(d == 1 for d in p["lhs_dilation"])
    return ContractionShape(
        batch=groups,
        m=images * math.prod(spatial_out),
        n=channels_out,
        k=channels_in * taps,
        valid_macs=per_position * valid,
        convolution=_record(images, channels_in, channels_out, spatial_out, kernel, groups, p)
        if forward_like
        else None,
    )


def _valid_positions(
    size: int, out: int, kernel: int, stride: int, low: int, lhs_dilation: int, rhs_dilation: int
) -> int:
    """Pairs (output position, kernel position) of one axis that meet an input element."""
    reach = np.arange(kernel)[:, None] * rhs_dilation - low + np.arange(out)[None, :] * stride
    meets = (reach >= 0) & (reach % lhs_dilation == 0) & (reach // lhs_dilation < size)
    return int(meets.sum())


def _record(
    images: int,
    channels_in: int,
    channels_out: int,
    spatial_out: list[int],
    kernel: list[int],
    groups: int,
    params: Any,
) -> Convolution:
    def plane(sizes: Any) -> tuple[int, int]:
        return (1, int(sizes[0])) if len(sizes) == 1 else (int(sizes[0]), int(sizes[1]))

    (p, q), (r, s) = plane(spatial_out), plane(kernel)
    stride_h, stride_w = plane(params["window_strides"])
    dilation_h, dilation_w = plane(params["rhs_dilation"])
    return Convolution(
        n=images,
        c=channels_in,
        k=channels_out,
        p=p,
        q=q,
        r=r,
        s=s,
        groups=groups,
        stride_h=stride_h,
        stride_w=stride_w,
        dilation_h=dilation_h,
        dilation_w=dilation_w,
    )
