"""Row-stationary mappings worked by hand, and Eyeriss' layers."""

from __future__ import annotations

import math

import pytest

from dse.validation import eyeriss, networks
from hwmodels import InputError
from hwmodels.mapping.row_stationary import (
    Mapping,
    RowStationary,
    best_mapping,
    cost,
    sets_of,
)
from hwmodels.workloads.operation import Convolution

EYERISS = "1.0V 200MHz core 60MHz link"
TINY = Convolution(n=1, c=2, k=2, p=3, q=4, r=2, s=2)


def test_one_pass_by_hand():
    # One strip of three output rows, both filters and channels in an element. Arithmetic
    # 2 * 2 * 2 * 4 = 32 cycles, 24 sums by four, 4 x 5 x 2 = 40 inputs by one: inputs bind.
    # Then 16 taps by four and first windows of 4 rows x 2 x 2.
    array = RowStationary(rows=3, columns=5)
    one = cost(array, TINY, Mapping(n=1, e=3, m=2, p=2, q=2, r=1, t=1))
    assert one.cycles == 40 + 16 / 4 + 16
    assert one.active == 2 * 3
    assert one.macs == 3 * 4 * 2 * 2 * 4
    assert (one.input_words, one.filter_words, one.output_words) == (40, 16, 24)
    assert one.buffer_words == 40 + 16  # sums never leave the array


def test_strips_and_passes_by_hand():
    # Strips of two rows and of one; a channel a pass; one filter in the buffer at a time. Cycles
    # of a strip: max(1 * 1 * 2 * 4, sums / 4, inputs) + 4 taps / 4 + rows * 2.
    array = RowStationary(rows=3, columns=5)
    one = cost(array, TINY, Mapping(n=1, e=2, m=1, p=1, q=1, r=1, t=1))
    assert one.cycles == 2 * 2 * ((15 + 1 + 6) + (10 + 1 + 4))
    assert one.input_words == 2 * (3 + 2) * 5 * 2  # both strips' rows, for each filter
    assert one.filter_words == 16 * 2  # once a strip
    assert one.buffer_words == 2 * 24 + 50 * 2 + 32  # sums leave and come back once


def test_sets():
    array = RowStationary()
    assert sets_of(array, 11, 7) == 2  # side by side
    assert sets_of(array, 5, 27) == 1  # folded onto two stripes of five rows
    assert sets_of(array, 3, 13) == 4
    assert sets_of(array, 5, 29) == 0  # three stripes of five rows are too many


# Chen et al., JSSC 2017, Tables V and VI: batch, active elements, processing [ms], power [mW].
MEASURED = {
    "AlexNet CONV1": (4, 154, 16.5, 332),
    "AlexNet CONV2": (4, 135, 39.2, 288),
    "AlexNet CONV3": (4, 156, 21.8, 266),
}
# From memory; no constant was fitted to these.
REMEMBERED = {
    "AlexNet CONV4": (4, 156, 16.0, 235),
    "AlexNet CONV5": (4, 156, 10.0, 236),
    "VGG-16 CONV1-1": (3, 156, 38.0, 247),
    "VGG-16 CONV1-2": (3, 156, 810.6, 218),
    "VGG-16 CONV2-1": (3, 156, 405.3, 242),
    "VGG-16 CONV3-1": (3, 156, 204.0, 254),
    "VGG-16 CONV4-1": (3, 168, 105.1, 278),
    "VGG-16 CONV5-1": (3, 168, 48.3, 258),
}


@pytest.mark.parametrize("workload", MEASURED | REMEMBERED)
def test_layers_on_eyeriss(workload):
    batch, active, milliseconds, milliwatts = (MEASURED | REMEMBERED)[workload]
    run = eyeriss.predict(workload, batch, EYERISS).figures()
    assert run["active_PEs"] == active
    assert run["processing_latency"] == pytest.approx(milliseconds, rel=0.12)
    assert run["power"] == pytest.approx(milliwatts, rel=0.2)
    assert run["total_latency"] > run["processing_latency"]
    # The batch that the chip was measured with is the usual one.
    assert eyeriss.predict(workload) == eyeriss.predict(workload, batch, EYERISS)


# Whole networks, from memory: batch, processing [ms], power [mW].
@pytest.mark.parametrize(("network", "batch", "milliseconds", "milliwatts"), [
    ("AlexNet", 4, 103.5, 278), ("VGG-16", 3, 3755.2, 236),
])  # fmt: skip
def test_networks_on_eyeriss(network, batch, milliseconds, milliwatts):
    run = eyeriss.predict(network, batch, EYERISS)
    figures = run.figures()
    assert figures["processing_latency"] == pytest.approx(milliseconds, rel=0.12)
    assert figures["power"] == pytest.approx(milliwatts, rel=0.2)
    assert figures["fps"] == pytest.approx(batch / run.total)


def test_operating_points():
    for text in (EYERISS, "", "core 200 MHz, link 60 MHz", "1V 60MHz link", "200MHz"):
        assert eyeriss.operating_point(text) == (1.0, 200.0, 60.0)
    assert eyeriss.operating_point("0.82V 100 MHz; link 30 MHz") == (0.82, 100.0, 30.0)
    for text in ("0MHz core", "9V", "0V"):
        with pytest.raises(InputError, match="config"):
            eyeriss.operating_point(text)


def test_early_layers_are_bound_by_sums():
    # The same work, four times the time (Chen et al., JSSC 2017, Section VI).
    early, late = (eyeriss.predict(f"VGG-16 CONV{x}", 3, EYERISS).figures() for x in ("1-2", "4-2"))
    assert early["MACs"] == pytest.approx(late["MACs"])
    assert early["processing_latency"] / late["processing_latency"] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("layer", networks.VGG16 + networks.ALEXNET, ids=lambda one: one.name)
def test_mappings_fit(layer):
    array = RowStationary()
    shape = layer.of(3)
    found = best_mapping(array, shape)
    x = found.mapping
    width = (shape.q - 1) * shape.stride_w + shape.s
    inputs = x.n * ((x.e - 1) * shape.stride_h + shape.r) * width * x.q * x.r
    assert 2 * (x.n * x.e * shape.q * x.m + inputs) <= array.buffer
    assert x.p * x.q * shape.s <= array.filter_pad
    assert x.p <= array.sum_pad
    assert x.q * shape.s <= array.input_pad
    assert found.active <= array.rows * array.columns
    assert found.cycles >= found.macs / found.active * (1 - 1e-9)
    assert found.macs == math.prod(
        (3, shape.groups, shape.k, shape.c, shape.p, shape.q, shape.r, shape.s)
    )


def test_layers_that_do_not_fit():
    with pytest.raises(InputError, match="13 x 3"):
        best_mapping(RowStationary(), Convolution(1, 1, 1, 8, 8, 13, 3))
    with pytest.raises(InputError, match="one output row"):
        best_mapping(RowStationary(buffer=50), Convolution(1, 1, 1, 8, 80, 3, 3))


def test_power_of_eyeriss():
    # Zeros spare arithmetic; the clock does not see them.
    first, third = (eyeriss.predict(f"AlexNet CONV{i}", 4, EYERISS) for i in (1, 3))
    assert first.energy["clock"] / first.total == pytest.approx(third.energy["clock"] / third.total)
    assert third.energy["mac"] / third.macs < 0.3 * first.energy["mac"] / first.macs
    lower = eyeriss.predict("AlexNet CONV1", 4, "0.8V 200MHz core")
    ratio = sum(lower.energy.values()) / sum(first.energy.values())
    assert ratio == pytest.approx(0.64, rel=1e-3)
    whole = eyeriss.predict("AlexNet", 4, EYERISS)
    assert whole.macs == pytest.approx(4 * 666e6, rel=0.01)  # 666 M a frame
