"""Fronts against brute force, streams against one shot, hypervolume and knee by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dse.archive import Archive
from dse.front import OBJECTIVES, POWER, THROUGHPUT, Front, non_dominated, ranks
from hwmodels.errors import InputError


def brute_force(points):
    """The definition, word for word: O(n^2)."""
    keep = np.ones(len(points), bool)
    for i, point in enumerate(points):
        no_worse, better = (points <= point).all(axis=1), (points < point).any(axis=1)
        equal_before = (points[:i] == point).all(axis=1)
        keep[i] = not ((no_worse & better).any() or equal_before.any())
    return keep


def adversarial_sets():
    rng = np.random.default_rng(7)
    simplex = rng.dirichlet([1, 1, 1], 101)
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), axis=-1).reshape(-1, 3)
    return {
        "ties": rng.integers(0, 3, (211, 3)).astype(float),
        "all duplicates": np.full((17, 3), 2.5),
        "duplicated front": np.repeat(simplex, 3, axis=0)[rng.permutation(303)],
        "all non-dominated": simplex,
        "one dominates all": np.concatenate([simplex, np.full((1, 3), -1.0)]),
        "chain": np.arange(39.0)[::-1, None] * np.ones(3),
        "grid": grid,
        "signed zeros": np.array([[0.0, -0.0, 1.0], [-0.0, 0.0, 1.0], [0.0, 0.0, 2.0]]),
        "one ulp": np.array([[1.0, 1, 1], [1, np.nextafter(1, 0), 1], [1, 1, np.nextafter(1, 2)]]),
        "extreme scales": 10.0 ** rng.uniform(-300, 300, (97, 3)),
        "one point": np.array([[3.0, -1.0, 7.0]]),
        "two axes": rng.integers(0, 9, (53, 2)).astype(float),
        "four axes": rng.integers(0, 4, (211, 4)).astype(float),
    }


@pytest.mark.parametrize("name", adversarial_sets())
def test_non_dominated_is_exact(name):
    points = adversarial_sets()[name]
    np.testing.assert_array_equal(non_dominated(points), brute_force(points))
    flags = [axis % 2 == 0 for axis in range(points.shape[1])]
    signs = np.where(flags, -1.0, 1.0)
    np.testing.assert_array_equal(
        non_dominated(points * signs, maximise=flags), brute_force(points)
    )


@settings(deadline=None, max_examples=200)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 40), st.integers(1, 4)),
        elements=st.sampled_from([-1.5, 0.0, 1.0, 7.0, 13.0]) | st.floats(-1e6, 1e6),
    )
)
def test_non_dominated_property(points):
    np.testing.assert_array_equal(non_dominated(points), brute_force(points))


def test_empty_sets():
    assert non_dominated(np.empty((0, 3))).shape == (0,)
    assert non_dominated([]).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_points_are_refused(bad):
    points = np.ones((5, 3))
    points[3, 1] = bad
    with pytest.raises(InputError, match=r"points\[3, 1\].*finite"):
        non_dominated(points)
    with pytest.raises(InputError, match=r"points\[3, 1\]"):
        Archive().add(points, np.arange(5))


def test_wrong_shape_is_refused():
    with pytest.raises(InputError, match="shape"):
        non_dominated([1.0, 2.0])
    with pytest.raises(InputError, match="shape"):
        Archive().add(np.ones((5, 2)), np.arange(5))
    with pytest.raises(InputError, match="shape"):
        Archive().add(np.ones((5, 3)), np.arange(4))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("buffer", [3, 97, 4096])
def test_archive_equals_one_shot_in_any_order(monkeypatch, seed, buffer):
    monkeypatch.setattr(Archive, "_BUFFER", buffer)
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 12, (1501, 3)).astype(np.float32)  # many ties
    expected = np.flatnonzero(brute_force(points))
    archive, order = Archive(), rng.permutation(len(points))
    for chunk in np.split(order, np.sort(rng.integers(0, len(points), 23))):
        archive.add(points[chunk], chunk, {"twice": 2 * chunk, "row": points[chunk]})
        if rng.random() < 0.3:
            archive.filter_points(5)
    indices, kept, payload = archive.finish()
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(kept, points[expected])
    np.testing.assert_array_equal(payload["twice"], 2 * expected)
    np.testing.assert_array_equal(payload["row"], points[expected])
    assert len(archive) == len(expected)


def test_archive_copies_what_it_is_given():
    points, indices = np.array([[1.0, 2.0, 3.0]]), np.array([5])
    archive = Archive()
    archive.add(points, indices)
    points[:], indices[:] = 0, 0
    assert archive.finish().indices.tolist() == [5]
    assert archive.finish().points.tolist() == [[1, 2, 3]]


def test_archive_merges_and_forgets():
    archive = Archive()
    for start in range(0, 50_000, 5_000):
        points = np.random.default_rng(start).random((5_000, 3))
        archive.add(points, np.arange(start, start + 5_000))
        assert archive._waiting_rows <= 4096


def test_empty_archive():
    archive = Archive()
    archive.add(np.empty((0, 3)), [], {"a": []})
    assert archive.filter_points(8).shape == (0, 3)
    assert archive.finish().points.shape == (0, 3)
    assert len(archive) == 0


def test_archive_refuses_ragged_payload():
    archive = Archive()
    with pytest.raises(InputError, match="payload a"):
        archive.add(np.ones((2, 3)), [0, 1], {"a": [1]})
    archive.add(np.ones((2, 3)), [0, 1], {"a": [1, 2]})
    archive.add(np.ones((1, 3)), [2])
    with pytest.raises(InputError, match="payload"):
        archive.finish()


def test_filter_points_are_archive_points_that_drop_most():
    rng = np.random.default_rng(3)
    speed = rng.normal(0, 1.5, 30_000)
    points = np.exp(np.stack([-speed, speed + np.abs(rng.normal(0, 1, 30_000))], axis=1))
    points = np.concatenate([-1 / points[:, :1], points[:, 1:], rng.random((30_000, 1))], axis=1)
    archive = Archive()
    archive.add(points, np.arange(30_000))
    front = archive.finish().points
    chosen = archive.filter_points(64)
    assert chosen.shape == (64, 3)
    assert len(np.unique(chosen, axis=0)) == 64
    assert {*map(tuple, chosen)} <= {*map(tuple, front)}
    np.testing.assert_array_equal(chosen, archive.filter_points(64))

    def passing(subset):
        return np.mean([not (subset <= point).all(axis=1).any() for point in points[:4000]])

    assert passing(chosen) < 0.6 * passing(front[rng.permutation(len(front))[:64]])
    assert len(archive.filter_points(10**6)) <= len(front)
    assert archive.filter_points(0).shape == (0, 3)


def table(rows):
    columns = [o.column for o in OBJECTIVES]
    return pd.DataFrame(rows, columns=["variant", *columns]).astype(dict.fromkeys(columns, float))


HAND = [  # log10: throughput, power, scalability
    ("systolic", 1e6, 100.0, 1e8),  # 6, 2, 8
    ("simt", 1e4, 1.0, 1e8),  # 4, 0, 8
    ("simt", 1e5, 10.0, 1e8),  # 5, 1, 8
    ("vector", 1e4, 1.0, 1e7),  # dominated by the second
    ("simt", 1e5, 10.0, 1e8),  # equal to the third
]


def test_front_from_table():
    front = Front.from_table(table(HAND))
    assert front.table["throughput_per_s"].tolist() == [1e6, 1e4, 1e5]
    assert front.table.index.tolist() == [0, 1, 2]
    assert front.variants == ("systolic", "simt")
    assert {name: len(part) for name, part in front.by_variant().items()} == {
        "systolic": 1,
        "simt": 2,
    }


@pytest.mark.parametrize("bad", [0.0, -3.0, np.nan, np.inf])
def test_front_refuses_values_without_a_logarithm(bad):
    designs = table(HAND)
    designs.loc[2, "power_W"] = bad
    with pytest.raises(InputError, match="power_W, row 2"):
        Front.from_table(designs)
    with pytest.raises(InputError, match=r"scalability_per_s.*missing"):
        Front.from_table(table(HAND).drop(columns="scalability_per_s"))


def test_hypervolume_by_hand():
    front = Front.from_table(table(HAND))
    # Own box: throughput 4..6, power 0..2, scalability without extent; the middle design alone
    # dominates a corner of 1 x 1 out of 2 x 2.
    assert front.hypervolume() == pytest.approx(1 / 4)
    # From (3, 3, 6) to (6, 0, 8): the box is 3 x 3 x 2 decades. Widths of throughput above 3:
    # power 0..1: 1, power 1..2: 2, power 2..3: 3; all 2 high: (1 + 2 + 3) * 2 / 18.
    reference = {"throughput_per_s": 1e3, "power_W": 1e3, "scalability_per_s": 1e6}
    assert front.hypervolume(reference) == pytest.approx(12 / 18)
    ideal = {"throughput_per_s": 1e6, "power_W": 1.0, "scalability_per_s": 1e9}
    assert front.hypervolume(reference, ideal) == pytest.approx(12 / 27)
    # A tighter ideal cuts the points off at its walls: throughput <= 5, scalability <= 7.
    ideal = {"throughput_per_s": 1e5, "power_W": 1.0, "scalability_per_s": 1e7}
    assert front.hypervolume(reference, ideal) == pytest.approx((1 + 2 + 2) * 1 / 6)
    with pytest.raises(InputError, match="power_W"):
        front.hypervolume({"throughput_per_s": 1e3, "scalability_per_s": 1.0})


def test_hypervolume_of_degenerate_fronts():
    single = Front.from_table(table(HAND[:1]))
    assert single.hypervolume() == 1.0
    reference = {"throughput_per_s": 1e5, "power_W": 1e3, "scalability_per_s": 1e7}
    assert single.hypervolume(reference) == pytest.approx(1.0)
    out_of_reach = {**reference, "power_W": 10.0}
    assert single.hypervolume(out_of_reach) == 0.0
    assert Front.from_table(table([])).hypervolume() == 0.0


def test_more_designs_never_shrink_the_hypervolume():
    rng = np.random.default_rng(5)
    rows = [("simt", *row) for row in 10 ** rng.uniform(0, 3, (211, 3))]
    corners = (
        dict(zip([o.column for o in OBJECTIVES], (1.0, 1e3, 1.0), strict=True)),
        dict(zip([o.column for o in OBJECTIVES], (1e3, 1.0, 1e3), strict=True)),
    )
    volumes = [Front.from_table(table(rows[:n])).hypervolume(*corners) for n in (1, 7, 40, 211)]
    assert volumes == sorted(volumes)
    assert 0 < volumes[0] < volumes[-1] < 1


def test_knee_and_best():
    front = Front.from_table(table(HAND))
    assert front.knee()["throughput_per_s"] == 1e5  # at (.5, .5, 0); the others at (0, 1), (1, 0)
    assert front.knee([True, False, False])["variant"] == "systolic"
    assert front.knee(front.table["variant"] == "simt")["power_W"] == 1.0  # a tie: the first row
    assert front.best(THROUGHPUT)["throughput_per_s"] == 1e6
    assert front.best("power_W")["power_W"] == 1.0
    with pytest.raises(InputError, match="did you mean power_W"):
        front.best("power_w")
    with pytest.raises(InputError, match="at least one"):
        front.knee(np.zeros(3, bool))
    with pytest.raises(InputError, match="at least one"):
        Front.from_table(table([])).best(POWER)


def test_ranks_peel_fronts():
    rng = np.random.default_rng(3)
    points = rng.integers(0, 6, (150, 3)).astype(float)
    expected, left, rank = np.full(150, -1), np.arange(150), 0
    while len(left):
        on = [
            i
            for i in left
            if not (
                (points[left] <= points[i]).all(axis=1) & (points[left] < points[i]).any(axis=1)
            ).any()
        ]
        expected[on], rank = rank, rank + 1
        left = np.setdiff1d(left, on)
    np.testing.assert_array_equal(ranks(points), expected)
    np.testing.assert_array_equal(ranks(-points, maximise=True), expected)
    assert ranks(np.empty((0, 3))).shape == (0,)


def test_how_nearly_a_front_covers_another():
    # Throughput, power, scalability: 10% less throughput is a factor of 1 / 0.9.
    one = Front.from_table(table([("a", 100, 10, 1000), ("a", 50, 5, 1000)]))
    less = Front.from_table(table([("a", 90, 10, 1000), ("a", 50, 5.2, 990)]))
    assert one.epsilon(one) == 0
    assert one.epsilon(less) == pytest.approx(0, abs=1e-12)
    assert less.epsilon(one) == pytest.approx(1 / 0.9 - 1)
    assert one.distance(less) == pytest.approx(0, abs=1e-12)
    # Nearest in factors of ten: only throughput differs from the first; power and S80 from the
    # second.
    first = np.log10(100 / 90)
    second = np.hypot(np.log10(5.2 / 5), np.log10(1000 / 990))
    assert less.distance(one) == pytest.approx((first + second) / 2)


def test_fronts_of_other_axes_are_not_compared():
    one = Front.from_table(table([("a", 100, 10, 1000)]))
    with pytest.raises(InputError, match=r"^objectives: got .*allowed: those of this front"):
        one.epsilon(Front.from_table(one.table, (THROUGHPUT, POWER)))
    with pytest.raises(InputError, match="at least one"):
        one.distance(Front.from_table(one.table.iloc[:0]))


@given(
    hnp.arrays(float, st.tuples(st.integers(1, 60), st.just(3)), elements=st.floats(0.1, 100)),
    st.floats(0.01, 1.0),
    st.randoms(use_true_random=False),
)
def test_approximate_archives_cover_everything_in_any_order(points, epsilon, random):
    points[:, 0] *= -1  # a maximised axis
    order = list(range(len(points)))
    found = []
    for _ in range(2):
        random.shuffle(order)
        archive = Archive(3, epsilon)
        archive._BUFFER = 4
        for chunk in np.array_split(np.asarray(order), 5):
            archive.add(points[chunk], chunk)
        found.append(archive.finish())
    np.testing.assert_array_equal(found[0].indices, found[1].indices)
    kept = found[0].points
    factor = (1 + epsilon) * (1 + 1e-9)
    worse = np.where(points < 0, points / factor, points * factor)
    assert (kept[:, None] <= worse[None]).all(axis=2).any(axis=0).all()
    assert non_dominated(kept).all()
