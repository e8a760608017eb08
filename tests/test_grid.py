"""Grid sweeps: same numbers and same front as the flat program, whatever the blocks."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dse
from dse import factoring
from dse.bench import synthetic
from dse.costing import costing
from dse.evaluating import evaluator
from dse.factoring import factored
from dse.factorised import Factorised
from dse.front import OBJECTIVES, Front
from dse.primitives import numpy_rule
from dse.program import unroll
from dse.screening import TOLERANCE
from dse.sweeping import grid_sweep
from hwmodels import InputError

POINTS = {"clock_GHz": 5, "lanes": 3, "sram_capacity_MiB": 4}
SPACE = dse.Space(
    "vector",
    (
        dse.Parameter("lanes", "power2", 16, 512),
        dse.Parameter("topology", "choice", choices=("ring", "torus2d")),
        dse.Parameter("clock_GHz", "log", 0.3, 1.7),
        dse.Parameter("dram_kind", "choice", choices=("hbm3", "lpddr5")),
        dse.Parameter("cores", "integer", 3, 5),
        dse.Parameter("sram_capacity_MiB", "log", 1, 100),
    ),
)
SHAPE = (3, 5, 2, 3, 4)  # lanes, clock, DRAM kind, cores, capacity
DESIGNS = 360  # of each of the two structures


@pytest.fixture(scope="module")
def workload():
    return synthetic(3)


@pytest.fixture(scope="module")
def result(workload):
    """By the screen, not by costing every design as so small a grid would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dse.job.PLAIN", 0)
        return grid_sweep(SPACE, workload, points=POINTS)


@pytest.fixture(scope="module")
def flat(workload):
    """Every design of the grid through the kernel, in the order of its number."""
    axes = [p.spread(POINTS.get(p.name, 4)) for p in SPACE.numeric]
    assert tuple(map(len, axes)) == SHAPE
    mesh = np.meshgrid(*axes, indexing="ij")
    values = {
        p.name: m.ravel().astype(np.float32) for p, m in zip(SPACE.numeric, mesh, strict=True)
    }
    tables = []
    for structure in SPACE.structures():
        engine = evaluator(SPACE, structure, True, dse.Options())
        out = costing(engine, workload).table(values)
        columns = {name: np.asarray(v, float) for name, v in out.readings.items()}
        columns |= engine.space.readable(values, structure)
        tables.append(pd.DataFrame(columns).assign(feasible=out.feasible))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(design=np.arange(len(table)))


def test_front_is_that_of_every_design_evaluated_flat(result, flat):
    exact = Front.from_table(flat[flat.feasible]).table
    assert result.designs == 2 * DESIGNS
    assert result.census.feasible == flat.feasible.sum()
    assert result.front.table["design"].tolist() == exact["design"].tolist()
    for name in (*SPACE.names, *(o.column for o in OBJECTIVES), "area_mm2"):
        if not pd.api.types.is_numeric_dtype(exact[name]):
            assert result.front.table[name].tolist() == exact[name].tolist()
        else:
            np.testing.assert_allclose(result.front.table[name], exact[name], rtol=1e-6)


@pytest.fixture
def factorised(workload, monkeypatch):
    """Of the first structure: some axes inside, others outside, small blocks."""
    monkeypatch.setattr(factoring, "INNER", (6, 40))
    engine = evaluator(SPACE, SPACE.structures()[0], True, dse.Options())
    axes = {p.name: p.spread(POINTS.get(p.name, 4)).astype(np.float32) for p in SPACE.numeric}
    return lambda block: Factorised(costing(engine, workload), axes, block)


def test_factorised_program_agrees_with_the_flat_one(factorised, flat):
    # Each archive row beats exactly the designs that it betters by more than the tolerance.
    points = np.stack([flat[o.column] * (-1 if o.maximise else 1) for o in OBJECTIVES], axis=1)
    rows = np.full((5, 3), np.inf, np.float32)
    rows[:3] = points[[7, 100, 301]]
    first = flat[:DESIGNS]
    beaten = (rows[:, None] < points - TOLERANCE * abs(points)).all(axis=2).any(axis=0)
    expected = np.flatnonzero(first.feasible.to_numpy() & ~beaten[:DESIGNS])
    grid = factorised(100)
    assert grid.parts.inner
    assert grid.parts.outer
    found = [grid.screen(block, rows) for block in range(grid.blocks)]
    np.testing.assert_array_equal(np.sort(np.concatenate([f[0] for f in found])), expected)
    assert sum(f[1] for f in found) == first.feasible.sum()
    assert sum(f[2] for f in found) == DESIGNS


@pytest.mark.parametrize("block", [1, 7, 60, 144, 10**6])
def test_blocks_cover_every_design_once(factorised, block):
    grid = factorised(block)
    nothing = np.full((5, 3), np.inf, np.float32)
    everything = np.sort(np.concatenate([grid.screen(i, nothing)[0] for i in range(grid.blocks)]))
    whole = factorised(10**6).screen(0, nothing)[0]
    np.testing.assert_array_equal(everything, np.sort(whole))
    assert len(set(everything)) == len(everything)


def test_factoring_moves_what_it_can_out_of_the_loop():
    def function(v, clock, rows, columns):
        scale = jnp.exp(v) * clock  # of the outer or the inner axes alone
        cycles = jnp.floor(rows * columns + 0.5)
        return [cycles / scale, jnp.log(cycles), v]

    program = unroll(function, *[jnp.float32(1)] * 4)
    parts = factored(program, [30, 30, 60, 100])
    assert parts.inner == (2, 3)
    assert [call.name for call in parts.mixed.calls] == ["mul"]  # by a reciprocal from outside
    columns = np.float32([3, 5]), np.float32([2, 7])
    inside = parts.inside.run(columns, numpy_rule)
    outside = parts.outside.run([np.float32(0.3), np.float32(2)], numpy_rule)
    got = parts.mixed.run([*inside, *outside], numpy_rule)
    expected = function(np.float32(0.3), np.float32(2), *columns)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_factored_programs_compute_the_same(lengths, random):
    def function(*axes):
        total, product = axes[0] * 2.0, axes[-1] + 1.0
        for axis in axes:
            total = jnp.maximum(total / (axis + 1.0), axis - 0.5)
            product = product * (total + axis * axes[0])
        return [total, product, axes[0]]

    program = unroll(function, *[jnp.float32(1)] * len(lengths))
    parts = factored(program, lengths)
    values = [np.float32(random.uniform(0.5, 2)) for _ in lengths]
    inside = parts.inside.run([values[i] for i in parts.inner], numpy_rule)
    outside = parts.outside.run([values[i] for i in parts.outer], numpy_rule)
    got = parts.mixed.run([*inside, *outside], numpy_rule)
    np.testing.assert_allclose(got, program.run(values, numpy_rule), rtol=1e-5)


def test_front_does_not_depend_on_blocks(result, workload, monkeypatch):
    plain = grid_sweep(SPACE, workload, points=POINTS)
    pd.testing.assert_frame_equal(result.front.table, plain.front.table, check_exact=True)
    assert result.census.feasible == plain.census.feasible
    monkeypatch.setattr("dse.job.PLAIN", 0)
    other = grid_sweep(SPACE, workload, points=POINTS, block=50)
    pd.testing.assert_frame_equal(result.front.table, other.front.table, check_exact=True)
    assert result.census.feasible == other.census.feasible


def test_progress_reaches_the_number_of_designs(workload):
    seen = []
    grid_sweep(
        SPACE, workload, points=POINTS, progress=lambda done, held: seen.append((done, held))
    )
    assert seen[-1][0] == 2 * DESIGNS
    assert seen[-1][1] > 0


def test_impossible_budget_names_the_constraint_and_the_miss(workload):
    numeric = tuple(p for p in SPACE.parameters if p.name != "topology")
    space = dse.Space("vector", numeric, constraints=(dse.Constraint("area_mm2", 0.5),))
    with pytest.raises(InputError, match=r"budget area_mm2 <= 0.5: .*0 of 360 .* least reached is"):
        grid_sweep(space, workload, points=POINTS)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (1, r"points\.\w+: got 1;"),
        ({"clock_GHz": 2.5}, r"points\.clock_GHz: got 2.5"),
        ({"clock_GHz": True}, r"points\.clock_GHz: got True"),
        ({"clock": 3}, "points: got clock;"),
    ],
)
def test_bad_points_are_named(workload, points, message):
    with pytest.raises(InputError, match=message):
        grid_sweep(SPACE, workload, points=points)


def test_too_many_designs_state_the_count_and_the_limit(workload):
    with pytest.raises(InputError, match=r"720 designs; allowed: at most 700"):
        grid_sweep(SPACE, workload, points=POINTS, limit=700)
    with pytest.raises(InputError, match="space"):
        grid_sweep([], workload)
