"""The one entry: a whole evaluation by hand, its table, options, real chips, bad input."""

import dataclasses

import jax
import numpy as np
import pytest

import hwmodels
from hwmodels import VARIANTS, Fleet, InputError, Operation, Relax, Tensor, Workload
from hwmodels.technology import Technology


@pytest.fixture(scope="module")
def mlp():
    return hwmodels.load_workload("mlp")


@pytest.fixture(scope="module")
def chip():
    return VARIANTS["systolic"]()


@pytest.fixture(scope="module")
def metrics(chip, mlp):
    return hwmodels.evaluate(chip, mlp)


def one_product(m, n, k, role="input"):
    """A step of one forward product in fp32; 5 samples."""
    operands = Tensor(role, m * k, 32.0), Tensor(role, k * n, 32.0)
    row = Operation(
        "contraction", "product", "forward", operands, (Tensor(role, m * n, 32.0),),
        batch=1.0, m=float(m), n=float(n), k=float(k), simple=float(3 * m * n),
    )  # fmt: skip
    return Workload("one", (row,), 5.0, 500.0, False, (Tensor("parameter", k * n, 32.0),))


def test_one_product_by_hand():
    # 300 x 77 x 190 on one 64 x 32 array, weight-stationary, 1 GHz, 7 nm, bf16.
    chip = VARIANTS["systolic"]().replace(
        rows=64, columns=32, arrays=1, vector_lanes=256, clock_GHz=1, tdp_W=500,
        sram_capacity_MiB=1 / 64, sram_bandwidth_B_per_cycle=96, dram_stacks=1,
        dram_bandwidth_GBps=100, dram_latency_ns=300,
    )  # fmt: skip
    got = hwmodels.evaluate(chip, one_product(300, 77, 190), runtime="graph")
    # Tiles, held twice, may fill 4 KiB. 31 columns by 32 rows of sums: left ceil(77/31) = 3, right
    # ceil(300/32) = 10 times, 317,300 words; right once: 3716 // 384 = 9 columns, left 9 times,
    # 527,630; left once: 12 rows of 77 sums, right 25 times, 422,750; two tiles of 39 columns by
    # 25 rows of sums: 2 x 57,000 + 12 x 14,630 = 289,560.
    dram = 2 * (2 * 57_000 + 12 * 14_630 + 300 * 77)
    np.testing.assert_allclose(got.work_terms["dram_bytes"], dram, rtol=1e-6)
    # Folds ceil(190/64) ceil(77/32) = 9 of 300 steps; fill and drain 64 + 64 + 32 - 2.
    cycles, overhead = 9 * 300, 158
    # Buffer: 3 column folds of the left, the right once, sums 2 x 3 - 1 times 4 bytes; DRAM.
    buffer = 2 * (3 * 57_000 + 14_630) + 4 * 300 * 77 * 5 + dram
    np.testing.assert_allclose(got.work_terms["buffer_bytes"], buffer, rtol=1e-6)
    busy = max(cycles, buffer / 96, dram / 100, 3 * 300 * 77 / 256)  # in ns
    assert busy == buffer / 96
    time = busy + overhead + 300 + 1000
    np.testing.assert_allclose(got.time, time * 1e-9, rtol=1e-6)
    np.testing.assert_allclose(got.throughput, 5 / (time * 1e-9), rtol=1e-6)
    macs = 300 * 77 * 190
    np.testing.assert_allclose(got.utilization, macs / (64 * 32 * time), rtol=1e-6)
    # Energy: bf16 multiply and fp32 add at 7 nm 0.59 pJ; registers 2 x 16 + 32 bits of 0.0156/16;
    # DRAM 8 x 6.45 pJ a byte.
    np.testing.assert_allclose(got.energy_terms["mac"], macs * 0.59e-12, rtol=1e-5)
    registers = 64 * 0.0156e-12 / 16
    np.testing.assert_allclose(got.energy_terms["register"], macs * registers, rtol=1e-5)
    np.testing.assert_allclose(got.energy_terms["dram"], dram * 51.6e-12, rtol=1e-5)
    assert got.time_terms["launch"] == np.float32(1e-6)
    # Area: 2048 units, 256 lanes, host; memory and link PHYs; a third on top of the parts.
    parts = sum(float(v) for k, v in got.area_terms.items() if k not in ("host", "uncore"))
    np.testing.assert_allclose(got.area, 10e-6 + 1.325 * parts, rtol=1e-5)
    assert float(got.area_terms["dram_phy"]) == pytest.approx(7e-6)
    assert float(got.area_terms["link_phy"]) == pytest.approx(6 * 2e-6)


def test_resident_tensors_stay_on_chip():
    # All tensors are parameters of 58.5 KB and fit half of 64 MiB: no DRAM, no miss.
    chip = VARIANTS["systolic"]().replace(sram_capacity_MiB=64)
    work = one_product(300, 77, 190, role="parameter")
    warm, cold = (hwmodels.evaluate(chip, work, residency=r) for r in ("warm", "cold"))
    assert float(warm.resident["parameter"]) == 1
    assert float(warm.work_terms["dram_bytes"]) == 0
    assert float(warm.time_terms["memory_latency"]) == 0
    assert float(cold.resident["parameter"]) == 0
    # Parameters keep their traced width of 4 bytes.
    assert float(cold.work_terms["dram_bytes"]) == 4 * (57_000 + 14_630 + 300 * 77)


def test_table_adds_up_to_the_step(metrics, chip, mlp):
    frame = metrics.frame()
    assert len(frame) == len(mlp.rows)
    assert (frame["time_us"] * frame["count"]).sum() == pytest.approx(float(metrics.time) * 1e6)
    energy = frame.filter(regex="_nJ$").sum(axis=1) * frame["count"]
    assert energy.sum() == pytest.approx(float(metrics.energy) * 1e9, rel=1e-5)
    assert frame["utilization"].between(0, 1).all()
    assert set(frame["bound"]) <= {
        "compute", "on_chip", "dram", "vector", "fill_drain", "memory_latency", "launch",
    }  # fmt: skip
    moved = (frame["dram_bytes"] * frame["count"]).sum()
    assert moved == pytest.approx(float(metrics.work_terms["dram_bytes"]), rel=1e-6)


def test_launch_cost_is_what_the_runtime_says(chip, mlp, metrics):
    launches = sum(row.count for row in mlp.rows)
    assert float(metrics.time_terms["launch"]) == pytest.approx(launches * 1e-6, rel=1e-5)
    free = hwmodels.evaluate(chip, mlp, runtime="none")
    assert float(free.time_terms["launch"]) == 0
    assert float(free.time) == pytest.approx(float(metrics.time) - launches * 1e-6, rel=1e-4)


def test_fleet_of_chips(chip, mlp, metrics):
    nine = hwmodels.evaluate(chip, mlp, Fleet(chips=9))
    assert float(nine.efficiency) < 1
    expected = 9 * float(metrics.throughput) * float(nine.efficiency)
    assert float(nine.throughput) == pytest.approx(expected, rel=1e-5)
    assert float(nine.fleet_power) == pytest.approx(9 * float(nine.power), rel=1e-6)
    assert float(nine.scalability) == pytest.approx(float(metrics.scalability), rel=1e-6)


def test_calls_of_one_structure_compile_once(chip, mlp, metrics):
    from hwmodels.evaluate import _evaluate

    before = _evaluate._cache_size()
    for clock in (0.7, 1.3):
        hwmodels.evaluate(chip.replace(clock_GHz=clock, tdp_W=300), mlp, Fleet(chips=3))
    hwmodels.evaluate(dataclasses.replace(chip, rows=64), mlp)  # a whole number as `int`
    assert _evaluate._cache_size() == before


def test_gradient_through_evaluate(chip, mlp):
    def energy(chip):
        return hwmodels.evaluate(chip, mlp).energy

    slope = jax.grad(energy)(jax.tree.map(float, chip))
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(slope))
    # Hand: more volts cost energy, and a hotter chip leaks more.
    assert float(slope.technology.voltage) > 0
    assert float(slope.technology.temperature) > 0


def a100():
    return VARIANTS["simt"]().replace(
        sms=108, macs_per_sm=1024, lanes_per_sm=64, register_file_KiB=256, shared_memory_KiB=192,
        clock_GHz=1.41, tdp_W=400, sram_capacity_MiB=40, sram_bandwidth_B_per_cycle=5120,
        dram_stacks=5, dram_bandwidth_GBps=408, link_count=12, link_bandwidth_GBps=25,
    )  # fmt: skip


def tpu_v4():
    return VARIANTS["systolic"]().replace(
        rows=128, columns=128, arrays=8, clock_GHz=1.05, vector_lanes=4096, tdp_W=1000,
        sram_capacity_MiB=170, sram_bandwidth_B_per_cycle=8192, dram_stacks=4,
        dram_bandwidth_GBps=300, dram_capacity_GiB=8, link_count=6, link_bandwidth_GBps=50,
    )  # fmt: skip


def test_an_a100_is_plausible(mlp):
    """312 TFLOP/s at 1.41 GHz; 1275 to 1335 MHz at its 400 W; 826 mm2; 50 to 60 W idle."""
    got = hwmodels.evaluate(a100(), mlp)
    assert float(a100().macs_per_cycle) * 2 * 1.41e9 == pytest.approx(312e12, rel=0.01)
    assert 1.15e9 < float(got.clock) < 1.41e9
    # What the model lacks of the die: fp64 units, 20 spare SMs, a sixth PHY, graphics.
    assert 400e-6 < float(got.area) < 826e-6
    idle = sum(float(got.power_terms[f"static_{k}"]) for k in ("leakage", "idle", "dram_idle"))
    assert 20 < idle < 60
    assert all(float(margin) >= 0 for margin in got.margins.values())


def test_a_tpu_v4_is_plausible(mlp):
    """275 TFLOP/s at 1.05 GHz; below 600 mm2; idle 90 W; at most 192 W measured in use."""
    got = hwmodels.evaluate(tpu_v4(), mlp)
    assert float(tpu_v4().macs_per_cycle) * 2 * 1.05e9 == pytest.approx(275e12, rel=0.01)
    assert 300e-6 < float(got.area) < 600e-6
    static = sum(float(v) for k, v in got.power_terms.items() if k.startswith("static_"))
    assert 55 < static < 110
    # Densest product, every buffer port, vector lane and DRAM channel at once: above any use.
    assert 192 < float(got.peak_power) < 350


def test_margins_flag_what_cannot_be_built(chip, mlp):
    def margins(**values):
        return hwmodels.evaluate(chip.replace(**values), mlp).margins

    process = Technology().resolve()
    limit = float(process.max_clock) * 1e-9
    assert float(margins(clock_GHz=limit * 1.01)["clock"]) < 0 < float(margins()["clock"])
    assert float(margins(sram_capacity_MiB=2048)["area"]) < 0
    assert float(margins(tdp_W=1)["tdp"]) < 0
    assert float(margins(dram_stacks=16, rows=8, columns=8, link_count=64)["die_edge"]) < 0
    assert float(margins(number_format="int8")["format"]) < 0
    assert float(margins(sram_capacity_MiB=1 / 64)["buffer"]) < 0
    # The parameters are 0.4 MB with 0.3 MB of moments and more; the least memory is 0.1 GiB.
    assert 0 < float(margins(dram_stacks=1, dram_capacity_GiB=0.1)["dram_capacity"]) < 1


def test_bad_input_is_one_line(chip, mlp):
    cases = [
        (("chip", mlp), {}, r"^chip: got str; allowed: an accelerator"),
        ((chip, "mlp"), {}, r"^workload: got str; allowed: a hwmodels Workload"),
        ((chip, mlp, 4), {}, r"^fleet: got int; allowed: a hwmodels Fleet"),
        ((chip, mlp, Fleet(chips=0.5)), {}, r"^fleet\.chips: got 0\.5; allowed: 1 to 65536"),
        ((chip, mlp, Fleet(topology="mesh")), {}, r"^fleet\.topology: got mesh; allowed: ring"),
        ((chip, mlp), {"runtime": "cuda"}, r"^runtime: got cuda; allowed: eager, graph, none"),
        ((chip, mlp), {"residency": "hot"}, r"^residency: got hot; allowed: warm, cold"),
        ((chip, mlp), {"relax": Relax(mode="soft")}, r"^relax\.mode: got soft; allowed: straight"),
        ((VARIANTS["systolic"](rows=float("nan")), mlp), {}, r"^rows: got nan; allowed: 4 to 1024"),
        ((VARIANTS["systolic"](dataflow="ws"), mlp), {}, r"^dataflow: got ws; allowed: weight_"),
    ]
    for arguments, options, line in cases:
        with pytest.raises(InputError, match=line) as error:
            hwmodels.evaluate(*arguments, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"workload: got mpl; .*did you mean mlp"):
        hwmodels.load_workload("mpl")
