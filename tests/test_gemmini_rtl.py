"""Gemmini's RTL latency: hand-worked terms, bounds, monotonicity, gradients, measured cycles."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from hwmodels.errors import InputError
from hwmodels.mapping.gemmini_rtl import ISSUE, LOAD, OVERLAP, Timing, rtl_cycles
from hwmodels.mapping.mapping import fit, parse_mapping
from hwmodels.mapping.nest import count
from hwmodels.mapping.problem import convolution, matmul

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT.parent / "shared" / "data" / "gemmini_rtl.csv"
SMALL = convolution(N=1, K=14, C=66, P=15, Q=10, R=3, S=3, stride=(2, 1))
SMALL_MAPPING = "L3[WIO] P5 C3 K2 - L2[WI] N1 K7X - L1[O] Q10 C2 R3 S3 C11X - L0[W] P3"
CASES = {
    "small": (SMALL, SMALL_MAPPING),
    "one tile": (
        convolution(K=8, C=4, P=9),
        "L3[WIO] N1 - L2[WI] N1 K4X - L1[O] K2 C4X - L0[W] P9",
    ),
    "one multiply-accumulate": (
        convolution(),
        "L3[WIO] N1 - L2[WI] N1 - L1[O] N1 - L0[W] N1",
    ),
    "fully connected": (
        convolution(K=1000, C=2048),
        "L3[WIO] C16 - L2[WI] N1 K10X - L1[O] K100 C8 C16X - L0[W] N1",
    ),
    "first layer": (
        convolution(K=64, C=3, P=112, Q=112, R=7, S=7, stride=(2, 2)),
        "L3[WIO] P7 Q14 - L2[WI] N1 K16X - L1[O] K4 S7 R7 Q2 P4 C3X - L0[W] Q4 P4",
    ),
    "a tile per multiply-accumulate": (
        convolution(K=32, C=24, P=5),
        "L3[WIO] K32 P5 C24 - L2[WI] N1 - L1[O] N1 - L0[W] N1",
    ),
    "wide array": (
        convolution(K=512, C=512, P=56, Q=56),
        "L3[WIO] Q7 K4 - L2[WI] N1 K128X - L1[O] C4 Q8 C128X - L0[W] P56",
    ),
    "partial tiles": (
        convolution(K=50, C=33, P=29, Q=7, R=3, S=3),
        "L3[WIO] K4 P2 - L2[WI] N1 K13X - L1[O] Q7 C3 R3 S3 C11X - L0[W] P16",
    ),
}


def build(name):
    problem, text = CASES[name]
    return problem, fit(parse_mapping(text), problem)


def test_terms_by_hand():
    # 12 tiles of P 5, Q 2, K 2, C 6, R 3 on a 4 x 4 array; 6 results; 9 weight blocks a tile, each
    # meeting 2 image rows of 5 pixels as 2.5 blocks of 4; input 12 x 2 pixels of 6 channels.
    problem = convolution(K=4, C=12, P=15, Q=2, R=3, stride=(2, 1))
    mapping = fit(
        parse_mapping("L3[WIO] K2 P3 C2 - L2[WI] N1 K2X - L1[O] C3 R3 Q2 C2X - L0[W] P5"), problem
    )
    timing = Timing(
        issue=2.0, load=4.0, overlap=1.0, store=2.0, row=2.0, shortest=2.0, command=10.0
    )
    cycles = rtl_cycles(problem, mapping, pe_dim=4.0, timing=timing)
    assert cycles.mesh == pytest.approx(12 * 9 * (4 + 1.5 * 4))
    assert cycles.issue == pytest.approx(12 * 9 * 2.5 * 2)
    assert cycles.compute == pytest.approx(1080 + 540)
    assert cycles.first_load == pytest.approx((12 * 2 * 6 + 3 * 6 * 2) / 4)
    assert cycles.last_store == pytest.approx(5 * 2 * 2 / 2)
    assert (cycles.load, cycles.store, cycles.command) == pytest.approx((540, 60, 120))
    assert cycles.stall == pytest.approx(720)
    assert cycles.total == pytest.approx(2395)


def test_overlap_of_resources():
    problem, mapping = build("small")
    cycles = rtl_cycles(problem, mapping, pe_dim=16.0, timing=Timing(overlap=2.0))
    assert cycles.compute == pytest.approx(np.hypot(cycles.mesh, cycles.issue))
    busy = [cycles.compute + cycles.store, cycles.load, cycles.command]
    assert cycles.compute + cycles.stall == pytest.approx(np.linalg.norm(busy))


def test_narrow_tiles_pay_whole_beats_and_shortest_rows():
    problem = convolution(K=1, C=1, P=2, Q=3)
    mapping = fit(parse_mapping("L3[WIO] N1 - L2[WI] N1 - L1[O] Q3 - L0[W] P2"), problem)
    cycles = rtl_cycles(problem, mapping, pe_dim=16.0)
    assert cycles.mesh == pytest.approx(16 + 2 * 4)
    assert cycles.first_load == pytest.approx((6 * 16 + 16) / LOAD)
    assert cycles.last_store == pytest.approx(6)


def test_padding_is_not_fetched():
    problem = convolution(K=16, C=16, P=9, Q=5, R=3, S=3)
    mapping = fit(
        parse_mapping("L3[WIO] N1 - L2[WI] K16X - L1[O] Q5 R3 S3 C16X - L0[W] P9"), problem
    )
    cycles = rtl_cycles(problem, mapping, pe_dim=16.0)
    assert cycles.first_load * LOAD == pytest.approx(9 * 5 * 16 + 9 * 16 * 16)


@pytest.mark.parametrize("pe_dim", [4.0, 16.0, 37.0, 128.0])
@pytest.mark.parametrize("name", CASES)
def test_never_below_compute(name, pe_dim):
    problem, mapping = build(name)
    cycles = rtl_cycles(problem, mapping, pe_dim=pe_dim)
    spatial = np.prod([loop.trips for loop in mapping.loops() if loop.spatial])
    assert np.isfinite(cycles.total)
    assert cycles.total >= problem.macs / spatial
    assert cycles.total >= max(cycles.mesh, cycles.issue, cycles.load, cycles.command)
    assert min(cycles) >= 0


@pytest.mark.parametrize("name", [name for name in CASES if name != "partial tiles"])
def test_never_below_the_counted_steps(name):
    problem, mapping = build(name)
    assert rtl_cycles(problem, mapping, pe_dim=16.0).total >= count(problem, mapping).steps


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("field", "factor"),
    [
        ("issue", 1.7),
        ("load", 0.6),
        ("overlap", 0.6),
        ("store", 0.6),
        ("row", 1.7),
        ("shortest", 1.7),
        ("command", 1.7),
    ],
)
def test_worse_hardware_is_never_faster(name, field, factor):
    problem, mapping = build(name)
    worse = Timing()._replace(**{field: getattr(Timing(), field) * factor})
    before = rtl_cycles(problem, mapping, pe_dim=16.0).total
    after = rtl_cycles(problem, mapping, pe_dim=16.0, timing=worse).total
    assert after >= before * (1 - 1e-12)


@pytest.mark.parametrize("name", ["small", "partial tiles", "fully connected"])
def test_gradient_equals_differences(name):
    problem, mapping = build(name)
    with jax.enable_x64(True):
        leaves, tree = jax.tree.flatten((mapping, Timing()))
        start = np.log(np.array(leaves, float))

        def log_cycles(x):
            mapping, timing = jax.tree.unflatten(tree, list(jnp.exp(x)))
            return jnp.log(rtl_cycles(problem, mapping, pe_dim=17.3, timing=timing).total)

        # Off the kinks at which two extents are equal.
        start = start + 1e-3 * np.cos(np.arange(start.size))
        gradient = np.asarray(jax.grad(log_cycles)(start))
        steps = 1e-6 * np.eye(start.size)
        evaluate = jax.jit(log_cycles)
        differences = [(evaluate(start + h) - evaluate(start - h)) / 2e-6 for h in steps]
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose(gradient, differences, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_finite_at_whole_factors(name):
    problem, mapping = build(name)

    def total(mapping, timing):
        return rtl_cycles(problem, mapping, pe_dim=16.0, timing=timing).total

    gradient = jax.grad(total, argnums=(0, 1))(mapping, Timing())
    assert all(bool(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", CASES)
def test_float32_agrees_with_float64(name):
    problem, mapping = build(name)
    narrow = jax.jit(lambda m: rtl_cycles(problem, m, pe_dim=16.0).total)(mapping)
    assert float(narrow) == pytest.approx(rtl_cycles(problem, mapping, pe_dim=16.0).total, rel=2e-6)


def test_refuses_what_it_does_not_model():
    text = "L3[WIO] N1 - L2[WI] N1 - L1[O] N1 - L0[W] P4X"
    problem = convolution(P=4)
    with pytest.raises(InputError, match="spatial P"):
        rtl_cycles(problem, fit(parse_mapping(text), problem), pe_dim=16.0)
    product = matmul(4, 4, 4)
    with pytest.raises(InputError, match="convolution"):
        rtl_cycles(product, fit(parse_mapping("L3[WIO] M4 N4 K4"), product), pe_dim=16.0)


@pytest.fixture(scope="module")
def experiment():
    if not MEASURED.is_file():
        pytest.skip(f"no measured rows at {MEASURED}")
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(ROOT)
    try:
        from experiments import fit_gemmini_rtl
    finally:
        patch.undo()
    return fit_gemmini_rtl, pd.read_csv(MEASURED)


def test_predicts_measured_cycles(experiment):
    script, rows = experiment
    predicted = script.predict(script.cases(rows), [ISSUE, LOAD, OVERLAP])
    measured = rows["rtl_cycles"]
    assert np.abs(predicted / measured - 1).mean() <= 0.15
    assert pd.Series(predicted).corr(measured, method="spearman") >= 0.97


def test_constants_are_those_that_fit(experiment):
    script, rows = experiment
    constants = script.fitted(script.cases(rows), rows["rtl_cycles"].to_numpy(float))
    np.testing.assert_allclose([ISSUE, LOAD, OVERLAP], constants, rtol=2e-3)


def test_predicts_a_search_left_out(experiment):
    script, rows = experiment
    found, cycles = script.cases(rows), rows["rtl_cycles"].to_numpy(float)
    kept = np.flatnonzero(rows["predictor"] != "analytical")
    left = np.flatnonzero(rows["predictor"] == "analytical")
    constants = script.fitted([found[i] for i in kept], cycles[kept])
    predicted = script.predict([found[i] for i in left], constants)
    assert np.abs(predicted / cycles[left] - 1).mean() <= 0.15
