"""Row-stationary convolution on an array of small processing elements (Chen et al., JSSC 2017).

An element holds one row of a filter and slides it along a row of the input; R x e elements, one
set, make e rows of the output: filter rows go along the array's rows, input rows along its
diagonals, partial sums up its columns. A set wider than the array is folded onto ceil(e / columns)
stripes of rows. A layer of N images, M filters, C channels (of each of its groups) is cut into

    strips of e output rows; n images and m filters whose partial sums stay in the buffer;
    passes of p filters and q channels an element, in r x t sets: r share sums, t share inputs.

    cycles of a pass = max(n p q S F, partial sums / sum_words, inputs / input_words)
                       + filters / filter_words + first windows / input_words
    partial sums = n e F p t    inputs = n ((e-1) U + R) W q r    filters = p t q r R S

with F output columns, W input columns, U the stride: filters wait for the pass before (scratchpads
hold one pass), the rest overlaps. A last strip of fewer rows moves fewer words and takes as many
cycles of arithmetic. Buffer and scratchpads bound the mapping:

    2 (n e F m + inputs) <= buffer    q S <= input pad    p q S <= filter pad    p <= sum pad

Of the mappings that keep `BUSY` of the most elements that any keeps, the one with least DRAM
traffic is taken, of those the fastest, of those the one with least buffer traffic: energy rules
such a chip, where a DRAM access costs 33 of the buffer's. Channels, filters and images are cut
evenly. DRAM moves inputs M / m times, filters once for every strip and n images, outputs once; the
buffer moves partial sums 2 (C / (q r) - 1) times, inputs once for every p t filters, filters as
DRAM does. Left out: compression, which depends on data; filters read by several strips while they
stay in the buffer's 8 kB. There is no closed form for sweeps here: the matrix products that they
see have neither taps nor rows.

It explains why early layers of VGG-16 take four times as long as late ones of as much work: wide
sums fill the buffer, which leaves room for one channel a pass; a sum then takes part in nine
multiply-accumulates, so four sums a cycle keep no more than 36 of 156 elements busy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from hwmodels.errors import InputError
from hwmodels.workloads.operation import Convolution

# An estimate: published mappings keep 135 of at most 140 and 156 of 168 elements busy.
BUSY = 0.9
WORD_BYTES = 2.0


@dataclass(frozen=True)
class RowStationary:
    """The array: sizes in elements, scratchpads and widths in words, the buffer in bytes.

    Defaults: Eyeriss (Chen et al., JSSC 2017, Section V: 12 x 14 elements, scratchpads of 12
    inputs, 224 filter taps and 24 sums, 100 kB for inputs and sums beside 8 kB for filters). From
    memory: 64-bit buses for filters and partial sums, 16 bits for inputs. An estimate: at most four
    sets, as its published mappings have it, one for each word of the sums' bus.
    """

    rows: int = 12
    columns: int = 14
    most_sets: int = 4
    input_pad: int = 12
    filter_pad: int = 224
    sum_pad: int = 24
    buffer: float = 100e3
    filter_words: float = 4.0
    sum_words: float = 4.0
    input_words: float = 1.0


@dataclass(frozen=True)
class Mapping:
    """One mapping; the letters are the module docstring's."""

    n: int
    e: int
    m: int
    p: int
    q: int
    r: int
    t: int


@dataclass(frozen=True)
class Cost:
    """What a mapping costs: cycles, elements at work, and words moved."""

    mapping: Mapping
    active: int
    cycles: float
    macs: float
    input_words: float
    filter_words: float
    output_words: float
    buffer_words: float

    @property
    def dram_words(self) -> float:
        """Words between DRAM and buffer."""
        return self.input_words + self.filter_words + self.output_words


def sets_of(array: RowStationary, filter_rows: int, e: int) -> int:
    """Sets of e output rows that the array holds side by side."""
    if e > array.columns:
        return array.rows // (filter_rows * math.ceil(e / array.columns))
    return (array.rows // filter_rows) * (array.columns // e)


def best_mapping(array: RowStationary, layer: Convolution) -> Cost:
    """The mapping that the rule of the module docstring takes.

    Raises:
      InputError: a filter taller than the array, or a layer of which no strip fits.
    """
    if layer.r > array.rows or layer.s > array.input_pad:
        raise InputError(
            "filter", f"{layer.r} x {layer.s}",
            f"allowed: at most {array.rows} rows and {array.input_pad} columns",
        )  # fmt: skip
    found = [cost(array, layer, mapping) for mapping in _mappings(array, layer)]
    if not found:
        raise InputError("layer", layer, "needed: one output row of every filter that fits")
    most = max(one.active for one in found)
    busy = [one for one in found if one.active >= BUSY * most]
    return min(busy, key=lambda one: (one.dram_words, one.cycles, one.buffer_words))


def cost(array: RowStationary, layer: Convolution, mapping: Mapping) -> Cost:
    """Cycles, elements and words of one mapping."""
    x, groups = mapping, layer.groups
    strips = [min(x.e, layer.p - first) for first in range(0, layer.p, x.e)]
    rows = [(height - 1) * layer.stride_h + layer.r for height in strips]
    width = (layer.q - 1) * layer.stride_w + layer.s
    images, filters = layer.n / x.n, layer.k / (x.p * x.t)
    channel_passes = layer.c / (x.q * x.r)
    taps = x.p * x.t * x.q * x.r * layer.r * layer.s

    cycles = 0.0
    for height, input_rows in zip(strips, rows, strict=True):
        inputs = x.n * input_rows * width * x.q * x.r
        sums = x.n * height * layer.q * x.p * x.t
        cycles += max(
            x.n * x.p * x.q * layer.s * layer.q, sums / array.sum_words, inputs / array.input_words
        )
        cycles += taps / array.filter_words + input_rows * layer.s * x.q * x.r / array.input_words
    cycles *= images * filters * math.ceil(channel_passes) * groups

    input_once = layer.n * layer.c * sum(rows) * width * groups
    filters_once = layer.k * layer.c * layer.r * layer.s * groups * len(strips) * images
    outputs = layer.n * layer.k * layer.p * layer.q * groups
    return Cost(
        mapping,
        active=layer.r * x.e * x.r * x.t,
        cycles=cycles,
        macs=outputs * layer.c * layer.r * layer.s,
        input_words=input_once * layer.k / x.m,
        filter_words=filters_once,
        output_words=outputs,
        buffer_words=2.0 * (channel_passes - 1.0) * outputs + input_once * filters + filters_once,
    )


def _mappings(array: RowStationary, layer: Convolution) -> Iterator[Mapping]:
    width = (layer.q - 1) * layer.stride_w + layer.s
    stripes = max(array.rows // layer.r, 1)
    room = array.buffer / WORD_BYTES
    for e in range(1, min(layer.p, array.columns * stripes) + 1):
        sets = min(sets_of(array, layer.r, e), array.most_sets)
        inputs = ((e - 1) * layer.stride_h + layer.r) * width
        for n, m in itertools.product(_divisors(layer.n), _divisors(layer.k)):
            left = room - n * e * layer.q * m
            for q, r in itertools.product(
                range(1, array.input_pad // layer.s + 1), range(1, sets + 1)
            ):
                if n * inputs * q * r > left or layer.c % (q * r):
                    continue
                t = max((t for t in _divisors(m) if r * t <= sets), default=0)
                most = min(array.sum_pad, array.filter_pad // (q * layer.s), m // t)
                p = max((p for p in _divisors(m // t) if p <= most), default=0)
                if p:
                    yield Mapping(n, e, m, p, q, r, t)


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]
