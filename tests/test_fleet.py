"""Collectives by hand, the inverse, and S80 against its definition by brute force."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels import Fleet, Relax
from hwmodels.fleet.scaling import fleet_metrics, ports_margin
from hwmodels.fleet.sizing import DIMENSIONS, HOPS, TOPOLOGIES, all_reduce, largest_fleet
from hwmodels.parts.link import Link

EXACT = Relax()


def totals(volume, last, samples=32.0, limit=1e9):
    return types.SimpleNamespace(
        samples=samples,
        max_global_batch=limit,
        gradient_bytes=volume,
        last_gradient_fraction=last,
    )


def link(bandwidth, alpha):
    # Enough ports for every topology and fleet; a power of two, so their sum is exact.
    return Link(count=jnp.asarray(65536.0), bandwidth=bandwidth / 65536.0, latency=alpha)


@pytest.mark.parametrize(
    ("topology", "chips", "hops"),
    [
        ("ring", 7, 12),
        ("torus2d", 9, 8),
        ("torus3d", 27, 12),
        ("torus2d", 1, 0),
        ("fully_connected", 7, 2),
        ("fully_connected", 1, 0),
        ("switch", 32, 20),
        ("fat_tree", 32, 60),
        ("dragonfly", 32, 50),
        ("switch", 1, 0),
    ],
)
def test_all_reduce_by_hand(topology, chips, hops):
    # Ring of 7: 2 x 6 hops; 3 x 3 torus: 2 x 2 x 2; 3 x 3 x 3 torus: 2 x 3 x 2.
    # Two rounds to everybody; 2 x 5 rounds of halving and doubling, 2, 6 or 5 hops each.
    # 90 MB, 50 GB/s, 0.7 us: 2 x 90e6 x (1 - 1/N) / 50e9 + hops x 0.7e-6.
    expected = 2 * 90e6 * (1 - 1 / chips) / 50e9 + hops * 0.7e-6
    got = all_reduce(float(chips), 90e6, 0.7e-6, 50e9, topology)
    assert float(got) == pytest.approx(expected, rel=1e-6)


def cases(count=4000, seed=0):
    rng = np.random.default_rng(seed)
    budget = 10 ** rng.uniform(-7, 1, count)
    # Half of the transfers close to the budget, from both sides: the hardest for a solver.
    near = budget * (1 + rng.choice([-1, 1], count) * 10 ** rng.uniform(-7, -0.01, count))
    transfer = np.where(rng.random(count) < 0.5, 10 ** rng.uniform(-9, 3, count), near)
    alpha, bandwidth = 10 ** rng.uniform(-9, -4, count), 10 ** rng.uniform(8, 12, count)
    return budget, transfer / 2 * bandwidth, alpha, bandwidth


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_largest_fleet_inverts_all_reduce(topology):
    with jax.enable_x64(True):
        budget, *wires = (jnp.asarray(x) for x in cases())
        fleet = largest_fleet(budget, *wires, topology)
        again = all_reduce(fleet, *wires, topology)
        # Two chips at least where the first hop is whole; a closed form has no other limits.
        low = 2.0 if topology == "fully_connected" else 1.01
        real = np.asarray((fleet > low) & (fleet < 65536))
        assert real.mean() > 0.2
        np.testing.assert_allclose(again[real], budget[real], rtol=3e-8)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_largest_fleet_without_gradients_has_finite_slopes(topology):
    slope = jax.grad(largest_fleet, (0, 1, 2, 3))
    for volume in (0.0, 1.0, 1e12):
        for budget in (1e-7, 1e-3, 10.0):
            assert np.isfinite(slope(budget, volume, 1e-6, 50e9, topology)).all()


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_s80_is_its_definition_by_brute_force(topology):
    rng = np.random.default_rng(7)
    count = 60
    time = 10 ** rng.uniform(-5, 0, count)
    backward = time * rng.choice([0.0, 0.3, 0.6, 0.8], count)
    last = rng.choice([0.0, 0.2, 1.0], count)
    volume = 10 ** rng.uniform(0, 11, count)
    alpha, bandwidth = 10 ** rng.uniform(-8, -4, count), 10 ** rng.uniform(9, 12, count)
    limit = 32.0 * rng.choice([1.0, 50.0, 1e9], count)
    n = np.arange(1.0, 65537.0)
    if topology in DIMENSIONS:
        d = DIMENSIONS[topology]
        hops = 2 * d * (n ** (1.0 / d) - 1)
    else:
        hops = 2 * HOPS[topology] * np.log2(n) if topology in HOPS else 2 * np.minimum(n - 1, 1)
    with jax.enable_x64(True):

        def one(time, backward, last, volume, alpha, bandwidth, limit):
            wires, sizes = link(bandwidth, alpha), totals(volume, last, 32.0, limit)
            return fleet_metrics(Fleet(1.0, topology), wires, sizes, time, backward, EXACT)

        arguments = (time, backward, last, volume, alpha, bandwidth, limit)
        got = jax.vmap(one)(*[jnp.asarray(x) for x in arguments])
        found = np.asarray(got["chips_80"]), np.asarray(got["scalability"])
    alone = 0
    for i in range(count):
        reduce = hops * alpha[i] + 2 * volume[i] * (1 - 1 / n) / bandwidth[i]
        hidden = np.maximum(backward[i], (1 - last[i]) * reduce)
        step = time[i] - backward[i] + hidden + last[i] * reduce
        allowed = (time[i] / step >= 0.8) & (n * 32.0 <= limit[i])
        allowed[0] = True
        throughput = np.where(allowed, n * 32.0 / step, 0)
        assert found[0][i] == n[throughput.argmax()]
        assert found[1][i] == pytest.approx(throughput.max(), rel=1e-9)
        alone += found[0][i] == 1
    assert 0 < alone < count


def metrics(chips=1.0, volume=1e8, alpha=5e-7, last=0.25, limit=1e9, time=3e-3, backward=2e-3):
    wires, sizes = link(3e11, alpha), totals(volume, last, limit=limit)
    arguments = (jnp.asarray(x) for x in (time, backward))
    return fleet_metrics(Fleet(chips), wires, sizes, *arguments, EXACT)


def test_step_by_hand():
    # 9 chips as 3 x 3: T = 8 x 0.5 us + 2 x 100 MB x 8/9 / 300 GB/s = 596.59 us; three quarters
    # hide behind 2 ms of backward, one quarter is exposed.
    reduce = 8 * 5e-7 + 2e8 * 8 / 9 / 3e11
    got = metrics(9.0)
    assert float(got["scaling"].all_reduce(9.0)) == pytest.approx(reduce, rel=1e-6)
    assert float(got["step"]) == pytest.approx(3e-3 + 0.25 * reduce, rel=1e-6)
    assert float(got["efficiency"]) == pytest.approx(3e-3 / (3e-3 + reduce / 4), rel=1e-6)
    # Without a backward phase nothing hides.
    assert float(metrics(9.0, backward=0.0)["step"]) == pytest.approx(3e-3 + reduce, rel=1e-6)


def test_limits():
    one = metrics(1.0)
    assert float(one["step"]) == float(np.float32(3e-3))
    assert float(one["efficiency"]) == 1.0
    assert float(one["waiting"]) == 0.0
    # Tiny gradients and short hops: as many chips as the definition allows.
    tiny = metrics(volume=1e-3, alpha=1e-12)
    assert float(tiny["chips_80"]) == 65536
    assert float(tiny["scalability"]) == pytest.approx(65536 * 32 / 3e-3, rel=1e-5)
    # Huge latency: one chip, its own throughput.
    far = metrics(alpha=10.0)
    assert float(far["chips_80"]) == 1
    assert float(far["scalability"]) == pytest.approx(32 / 3e-3, rel=1e-6)
    # The global batch: 32 x 5.9 samples allow five chips, 32 just one.
    assert float(metrics(limit=32 * 5.9)["chips_80"]) == 5
    assert float(metrics(limit=32.0)["chips_80"]) == 1


def test_ports():
    # Six links: a ring takes 2, a 3-D torus 6, a switch 1; fully connected, 7 chips 6, 9 chips 8.
    six = Link(count=6.0)
    for topology, chips, expected in (
        ("ring", 9.0, 2.0), ("torus2d", 9.0, 0.5), ("torus3d", 9.0, 0.0), ("switch", 9.0, 5.0),
        ("fat_tree", 9.0, 5.0), ("dragonfly", 9.0, 5.0), ("fully_connected", 7.0, 0.0),
        ("fully_connected", 9.0, -0.25), ("fully_connected", 1.0, 5.0),
    ):  # fmt: skip
        assert float(ports_margin(Fleet(chips, topology), six)) == pytest.approx(expected)


def test_fully_connected_fleets_end_with_their_links():
    for count in (1.0, 6.0, 63.0):
        wires = Link(count=jnp.asarray(count), bandwidth=3e11 / count, latency=1e-9)
        fleet = Fleet(1.0, "fully_connected")
        got = fleet_metrics(fleet, wires, totals(1e3, 0.25), *map(jnp.asarray, (3e-3, 2e-3)), EXACT)
        assert float(got["chips_80"]) == count + 1


@pytest.mark.parametrize(("topology", "ports"), [("ring", 2), ("torus2d", 4), ("torus3d", 6)])
def test_a_chip_with_too_few_links_stays_alone(topology, ports):
    for count in (ports - 1, ports):
        wires = Link(count=jnp.asarray(float(count)), bandwidth=3e11 / count, latency=1e-9)
        got = fleet_metrics(
            Fleet(1.0, topology), wires, totals(1e3, 0.25), *map(jnp.asarray, (3e-3, 2e-3)), EXACT
        )
        assert (float(got["chips_80"]) > 1) == (count == ports)


def test_more_chips_are_never_more_efficient_and_better_links_never_worse():
    chips = jnp.asarray(np.geomspace(1, 65536, 200))
    efficiency = jax.vmap(lambda n: metrics(n)["efficiency"])(chips)
    assert np.all(np.diff(efficiency) <= 1e-7)
    by_alpha = jax.vmap(lambda a: metrics(64.0, alpha=a)["scalability"])(chips * 1e-9)
    assert np.all(np.diff(by_alpha) <= 0)


@pytest.mark.parametrize("mode", ["straight_through", "smooth"])
def test_slopes_are_finite_without_backward_phase_or_gradients(mode):
    def s80(time, backward, volume, alpha, chips):
        wires, sizes = link(3e11, alpha), totals(volume, 0.4)
        got = fleet_metrics(Fleet(chips), wires, sizes, time, backward, Relax(mode=mode))
        return jnp.log(got["scalability"]) + jnp.log(got["step"])

    for backward, volume, chips in ((0.0, 0.0, 1.0), (0.0, 1e8, 7.0), (1e-3, 0.0, 1.0)):
        slopes = jax.grad(s80, (0, 1, 2, 3, 4))(2e-3, backward, volume, 1e-6, chips)
        assert np.isfinite(slopes).all()
