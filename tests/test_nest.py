"""Loop nests: by hand, against a walk through all iterations, and with relaxed factors."""

import itertools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import InputError
from hwmodels.mapping.mapping import Level, Loop, Mapping, fit, parse_mapping
from hwmodels.mapping.nest import count
from hwmodels.mapping.problem import convolution, footprint, matmul

CONV = convolution(N=2, K=4, C=6, P=6, Q=4, R=3, S=2, stride=(2, 1), dilation=(1, 2))


def counted(problem, text):
    return count(problem, fit(parse_mapping(text), problem))


def test_matmul_by_hand():
    # M=3, N=5, K=7; the buffer holds a 3 x 1 tile of I, 1 x 1 of W and 3 x 1 of O.
    counts = counted(matmul(3, 5, 7), "DRAM[WIO] N5 K7 - BUF[WIO] M3")
    dram, buffer = counts.traffic
    # W's tile moves with N and K: 35 fetches of 1. I's (3 x 1) with K and, as K has moved it, N.
    assert buffer["W"].fills == dram["W"].reads == 35
    assert buffer["I"].fills == dram["I"].reads == 3 * 7 * 5
    # O stays while K runs: written once, never read back.
    assert buffer["O"].drains == dram["O"].updates == 15
    assert dram["O"].reads == 0
    # In the buffer every one of the 105 products updates a sum, 15 of them the first time.
    assert (buffer["O"].updates, buffer["O"].reads) == (105, 90)
    assert buffer["W"].reads == buffer["I"].reads == counts.macs == counts.steps == 105
    # K outside N: sums go out and come back (7 times out, 6 back), I's tile stays while N runs.
    dram, buffer = counted(matmul(3, 5, 7), "DRAM[WIO] K7 N5 - BUF[WIO] M3").traffic
    assert (dram["O"].updates, dram["O"].reads) == (105, 90)
    assert dram["I"].reads == 21


def test_spatial_loops_share_and_sum_by_hand():
    # 4 x 8 units: K over rows, N over columns; 3 passes of K, 2 of N; I is multicast to 8 columns.
    counts = counted(matmul(5, 16, 12), "DRAM[WIO] N1 - SRAM[WIO] K3 N2 N8X K4X - REG[W] M5")
    dram, sram, reg = counts.traffic
    assert counts.steps == 5 * 3 * 2
    assert counts.instances == (1, 1, 32)
    assert sram["I"].reads == 960 / 8
    assert sram["O"].updates == 960 / 4
    assert sram["O"].reads == 960 / 4 - 80
    assert reg["W"].fills == sram["W"].reads == 192
    assert reg["W"].reads == 960
    assert dram["I"].reads == 60
    # Rows that each sum alone (no reduction between a memory and its own array) start alone.
    counts = counted(matmul(5, 1, 12), "DRAM[WIO] K3 K4X - ACC[O] M5")
    assert counts.traffic[1]["O"].updates == 60
    # 5 sums in each of 4 instances, started at zero; the outer memory gets their sum.
    assert counts.traffic[1]["O"].zeros == counts.traffic[1]["O"].tile * 4 == 20
    assert counts.traffic[0]["O"].updates == 20 / 4  # summed over the rows on the way out


def test_batched_matmul_reuses_nothing_across_the_batch():
    one = counted(matmul(3, 5, 7), "DRAM[WIO] N5 K7 - BUF[WIO] M3")
    many = counted(matmul(3, 5, 7, batch=4), "DRAM[WIO] B4 N5 K7 - BUF[WIO] M3")
    for level, levels in zip(one.traffic, many.traffic, strict=True):
        for tensor, moved in level.items():
            for name, words in moved._asdict().items():
                inside = name == "tile" and levels is many.traffic[1]
                assert getattr(levels[tensor], name) == words * (1 if inside else 4)


def test_sliding_window_by_hand():
    # P=6 positions of 3 taps, stride 2; two positions a tile: 5 wide, the next tile 4 further.
    problem = convolution(P=6, R=3, stride=(2, 1))
    dram, _ = counted(problem, "DRAM[WIO] P3 - BUF[WIO] P2 R3").traffic
    assert dram["I"].reads == 3 * 5 - 2 * (5 - 4)  # = 13 = (6-1)*2 + 3, each word once
    # A loop outside the sliding one fetches all of it again; K inside it does not.
    problem = convolution(P=6, R=3, C=2, K=3, stride=(2, 1))
    dram, _ = counted(problem, "DRAM[WIO] C2 P3 K3 - BUF[WIO] P2 R3").traffic
    assert dram["I"].reads == 2 * 13
    # C inside P has moved the tile already: P fetches all of every tile.
    dram, _ = counted(problem, "DRAM[WIO] K3 P3 C2 - BUF[WIO] P2 R3").traffic
    assert dram["I"].reads == 3 * 3 * 2 * 5


def test_partial_tiles_by_hand():
    # 18 rows in tiles of 4: five tiles, the last of two rows.
    mapping = fit(parse_mapping("DRAM[WIO] N3 M5 - BUF[WIO] M4 K2"), matmul(18, 3, 2))
    loop = mapping.levels[0].loops[1]
    assert (loop.trips, loop.growth) == (5, 4.5)
    dram = count(matmul(18, 3, 2), mapping).traffic[0]
    assert dram["I"].reads == 36 * 3  # rows are read once a column, never more than 18
    assert dram["W"].reads == 6  # W stays while M runs
    swapped = counted(matmul(18, 3, 2), "DRAM[WIO] M5 N3 - BUF[WIO] M4 K2").traffic[0]
    assert swapped["W"].reads == 6 * 5  # ceil(18 / 4) times
    assert swapped["I"].reads == 36
    assert counted(matmul(18, 3, 2), "DRAM[WIO] M5 N3 - BUF[WIO] M4 K2").steps == 18 * 3 * 2


def simulate(problem, mapping):
    """Fills of every operand and drains of O at every inner level, by walking all iterations.

    A tile is fetched when it moves: what the innermost mover uncovers, or all of it.
    """
    loops = [(i, loop) for i, level in enumerate(mapping.levels) for loop in level.loops]
    ranges = [range(int(loop.trips)) for _, loop in loops]
    inner = []  # tile extent inside each loop, per dimension
    extents = dict.fromkeys(problem.shape.dimensions, 1)
    for _, loop in reversed(loops):
        inner.append(extents[loop.dimension])
        extents[loop.dimension] *= int(loop.trips)
    inner = inner[::-1]
    found = {}
    for index, level in enumerate(mapping.levels):
        if index == 0:
            continue
        for tensor in level.tensors:
            spans = problem.shape.spans[tensor]
            outside = [j for j, (i, _) in enumerate(loops) if i < index]
            tile = dict.fromkeys(problem.shape.dimensions, 1)
            for i, loop in loops:
                if i >= index:
                    tile[loop.dimension] *= int(loop.trips)
            movers = [
                j
                for j in outside
                if loops[j][1].dimension in spans
                and loops[j][1].trips > 1
                and not loops[j][1].spatial
            ]
            total, previous = 0, {}
            for point in itertools.product(*(ranges[j] for j in outside)):
                at = dict(zip(outside, point, strict=True))
                instance = tuple(at[j] for j in outside if loops[j][1].spatial)
                key = tuple(at[j] for j in movers)
                words = _words(problem, tensor, tile, at, loops, inner)
                before = previous.get(instance)
                if before is None or before[0] != key:
                    slid = before is not None and _step(before[0], key) and movers
                    new = words - before[1] if slid else words
                    total += len(new)
                    previous[instance] = (key, words)
            found[index, tensor] = total
    return found


def walk_partial(problem, mapping):
    """Fills of operands and time steps of a nest with partial tiles, by walking it.

    `mapping` has whole factors; iterations beyond a dimension's size do not happen, and all
    instances wait for the one with most to do.
    """
    loops = [(i, loop) for i, level in enumerate(mapping.levels) for loop in level.loops]
    inner, extents = [], dict.fromkeys(problem.shape.dimensions, 1)
    for _, loop in reversed(loops):
        inner.append(extents[loop.dimension])
        extents[loop.dimension] *= int(loop.trips)
    inner = inner[::-1]

    def starts(chosen):
        """Points of some loops, with where each dimension starts; those out of range skipped."""
        for point in itertools.product(*(range(int(loops[j][1].trips)) for j in chosen)):
            base = dict.fromkeys(problem.shape.dimensions, 0)
            for j, value in zip(chosen, point, strict=True):
                base[loops[j][1].dimension] += value * inner[j]
            if all(base[d] < problem.sizes[d] for d in base):
                yield point, base

    every = range(len(loops))
    temporal = [j for j in every if not loops[j][1].spatial]
    steps = len({tuple(point[j] for j in temporal) for point, _ in starts(every)})
    fills = {}
    for index, level in enumerate(mapping.levels[1:], 1):
        for tensor in [t for t in level.tensors if t != "I" or not problem.shape.windows]:
            spans = problem.shape.spans[tensor]
            outside = [j for j in every if loops[j][0] < index]
            tile = dict.fromkeys(problem.shape.dimensions, 1)
            for i, loop in loops:
                if i >= index:
                    tile[loop.dimension] *= int(loop.trips)
            total, previous = 0, {}
            for point, base in starts(outside):
                at = dict(zip(outside, point, strict=True))
                instance = tuple(at[j] for j in outside if loops[j][1].spatial)
                key = tuple(base[d] for d in spans)
                if previous.get(instance) != key:
                    previous[instance] = key
                    ends = {d: min(base[d] + tile[d], problem.sizes[d]) for d in spans}
                    total += math.prod(ends[d] - base[d] for d in spans)
            fills[index, tensor] = total
    return fills, steps


def _step(old, new):
    return old[:-1] == new[:-1] and new[-1] == old[-1] + 1


def _words(problem, tensor, tile, at, loops, inner):
    base = dict.fromkeys(problem.shape.dimensions, 0)
    for j, value in at.items():
        base[loops[j][1].dimension] += value * inner[j]
    ranges = {d: range(base[d], base[d] + tile[d]) for d in tile}
    windows = problem.shape.windows if tensor == "I" else ()
    paired = [d for w in windows for d in w]
    axes = [ranges[d] for d in problem.shape.spans[tensor] if d not in paired]
    for p, r in windows:
        low = base[p] * problem.steps[p] + base[r] * problem.steps[r]
        extent = 1 + (tile[p] - 1) * problem.steps[p] + (tile[r] - 1) * problem.steps[r]
        axes.append(range(int(low), int(low + extent)))
    return set(itertools.product(*axes))


@st.composite
def nests(draw, problem):
    """A random mapping on three levels whose factors divide; some loops spatial."""
    levels = [("A", "WIO"), ("B", draw(st.sampled_from(["WIO", "WI", "O", "IO"]))), ("C", "W")]
    factors = {}
    for d, size in problem.sizes.items():
        left, parts = int(size), []
        for _ in levels[1:]:
            part = draw(st.sampled_from([f for f in range(1, left + 1) if left % f == 0]))
            parts.append(part)
            left //= part
        factors[d] = [*parts, left]
    result = []
    for i, (memory, tensors) in enumerate(levels):
        order = draw(st.permutations([d for d in factors if factors[d][i] > 1]))
        spatial = {d for d in order if d not in "PQRS" and draw(st.booleans()) and i < 2}
        order = sorted(order, key=lambda d: d in spatial)  # spatial loops stand innermost
        loops = tuple(
            Loop(d, float(factors[d][i]), float(factors[d][i]), d in spatial) for d in order
        )
        result.append(Level(memory, tensors, loops))
    return Mapping(tuple(result))


@settings(max_examples=60, deadline=None)
@given(mapping=nests(CONV))
def test_counts_equal_a_walk_through_a_convolution(mapping):
    traffic = count(CONV, mapping).traffic
    for (level, tensor), fills in simulate(CONV, mapping).items():
        assert traffic[level][tensor].fills == pytest.approx(fills, rel=1e-12), (level, tensor)


GEMM = matmul(6, 8, 4, batch=2)


@settings(max_examples=60, deadline=None)
@given(mapping=nests(GEMM))
def test_counts_equal_a_walk_and_balance(mapping):
    counts = count(GEMM, mapping)
    for (level, tensor), fills in simulate(GEMM, mapping).items():
        assert counts.traffic[level][tensor].fills == fills, (level, tensor)
    innermost = {t: max(i for i, lv in enumerate(mapping.levels) if t in lv.tensors) for t in "WIO"}
    shared = {
        t: math.prod(
            loop.trips
            for level in mapping.levels[innermost[t] :]
            for loop in level.loops
            if loop.spatial and loop.dimension not in GEMM.shape.spans[t]
        )
        for t in "WIO"
    }
    for tensor in "WI":
        assert counts.traffic[innermost[tensor]][tensor].reads == GEMM.macs / shared[tensor]
    assert counts.traffic[innermost["O"]]["O"].updates == GEMM.macs / shared["O"]
    outer = counts.traffic[0]
    for tensor in "WIO":
        assert outer[tensor].tile == GEMM.elements(tensor)
        crossing = outer[tensor].updates if tensor == "O" else outer[tensor].reads
        assert crossing >= GEMM.elements(tensor)
    spatial = math.prod(loop.trips for loop in mapping.loops() if loop.spatial)
    assert counts.steps == GEMM.macs / spatial


@st.composite
def partial_nests(draw):
    """A small matmul and a nest whose factors cover its sizes, mostly with something left over."""
    problem = matmul(*(draw(st.integers(1, 9)) for _ in range(3)))
    levels = [("A", "WIO"), ("B", draw(st.sampled_from(["WIO", "WI", "O"]))), ("C", "W")]
    loops = [[] for _ in levels]
    for d in "MNK":
        left = int(problem.sizes[d])
        for i in (2, 1, 0):
            for spatial in [True, False] if i == 1 else [False]:
                factor = draw(st.integers(1, left)) if i else left
                loops[i].append(Loop(d, float(factor), float(factor), spatial and i == 1))
                left = -(-left // factor)
    nest = [
        Level(memory, tensors, tuple(sorted(draw(st.permutations(row)), key=lambda x: x.spatial)))
        for (memory, tensors), row in zip(levels, loops, strict=True)
    ]
    return problem, Mapping(tuple(nest))


@settings(max_examples=150, deadline=None)
@given(case=partial_nests())
def test_partial_tiles_take_the_steps_of_a_walk_and_never_too_few_words(case):
    problem, mapping = case
    fitted = fit(mapping, problem)
    counts = count(problem, fitted)
    fills, steps = walk_partial(problem, mapping)
    assert counts.steps == pytest.approx(steps, rel=1e-9)
    for (level, tensor), words in fills.items():
        assert counts.traffic[level][tensor].fills >= words * (1 - 1e-9), (level, tensor)
        assert counts.traffic[level][tensor].fills <= words * 2.5, (level, tensor)


def _leaves(counts):
    return np.array(jax.tree.leaves(counts), dtype=float)


def _largest_change(before, after):
    """Of all words, relative to the largest number of the same tensor and level."""
    return max(
        abs(new - old) / max(a)
        for level, changed in zip(before.traffic, after.traffic, strict=True)
        for a, b in zip(level.values(), changed.values(), strict=True)
        for old, new in zip(a, b, strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(mapping=nests(CONV), where=st.integers(0, 100))
def test_relaxed_factors_do_not_leak(mapping, where):
    before = count(CONV, mapping)
    loops = sum(len(level.loops) for level in mapping.levels)
    seen = 0
    levels = []
    for level in mapping.levels:
        row = []
        for loop in level.loops:
            more = 1 + 1e-5 * (seen == where % loops)
            row.append(Loop(loop.dimension, loop.trips * more, loop.growth * more, loop.spatial))
            seen += 1
        levels.append(Level(level.memory, level.tensors, tuple(row)))
    assert _largest_change(before, count(CONV, Mapping(tuple(levels)))) < 5e-5
    # The same where a loop of one trip becomes one of slightly more, at any place.
    for i, level in enumerate(mapping.levels):
        for d in CONV.shape.dimensions:
            for loops in ((Loop(d, 1 + 1e-5, 1 + 1e-5), *level.loops),):
                levels = list(mapping.levels)
                levels[i] = Level(level.memory, level.tensors, loops)
                assert _largest_change(before, count(CONV, Mapping(tuple(levels)))) < 5e-5


TEXT = "L3[WIO] K2 C3 - L2[WI] N2 P3 K2X - L1[O] C2 R3 Q2 - L0[W] S2 P2 Q2"


def test_gradients_equal_differences_in_log_log():
    mapping = fit(parse_mapping(TEXT), CONV)
    leaves, tree = jax.tree.flatten(mapping)
    assert min(leaves) >= 2

    def logs(log_factors):
        factors = [f for x in log_factors for f in (jax.numpy.exp(x),) * 2]
        counts = count(CONV, jax.tree.unflatten(tree, factors))
        return [jax.numpy.log(x) for x in jax.tree.leaves(counts) if isinstance(x, jax.Array)]

    with jax.enable_x64(True):
        point = np.log(np.array(leaves[::2]) * 1.3)  # between whole factors
        jacobian = np.array(jax.jacfwd(logs)(point))
        step = 1e-6
        for i in range(len(point)):
            delta = np.eye(len(point))[i] * step
            difference = (np.array(logs(point + delta)) - np.array(logs(point - delta))) / (
                2 * step
            )
            np.testing.assert_allclose(jacobian[:, i], difference, rtol=1e-6, atol=1e-7)
    assert np.isfinite(jacobian).all()


def test_vmap_over_mappings_of_one_order_equals_a_loop():
    mapping = fit(parse_mapping(TEXT), CONV)
    leaves, tree = jax.tree.flatten(mapping)
    many = np.array(leaves)[:, None] * np.array([1.0, 2.0, 3.0])
    batched = jax.jit(jax.vmap(lambda m: count(CONV, m)))(
        jax.tree.unflatten(tree, [row.astype(np.float32) for row in many])
    )
    for i in range(3):
        single = count(CONV, jax.tree.unflatten(tree, [float(x) for x in many[:, i]]))
        found = [np.broadcast_to(leaf, 3)[i] for leaf in jax.tree.leaves(batched)]
        np.testing.assert_allclose(found, _leaves(single), rtol=1e-6)


def test_text_round_trip():
    text = "L3[WIO] K12 - L2[WI] K16X - L1[O] K4 C48 P4 C16X - L0[W] P32"
    assert str(parse_mapping(text)) == text
    assert str(parse_mapping("A[WIO]  N1  - B[O]")) == "A[WIO] N1 - B[O] N1"
    with pytest.raises(InputError, match=r"mapping: got L1\[O\] k4"):
        parse_mapping("L3[WIO] K12 - L1[O] k4")
    for bad in ("", "L3", "L3[WIO] K0.5", "L3[WIX] K2", "L3[WIO] K2 -- L2[WI]", "L3[WIO] 2K"):
        with pytest.raises(InputError, match="mapping"):
            parse_mapping(bad)


def test_factors_that_do_not_cover_or_do_not_exist_are_named():
    with pytest.raises(InputError, match="factors of K make 8; dimension K has size 9"):
        fit(parse_mapping("A[WIO] K4 - B[WIO] M3 N5 K2"), matmul(3, 5, 9))
    with pytest.raises(InputError, match="A Q; dimensions: B, M, N, K"):
        fit(parse_mapping("A[WIO] Q2 - B[WIO] M3"), matmul(3, 1, 1))
    with pytest.raises(InputError, match="A M0"):
        fit(parse_mapping("A[WIO] M0 - B[WIO] M3"), matmul(3, 1, 1))


def test_footprint_of_a_window():
    assert footprint(CONV, "I", {**CONV.sizes, "P": 3, "R": 2, "N": 1, "C": 1, "Q": 1, "S": 2}) == (
        (2 * 2 + 1 + 1) * (0 + 1 * 2 + 1)
    )
    with pytest.raises(InputError, match="K: got 0"):
        convolution(K=0)
    with pytest.raises(InputError, match="M: got 2"):
        matmul(2.5, 1, 1)
