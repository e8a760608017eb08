"""`bench` runs and reports what it says; no timing is asserted."""

import json
import math

import pytest

from dse import bench as module
from dse.bench import bench, synthetic
from dse.grid_bench import POINTS
from hwmodels import InputError


@pytest.fixture(scope="module")
def figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NUMPY_CHUNKS", (64, 256))
        patch.setattr(module, "GRADIENTS", 32)
        patch.setattr(module, "FRONT_DESIGNS", 20_000)
        return bench(
            variant="vector", seconds=0.05, chunk=512, block=2048, operations=(1, 3),
            grid_points=dict.fromkeys(POINTS, 2) | {"clock_GHz": 5},
        )  # fmt: skip


def test_figures_are_complete_positive_and_json(figures):
    for name in ("random_designs_per_s", "grid_designs_per_s", "numpy_designs_per_s"):
        assert figures[name] > 0
    assert figures["gradients_per_s"] > 0
    assert figures["plans_per_s"] > 0
    assert figures["distinct_plans"] >= 500
    assert figures["numpy_chunk"] in (64, 256)
    ratio = figures["random_designs_per_s"] / figures["numpy_designs_per_s"]
    assert figures["speedup_vs_numpy"] == pytest.approx(ratio)
    ratio = figures["grid_designs_per_s"] / figures["numpy_designs_per_s"]
    assert figures["grid_speedup_vs_numpy"] == pytest.approx(ratio)
    assert 0 < figures["fraction_of_bound"] < 1
    assert figures["front_designs_per_s"] > 0
    assert figures["billion_grid_designs"] == 5 * 2**8
    assert figures["billion_grid_s"] > 0
    assert figures["peak_rss_MB"] > 50
    assert set(figures["designs_per_s_by_operations"]) == {1, 3}
    assert set(figures["spread"]) == set(figures["compile_s"])
    assert figures["compile_s"]["random_designs_per_s"] > 0
    assert figures["chunk"] == 512
    assert figures["cpu_count"] >= 1
    json.dumps(figures)


def test_the_large_grid_is_a_billion():
    assert math.prod(POINTS.values()) >= 10**9
    assert len(POINTS) >= 8
    assert max(POINTS.values()) <= 64


@pytest.mark.parametrize("count", [1, 4, 15])
def test_synthetic_workloads_have_distinct_operations(count):
    workload = synthetic(count)
    contractions = workload.operations.contraction.m
    assert len(workload.rows) == count
    assert len(contractions) == (count + 1) // 2
    assert len(set(contractions.tolist())) == len(contractions)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="variant"):
        bench(variant="quantum")
    with pytest.raises(InputError, match="workload"):
        bench(workload="none")
    with pytest.raises(InputError, match="seconds"):
        bench(seconds=float("nan"))
