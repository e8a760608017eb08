"""Design spaces: what they sample and build, and one line for every kind of bad input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dse import Constraint, Parameter, Space, default_space
from hwmodels import VARIANTS, InputError
from hwmodels.quantity import quantities

SIZE = Parameter("rows", "power2", 8, 128)


@pytest.mark.parametrize("variant", VARIANTS)
def test_default_samples_are_buildable_and_cover_their_ranges(variant):
    space = default_space(variant)
    chips = space.sample(jax.random.key(1), 3000)
    values = chips.quantities()
    for p in space.numeric:
        if p.kind == "choice":
            assert len(np.unique(np.asarray(values["dram_bandwidth_GBps"]))) == len(p.choices)
            continue
        got = np.asarray(values[p.name])
        assert got.shape == (3000,)
        assert got.min() >= p.low * (1 - 1e-6)
        assert got.max() <= p.high * (1 + 1e-6)
        if p.steps is not None:
            assert len(np.unique(got)) == min(p.steps, len(np.unique(got)))
            np.testing.assert_allclose(got, p.buildable(got), rtol=1e-6)
        else:  # both halves of the axis are used alike
            middle = p.relaxed(0.5)
            assert abs((got < middle).mean() - 0.5) < 0.05
    assert set(space.names) >= {"clock_GHz", "voltage_V", "link_count"}
    assert {p.name for p in space.numeric} | set(space.structures()[0]) == set(space.names)


def test_defaults_differ_in_named_structure_only():
    # Without DRAM, SRAM is another thing and DRAM's numbers are none.
    shared = [set(default_space(v).names) for v in VARIANTS if VARIANTS[v].HAS_DRAM]
    common = set.intersection(*shared)
    assert common >= {
        "voltage_V", "clock_GHz", "sram_capacity_MiB", "sram_bandwidth_B_per_cycle", "dram_kind",
        "dram_stacks", "link_count",
    }  # fmt: skip
    of_memory = {"sram_capacity_MiB", "sram_bandwidth_B_per_cycle", "dram_kind", "dram_stacks"}
    for variant, cls in VARIANTS.items():
        names = common if cls.HAS_DRAM else common - of_memory
        shared_parameters = [p for p in default_space(variant).parameters if p.name in names]
        assert shared_parameters == [
            p for p in default_space("systolic").parameters if p.name in names
        ]


@pytest.mark.parametrize(
    ("parameter", "u", "expected"),
    [
        (Parameter("cores", "integer", 3, 7), [0.0, 0.19, 0.21, 0.999], [3, 3, 4, 7]),
        (SIZE, [0.0, 0.21, 0.5, 0.999], [8, 16, 32, 128]),
        (Parameter("voltage_V", "linear", 0.5, 0.9), [0.0, 0.25, 1.0], [0.5, 0.6, 0.9]),
        (Parameter("clock_GHz", "log", 0.2, 1.8), [0.0, 0.5, 1.0], [0.2, 0.6, 1.8]),
        (Parameter("rows", "power2", 12, 48), [0.0, 0.4, 0.7], [12, 24, 48]),
        (Parameter("rows", "integer", 9, 9), [0.0, 0.99], [9, 9]),
    ],
)
def test_values_by_hand(parameter, u, expected):
    np.testing.assert_allclose(parameter.value(jnp.float32(u)), expected, rtol=1e-6)


def test_coordinates_invert_relaxed_values():
    for p in default_space("simt").numeric:
        if p.kind == "choice":  # held by a search, not moved
            continue
        for u in (0.0, 0.31, 1.0):
            value = np.asarray(p.relaxed(u), float)
            assert float(p.coordinate(value)) == pytest.approx(u, abs=1e-6)


def test_spread_includes_the_ends():
    np.testing.assert_array_equal(SIZE.spread(9), [8, 16, 32, 64, 128])
    np.testing.assert_array_equal(SIZE.spread(3), [8, 32, 128])
    np.testing.assert_allclose(
        Parameter("voltage_V", "linear", 0.5, 0.9).spread(3), [0.5, 0.7, 0.9]
    )


def test_structures_enumerate_choices_and_the_rest_is_fixed():
    space = Space(
        "systolic",
        (
            SIZE,
            Parameter("dataflow", "choice", choices=("weight_stationary", "output_stationary")),
            Parameter("topology", "choice", choices=("ring", "torus3d")),
        ),
        fixed=(("columns", 24), ("number_format", "fp8"), ("dram_kind", "gddr6")),
    )
    assert len(space.structures()) == 4
    chip, fleet = space.build({"rows": jnp.float32(16)}, space.structures()[-1])
    assert (chip.dataflow, chip.number_format) == ("output_stationary", "fp8")
    assert fleet.topology == "torus3d"
    assert (float(chip.rows), float(chip.columns)) == (16, 24)
    assert chip.dram.bandwidth == 64e9


def test_dram_kind_is_a_choice_among_tables():
    space = Space("vector", (Parameter("dram_kind", "choice", choices=("ddr5", "hbm3")),))
    chips = space.sample(jax.random.key(0), 50)
    pairs = set(zip(map(float, chips.dram.bandwidth), map(float, chips.dram.cost), strict=True))
    assert pairs == {(np.float32(38.4e9), 90.0), (np.float32(819e9), 320.0)}


def test_link_kind_is_a_choice_too_and_named_numbers_go_first():
    kinds = Parameter("link_kind", "choice", choices=("nvlink4", "optics_copackaged"))
    space = Space("simt", (kinds, Parameter("link_count", "integer", 3, 5)),
                  fixed=(("dram_kind", "hbm3"), ("link_latency_ns", 333)))  # fmt: skip
    chips = space.sample(jax.random.key(0), 50)
    numbers = zip(chips.link.bandwidth / 1e9, chips.link.area / 1e-6, strict=True)
    pairs = {(round(float(rate)), round(float(area))) for rate, area in numbers}
    assert pairs == {(25, 1), (200, 4)}
    assert set(map(float, chips.link.count)) == {3, 4, 5}
    np.testing.assert_allclose(chips.link.latency, 333e-9, rtol=1e-6)
    with pytest.raises(InputError, match=r"^link_kind: got nvlink9; allowed: .*did you mean"):
        Space("simt", (Parameter("sms", "integer", 3, 5),), (("link_kind", "nvlink9"),))


SYSTOLIC = "systolic"
BAD = [
    (("sistolic", (SIZE,)), r"^variant: got sistolic; allowed: .*did you mean systolic"),
    ((SYSTOLIC, ()), r"^space\.parameters: got none; a space varies at least one"),
    ((SYSTOLIC, (Parameter("row", "integer", 8, 9),)), r"^parameter: got row; .*rows"),
    ((SYSTOLIC, (SIZE, SIZE)), r"^parameter: got rows; each parameter is named once"),
    ((SYSTOLIC, (Parameter("rows", "cubic", 8, 9),)), r"^rows\.kind: got cubic; allowed: linear"),
    ((SYSTOLIC, (Parameter("rows", "integer", 2, 9),)), r"^rows\.low: got 2; allowed: 4 to 1024"),
    ((SYSTOLIC, (Parameter("rows", "integer", 8, 9000),)), r"^rows\.high: got 9000; allowed"),
    ((SYSTOLIC, (Parameter("rows", "integer", 9, 8),)), r"^rows: got low 9 > high 8; low <= high"),
    ((SYSTOLIC, (Parameter("rows", "linear", math.nan, 8),)), r"^rows\.low: got nan; allowed: 4"),
    ((SYSTOLIC, (Parameter("rows", "linear", 8, math.inf),)), r"^rows\.high: got inf; allowed: 4"),
    ((SYSTOLIC, (Parameter("rows", "integer", 8.5, 9),)), r"^rows: got 8\.5 to 9; integer"),
    ((SYSTOLIC, (Parameter("rows", "power2", 8, 24),)), r"^rows: got 8 to 24; power2 needs high"),
    ((SYSTOLIC, (Parameter("dram_idle_power_W", "log", 0, 8),)), r"^dram_idle_power_W\.low: got"),
    ((SYSTOLIC, (Parameter("dataflow", "choice"),)), r"^dataflow\.choices: got empty"),
    ((SYSTOLIC, (Parameter("dataflow", "choice", choices=("ws",)),)), r"^dataflow\.choices"),
    ((SYSTOLIC, (Parameter("dram_kind", "choice", choices=("hbm9",)),)), r"^dram_kind\.choices"),
    ((SYSTOLIC, (Parameter("dataflow", "linear", 1, 2),)), r"^numeric parameter: got dataflow"),
    ((SYSTOLIC, (SIZE,), (("rows", 8),)), r"^fixed: got rows; it is also a varying parameter"),
    ((SYSTOLIC, (SIZE,), (("columns", 2),)), r"^columns: got 2; allowed: 4 to 1024"),
    ((SYSTOLIC, (SIZE,), (("columns", "many"),)), r"^columns: got many; allowed: 4 to 1024"),
    ((SYSTOLIC, (SIZE,), (("number_format", "fp9"),)), r"^number_format: got fp9; allowed: int4"),
    ((SYSTOLIC, (SIZE,), (("dram_kind", "sram"),)), r"^dram_kind: got sram; allowed: ddr4"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "line"), BAD)
def test_bad_spaces_are_refused_in_one_line(arguments, line):
    with pytest.raises(InputError, match=line) as error:
        Space(*arguments)
    assert "\n" not in str(error.value)


GOOD = """
variant = "systolic"
[parameters]
rows = { kind = "power2", low = 8, high = 128 }
voltage_V = { low = 0.6, high = 0.9 }
dataflow = { choices = ["weight_stationary", "output_stationary"] }
[fixed]
node_nm = 5
[constraints]
area_mm2 = { at_most = 400 }
throughput_per_s = { at_least = 1e5 }
"""


def test_load_reads_what_it_says(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(GOOD)
    space = Space.load(path)
    assert space.names == ("rows", "voltage_V", "dataflow")
    assert [p.kind for p in space.parameters] == ["power2", "linear", "choice"]
    assert space.fixed == (("node_nm", 5),)
    assert [str(c) for c in space.constraints] == ["area_mm2 <= 400", "throughput_per_s >= 100000"]
    assert space.constraints[0].margin({"area_mm2": 300.0}) == pytest.approx(0.25)
    assert space.constraints[1].margin({"throughput_per_s": 3e5}) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('variant = "systolic"', "variant = ", r"^space file: got .*; not readable TOML"),
        ('variant = "systolic"', "", r"^variant: got None; allowed: systolic"),
        ('variant = "systolic"', 'variant = "systolic"\nnode = 7', r"^space file: got node; "),
        ("low = 8", "low = '8'", r"^rows: got \['8', 128\]; low and high are numbers"),
        ("low = 8", "low = nan", r"^rows\.low: got nan; allowed: 4 to 1024"),
        ("low = 8", "lo = 8", r"^rows entry: got lo; allowed: kind, low"),
        ("rows = { kind", "roes = { kind", r"^parameter: got roes; .*did you mean rows"),
        ("node_nm = 5", "node_nm = 500", r"^node_nm: got 500; allowed: 3 to 180 nm"),
        ("node_nm = 5", "node_nm = [5]", r"^node_nm: got \[5\]; allowed: 3 to 180 nm, a number"),
        ("at_most = 400", "at_most = -400", r"^area_mm2: got -400; a budget is a finite number"),
        ("at_most = 400", "at_most = nan", r"^area_mm2: got nan; a budget is a finite number"),
        ("at_most = 400", "below = 400", r"^area_mm2 bound: got below; allowed: at_most"),
        ("area_mm2", "area_cm2", r"^constraint: got area_cm2; .*did you mean area_mm2"),
        ('["weight_stationary", "output_stationary"]', "3", r"^dataflow\.choices: got 3; a list"),
        ("voltage_V = {", "voltage_V = 3 #", r"^voltage_V: got 3; a table such as"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_one_line(tmp_path, old, new, line):
    path = tmp_path / "space.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError, match=line) as error:
        Space.load(path)
    assert "\n" not in str(error.value)


def test_missing_file_and_empty_sample(tmp_path):
    with pytest.raises(InputError, match=r"^space file: got .*none\.toml; no such file"):
        Space.load(tmp_path / "none.toml")
    with pytest.raises(InputError, match=r"^n: got 0; allowed: >= 1"):
        default_space("simt").sample(jax.random.key(0), 0)
    with pytest.raises(InputError, match=r"^variant: got gpu; allowed"):
        default_space("gpu")
    with pytest.raises(InputError, match=r"^area_mm2: got many; a budget"):
        Constraint.parse("area_mm2", "at_most", "many")


def test_default_ranges_lie_within_physics():
    for variant in VARIANTS:
        numbers = quantities(VARIANTS[variant])
        for p in default_space(variant).numeric:
            if p.kind != "choice":
                assert numbers[p.name].low <= p.low < p.high <= numbers[p.name].high
