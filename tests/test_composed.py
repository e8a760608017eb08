"""Chips composed of named memory levels: one by hand, `ws32`, bad files, properties, gradients."""

import dataclasses
import json
import math
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwmodels
from dse.breakdown import break_down
from dse.cli.main import main
from hwmodels import Fleet, InputError, Operation, Tensor, Workload
from hwmodels.accelerators.catalog import chips, examples, load_entry
from hwmodels.accelerators.headline import headline
from hwmodels.accelerators.rates import chip_areas
from hwmodels.evaluate import model
from hwmodels.parts import sram

TINY = """
name = "Tiny"
variant = "composed"

[chip]
node_nm = 7
clock_GHz = 1.0
number_format = "bf16"
vector_lanes = 8
dram_stacks = 1
dram_bandwidth_GBps = 16
dram_energy_pJ_per_bit = 4

[[memory]]
name = "BUF"
tensors = "WIO"
capacity_KiB = 1
energy_pJ_per_bit = 0.5
read_bandwidth_bits_per_cycle = 64
write_bandwidth_bits_per_cycle = 64
double_buffered = false

[[memory.axis]]
size = 3
dimension = { matmul = "N", convolution = "K" }

[[memory.axis]]
size = 2
dimension = { matmul = "K", convolution = "C" }

[[memory]]
name = "REG"
tensors = "W"
capacity_bits = 16
energy_pJ_per_bit = 0.1
area_mm2 = 0.001
"""
WS32 = """
name = "ws32 as a chip"
variant = "composed"

[chip]
node_nm = 7
clock_GHz = 1.0
number_format = "bf16"
vector_lanes = 8
dram_stacks = 1
dram_bandwidth_GBps = 16      # 128 bits a ns
dram_energy_pJ_per_bit = 4

[[memory]]
name = "SRAM"
tensors = "WIO"
capacity_KiB = 256
energy_pJ_per_bit = 0.08
read_bandwidth_bits_per_cycle = 1024
write_bandwidth_bits_per_cycle = 1024
own_depth = true
double_buffered = false

[[memory.axis]]
size = 32
dimension = { matmul = "N", convolution = "K" }

[[memory.axis]]
size = 32
dimension = { matmul = "K", convolution = "C" }

[[memory]]
name = "REG"
tensors = "W"
capacity_bits = 16
energy_pJ_per_bit = 0.01
"""


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    def _load(text, *changes):
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path_factory.mktemp("chips") / "mine.toml"
        path.write_text(text)
        return hwmodels.load_chip(path)

    return _load


@pytest.fixture(scope="module")
def tiny(load):
    return load(TINY)


def product(m, n, k, bits=16.0, batch=1):
    """A step of one product, no other work; every tensor `bits` wide."""
    reads = Tensor("input", batch * m * k, bits), Tensor("parameter", batch * k * n, bits)
    row = Operation(
        "contraction", "product", "forward", reads, (Tensor("activation", batch * m * n, bits),),
        batch=float(batch), m=float(m), n=float(n), k=float(k),
    )  # fmt: skip
    stored = Tensor("parameter", k * n, bits), Tensor("activation", m * n, bits)
    return Workload("one", (row,), 5.0, 500.0, False, stored)


def alone(chip, workload, residency="cold"):
    return hwmodels.evaluate(chip, workload, runtime="none", residency=residency)


def test_one_product_by_hand(tiny):
    # 5 x 7 x 3 on 3 columns (N) by 2 rows (K): ceil(7/3) ceil(3/2) 5 = 30 steps. All 71 words fit
    # in the buffer. A weight goes to its register once, 21 words. Inputs: 15 words for each of 3
    # column groups, one read for its 3 columns. Sums: one update for each of 2 row groups, 35 old
    # ones read, 35 whole ones read on their way to DRAM.
    read, written = 21 + 3 * 15 + 35 + 35, 21 + 15 + 2 * 35
    metrics = alone(tiny, product(5, 7, 3))
    work = metrics.work_terms
    assert work["cycles"] == 30
    assert (work["BUF_read"], work["BUF_written"]) == (2 * read, 2 * written)
    assert (work["REG_read"], work["REG_written"]) == (2 * 105, 2 * 21)
    assert work["dram_bytes"] == 2 * 71
    # 4 words a cycle: the read port is the slowest.
    assert work["BUF_cycles"] == read / 4 == 34
    assert float(metrics.time_terms["busy"]) == pytest.approx(34e-9, rel=1e-6)
    (row,) = metrics.frame().to_dict(orient="records")
    assert row["bound"] in ("BUF", "memory_latency")
    energy = metrics.energy_terms
    assert float(energy["BUF"]) == pytest.approx((read + written) * 16 * 0.5e-12, rel=1e-6)
    assert float(energy["REG"]) == pytest.approx((105 + 21) * 16 * 0.1e-12, rel=1e-6)
    assert float(energy["dram"]) == pytest.approx(71 * 16 * 4e-12, rel=1e-6)
    assert float(metrics.area_terms["REG"]) == pytest.approx(6 * 0.001e-6, rel=1e-6)


def test_warm_tensors_do_not_move(tiny):
    # Half of 1 KiB holds the parameters (42 bytes) and the result (70); the input streams in.
    metrics = alone(tiny, product(5, 7, 3), "warm")
    assert float(metrics.work_terms["dram_bytes"]) == 2 * 15
    # Weights do not enter the buffer, the result does not leave it.
    assert float(metrics.work_terms["BUF_written"]) == 2 * (15 + 70)
    assert float(metrics.work_terms["BUF_read"]) == 2 * (21 + 45 + 35)
    assert {float(share) for share in metrics.resident.values()} == {1.0}


def test_nothing_stays_where_no_level_holds_all():
    chip = hwmodels.load_chip("example_two_level")
    warm, cold = (alone(chip, product(5, 7, 3), kept) for kept in ("warm", "cold"))
    for metrics in (warm, cold):
        assert float(metrics.work_terms["dram_bytes"]) == 142
        # Weights pass the activations by, and enter the memory of their own once.
        assert float(metrics.work_terms["WEIGHTS_written"]) == 2 * 21
        assert float(metrics.work_terms["ACTIVATIONS_written"]) == 2 * (15 + 35)
    assert {float(share) for share in warm.resident.values()} == {0.0}


@pytest.mark.parametrize("sizes", [(512, 768, 768), (100, 70, 1300), (33, 4096, 65)])
def test_ws32_as_a_chip_is_the_machine(load, sizes):
    m, n, k = sizes
    chip = load(WS32)
    got = alone(chip, product(*sizes))
    best = hwmodels.best_mapping(hwmodels.matmul(m, n, k), "ws32", "latency")
    cycles = float(got.time_terms["busy"]) * float(got.clock)
    assert cycles == pytest.approx(max(best.cost.cycle_terms.values()), rel=1e-6)
    assert math.ceil(cycles * (1 - 1e-6)) == best.cycles
    # Equally fast mappings may differ in what they move by rounding of energies only.
    for name, of in (("SRAM", "SRAM"), ("REG", "REG"), ("dram", "DRAM")):
        joule = float(got.energy_terms[name])
        assert joule == pytest.approx(best.cost.energy_terms[of], rel=1e-5)
    dram = best.counts.traffic[0]
    words = dram["W"].reads + dram["I"].reads + dram["O"].reads + dram["O"].updates
    assert float(got.work_terms["dram_bytes"]) == pytest.approx(2 * words, rel=1e-6)


def test_wide_tensors_cross_the_interface_wide(tiny):
    # Weights of a trained model stay 32 bits wide in DRAM; inputs and results are narrowed.
    metrics = alone(tiny, product(5, 7, 3, bits=32.0))
    assert float(metrics.work_terms["dram_bytes"]) == 4 * 21 + 2 * (15 + 35)


def test_vector_work_passes_the_level_of_results(tiny):
    reads = Tensor("activation", 100, 16.0), Tensor("activation", 60, 16.0)
    row = Operation("vector", "add", "forward", reads, (Tensor("activation", 100, 16.0),),
                    simple=400.0)  # fmt: skip
    metrics = alone(tiny, Workload("sum", (row,), 1.0, 1.0, False, (reads[0],)))
    # 260 words in and out of the buffer, as many between it and DRAM; half are reads.
    assert float(metrics.work_terms["BUF_read"]) == 2 * 260
    assert float(metrics.work_terms["BUF_cycles"]) == 2 * 260 / 8
    assert float(metrics.time_terms["busy"]) == pytest.approx(65e-9, rel=1e-6)
    assert float(metrics.margins["buffer"]) > 0


def test_one_memory_for_all_or_one_each(load):
    # Two arrays, each with a weight memory (banked: ports too), or both with one.
    axis = '[[memory.axis]]\nsize = 2\ndimension = { matmul = "M", convolution = "P" }\n\n'
    weights = (
        '[[memory]]\nname = "WMEM"\ntensors = "W"\ncapacity_KiB = 1\n'
        "bandwidth_bits_per_cycle = 64\nbanked = true\ndouble_buffered = false\n\n"
    )
    split = "[[memory.axis]]\nsize = 3"
    wide = [("bandwidth_bits_per_cycle = 64", "bandwidth_bits_per_cycle = 640")] * 2
    each = load(TINY, *wide, (split, axis + weights + split))
    shared = load(TINY, *wide, (split, weights + axis + split))
    # 6 rows over two arrays: 3 steps of each of 6 tiles; every memory is filled with all weights.
    for chip, count in ((each, 2), (shared, 1)):
        assert float(chip.macs_per_cycle) == 12
        process = chip.technology.resolve()
        one = float(sram.area(process, 1024.0, 8.0))
        assert float(chip_areas(chip, process)["WMEM"]) == pytest.approx(count * one, rel=1e-5)
        counted = chip.operations(product(6, 7, 3), "cold").contraction
        assert counted.steps == [18]
        assert counted.writes["WMEM"] == [count * 2 * 21]
        assert counted.banks["WMEM"] == [count]
        assert (counted.lhs_passes, counted.rhs_passes) == ([1], [1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([("capacity_KiB = 1\n", "capacity_MiB = 1\n")], ["BUF", "capacity_MiB", "capacity_KiB"]),
        ([("capacity_KiB = 1\n", "capacity_KiB = 0\n")], ["BUF.capacity_KiB", "got 0", "> 0"]),
        ([("capacity_KiB = 1\n", "capacity_KiB = -3\n")], ["BUF.capacity_KiB", "got -3", "> 0"]),
        ([("capacity_KiB = 1\n", "")], ["BUF.capacity_KiB", "needed"]),
        ([('"WIO"', '"WX"')], ["BUF.tensors", "WX", "WIO"]),
        ([('name = "REG"', 'name = "BUF"')], ["memory.name", "BUF, BUF", "once"]),
        ([('name = "REG"', 'name = "dram"')], ["memory.name", "dram", "taken"]),
        ([('dimension = { matmul = "N", convolution = "K" }', "")], ["BUF.axis", "dimension"]),
        ([('matmul = "N"', 'matmul = "Q"')], ["BUF.axis.dimension.matmul", "Q", "B, M, N, K"]),
        ([("size = 3", "size = 2.5")], ["BUF.axis.size", "2.5", "whole"]),
        ([("size = 3", "size = 0")], ["BUF.axis.size", "got 0"]),
        ([("write_bandwidth_bits_per_cycle = 64\n", "")], ["BUF.write_bandwidth", "two"]),
        ([("read_bandwidth_bits_per_cycle = 64\nwrite_bandwidth_bits_per_cycle = 64\n", "")],
         ["BUF.bandwidth_bits_per_cycle", "nothing", "needed"]),
        ([("double_buffered = false", "double_buffered = 2")], ["BUF.double_buffered", "true or"]),
        ([("node_nm = 7", "node_nm = 0")], ["chip.node_nm", "got 0", "3 to 180"]),
        ([("node_nm = 7", "node_nm = 7\nvoltage_V = 40")], ["chip.voltage_V", "got 40", "2.2"]),
        ([("clock_GHz = 1.0", "clock_GHz = 3.0")], ["chip.clock_GHz", "3", "at 7 nm and 0.75 V"]),
        ([("clock_GHz = 1.0\n", "")], ["no chip.clock_GHz"]),
        ([("vector_lanes = 8", "vector_lanes = 8\nrows = 3")], ["chip", "rows", "allowed"]),
        ([('"bf16"', '"bf17"')], ["number_format", "bf17", "bf16"]),
        ([("[chip]", "[die]\nx = 1\n\n[chip]")], ["field", "die", "memory"]),
        ([("capacity_KiB = 1\n", "capacity_KiB = 0.002\n")], ["BUF", "words"]),
        ([("capacity_KiB = 1\n", "capacity_MiB = 1\n")],
         ["mine, BUF.capacity_MiB", "unit", "capacity_KiB or capacity_bits"]),
        ([("read_bandwidth_bits", "read_bandwidth_GB")],
         ["BUF.read_bandwidth_GB_per_cycle", "unit"]),
        ([("vector_lanes = 8", "vector_lanes = 8.5")], ["chip.vector_lanes", "8.5", "whole"]),
        ([("capacity_bits = 16", "capacity_bits = 2048\nbandwidth_bits_per_cycle = 16")],
         ["mine, REG.banked", "each of 6 instances", "all of them together"]),
    ],
)  # fmt: skip
def test_bad_files_are_named(load, changes, words):
    with pytest.raises(InputError) as caught:
        alone(load(TINY, *changes), product(5, 7, 3))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_memory_tables(load):
    text = TINY[: TINY.index("[[memory]]")]
    with pytest.raises(InputError, match="memory: got None; allowed: "):
        load(text)


def test_numbers_by_name(tiny):
    wider = tiny.replace(BUF_read_bandwidth_bits_per_cycle=128, clock_GHz=0.9)
    assert wider.quantities()["BUF_read_bandwidth_bits_per_cycle"] == 128
    assert tiny.quantities()["BUF_read_bandwidth_bits_per_cycle"] == 64
    # The write port is the slowest now, but for the 30 steps of the array.
    metrics = alone(wider, product(5, 7, 3))
    assert float(metrics.time_terms["busy"]) == pytest.approx(30e-9 / 0.9, rel=1e-6)
    with pytest.raises(InputError, match="BUF_capacity_KiB"):
        tiny.replace(BUF_capacity_MiB=2)
    with pytest.raises(InputError, match="BUF_capacity_KiB: got -1"):
        tiny.replace(BUF_capacity_KiB=-1)
    with pytest.raises(InputError, match="parameter: got sram_capacity_MiB"):
        tiny.replace(sram_capacity_MiB=2)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    sizes=st.tuples(*[st.integers(1, 60)] * 3),
    ports=st.tuples(*[st.sampled_from([16, 48, 64, 200])] * 2),
    name=st.sampled_from(["BUF_read_bandwidth_bits_per_cycle",
                          "BUF_write_bandwidth_bits_per_cycle", "dram_bandwidth_GBps"]),
    factor=st.floats(1.05, 4.0),
)  # fmt: skip
def test_more_bandwidth_is_never_slower(tiny, sizes, ports, name, factor):
    read, write = ports
    chip = tiny.replace(
        BUF_read_bandwidth_bits_per_cycle=read, BUF_write_bandwidth_bits_per_cycle=write,
        dram_bandwidth_GBps=3.0,
    )  # fmt: skip
    workload = product(*sizes)
    wider = chip.replace(**{name: chip.quantities()[name] * factor})
    before, after = alone(chip, workload), alone(wider, workload)
    assert float(after.time) <= float(before.time) * (1 + 1e-5)
    m, n, k = sizes
    for metrics, design in ((before, chip), (after, wider)):
        # The roofline, every tensor once, is a bound; and so is the peak rate.
        stream = 2 * (m * k + k * n + m * n) / float(design.dram.total_bandwidth)
        compute = m * n * k / (float(design.macs_per_cycle) * float(metrics.clock))
        assert float(metrics.time) >= max(stream, compute) * (1 - 1e-5)
        assert 0 < float(metrics.utilization) <= 1


@settings(max_examples=8, deadline=None, derandomize=True)
@given(sizes=st.tuples(*[st.integers(8, 60)] * 3), factor=st.floats(1.1, 8.0))
def test_a_larger_memory_is_never_slower_nor_moves_more(tiny, sizes, factor):
    # DRAM is the bound, so that the fastest mapping is that of least traffic.
    chip = tiny.replace(dram_bandwidth_GBps=1.0, BUF_capacity_KiB=0.25)
    larger = chip.replace(BUF_capacity_KiB=0.25 * factor)
    before, after = alone(chip, product(*sizes)), alone(larger, product(*sizes))
    assert float(after.time) <= float(before.time) * (1 + 1e-5)
    assert float(after.work_terms["dram_bytes"]) <= float(before.work_terms["dram_bytes"])


def test_terms_sum_to_totals():
    chip = hwmodels.load_chip("example_two_level")
    found = break_down("example", chip, product(50, 21, 34), runtime="none")
    metrics = found.metrics
    assert found.totals["time"] == pytest.approx(float(metrics.time), rel=1e-5)
    assert found.totals["energy"] == pytest.approx(float(metrics.energy), rel=1e-5)
    assert sum(metrics.area_terms.values()) == pytest.approx(float(metrics.area), rel=1e-5)
    assert {"ACTIVATIONS", "WEIGHTS", "STATIONARY", "mac", "dram"} <= set(found.parts)
    assert "buffer" not in found.parts
    assert float(metrics.utilization) <= 1


LEAVES = {
    "BUF_read_bandwidth_bits_per_cycle": lambda c: c.levels[0].read_bandwidth,
    "BUF_energy_pJ_per_bit": lambda c: c.levels[0].energy,
    "dram_bandwidth_GBps": lambda c: c.dram.bandwidth,
    "dram_energy_pJ_per_bit": lambda c: c.dram.energy,
    "clock_GHz": lambda c: c.clock,
    "voltage_V": lambda c: c.technology.voltage,
    "node_nm": lambda c: c.technology.node,
}


def test_gradients_are_central_differences_at_the_mapping(tiny):
    workload = product(50, 21, 34)
    chip = tiny.replace(dram_bandwidth_GBps=40, tdp_W=300, node_nm=8.5)
    wide = {f"BUF_{port}_bandwidth_bits_per_cycle": 256 for port in ("read", "write")}
    # By what bounds them.
    chips = {"BUF": chip, "dram": chip.replace(dram_bandwidth_GBps=1, **wide)}
    operations = {bound: one.operations(workload, "cold") for bound, one in chips.items()}

    @jax.jit
    @jax.value_and_grad
    def value(design, counted):
        metrics = model(
            design, counted, Fleet(), training=False, runtime="none", residency="cold", stacked=True
        )
        return jax.numpy.log(metrics.time * metrics.energy**2)

    with jax.enable_x64(True):
        for bound, one in chips.items():
            design = jax.tree.map(jax.numpy.float64, one)
            slopes = value(design, operations[bound])[1]
            assert len(jax.tree.leaves(slopes)) > 30
            assert np.isfinite(jax.tree.leaves(slopes)).all()
            for name, leaf in LEAVES.items():
                number, step = float(design.quantities()[name]), 1e-5
                up, down = (
                    value(design.replace(**{name: jax.numpy.float64(moved)}), operations[bound])[0]
                    for moved in (number * np.exp(step), number * np.exp(-step))
                )
                difference = float(up - down) / (2 * step)
                slope = float(leaf(slopes) * leaf(design))
                assert slope == pytest.approx(difference, rel=1e-5, abs=1e-8), name
            port, bandwidth = (list(LEAVES.values())[i](slopes) for i in (0, 2))
            assert (bool(port < 0), bool(bandwidth < 0)) == (bound == "BUF", bound == "dram")


def test_traced_numbers_need_mappings(tiny):
    workload = product(5, 7, 3)
    with pytest.raises(InputError, match=r"chip.mapped\(workload, \"cold\"\)"):
        jax.grad(lambda c: alone(c, workload).time)(tiny)
    # The fixed mapping is the one that is found anyway.
    fixed = tiny.mapped(workload, "cold")
    assert float(alone(fixed, workload).time) == float(alone(tiny, workload).time)
    ((key, text),) = fixed.mappings
    assert key == "cold matmul B1 M5 N7 K3"
    assert "N3X" in text
    # One of your own takes its place: a row of the input at a time, whose weights come again.
    by_row = "DRAM[WIO] N1 - BUF[WIO] M5 N3 K2 N3X K2X - REG[W] N1"
    mine = dataclasses.replace(tiny, mappings=((key, by_row),))
    assert mine.operations(workload, "cold").contraction.reads["BUF"] == [2 * (5 * 21 + 115)]
    widths = np.array([32.0, 64.0, 96.0])
    batch = jax.vmap(
        lambda w: alone(fixed.replace(BUF_read_bandwidth_bits_per_cycle=w), workload).time
    )(widths)
    one = [alone(fixed.replace(BUF_read_bandwidth_bits_per_cycle=w), workload).time for w in widths]
    np.testing.assert_allclose(batch, one, rtol=1e-6)


def test_a_fixed_mapping_may_overflow(tiny):
    workload = product(40, 30, 20)
    fixed = tiny.mapped(workload, "cold")
    assert float(alone(fixed, workload).margins["buffer"]) >= 0
    assert bool(alone(fixed, workload).feasible)
    smaller = alone(fixed.replace(BUF_capacity_KiB=0.25), workload)
    assert float(smaller.margins["buffer"]) < 0


def test_buffer_margin_is_one_step_of_the_array(tiny):
    # One step of 3 columns by 2 rows: 6 weights, 2 inputs, 3 sums: 22 bytes.
    one = product(1, 1, 1)
    assert float(alone(tiny.replace(BUF_capacity_KiB=22 / 1024), one).margins["buffer"]) == (
        pytest.approx(0, abs=2e-6)
    )
    assert float(alone(tiny.replace(BUF_capacity_KiB=20 / 1024), one).margins["buffer"]) < -0.05


def test_registers_or_sram_and_no_free_latches(tiny, load):
    process = tiny.technology.resolve()
    # REG holds W: an input and a 32-bit sum are latched beside it.
    assert tiny.latched_bits == 16 + 32
    without = load(TINY[: TINY.rindex("[[memory]]")])
    assert without.latched_bits == 16 + 16 + 32
    assert float(without.mac_energy(process)["pipeline"]) > float(
        tiny.mac_energy(process)["pipeline"]
    )
    bare = load(TINY, ("energy_pJ_per_bit = 0.1\narea_mm2 = 0.001\n", ""))
    reg = bare.own_ports(process, 1e-6)["REG"]
    assert float(reg.energy) < 0.05 * float(
        load(TINY, ("energy_pJ_per_bit = 0.5\n", "")).own_ports(process, 1e-6)["BUF"].energy
    )


def test_more_of_anything_costs(load):
    chip = load(TINY, ("energy_pJ_per_bit = 0.5\n", "")).replace(BUF_capacity_KiB=64)
    process = chip.technology.resolve()
    area = sum(chip_areas(chip, process).values())
    for name in ("BUF_capacity_KiB", "BUF_write_bandwidth_bits_per_cycle", "vector_lanes"):
        more = chip.replace(**{name: 2 * chip.quantities()[name]})
        assert sum(chip_areas(more, process).values()) > area


def test_the_example_is_listed_apart():
    assert "example_two_level" in examples()
    assert "example_two_level" not in chips()
    entry = load_entry("example_two_level")
    found = headline(entry)
    metrics = alone(entry.chip(), product(5, 7, 3), "warm")
    assert found.peak_power_W == pytest.approx(float(metrics.peak_power), rel=1e-3)
    assert found.area_mm2 == pytest.approx(float(metrics.area) * 1e6, rel=1e-5)
    facts = entry.facts()
    assert facts["WEIGHTS_capacity_KiB"].value == 1024
    assert facts["dram_bandwidth_GBps"].note == "dram_kind lpddr5x"


def test_commands_take_a_file(tmp_path: Path, capsys, tiny):
    path = tmp_path / "mine.toml"
    path.write_text(TINY)
    assert main(["evaluate", str(path), "--workload", "mlp", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"energy_BUF_J", "energy_REG_J", "energy_dram_J"} <= answer["rows"][0].keys()
    assert main(["chips", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["fields"]["BUF_capacity_KiB"]["value"] == 1
    assert answer["area_terms_mm2"]["BUF"] > 0
    assert answer["dynamic_power_terms_W"]["BUF"] > 0
    assert main(["compare", str(path), str(path), "--workload", "mlp"]) == 0
    assert "B is as fast as A" in capsys.readouterr().out
    path.write_text(TINY.replace("bits_per_cycle", "GBps"))
    assert main(["evaluate", str(path), "--workload", "mlp"]) == 2
    assert "read_bandwidth_GBps" in capsys.readouterr().err


def test_a_convolution_keeps_its_dimensions(tiny):
    shape = hwmodels.workloads.operation.Convolution(n=1, c=3, k=4, p=5, q=5, r=3, s=3)
    reads = Tensor("input", 3 * 7 * 7, 16.0), Tensor("parameter", 4 * 27, 16.0)
    row = Operation(
        "contraction", "conv", "forward", reads, (Tensor("activation", 100, 16.0),),
        batch=1.0, m=25.0, n=4.0, k=27.0, convolution=shape,
    )  # fmt: skip
    workload = Workload("conv", (row,), 1.0, 1.0, False, reads[1:])
    counted = tiny.operations(workload, "cold").contraction
    # K over 3 columns and C over 2 rows: 2 x 2 x 25 x 9 steps; every tensor crosses once.
    assert counted.steps == [900]
    assert (counted.lhs_passes, counted.rhs_passes, counted.spilled) == ([1], [1], [0])


def test_a_twin_of_a_systolic_chip_agrees(load):
    # As many units behind a buffer of one port for all; the array's fill and drain are left out.
    text = WS32.replace("256\n", "4096\n").replace("energy_pJ_per_bit = 0.08\n", "")
    text = text.replace("read_bandwidth_bits_per_cycle = 1024\nwrite_", "")
    text = text.replace("double_buffered = false\n", "").replace("energy_pJ_per_bit = 0.01\n", "")
    twin = load(text.replace("bits_per_cycle = 1024", "bits_per_cycle = 4096"))
    systolic = hwmodels.VARIANTS["systolic"]().replace(
        rows=32, columns=32, arrays=1, sram_capacity_MiB=4, sram_bandwidth_B_per_cycle=512,
        **{name: value for name, value in twin.quantities().items()
           if name in hwmodels.quantity.quantities(hwmodels.VARIANTS["systolic"])},
    )  # fmt: skip
    workload = product(1024, 784, 512)
    ours, theirs = alone(twin, workload, "warm"), alone(systolic, workload, "warm")
    assert float(ours.time) == pytest.approx(float(theirs.time), rel=0.02)
    assert float(ours.area) == pytest.approx(float(theirs.area), rel=0.02)
    assert float(ours.peak_power) == pytest.approx(float(theirs.peak_power), rel=0.02)
    assert float(ours.energy) == pytest.approx(float(theirs.energy), rel=0.1)


def test_smooth_and_gated_chips_are_finite(tiny):
    workload = product(50, 21, 34)
    gated = tiny.replace(sparsity="gate", weight_format="fp8")
    metrics = hwmodels.evaluate(gated, workload, relax=hwmodels.Relax("smooth", 16.0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(metrics))


def test_the_guide_composes_a_chip(load):
    readme = (Path(__file__).parents[1] / "hwmodels" / "accelerators" / "README.md").read_text(
        encoding="utf-8"
    )
    section = readme.split("\n## Compose your own chip\n")[1].split("\n## ")[0]
    (text,) = re.findall(r"```toml\n(.*?)```", section, flags=re.DOTALL)
    chip = load(text).replace(GLOBAL_capacity_KiB=4096)
    assert float(chip.macs_per_cycle) == 4 * 32 * 32
    counted = chip.operations(product(128, 64, 96), "warm").contraction
    # M over four arrays, N and K over 32 columns and rows: 32 x 2 x 3 steps.
    assert counted.steps == [192]
    assert counted.banks["SUMS"] == [4]


def test_other_variants_have_no_levels():
    chip = hwmodels.VARIANTS["systolic"]()
    assert chip.own_ports(chip.technology.resolve(), 1e-4) == {}
    names = {field.name for field in dataclasses.fields(type(chip))}
    assert "levels" not in names
    assert "composed" not in hwmodels.VARIANTS
