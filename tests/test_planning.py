"""The best plan of a fleet: enumeration, the factorised program against the plain one, refusals."""

import dataclasses
import itertools
import re

import jax
import numpy as np
import pytest
from gpt_rows import gpt

import hwmodels
from hwmodels import InputError
from hwmodels.fleet import planning
from hwmodels.fleet.enumeration import FIELDS, all_plans, divisors
from hwmodels.fleet.limits import broken_limits
from hwmodels.fleet.plan import Cluster, Plan, make_plan
from hwmodels.fleet.planning import best_plan, evaluate_plans, plan_of, screen_plans
from hwmodels.fleet.problem import pose
from hwmodels.fleet.step import evaluate_plan, plan_model

CHIP = hwmodels.load_chip("a100_80gb")
GPT3 = gpt(layers=96, hidden=12288, heads=96, seq=2048, vocab=51200, samples=1)
FLEET, BATCH = Cluster(chips=1024.0), 1536
PROBLEM = pose(CHIP, GPT3, FLEET, float(BATCH), "graph", "warm")


@pytest.fixture(scope="module")
def table():
    return best_plan(CHIP, GPT3, FLEET, BATCH)


def test_divisors():
    assert divisors(60) == [n for n in range(1, 61) if 60 % n == 0]
    assert divisors(49) == [1, 7, 49]
    assert divisors(1) == [1]


def test_every_plan_of_a_small_fleet_is_there_once():
    store = PROBLEM.stores._replace(layers=6.0, tensor_divides=6.0, experts=2.0)
    got = all_plans(store, 12, 8)
    found = set(zip(*(map(int, getattr(got, name)) for name in FIELDS), strict=True))
    assert len(found) == len(got.tensor)
    numbers, expected = range(1, 13), set()
    for t, p, d in itertools.product(numbers, repeat=3):
        if t * p * d != 12 or 6 % t or 6 % p or 8 % d:
            continue
        for e, b, v in itertools.product((1, 2), range(1, 9), range(1, 7)):
            uneven = (6 // p) % v or (v > 1 and (p == 1 or (8 // d // b) % p))
            if d % e or 8 // d % b or uneven:
                continue
            for z, s, r in itertools.product(range(4), range(2), range(3)):
                if (d > 1 or not z) and (t > 1 or not s):
                    expected.add((t, p, d, e, b, v, z, s, r, 1))
    assert found == expected


def test_table_of_gpt3_on_1024_chips(table):
    assert len(table) >= 500
    assert not table.duplicated(list(FIELDS)).any()
    assert table.time_s.is_monotonic_increasing
    assert (table.memory_GB < 85.9).all()
    assert (table.tensor * table.pipeline * table.data == 1024).all()
    terms = table[[c for c in table if c.endswith("_s") and c != "time_s"]].sum(axis=1)
    np.testing.assert_allclose(terms, table.time_s, rtol=1e-5)
    best = table.iloc[0]
    assert 0.5 < best.utilization < 1.0
    # Weights and states of 175 billion parameters need more than one chip's tensor parallelism.
    assert best.tensor * best.pipeline >= 16


def test_a_row_is_a_plan(table):
    for at in (0, len(table) // 2, len(table) - 1):
        row = table.iloc[at]
        again = evaluate_plan(CHIP, GPT3, FLEET, plan_of(row), BATCH)
        assert float(again.time) == pytest.approx(row.time_s, rel=1e-6)
        assert bool(again.feasible)


def test_factorised_equals_plain():
    plans = all_plans(PROBLEM.stores, 1024, BATCH)
    some = np.random.default_rng(0).choice(len(plans.tensor), 256, replace=False)
    plans = jax.tree.map(lambda column: column[some], plans)
    plain = jax.jit(jax.vmap(lambda plan: plan_model(PROBLEM, plan)))(plans)
    found = evaluate_plans(PROBLEM, plans)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(plain), jax.tree.leaves(found), strict=True
    ):
        # The same operations; the compiler contracts some of them differently.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6, err_msg=str(path))
    screened = screen_plans(PROBLEM, plans)
    np.testing.assert_allclose(screened.time, found.time, rtol=1e-6)
    np.testing.assert_array_equal(screened.feasible, found.feasible)


def test_batched_equals_a_loop():
    plans = jax.tree.map(lambda column: column[::9000], all_plans(PROBLEM.stores, 1024, BATCH))
    batch = evaluate_plans(PROBLEM, plans)
    for i in range(len(plans.tensor)):
        one = Plan(*(float(getattr(plans, name)[i]) for name in FIELDS))
        alone = evaluate_plan(CHIP, GPT3, FLEET, one, BATCH)
        assert float(batch.time[i]) == pytest.approx(float(alone.time), rel=1e-6)
        assert float(batch.memory[i]) == pytest.approx(float(alone.memory), rel=1e-6)


def test_equally_fast_plans_keep_their_order(table):
    equal = table[table.time_s.duplicated(keep=False)]
    assert len(equal) > 10
    for _, group in equal.groupby("time_s"):
        keys = [tuple(plan_of(row).__dict__.values()) for _, row in group.iterrows()]
        assert keys == sorted(keys)


def test_other_fleets_do_not_compile_again(table):
    parts = (planning._costs, planning._layouts, planning._screen, planning._combine)
    sizes = [part._cache_size() for part in parts]
    best_plan(CHIP, GPT3, dataclasses.replace(FLEET, chips=512.0), 768)
    assert [part._cache_size() for part in parts] == sizes


def test_a_slower_network_never_helps(table):
    network = dataclasses.replace(FLEET.network, bandwidth=1e9)
    slow = dataclasses.replace(FLEET, network=network)
    assert best_plan(CHIP, GPT3, slow, BATCH).time_s[0] > table.time_s[0]


def test_too_few_chips_say_what_would_do():
    with pytest.raises(InputError) as refused:
        best_plan(CHIP, GPT3, Cluster(chips=8.0), BATCH)
    message = str(refused.value)
    assert "GB" in message
    assert "too much" in message
    assert "of a chip's 85.9 GB (80 GiB)" in message
    fits = int(message.split("too much; on ")[1].split()[0])
    assert fits % 8 == 0
    assert len(best_plan(CHIP, GPT3, Cluster(chips=float(fits)), BATCH))


def test_too_few_links_are_named_before_memory():
    direct = dataclasses.replace(FLEET, node_chips=256.0, topology="fully_connected")
    with pytest.raises(InputError, match=r"255 links needed.* of 256, the chip has 12"):
        best_plan(CHIP, GPT3, direct, BATCH)


@pytest.mark.parametrize(
    ("limit", "changes", "said"),
    [
        ("memory", {}, "needs 120.3 GB .112 GiB. of a chip's 85.9 GB .80 GiB., 40% too much"),
        ("chips", {"data": 65}, "takes 2080 chips of a cluster of 1024"),
        ("batch", {"microbatch": 5}, "batch 1536 is not a multiple of .* = 32 x 5"),
        ("layers", {"pipeline": 7}, "96 layers do not divide .* = 7 x 1"),
        ("tensor", {"tensor": 7}, "tensor 7 does not divide 96,"),
        ("expert", {"expert": 3}, "expert 3 does not divide data 32 and 1 experts"),
        ("interleave", {"interleave": 2, "microbatch": 3}, "here 16. in multiples of pipeline 8"),
        ("ports", {}, "1 link needed on each chip of a switch node of 8, the chip has 12"),
    ],
)
def test_broken_limits_in_words(limit, changes, said):
    plan = make_plan(**{"tensor": 4, "pipeline": 8, "data": 32, **changes})
    margins = {"other": 0.0, limit: -0.1}
    broken = broken_limits(PROBLEM, plan, margins, 120.26e9)
    assert list(broken) == [limit]
    assert re.search(said, broken[limit])


def test_chips_that_nothing_divides():
    with pytest.raises(InputError, match="no plan divides"):
        best_plan(CHIP, GPT3, Cluster(chips=1021.0), BATCH)
    with pytest.raises(InputError, match="whole"):
        best_plan(CHIP, GPT3, FLEET, 1536.5)
