"""Parts by hand at odd sizes, and against published tables."""

import csv
import math
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels.parts import die, mac, register_file, sram, vector_unit
from hwmodels.parts.dram import DRAM_KINDS, Dram
from hwmodels.parts.link import Link
from hwmodels.technology import NOMINAL_V, Technology

SHARED = Path(__file__).parents[2] / "shared" / "data"


def nominal(node_nm):
    node = jnp.float32(node_nm * 1e-9)
    return Technology(node=node, voltage=Technology(node=node).lookup(NOMINAL_V)).resolve()


SEVEN = nominal(7)


def test_sram_energy_by_hand():
    # 96 KiB, 192 B a cycle: 3 banks of 32 KiB; 8 x 32768 cells of 0.027 um2 over 0.6 are
    # 11796.48 um2, side 108.61 um; 0.31 fF/um x 0.5625 V2 x 108.61 um = 18.94 fJ a bit;
    # sense 39 fJ x 0.36 = 14.04 fJ; 2 mm of wire: 0.2 fF/um x 0.5625 x 2000 = 225 fJ.
    side = math.sqrt(8 * 32768 * 0.027e-12 / 0.6)
    bit = 0.31e-9 * 0.5625 * side + 0.039e-12 * 0.36 + 0.2e-9 * 0.5625 * 2e-3
    np.testing.assert_allclose(sram.energy(SEVEN, 96 * 1024.0, 192.0, 2e-3), 8 * bit, rtol=1e-5)


def test_sram_area_and_leakage_by_hand():
    # 96 KiB and three 64-byte ports of 64 KiB of cells each, cells over 0.28.
    cells = 8 * 96 * 1024 + 3 * 65536 * 8
    expected = cells * 0.027e-12 / 0.28
    np.testing.assert_allclose(sram.area(SEVEN, 96 * 1024.0, 192.0), expected, rtol=1e-5)
    # 1 mW a Mibit at 7 nm, 0.75 V, 85 C: 96 KiB are 0.75 Mibit.
    np.testing.assert_allclose(sram.leakage(SEVEN, 96 * 1024.0), 0.75e-3, rtol=1e-5)


def test_sram_bandwidth_and_capacity_cost_area():
    areas = [float(sram.area(SEVEN, 2.0**20, b)) for b in (1.0, 64.0, 96.0, 4096.0)]
    assert np.all(np.diff(areas) > 0)
    energies = [float(sram.energy(SEVEN, c, 64.0)) for c in (2.0**13, 2.0**17, 2.0**25)]
    assert np.all(np.diff(energies) > 0)


# Reads of hwcomponents' table over the docstring's claim: (lowest, highest) ratio by node.
CLAIMED = {"7": (0.79, 1.21), "16": (0.97, 1.45), "22": (1.17, 1.66), "45": (0.62, 1.01)}


def test_sram_reads_against_cacti_as_the_docstring_says():
    path = SHARED / "hwcomponents.csv"
    if not path.exists():
        pytest.skip("../shared/data/hwcomponents.csv is not in this checkout")
    checked = 0
    with path.open() as file:
        for row in csv.DictReader(file):
            size = re.search(r"SRAM (\d+)KiB (\d+)b", row["component"])
            if not size or row["action"] != "read":
                continue
            kib, bits = map(float, size.groups())
            process = nominal(float(row["node"]))
            energy = float(sram.energy(process, kib * 1024, bits / 8)) * bits / 8
            low, high = CLAIMED[row["node"]]
            assert low <= energy / (float(row["energy_pJ"]) * 1e-12) <= high, row
            # As shipped, with routing, ECC and redundancy, against bare macros.
            area = float(sram.area(process, kib * 1024, bits / 8))
            assert 2 < area / (float(row["area_um2"]) * 1e-12) < 5
            checked += 1
    assert checked == 16


def test_registers_against_aladdin():
    # 16 bits at 7 nm: 0.0156 pJ, 8.26 um2.
    np.testing.assert_allclose(register_file.energy(SEVEN, 16.0), 0.0156e-12, rtol=1e-5)
    np.testing.assert_allclose(register_file.area(SEVEN, 16.0), 8.26e-12, rtol=1e-5)


def test_mac_area_fills_the_published_share_of_tpu_v4i():
    # 65,536 bf16 units are 11% of a 400 mm2 die (Jouppi et al., 2021).
    share = 65536 * float(mac.area(SEVEN, "bf16")) / 400e-6
    assert share == pytest.approx(0.11, rel=0.02)


def test_wider_multipliers_cost_more():
    order = ("fp8", "bf16", "fp16", "fp32")
    for measure in (mac.energy, mac.area):
        assert np.all(np.diff([float(measure(SEVEN, f)) for f in order]) > 0)
    assert not mac.FORMATS["int8"].trains


def test_vector_unit_by_hand():
    # 5 simple and 3 special operations: 5 + 4 x 3 lane cycles.
    assert vector_unit.slots(5.0, 3.0) == 17.0
    # Half of 1.31 + 0.38 pJ, and 96 register bits of 0.0156/16 pJ.
    expected = (0.5 * 1.69 + 96 * 0.0156 / 16) * 1e-12
    np.testing.assert_allclose(vector_unit.operation_energy(SEVEN), expected, rtol=1e-5)


def test_good_die_cost_by_hand():
    # 113 mm2: gross = pi 150^2 / 113 - pi 300 / sqrt(226) = 625.53 - 62.69 = 562.84;
    # yield = (1 + 0.113/3)^-3 = 0.89504; 9346 USD a wafer; 0.1 USD/mm2 package; 50 USD board.
    gross = math.pi * 150**2 / 113 - math.pi * 300 / math.sqrt(226)
    yield_ = (1 + 0.113 / 3) ** -3
    assert gross == pytest.approx(562.84, abs=0.01)
    expected = 9346 / (gross * yield_) + 11.3 + 50
    np.testing.assert_allclose(die.good_die_cost(SEVEN, jnp.float32(113e-6)), expected, rtol=1e-5)


def test_larger_dies_cost_more_and_stay_finite():
    areas = jnp.float32(np.geomspace(1e-6, 1.0, 200))
    costs = np.asarray(die.good_die_cost(SEVEN, areas))
    assert np.isfinite(costs).all()
    assert np.all(np.diff(costs) > 0)


def test_edge_and_clock_tree():
    np.testing.assert_allclose(die.usable_edge(jnp.float32(49e-6)), 28e-3, rtol=1e-6)
    # 0.1 nF a mm2 at 0.75 V: 56.25 pJ a mm2 and cycle.
    np.testing.assert_allclose(die.clock_energy(SEVEN, 1e-6), 56.25e-12, rtol=1e-5)


def test_dram_kinds_and_links():
    assert set(DRAM_KINDS) == {"hbm2e", "hbm3", "gddr6", "lpddr5", "ddr5"}
    # The default part is one of the kinds.
    dram = Dram()
    default = DRAM_KINDS["hbm2e"]
    assert dram.bandwidth == default["bandwidth_GBps"] * 1e9
    assert dram.energy == pytest.approx(default["energy_pJ_per_bit"] * 1e-12)
    assert Dram(stacks=3.0).total_bandwidth == 3 * 460e9
    # 7 links of 50 GB/s, 5 pJ a bit, both directions: 5e-12 x 8 x 2 x 350e9 = 28 W.
    assert Link(count=7.0).injection_bandwidth == 350e9
    assert Link(count=7.0).power == pytest.approx(28.0)
