"""Scaling curves and N80 of a plan."""

import dataclasses

import pytest
from gpt_rows import gpt

import hwmodels
from hwmodels import InputError
from hwmodels.fleet.curves import chips_80, scaling_curve
from hwmodels.fleet.plan import Cluster, make_plan
from hwmodels.fleet.step import evaluate_plan

CHIP = hwmodels.VARIANTS["simt"]()
WORKLOAD = gpt(layers=12, hidden=768, heads=12, seq=256, vocab=1003, samples=2)
CLUSTER = Cluster(chips=64.0)
PLAN = make_plan(tensor=2, pipeline=3, data=4, microbatch=2)


@pytest.mark.parametrize("scaling", ["weak", "strong"])
def test_curve_is_the_model_at_other_replicas(scaling):
    got = scaling_curve(CHIP, WORKLOAD, CLUSTER, PLAN, 96, scaling=scaling, replicas=[1, 3, 12])
    assert list(got.chips) == [6, 18, 72]
    for (_, row), data in zip(got.iterrows(), (1, 3, 12), strict=True):
        batch = 24 * data if scaling == "weak" else 96
        plan = dataclasses.replace(PLAN, data=float(data))
        alone = evaluate_plan(CHIP, WORKLOAD, CLUSTER, plan, batch)
        assert row.time_s == pytest.approx(float(alone.time), rel=1e-5)
        assert row.global_batch == pytest.approx(batch, rel=1e-5)
        assert row.samples_per_J == pytest.approx(batch / float(alone.energy), rel=1e-5)
    assert got.efficiency[0] == pytest.approx(1.0)
    assert got.efficiency.is_monotonic_decreasing
    assert got.network_time.between(0, 1).all()
    assert got.network_power.between(0, 1).all()


def test_strong_scaling_saturates():
    got = scaling_curve(CHIP, WORKLOAD, CLUSTER, PLAN, 96, scaling="strong")
    assert got.chips.max() <= 65536
    assert got.efficiency.iloc[-1] < 0.1


def test_n80_is_the_last_efficient_fleet():
    largest = chips_80(CHIP, WORKLOAD, CLUSTER, PLAN, 96, scaling="strong")
    around = [largest / 6, largest / 6 + 1]
    got = scaling_curve(CHIP, WORKLOAD, CLUSTER, PLAN, 96, scaling="strong", replicas=around)
    assert got.efficiency[0] >= 0.8 > got.efficiency[1]
    assert chips_80(CHIP, WORKLOAD, CLUSTER, PLAN, 96) >= largest


def test_fleets_that_break_a_limit_are_marked():
    plan = dataclasses.replace(PLAN, interleave=2.0)
    got = scaling_curve(
        CHIP, WORKLOAD, CLUSTER, plan, 96, scaling="strong", replicas=[2, 5, 16, 24]
    )
    # 24 micro-batches in threes; a batch that 5 does not divide; one that is no multiple of three.
    assert list(got.feasible) == [True, False, True, False]
    weak = scaling_curve(CHIP, WORKLOAD, CLUSTER, PLAN, 96, replicas=[3, 7, 1000])
    assert weak.feasible.all()


def test_weak_scaling_ends_at_the_largest_sensible_batch():
    small = dataclasses.replace(WORKLOAD, max_global_batch=1000.0)
    got = scaling_curve(CHIP, small, CLUSTER, PLAN, 96)
    assert list(got.chips) == [6, 12, 24, 48, 96, 192]
    assert got.global_batch.iloc[-1] == pytest.approx(768)
    beyond = dataclasses.replace(WORKLOAD, max_global_batch=50.0)
    assert scaling_curve(CHIP, beyond, CLUSTER, PLAN, 96).chips.max() == 24
    assert scaling_curve(CHIP, beyond, CLUSTER, PLAN, 96, scaling="strong").chips.max() > 40000


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="weak"):
        scaling_curve(CHIP, WORKLOAD, CLUSTER, PLAN, 96, scaling="week")
    with pytest.raises(InputError, match="replicas"):
        scaling_curve(CHIP, WORKLOAD, CLUSTER, PLAN, 96, replicas=[0])
