"""Parts by hand at odd sizes, and against published tables."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels.errors import InputError
from hwmodels.parts import die, mac, network, register_file, vector_unit
from hwmodels.parts.dram import DRAM_KINDS, Dram
from hwmodels.parts.link import LINK_KINDS, Link
from hwmodels.quantity import quantities, read_quantities
from hwmodels.technology import NOMINAL_V, Technology


def at(node_nm, voltage=None, temperature=358.15):
    node = jnp.float32(node_nm * 1e-9)
    volts = Technology(node=node).lookup(NOMINAL_V) if voltage is None else jnp.float32(voltage)
    return Technology(node, volts, jnp.float32(temperature)).resolve()


def nominal(node_nm):
    return at(node_nm)


SEVEN = nominal(7)


def test_registers_against_aladdin():
    # 16 bits at 7 nm: 0.0156 pJ, 8.26 um2; areas of 22 and 45 nm, 35.1 and 139.8 um2.
    np.testing.assert_allclose(register_file.energy(SEVEN, 16.0), 0.0156e-12, rtol=1e-5)
    np.testing.assert_allclose(register_file.area(SEVEN, 16.0), 8.26e-12, rtol=1e-5)
    np.testing.assert_allclose(register_file.area(nominal(22), 16.0), 35.1e-12, rtol=0.07)
    np.testing.assert_allclose(register_file.area(nominal(45), 16.0), 139.8e-12, rtol=0.05)


def test_mac_area_fills_the_published_share_of_tpu_v4i():
    # 65,536 bf16 units with 80 bits of registers each: 11% of less than 400 mm2 (Jouppi et al.,
    # 2021).
    unit = mac.area(SEVEN, "bf16") + register_file.placed_area(SEVEN, 80.0)
    assert 65536 * float(unit) / 400e-6 == pytest.approx(0.11, rel=0.03)


def test_multiply_accumulates_by_hand():
    # 7 nm: bf16 0.21 + fp32 add 0.38; fp8 0.064 + 0.00228 x 16 = 0.10048; int4 0.0175 + 0.03;
    # fp64 0.064 + 0.00228 x 2809 = 6.46852, add 0.38 x 53 / 24 = 0.83917.
    for number_format, pj in (
        ("bf16", 0.59), ("fp8", 0.48048), ("int4", 0.0475), ("int8", 0.10), ("fp64", 7.30769),
    ):  # fmt: skip
        np.testing.assert_allclose(mac.energy(SEVEN, number_format), pj * 1e-12, rtol=1e-5)
    np.testing.assert_allclose(mac.energy(SEVEN, "fp16", "fp16"), 0.5e-12, rtol=1e-5)
    expected = 1.9 * (1640 + 1360) * 0.059e-12
    np.testing.assert_allclose(mac.area(SEVEN, "fp16", "fp16"), expected, rtol=1e-5)
    with pytest.raises(InputError, match="accumulator: got"):
        mac.energy(SEVEN, "bf16", "fp12")
    # The law of significands meets what is published for 11 and 24 bits.
    np.testing.assert_allclose([0.064 + 0.00228 * s**2 for s in (11, 24)], [0.34, 1.31], rtol=0.06)
    np.testing.assert_allclose([28 + 13.3 * s**2 for s in (11, 24)], [1640, 7700], rtol=0.01)


def test_integer_units_against_aladdin():
    # mult8 and mult16 with add32 at 7 nm: 0.1088 and 0.3668 pJ; 58.2 and 161.0 um2 unplaced.
    np.testing.assert_allclose(mac.energy(SEVEN, "int8"), 0.1088e-12, rtol=0.1)
    np.testing.assert_allclose(mac.energy(SEVEN, "int16"), 0.3668e-12, rtol=0.2)
    np.testing.assert_allclose(mac.area(SEVEN, "int8"), 58.2e-12, rtol=0.2)
    np.testing.assert_allclose(mac.area(SEVEN, "int16"), 161e-12, rtol=0.2)


def test_wider_formats_cost_more_and_integers_do_not_train():
    for order in (("fp8", "bf16", "fp16", "fp32", "fp64"), ("int4", "int8", "int16")):
        for measure in (mac.energy, mac.area):
            assert np.all(np.diff([float(measure(SEVEN, f)) for f in order]) > 0)
    trains = {name for name, fmt in mac.FORMATS.items() if fmt.trains}
    assert trains == {"fp8", "bf16", "fp16", "tf32", "fp32", "fp64"}
    # tf32: 1 + 8 + 10 bits; 32 in memory.
    assert (mac.FORMATS["tf32"].datapath_bits, mac.FORMATS["tf32"].bits) == (19, 32)


def test_vector_unit_by_hand():
    # 5 simple and 3 special operations: 5 + 4 x 3 lane cycles.
    assert vector_unit.slots(5.0, 3.0) == 17.0
    assert vector_unit.special_rate(64.0) == 16.0
    # Half of 1.31 + 0.38 pJ, and 96 register bits of 0.0156/16 pJ.
    expected = (0.5 * 1.69 + 96 * 0.0156 / 16) * 1e-12
    np.testing.assert_allclose(vector_unit.operation_energy(SEVEN), expected, rtol=1e-5)
    # 3 lanes of 5/4 multiply-adds and 1024 register bits of 8.26/16 um2.
    lane = 1.25 * 1.9 * (7700 + 4184) * 0.059e-12 + 1024 * 8.26e-12 / 16
    np.testing.assert_allclose(vector_unit.area(SEVEN, 3.0), 3 * lane, rtol=1e-5)


def test_network_by_hand():
    # 3 hops of 0.25 pJ x 0.36 and 5 mm of 0.165 fF/um x 0.5625 V2 = 0.0928125 pJ/mm.
    expected = 8 * (3 * 0.09e-12 + 5 * 0.0928125e-12)
    np.testing.assert_allclose(network.energy(SEVEN, 3.0, 5e-3), expected, rtol=1e-5)
    # 3 x 3 cycles at 1.25 GHz, and 0.15 ns/mm.
    np.testing.assert_allclose(network.latency(1.25e9, 3.0, 5e-3), 7.2e-9 + 0.75e-9, rtol=1e-6)
    # Five ports of four 96-bit flits in registers of 8.26/16 um2 a bit, twice.
    area = network.router_area(SEVEN, 96.0)
    np.testing.assert_allclose(area, 2 * 5 * 4 * 96 * 8.26e-12 / 16, rtol=1e-5)
    # Against all pairs of a 3 x 5 mesh: 8/9 hops along 3, 8/5 along 5.
    tiles = [(i, j) for i in range(3) for j in range(5)]
    hops = np.mean([abs(a - c) + abs(b - d) for a, b in tiles for c, d in tiles])
    assert network.mean_hops(3.0, 5.0) == pytest.approx(hops) == pytest.approx(8 / 9 + 8 / 5)
    assert network.bisection_bandwidth(1e9, 64.0, 3.0) == pytest.approx(48e9)


def test_good_die_cost_by_hand():
    # 113 mm2: gross = pi 150^2 / 113 - pi 300 / sqrt(226) = 625.53 - 62.69 = 562.84;
    # yield = (1 + 1.13 x 0.09 / 3)^-3 = 0.90483; 9346 USD a wafer; 0.1 USD/mm2 package; 50 USD
    # board; with two stacks of 110 mm2, 0.45 USD/mm2 of 333 mm2 of interposer.
    gross = math.pi * 150**2 / 113 - math.pi * 300 / math.sqrt(226)
    yield_ = (1 + 1.13 * 0.09 / 3) ** -3
    assert gross == pytest.approx(562.84, abs=0.01)
    expected = 9346 / (gross * yield_) + 11.3 + 50
    area = jnp.float32(113e-6)
    np.testing.assert_allclose(die.good_die_cost(SEVEN, area), expected, rtol=1e-5)
    stacked = die.good_die_cost(SEVEN, area, 220e-6)
    np.testing.assert_allclose(stacked, expected + 0.45 * 333, rtol=1e-5)
    np.testing.assert_allclose(die.die_yield(SEVEN, area), yield_, rtol=1e-5)


def test_larger_dies_cost_more_and_stay_finite():
    areas = jnp.float32(np.geomspace(1e-6, 1.0, 200))
    costs = np.asarray(die.good_die_cost(SEVEN, areas))
    assert np.isfinite(costs).all()
    assert np.all(np.diff(costs) > 0)


def test_edge_and_clock_tree():
    np.testing.assert_allclose(die.usable_edge(jnp.float32(49e-6)), 28e-3, rtol=1e-6)
    # 0.1 nF a mm2 at 0.75 V: 56.25 pJ a mm2 and cycle.
    np.testing.assert_allclose(die.clock_energy(SEVEN, 1e-6), 56.25e-12, rtol=1e-5)


def test_thermal_margin():
    # An H100 module, 700 W on 814 mm2, is sold with air; a kilowatt is not.
    assert float(die.thermal_margin(700.0, 814e-6)) == pytest.approx(1 - 0.860 / 0.9, abs=1e-3)
    assert die.thermal_margin(1000.0, 814e-6) < 0 < die.thermal_margin(1000.0, 814e-6, "liquid")
    with pytest.raises(InputError, match="cooling: got"):
        die.thermal_margin(1.0, 1e-4, "water")


def test_dram_kinds():
    assert set(DRAM_KINDS) == {
        "ddr4", "ddr5", "lpddr4", "lpddr5", "lpddr5x", "gddr6", "gddr6x", "hbm2", "hbm2e", "hbm3",
        "hbm3e", "hbm4",
    }  # fmt: skip
    # The default part is one of the kinds, and every kind is within the declared ranges.
    assert Dram().bandwidth == DRAM_KINDS["hbm2e"]["bandwidth_GBps"] * 1e9
    for name, value in DRAM_KINDS["hbm2e"].items():
        assert read_quantities(Dram())[name] == pytest.approx(value)
    for numbers in DRAM_KINDS.values():
        for name, value in numbers.items():
            quantities(Dram)[name].check(value)
    assert Dram(stacks=3.0).total_bandwidth == 3 * 460e9
    # Generations: more bandwidth at less energy a bit.
    for family in (("ddr4", "ddr5"), ("lpddr4", "lpddr5", "lpddr5x"), ("gddr6", "gddr6x"),
                   ("hbm2", "hbm2e", "hbm3", "hbm3e", "hbm4")):  # fmt: skip
        rows = [DRAM_KINDS[kind] for kind in family]
        assert np.all(np.diff([row["bandwidth_GBps"] for row in rows]) > 0)
        assert np.all(np.diff([row["energy_pJ_per_bit"] for row in rows]) < 0)


def test_links():
    # 7 links of 50 GB/s, 5 pJ a bit for a transmitter here and a receiver there: two chips share
    # 5e-12 x 8 x 350e9 = 14 W for each direction, and there are two.
    assert Link(count=7.0).injection_bandwidth == 350e9
    assert Link(count=7.0).power == pytest.approx(14.0)
    for numbers in LINK_KINDS.values():
        assert set(numbers) == set(quantities(Link)) - {"count"}
        for name, value in numbers.items():
            quantities(Link)[name].check(value)
    for name, value in LINK_KINDS["ici"].items():
        assert read_quantities(Link())[name] == pytest.approx(value)
    # UCIe 1.0: 1317 and 224 GB/s a mm of edge, both directions.
    for kind, density in (("ucie_advanced", 1317), ("ucie_standard", 224)):
        row = LINK_KINDS[kind]
        assert 2 * row["bandwidth_GBps"] / row["edge_mm"] == pytest.approx(density, rel=0.01)
