"""Compute-in-memory macros: hand-counted cycles and writes, published figures, accuracy rules."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels import VARIANTS, Operation, Relax, Tensor, Workload, evaluate, load_workload
from hwmodels.accelerators import in_memory
from hwmodels.parts.mac import FORMATS

EXACT = Relax()


def chip(**values):
    return VARIANTS["in_memory"]().replace(**values)


def inference(m=12, n=70, k=300):
    weight, x, y = (Tensor(r, float(s), 32.0) for r, s in
                    (("parameter", k * n), ("input", m * k), ("activation", m * n)))  # fmt: skip
    row = Operation("contraction", "dot", "forward", (x, weight), (y,), batch=1, m=m, n=n, k=k)
    return Workload("one", (row,), float(m), 1e6, False, (weight, x, y))


def product(workload):
    return workload.at_format(16.0).contraction, np.float32(0.0)


def row(operations):
    return type(operations)(
        **{
            f.name: tuple(c[0] for c in value) if isinstance(value, tuple) else value[0]
            for f in dataclasses.fields(operations)
            for value in [getattr(operations, f.name)]
        }
    )


def test_every_format_has_its_bits():
    assert set(in_memory.SIGNED_BITS) == set(FORMATS)


def test_cycles_and_writes_by_hand():
    """5 macros of 64 x 16 weights, 300 x 70 weights: 5 x 5 tiles in 5 rounds; bf16 takes 9 + 3
    bits at 2 a step of 2 clocks, 12 cycles a row; a load writes 64 x 16 x 9 cells, 48 a cycle."""
    settings = {"macros": 5, "rows": 64, "columns": 16, "write_bits": 48, "input_bits": "2"}
    operations, besides = product(inference())
    op = dataclasses.replace(row(operations), kept=np.float32(0.0))
    got = chip(**settings).contraction(op, EXACT, besides)
    load = 64 * 16 * 9 / 48
    assert load > 12 * 12  # loads are longer than the stream of 12 rows, so the other way is:
    # 300 x 12 inputs in 5 x 1 tiles, one round, 70 weights' columns streaming past.
    assert float(got.cycles) == 70 * 12
    assert float(got.overhead) == load + 12 + in_memory.FILL_CYCLES
    assert float(got.delivered) == 2 * 300 * 12
    # With a wide port weights are written: 5 rounds of 12 rows.
    got = chip(**settings | {"write_bits": 4096}).contraction(op, EXACT, besides)
    assert float(got.cycles) == 5 * 12 * 12
    assert float(got.delivered) == 2 * 300 * 70
    # 5 of 5 column tiles pass one after the other; the 5 tiles of K add up side by side.
    assert float(got.buffer_bytes) == 2 * 300 * 70 + 2 * 5 * 12 * 300 + 4 * 12 * 70


def test_weights_stay_in_inference_and_are_written_at_every_update():
    op, besides = product(inference())
    op = row(op)
    small, large = (
        chip(macros=macros, rows=64, columns=16, write_bits=4096).contraction(op, EXACT, besides)
        for macros in (5, 64)
    )
    assert float(op.kept) == pytest.approx(1 / 21000)
    # Two sets of 5 macros hold 10,240 of 21,000 weights.
    assert float(small.delivered) == pytest.approx(2 * 300 * 70 * (1 - 10240 / 21000), rel=1e-6)
    assert float(large.delivered) == 0

    trained = load_workload("mlp-large").at_format(16.0).contraction
    assert not trained.kept.any()  # so each use of weights writes them, transposed ones too
    m = evaluate(chip(macros=4096), load_workload("mlp-large"))
    weights = 784 * 4096 + 4096 * 4096 + 4096 * 10
    assert float(m.work_terms["delivered_bytes"]) > 2 * 2 * (weights - 784 * 4096)
    assert float(m.energy_terms["write"]) > 0


def test_published_macros_lie_near():
    """64 Kib macros with 4-bit weights; area without the second set of weights and fp32 sums."""
    for node, volts, tops_w, tops_mm2, energy, area in (
        (22, 0.72, 89.0, 16.3, (0.25, 1.1), (0.9, 1.3)),
        (5, 0.5, 254.0, None, (0.3, 1.1), None),
        (5, 0.9, None, 221.0, None, (1.5, 3.0)),
    ):
        one = chip(
            macros=1, rows=256, columns=64, number_format="int4", node_nm=node, voltage_V=volts
        )
        process = one.technology.resolve()
        if energy:
            # Published with few toggles and zero inputs, here random operands: less per watt.
            per_watt = 2e-12 / float(one.mac_energy(process)["mac"])
            assert energy[0] < per_watt / tops_w < energy[1], node
        if area:
            parts = one.areas(process)
            cells = float(parts["mac"]) + float(parts["local"]) / one.sets
            published = 2 * 64 * 256 / 4 * 0.4e9 / (tops_mm2 * 1e12) * 1e-6  # at 400 MHz
            assert area[0] < cells / published < area[1], node


def test_conversion_energy_is_the_survey_fit():
    """8 bits: 100 fJ x 8 + 1 aJ x 65536, at the anchor's energy scale."""
    analog = chip(kind="analog", number_format="int8", rows=100, adc_bits=8, node_nm=28,
                  voltage_V=0.9)  # fmt: skip
    process = analog.technology.resolve()
    conversion = 800e-15 + 65.536e-15
    # 8 weight bits, 8 steps, shared by 100 rows.
    assert float(analog.mac_energy(process)["adc"]) == pytest.approx(
        conversion * 64 / 100, rel=1e-3
    )


@pytest.mark.parametrize(
    ("rows", "input_bits", "adc_bits", "enough"),
    [(255, "1", 8, True), (256, "1", 8, False), (85, "2", 8, True), (86, "2", 8, False),
     (17, "4", 8, True), (64, "1", 6, False), (63, "1", 6, True)],
)  # fmt: skip
def test_a_conversion_holds_every_sum_or_says_so(rows, input_bits, adc_bits, enough):
    assert (rows * (2 ** int(input_bits) - 1) < 2**adc_bits) == enough
    margins = evaluate(
        chip(kind="analog", number_format="int8", rows=rows, input_bits=input_bits,
             adc_bits=adc_bits), inference(),
    ).margins  # fmt: skip
    assert (float(margins["adc_resolution"]) >= 0) == enough
    assert float(margins["format"]) == 0


def test_analog_neither_trains_nor_takes_floats():
    def fits(workload, **values):
        return float(evaluate(chip(**values), workload).margins["format"]) >= 0

    trained = load_workload("mlp")
    assert fits(trained)
    assert not fits(trained, kind="analog")
    assert not fits(trained, kind="analog", number_format="int8")
    assert not fits(trained, number_format="int8")
    assert not fits(inference(), kind="analog")
    assert fits(inference(), kind="analog", number_format="int8")
    assert "adc_resolution" not in evaluate(chip(), inference()).margins


def test_wider_steps_cost_area_and_fewer_converters_time():
    process = chip().technology.resolve()
    narrow, wide = chip(input_bits="1"), chip(input_bits="4")
    assert float(wide.macs_per_cycle) == 4 * float(narrow.macs_per_cycle)
    assert float(wide.areas(process)["mac"]) == 4 * float(narrow.areas(process)["mac"])
    analog = chip(kind="analog", number_format="int8")
    shared = analog.replace(columns_per_adc=32)
    assert float(shared.macs_per_cycle) == float(analog.macs_per_cycle) / 4
    assert float(shared.areas(process)["adc"]) == float(analog.areas(process)["adc"]) / 4
    assert math.isclose(float(analog.macs_per_cycle), 512 * 128 * 64 / (2 * 8 * 8))
    assert jnp.isfinite(evaluate(shared, inference()).time)
