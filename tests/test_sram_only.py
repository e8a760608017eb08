"""Chips without DRAM: hand-counted cycles, capacity over several chips, the pipeline's price."""

import dataclasses

import jax
import numpy as np
import pytest

from hwmodels import VARIANTS, InputError, Relax, evaluate, load_workload
from hwmodels.accelerators import sram_only
from hwmodels.accelerators.catalog import load_entry
from hwmodels.accelerators.headline import headline
from hwmodels.parts import sram
from hwmodels.quantity import quantities
from hwmodels.workloads.numeric import Contractions

LARGE = load_workload("mlp-large")


def chip(**values):
    return VARIANTS["sram_only"]().replace(**values)


def product(batch, m, n, k):
    names = Contractions.__dataclass_fields__
    fields = {**dict.fromkeys(names, 0.0), "batch": batch, "m": m, "n": n, "k": k}
    return Contractions(**{name: np.float32(value) for name, value in fields.items()})


def test_cycles_by_hand():
    """100 x 70 weights in blocks of 16: 7 x 5; 9 tiles."""
    small = chip(tiles=9, tile_side=16, sram_bandwidth_B_per_cycle=2**25)
    # 35 blocks in 4 rounds of 300 rows, or 35 blocks of ceil(300 / 9) rows: 34 * 34 + 34.
    got = small.contraction(product(1, 300, 70, 100), Relax(), np.float32(0))
    assert float(got.cycles) == 35 * 34
    assert float(got.delivered) == 2 * 100 * 70  # every block is sent to all tiles
    assert float(got.buffer_bytes) == 2 * 7000 + 2 * 300 * 100 * 5 + 4 * 300 * 70 * (2 * 7 - 1)
    # 11 rows: 4 rounds of max(11, 16), the last of 11; or 35 loads of 16.
    got = small.contraction(product(1, 11, 70, 100), Relax(), np.float32(0))
    assert float(got.cycles) == 3 * 16 + 11
    # Squares of 48 x 48 weights: twice along 70 columns.
    assert float(got.delivered) == 2 * 11 * 100 * 2
    assert float(got.overhead) == 3 * 16 + sram_only.LATENCY_CYCLES


def test_it_has_no_number_of_a_dram():
    assert not [name for name in quantities(VARIANTS["sram_only"]) if name.startswith("dram_")]
    assert not jax.tree.leaves(chip().dram)
    with pytest.raises(InputError, match=r"^parameter: got dram_stacks; allowed"):
        chip(dram_stacks=2)
    m = evaluate(chip(), LARGE)
    assert float(m.work_terms["dram_bytes"]) == 0
    assert "dram_capacity" not in m.margins
    for terms in (m.energy_terms, m.power_terms, m.area_terms):
        assert not [k for k, v in terms.items() if k.startswith(("dram", "static_dram")) and v]
    cold = evaluate(chip(), LARGE, residency="cold")
    assert float(cold.time) == float(m.time)


def test_a_model_must_fit_in_the_chips_that_share_it():
    shared, activations = (
        sum(t.bytes(16) for t in LARGE.footprints if t.role in roles)
        for roles in (("parameter", "gradient", "optimizer_state"), ("activation",))
    )
    for chips, capacity_MiB in ((1, 100), (4, 100), (6, 100), (1, 500)):
        m = evaluate(chip(model_chips=chips, sram_capacity_MiB=capacity_MiB), LARGE)
        room = sram_only.USABLE * capacity_MiB * 2**20
        expected = 1 - (shared / chips + activations) / room
        assert float(m.margins["capacity"]) == pytest.approx(expected, rel=1e-5)
    assert (
        float(evaluate(chip(model_chips=6, sram_capacity_MiB=100), LARGE).margins["capacity"]) > 0
    )
    assert (
        float(evaluate(chip(model_chips=4, sram_capacity_MiB=100), LARGE).margins["capacity"]) < 0
    )


def test_a_pipeline_costs_bubbles_traffic_and_hops():
    alone = evaluate(chip(), LARGE)
    assert [float(alone.time_terms[k]) for k in ("bubbles", "pipeline_latency")] == [0, 0]
    five = evaluate(chip(model_chips=5), LARGE)
    busy = float(alone.time_terms["busy"])
    once = sum(float(v) for v in alone.time_terms.values()) - busy
    expected = min((m + 0.8) * (busy / m + once) for m in sram_only.MICROBATCHES)
    assert float(five.time_terms["bubbles"]) == pytest.approx(expected - busy - once, rel=1e-4)
    assert float(five.time_terms["pipeline_latency"]) == pytest.approx(4 * 2 * 0.5e-6)
    # Nothing of a chip's own work changes, nor how many chips share the largest batch.
    assert float(five.energy_terms["mac"]) == float(alone.energy_terms["mac"])
    assert float(five.chips_80) <= float(alone.chips_80)
    # 5 batches cross each cut, twice the mean result of the forward products.
    thin = chip(model_chips=5, link_count=1, link_bandwidth_GBps=1)
    m = evaluate(thin, LARGE)
    mean = 2 * (2 * 1024 * 4096 + 1024 * 10) / 3
    assert float(m.time_terms["pipeline_traffic"]) == pytest.approx(5 * 2 * mean / 1e9)


def test_a_wafer_is_bounded_by_neither_reticle_nor_yield():
    settings = {
        "sram_capacity_MiB": 40 * 1024, "tiles": 850_000, "tile_side": 2, "vector_lanes": 850_000,
        "sram_bandwidth_B_per_cycle": 2e7, "clock_GHz": 0.85, "tdp_W": 50000, "link_count": 12,
    }  # fmt: skip
    die, wafer = (evaluate(chip(package=p, **settings), LARGE) for p in ("die", "wafer"))
    assert float(die.margins["area"]) < -40
    # WSE-2's numbers: 40 GiB and 850,000 tiles on 46,225 mm2 at 7 nm, 15 to 23 kW.
    assert float(wafer.margins["area"]) == pytest.approx(1 - float(wafer.area) / 46225e-6, abs=1e-5)
    assert 0.9 < float(wafer.area) / 46225e-6 < 1.1
    assert 10e3 < float(wafer.peak_power) < 20e3
    process = chip().technology.resolve()
    price = chip(package="wafer").price(process, wafer.area)
    assert float(price) == pytest.approx(
        float(process.wafer_price) + 50e3 + 0.1e6 * float(wafer.area)
    )
    parts = [chip(package=p).areas(process)["mac"] for p in ("die", "wafer")]
    assert float(parts[1] / parts[0]) == pytest.approx(1.015)


def test_wires_by_hand():
    """9 tiles of 40 x 40 bf16 units, 5 banks each: a byte crosses half of a bank's pitch; a row of
    operands and sums, 48 bits for 40 products, the rest of half a tile; a byte that is sent half of
    the chip, and 1.5 routers."""
    one = chip(tiles=9, tile_side=40, sram_bandwidth_B_per_cycle=9 * 5 * 64)
    process = one.technology.resolve()
    whole = float(sum(one.areas(process).values()) + one.buffer_area(process))
    side, pitch = (whole / 9) ** 0.5, (whole / 45) ** 0.5
    wire = 0.165e-9 * 0.75**2
    feed = wire * (48 / 40) * 0.5 * (side - pitch)
    assert float(one.mac_energy(process)["feed"]) == pytest.approx(feed, rel=1e-5)
    sent = 8 * (wire * 0.5 * whole**0.5 + 1.5 * 0.25e-12 * 0.36)
    assert float(one.delivery_energy(process)["network"]) == pytest.approx(sent, rel=1e-5)
    bank = sram.energy(process, one.sram.capacity / 9, 5 * 64.0)
    found = one.buffer_energy(process, whole)
    assert float(found - bank) == pytest.approx(8 * wire * 0.5 * pitch, rel=1e-4)
    # A tile of one bank: all that its unit takes comes from half a tile away.
    small = one.replace(sram_bandwidth_B_per_cycle=9 * 16)
    assert float(small.mac_energy(process)["feed"]) == 0


def test_tile_memory_has_the_area_of_any_sram_with_small_ports():
    one = chip(sram_capacity_MiB=300, sram_bandwidth_B_per_cycle=30000)
    process = one.technology.resolve()
    cells = 8 * 300 * 2**20 + 512 * 4 * 44 * 30000 / 64 / sram.SMALL_PORT
    expected = cells * 0.027e-12 / (0.7 * sram.SHIPPED)
    assert float(one.buffer_area(process)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "peak", "power", "area"),
    [  # TOP/s, verified; W as published or reported: Groq and GC200 from memory; mm2
        ("groq_tsp", 737, 300, None),
        ("gc200", 250, 300, None),
        ("wse_2", 7480, 15000, 46225),
        ("dojo_d1", 362, 400, 645),
    ],
)
def test_chips_of_the_catalog(name, peak, power, area):
    entry = load_entry(name)
    found = headline(entry)
    assert entry.variant == "sram_only"
    assert not [field for field in entry.facts() if field.startswith("dram")]
    assert found.peak_rate / 1e12 == pytest.approx(peak, rel=0.01)
    assert 0.7 < found.peak_power_W / power < 1.5
    if area:
        assert found.area_mm2 == pytest.approx(area, rel=0.1)
    # Words are sent over the square's side only, not at the rate of all tiles' memories.
    assert found.dynamic_terms["network"] < 0.15 * found.peak_power_W


def test_a_known_chip_lies_near():
    """GC200: 900 MiB, 1472 tiles of 64 fp16 multipliers, 1.33 GHz, 823 mm2, 7 nm (from memory)."""
    gc200 = chip(
        tdp_W=5000, sram_capacity_MiB=900, tiles=1472, tile_side=8, clock_GHz=1.33, link_count=10,
        number_format="fp16", sram_bandwidth_B_per_cycle=1472 * 32, vector_lanes=1472 * 2,
    )  # fmt: skip
    m = evaluate(gc200, LARGE)
    assert 2e-12 * float(gc200.macs_per_cycle * m.clock) == pytest.approx(250, rel=0.01)
    assert 0.7 < float(m.area) / 823e-6 < 1.4
    assert dataclasses.replace(gc200, package="wafer").largest_area == 46225e-6
