"""The scalability axis by its other names: efficiency at N, N80, strong scaling."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hwmodels
from dse.defaults import default_space
from dse.evaluating import Options
from dse.scalability import N80, S80, STRONG_SCALING, scalability
from dse.sweeping import sweep
from hwmodels import VARIANTS, InputError, evaluate, load_workload
from hwmodels.evaluate import model
from hwmodels.fleet.scaling import Fleet, Scaling
from hwmodels.fleet.strong import shares, strong_throughput
from hwmodels.workloads import mlp
from hwmodels.workloads.mlp import MlpConfig

MLP = load_workload("mlp")


def chip(name="systolic", **values):
    return VARIANTS[name]().replace(**values)


def test_efficiency_by_hand():
    # Ring of 5: transfer 2 x 1e6 x (4 / 5) / 1e9 = 1.6 ms, hops 2 x 4 x 10 us = 80 us: 1.68 ms.
    # The last quarter, 0.42 ms, is exposed; 1.26 ms hide behind 1 ms of backward: 0.26 ms are left.
    ring = Scaling(
        time=3e-3, backward=1e-3, last=0.25, volume=1e6, latency=1e-5, bandwidth=1e9, links=2.0,
        topology="ring",
    )  # fmt: skip
    assert float(ring.all_reduce(5.0)) == pytest.approx(1.68e-3)
    assert float(ring.waiting(5.0)) == pytest.approx(0.68e-3)
    assert float(ring.efficiency(5.0)) == pytest.approx(3 / 3.68)
    assert float(ring.efficiency(1.0)) == 1.0


def test_too_few_links_leave_one_chip_working():
    scaling = Scaling(1e-3, 5e-4, 0.1, 1e3, 1e-6, 1e9, links=3.0, topology="torus2d")
    assert float(scaling.joins(9.0)) == 0.0
    assert float(scaling.efficiency(9.0)) == pytest.approx(1 / 9)


@pytest.mark.parametrize("topology", ["ring", "torus2d", "fully_connected", "switch"])
def test_efficiency_is_that_of_an_evaluated_fleet(topology):
    design = chip(link_count=20)
    alone = evaluate(design, MLP, Fleet(topology=topology))
    fleet = evaluate(design, MLP, Fleet(chips=16, topology=topology))
    assert float(alone.scaling.efficiency(16.0)) == pytest.approx(float(fleet.efficiency), rel=1e-6)


def test_efficiency_rises_with_bandwidth_and_falls_with_chips():
    metrics = evaluate(chip(), load_workload("mlp-large"))
    counts = jnp.asarray([2.0, 7.0, 64.0, 1000.0])
    values = np.asarray(jax.vmap(metrics.scaling.efficiency)(counts))
    assert (np.diff(values) < 0).all()
    slope = jax.grad(lambda b: dataclasses.replace(metrics.scaling, bandwidth=b).efficiency(64.0))
    assert float(slope(metrics.scaling.bandwidth)) > 0


def test_shares_keep_weights_and_divide_samples():
    config = MlpConfig(widths=(30, 20, 7), batch=24)
    design, workload = chip(), mlp.workload(config)
    parts = shares(design, workload)
    whole = design.operations(workload, "warm")
    assert list(parts.chips) == [1, 2, 4, 8, 16]
    # 24 samples on 16 chips: the slowest has two.
    np.testing.assert_array_equal(parts.operations.totals.samples, [24, 12, 6, 3, 2])
    first = jax.tree.map(lambda leaf: leaf[0], parts.operations)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    products = parts.operations.contraction
    # Forward, its input gradient, and two weight gradients, whose sums run over the samples.
    sizes = {
        tuple(sorted(s)) for s in zip(products.m[3], products.n[3], products.k[3], strict=True)
    }
    assert sizes == {(3, 20, 30), (3, 7, 20)}
    # Multiply-accumulates shrink with the share, every product's alike.
    macs = products.batch * products.m * products.n * products.k
    np.testing.assert_allclose(macs[3], macs[0] / 8, rtol=1e-6)


def test_a_share_is_the_trace_of_the_smaller_batch():
    # Nobody's marks: the trainer traced again with an eighth of the batch.
    config = MlpConfig(widths=(784, 512, 512, 10), batch=256)
    small = MlpConfig(widths=(784, 512, 512, 10), batch=32)
    design, workload = chip(), mlp.workload(config)
    part = jax.tree.map(lambda leaf: leaf[3], shares(design, workload).operations)
    again = hwmodels.evaluate(design, mlp.workload(small))
    metrics = model(design, part, Fleet(), training=True)
    assert float(metrics.scaling.time) == pytest.approx(float(again.time), rel=0.01)
    assert float(metrics.energy) == pytest.approx(float(again.energy), rel=0.01)


def test_strong_scaling_is_the_best_of_all_counts():
    design, workload = chip(link_count=4), load_workload("mlp-large")
    parts = shares(design, workload)
    best = float(strong_throughput(design, parts, Fleet(), training=True))
    alone = evaluate(design, workload)
    assert best > 1.2 * float(alone.throughput)
    few = chip(link_count=1)
    assert float(strong_throughput(few, parts, Fleet(), training=True)) == pytest.approx(
        float(evaluate(few, workload).throughput), rel=1e-6
    )


@pytest.mark.parametrize("name", ["strong", "efficiency@8"])
def test_fronts_on_another_axis(name):
    axis = scalability(name)
    result = sweep(default_space("systolic"), MLP, designs=3000, options=Options(scalability=axis))
    assert result.front.objectives[2] == axis.objective
    column = result.front.table[axis.objective.column]
    assert len(result.front) > 2
    assert column.max() > column.min()
    # Another axis, other winners: the front is not that of S80 cut anew.
    default = sweep(default_space("systolic"), MLP, designs=3000)
    assert set(result.front.table["design"]) != set(default.front.table["design"])


def test_names():
    assert scalability("s80") is S80
    assert scalability("n80") is N80
    assert scalability("strong") is STRONG_SCALING
    assert scalability("efficiency@64").chips == 64
    for bad in ("", "s90", "efficiency", "efficiency@1", "efficiency@65537", "efficiency@2.5"):
        with pytest.raises(InputError, match=r"efficiency@N"):
            scalability(bad)
    with pytest.raises(InputError, match="31 chips"):
        scalability("efficiency@32").check(MLP)
