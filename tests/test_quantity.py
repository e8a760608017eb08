"""Declared numbers: names and units at the boundary, ranges, and one-line errors."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels import VARIANTS, Fleet, InputError
from hwmodels.quantity import check_quantities, quantities, read_quantities, replace_quantities


def test_names_carry_paths_and_units():
    names = set(quantities(VARIANTS["systolic"]))
    assert {
        "node_nm", "voltage_V", "clock_GHz", "tdp_W", "sram_capacity_MiB",
        "sram_bandwidth_B_per_cycle", "dram_stacks", "dram_bandwidth_GBps", "link_latency_ns",
        "rows", "columns", "arrays",
    } <= names  # fmt: skip


def test_units_are_converted_once():
    chip = VARIANTS["simt"]().replace(
        clock_GHz=1.25, sram_capacity_MiB=3, dram_latency_ns=370, register_file_KiB=96
    )
    assert chip.clock == 1.25e9
    assert chip.sram.capacity == 3 * 2**20
    assert chip.dram.latency == pytest.approx(370e-9)
    assert chip.register_file == 96 * 1024
    assert chip.quantities()["dram_latency_ns"] == pytest.approx(370)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("end", ["low", "high", "default"])
def test_bounds_survive_a_round_trip_through_si_and_float32(variant, end):
    cls = VARIANTS[variant]
    values = {name: float(getattr(q, end)) for name, q in quantities(cls).items()}
    chip = cls().replace(**values)
    again = read_quantities(chip)
    assert again == pytest.approx(values, rel=1e-12)
    chip.replace(**again)
    chip.replace(**{name: float(np.float32(value)) for name, value in again.items()})
    check_quantities(chip)


def test_every_number_says_what_it_is():
    for cls in (*VARIANTS.values(), Fleet):
        for number in quantities(cls).values():
            assert number.doc
            assert number.low <= number.default <= number.high
            assert number.low < number.high


@pytest.mark.parametrize("bad", [0, 3.99, 1025, -8, math.nan, math.inf, -math.inf, "128", None,
                                 True, [128], {"rows": 1}])  # fmt: skip
def test_out_of_range_names_field_value_and_range(bad):
    with pytest.raises(InputError) as error:
        VARIANTS["systolic"]().replace(rows=bad)
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith("rows: got ")
    assert "allowed: 4 to 1024" in line
    assert str(bad) in line


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(InputError, match=r"parameter: got clok_GHz; .*did you mean clock_GHz"):
        VARIANTS["vector"]().replace(clok_GHz=1.0)
    with pytest.raises(InputError, match=r"dataflow: got weight; .*weight_stationary"):
        VARIANTS["systolic"]().replace(dataflow="weight")


def test_arrays_and_numpy_numbers():
    chip = VARIANTS["vector"]().replace(cores=jnp.arange(1.0, 4.0), lanes=np.float32(8))
    np.testing.assert_array_equal(chip.cores, [1, 2, 3])
    with pytest.raises(InputError, match=r"lanes: got 1\.0"):
        VARIANTS["vector"]().replace(lanes=np.float64(1.0))
    check_quantities(chip)


def test_check_quantities_finds_what_a_constructor_let_pass():
    with pytest.raises(InputError, match=r"fleet\.chips: got 0\.0; allowed: 1 to 65536"):
        check_quantities(Fleet(chips=0), "fleet.")
    with pytest.raises(InputError, match=r"fleet.topology: got mesh; .*ring, torus2d, torus3d"):
        check_quantities(Fleet(topology="mesh"), "fleet.")


def test_replace_leaves_the_rest():
    fleet = replace_quantities(Fleet(topology="ring"), {"chips": 9})
    assert (fleet.chips, fleet.topology) == (9.0, "ring")
