"""The invariants of DESIGN.md, for every variant, over declared domains.

Models run eagerly, without compiling them as a whole, on batches of `ROWS` designs: half from the
default space (every structure of it, several formats), half from the whole declared range of
every leaf, bounds included. So many properties are checked in seconds.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dse import default_space
from hwmodels import VARIANTS, Fleet, Operation, Relax, Tensor, Workload
from hwmodels.evaluate import model
from hwmodels.quantity import quantities, structure
from hwmodels.workloads.numeric import Contractions

ROWS = 2048  # of every batch, so that each primitive compiles once
EXACT = Relax()
SMOOTH = Relax(mode="smooth", sharpness=8.0)
OUTPUTS = ("time", "energy", "power", "peak_power", "area", "cost", "scalability", "throughput")
ROLES = ("parameter", "gradient", "optimizer_state", "activation")
COUNTS = {
    "dram_stacks", "link_count", "rows", "columns", "arrays", "sms", "cores", "lanes", "pe_rows",
    "pe_columns", "macs_per_pe", "vector_lanes", "macs_per_sm", "lanes_per_sm", "macros", "sets",
    "write_bits", "adc_bits", "columns_per_adc", "tiles", "tile_side", "model_chips",
}  # fmt: skip
# What default spaces leave out.
OTHER_STRUCTURE = {
    "systolic": [{}, {"accumulators": "own"}],
    "in_memory": [{}, {"kind": "analog", "input_bits": "2"}, {"input_bits": "4"}],
    "sram_only": [{}, {"package": "wafer"}],
}
UNCAPPED_W = 1e15  # a power cap that no design meets, so that the clock is the requested one

# Seeds do not shrink to anything simpler.
properties = settings(deadline=None, derandomize=True, max_examples=2, phases=[Phase.generate])
once = settings(properties, max_examples=1)
seeds = st.integers(0, 2**31 - 1)
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def tensor(role, elements):
    return Tensor(role, float(elements), 32.0)


@functools.cache
def workload(training=True):
    """Odd sizes, every role, every phase: 8 contractions, 5 vector operations, 3 movements."""
    rng = np.random.default_rng(17)
    phases = ("forward", "backward", "optimizer") if training else ("forward",)
    rows = []
    for i in range(8):
        b, m, n, k = (int(x) for x in np.exp(rng.uniform(0, [1.5, 8, 8, 8])).round())
        lhs, rhs, out, other = rng.choice(("input", *ROLES), 4)
        reads = tensor(lhs, b * m * k), tensor(rhs, b * k * n), tensor(other, m)
        rows.append(
            Operation(
                "contraction", f"product {i}", phases[i % len(phases)], reads,
                (tensor(out, b * m * n),), count=float(rng.integers(1, 4)),
                batch=b, m=m, n=n, k=k, simple=float(b * m * n), special=float(m),
                lhs_density=(1.0, 0.4)[i % 2], rhs_density=(1.0, 0.7, 0.1)[i % 3],
            )
        )  # fmt: skip
    for i in range(8):
        size = int(np.exp(rng.uniform(0, 14)))
        kind, work = ("vector", size) if i < 5 else ("movement", 0)
        lhs, rhs, out = rng.choice(("input", *ROLES), 3)
        rows.append(
            Operation(
                kind, f"{kind} {i}", phases[i % len(phases)],
                (tensor(lhs, size), tensor(rhs, size)), (tensor(out, size),),
                count=float(rng.integers(1, 4)), simple=float(work), special=float(work // 3),
            )
        )  # fmt: skip
    stored = tuple(tensor(r, e) for r, e in zip(ROLES, (4e5, 4e5, 8e5, 3e5), strict=True))
    gradients = (tensor("gradient", 4e5),) if training else ()
    return Workload("odd", tuple(rows), 7.0, 7e4, training, stored, gradients, 0.3)


@functools.cache
def operations(training=True, widths=16.0):
    return workload(training).at_format(widths)


def run(*arguments, **options):
    """Metrics of a batch of `ROWS` designs, in the precision of its leaves, as NumPy arrays."""
    return jax.tree.map(np.asarray, traced(*arguments, **options))


def traced(chips, relax=EXACT, fleet=3.0, training=True, **options):
    """As `run`, differentiable."""
    dtype = jax.tree.leaves(chips)[0].dtype
    numbers = jax.tree.map(lambda x: jnp.asarray(x, dtype), operations(training, chips.widths))
    fleet = jnp.broadcast_to(jnp.asarray(fleet, dtype), (ROWS,))

    def one(chip, size):
        return model(chip, numbers, Fleet(size), relax, training=training, stacked=True, **options)

    return jax.vmap(one)(chips, fleet)


def anywhere(variant, seed, static, n, corners=False):
    """Log-uniform over every leaf's declared range, a fifth of the values on a bound; or corners.

    Counts are whole numbers, as in anything that can be built. The process is that of the tables.
    """
    rng = np.random.default_rng(seed)
    cls, values = VARIANTS[variant], {}
    for name, q in quantities(cls).items():
        if name.startswith("scale_"):
            values[name] = jnp.ones(n, jnp.float32)
            continue
        x = np.exp(rng.uniform(np.log(max(q.low, 1e-3 * q.high)), np.log(q.high), n))
        side = rng.random(n) * (0.2 if corners else 1.0)
        x = np.where(side < 0.1, q.low, np.where(side < 0.2, q.high, x))
        values[name] = jnp.asarray(np.round(x) if name in COUNTS else x, jnp.float32)
    return cls().replace(**values, **static)


def batch(variant, seed, corners=False):
    """`ROWS` designs of one structure: default space and whole domain, one after the other."""
    space = default_space(variant)
    structures = space.structures()
    static = dict(structures[seed % len(structures)])
    static["number_format"] = ("bf16", "fp32", "bf16", "fp8")[seed % 4]
    if "fold_overlap" in structure(VARIANTS[variant]):
        static["fold_overlap"] = ("double_buffered", "none")[seed % 5 == 4]
    choices = structure(VARIANTS[variant])["sparsity"]
    static["sparsity"] = choices[seed % len(choices)]
    static |= OTHER_STRUCTURE.get(variant, [{}])[seed % len(OTHER_STRUCTURE.get(variant, [0]))]
    if seed % 7 == 3:
        static |= {"activation_format": "fp8", "weight_format": "fp8"}
    usual = space.sample(jax.random.key(seed), ROWS // 2, {}).replace(**static)
    wild = anywhere(variant, seed, static, ROWS // 2, corners)
    # Interleaved, so that any stretch of rows holds both.
    return jax.tree.map(lambda a, b: np.stack([a, b], axis=1).ravel(), usual, wild)


def scaled(chips, name, factor):
    """`chips` with one number scaled, within its declared range."""
    q = quantities(type(chips))[name]
    return chips.replace(**{name: np.clip(chips.quantities()[name] * factor, q.low, q.high)})


def spread(chips, moves):
    """One batch of the first designs of `chips` and of each (name, factor) of `moves` on them;
    and how to cut the metrics up again: a list over [as they are, *moves]."""
    count = ROWS // (len(moves) + 1)
    base = jax.tree.map(lambda leaf: leaf[:count], chips)
    parts = [base, *(scaled(base, name, factor) for name, factor in moves)]
    rest = jax.tree.map(lambda leaf: leaf[: ROWS - count * len(parts)], chips)
    together = jax.tree.map(lambda *leaf: np.concatenate(leaf), *parts, rest)

    def cut(metrics):
        return [
            jax.tree.map(lambda leaf, i=i: leaf[i * count : (i + 1) * count], metrics)
            for i in range(len(parts))
        ]

    return together, cut


def uncapped(chips):
    return dataclasses.replace(chips, tdp=np.full_like(chips.tdp, UNCAPPED_W))


def doubled_precision(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def leaves(metrics):
    return {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(metrics)[0]
    }


@each_variant
@properties
@given(seed=seeds)
def test_finite_positive_within_bounds_and_adding_up(variant, seed):
    chips = batch(variant, seed)
    for training in (True, False):
        m = run(chips, training=training, fleet=64.0)
        for name, values in leaves(m).items():
            assert np.isfinite(values).all(), name
            if "margins" not in name:
                assert (values >= 0).all(), name
        for name in OUTPUTS:
            assert (np.asarray(getattr(m, name)) > 0).all(), name
        assert np.all(m.utilization <= 1 + 1e-6)
        assert np.all(m.power <= m.peak_power * (1 + 1e-6))
        assert np.all(m.efficiency <= 1)
        assert np.all(m.clock <= chips.clock)
        assert np.all((m.peak_power <= chips.tdp * (1 + 1e-4)) | (m.clock <= 1e6))
        assert np.all((m.margins["tdp"] >= 0) == (m.peak_power <= chips.tdp * (1 + 1e-4)))
        assert np.all((m.chips_80 >= 1) & (m.chips_80 <= 7e4 / 7))
        # S80 is reached at 80% efficiency or better.
        linear = m.chips_80 * 7.0 / (m.time * m.efficiency)
        assert np.all(m.scalability <= linear * (1 + 1e-5))
        assert np.all(m.scalability >= 0.8 * linear * (1 - 1e-5))

        close = functools.partial(np.testing.assert_allclose, rtol=2e-6)
        close(sum(m.power_terms.values()), m.power)
        close(sum(m.area_terms.values()), m.area)
        close(m.energy, m.power * m.time)
        close(m.throughput, 64 * 7.0 / m.time)
        close(m.fleet_power, 64 * m.power)


@each_variant
@once
@given(seed=seeds)
def test_no_faster_than_the_roofline(variant, seed):
    chips = batch(variant, seed + 1)
    rows, bits = workload().rows, chips.widths
    macs = sum(row.count * row.macs * chips.kept_products(row) for row in rows)
    work = sum(row.count * (row.simple + 4 * row.special) for row in rows)
    least = sum(row.count * t.bytes(bits) for row in rows for t in (*row.reads, *row.writes))
    cold = run(chips, fleet=1.0, residency="cold", runtime="alone")
    warm = run(chips, fleet=1.0, runtime="eager")
    slack = 1 + 1e-5
    for m in (cold, warm):
        np.testing.assert_allclose(m.work_terms["macs"], macs, rtol=1e-5)
        assert np.all(m.time * slack >= macs / (chips.macs_per_cycle * m.clock))
        assert np.all(m.time * slack >= work / (chips.vector_rate * m.clock))
        dram = m.work_terms["dram_bytes"]
        assert np.all(m.time * slack * chips.dram.total_bandwidth >= dram)
        buffer = m.work_terms["buffer_bytes"] / (chips.sram.bandwidth * m.clock)
        assert np.all(m.time * slack >= buffer)
        # One chip: nothing waits, and the terms are the step.
        np.testing.assert_allclose(sum(m.time_terms.values()), m.time, rtol=2e-6)
        np.testing.assert_allclose(sum(m.energy_terms.values()), m.energy, rtol=2e-6)
        np.testing.assert_array_equal(m.efficiency, 1)
        np.testing.assert_array_equal(m.power_terms["static_waiting"], 0)
    # Cold, every tensor crosses at least once; warm, never more than cold.
    if chips.HAS_DRAM:
        assert np.all(cold.work_terms["dram_bytes"] * slack >= least)
    assert np.all(warm.work_terms["dram_bytes"] <= cold.work_terms["dram_bytes"] * (1 + 1e-6))
    launches = sum(row.count for row in rows)
    np.testing.assert_allclose(warm.time_terms["launch"], launches * 5e-6, rtol=1e-5)
    alone = launches * chips.tuning.overhead
    np.testing.assert_allclose(cold.time_terms["launch"], alone, rtol=1e-5)


BANDWIDTHS = (
    "write_bits",
    "sram_bandwidth_B_per_cycle", "dram_bandwidth_GBps", "link_bandwidth_GBps", "dram_stacks",
    "link_count", "clock_GHz", "vector_lanes", "lanes_per_sm", "tuning_compute_efficiency",
    "tuning_dram_efficiency", "tuning_overlap",
)  # fmt: skip
CAPACITIES = (
    "sram_capacity_MiB", "register_file_KiB", "shared_memory_KiB", "private_cache_KiB",
    "scratchpad_B",
)  # fmt: skip


@each_variant
@properties
@given(seed=seeds)
def test_more_bandwidth_is_never_slower_and_more_capacity_never_moves_more(variant, seed):
    names = [x for x in (*BANDWIDTHS, *CAPACITIES) if x in quantities(VARIANTS[variant])]
    rng = np.random.default_rng(seed)
    count = ROWS // (len(names) + 1)
    factor = rng.choice([1.01, 1.3, 2.0, 16.0], count)
    # Under a power cap more bandwidth lowers the clock, as it must: uncapped here.
    chips, cut = spread(uncapped(batch(variant, seed)), [(name, factor) for name in names])
    before, *after = cut(run(chips))
    for name, m in zip(names, after, strict=True):
        if name in CAPACITIES:
            moved = m.work_terms["dram_bytes"], before.work_terms["dram_bytes"]
            assert np.all(moved[0] <= moved[1] * (1 + 1e-6) + 64), name
        if name != "sram_capacity_MiB":  # whose tiles are ranked by bytes, not by time
            assert np.all(m.time <= before.time * (1 + 1e-6)), name


@each_variant
def test_the_choice_of_mapping_counts_all_traffic_of_the_buffer(variant):
    """Ranked by its own traffic alone, a faster buffer could bring a slower mapping."""
    rng = np.random.default_rng(6)
    sizes = np.exp(rng.uniform(0, 8, (3, ROWS))).round()
    names = Contractions.__dataclass_fields__
    fields = {**dict.fromkeys(names, 0.0), **dict(zip("mnk", sizes, strict=True)), "batch": 1.0}
    op = Contractions(**{name: np.float32(value) for name, value in fields.items()})
    besides = np.float32(np.exp(rng.uniform(5, 18, ROWS)))
    chips, last = batch(variant, 8), np.inf
    for bandwidth in np.geomspace(16, 2**20, 17, dtype=np.float32):
        chips = chips.replace(sram_bandwidth_B_per_cycle=np.full(ROWS, bandwidth))
        got = chips.contraction(op, EXACT, besides)
        busy = got.cycles / chips.tuning.compute_efficiency
        time = np.maximum(busy, (got.buffer_bytes + besides) / bandwidth)
        assert np.all(time <= last * (1 + 1e-6))
        last = time


@each_variant
@once
@given(seed=seeds)
def test_lower_voltage_at_the_same_clock_never_costs_energy(variant, seed):
    for chips in (batch(variant, seed + 2), uncapped(batch(variant, seed + 2))):
        together, cut = spread(chips, [("voltage_V", 0.93)])
        before, after = cut(run(together))
        assert np.all(after.energy <= before.energy * (1 + 1e-6))
        assert np.all(after.margins["clock"] <= before.margins["clock"])


# What a technology or a supplier gives, or a measurement says, not a design choice: better is
# simply better.
GIVEN = {
    "node_nm", "temperature_K", "voltage_V", "dram_energy_pJ_per_bit", "dram_idle_power_W",
    "dram_phy_area_mm2", "dram_edge_mm", "dram_latency_ns", "dram_cost_USD", "dram_capacity_GiB",
    "dram_interposer_mm2",
    "link_energy_pJ_per_bit", "link_latency_ns", "link_area_mm2", "link_edge_mm", "link_cost_USD",
    "tuning_compute_efficiency", "tuning_dram_efficiency", "tuning_overlap", "tuning_overhead_us",
    "tuning_energy_scale", *(name for name in quantities(VARIANTS["systolic"]) if "scale_" in name),
}  # fmt: skip


@each_variant
@once
@given(seed=seeds)
def test_no_free_lunch(variant, seed):
    """Each number that raises throughput raises area, peak power or cost."""
    names = sorted(set(quantities(VARIANTS[variant])) - GIVEN)
    moves = [(name, factor) for name in names for factor in (1.1, 2.0, 16.0)]
    with jax.enable_x64(True):  # costs below float32's rounding are costs too
        chips, cut = spread(doubled_precision(uncapped(batch(variant, seed + 1))), moves)
        before, *after = cut(run(chips))
    for move, m in zip(moves, after, strict=True):
        gain = m.throughput / before.throughput
        if move[0].startswith("link_"):
            # Of other numbers S80 is no measure: a slower chip hides more of its network, and on
            # a torus, where hops grow with the root of N, its fleet may be faster for it.
            gain = np.maximum(gain, m.scalability / before.scalability)
        paid = (m.area > before.area) | (m.peak_power > before.peak_power) | (m.cost > before.cost)
        assert np.all((gain <= 1 + 1e-9) | paid), move


@each_variant
@once
@given(seed=seeds)
def test_float32_agrees_with_float64(variant, seed):
    chips = batch(variant, seed + 3)
    single = run(chips)
    with jax.enable_x64(True):
        double = run(doubled_precision(chips))
    # Left out, as differences of close numbers that no model can save: a clock under a cap that
    # constant power nearly fills, and gross dies of an area beyond the reticle.
    fixed = ("static_leakage", "static_idle", "static_dram_idle", "static_link")
    constant = sum(double.power_terms[name] for name in fixed) / double.efficiency
    constant = constant + 8 * chips.dram.energy * chips.dram.total_bandwidth
    calm = (double.clock > 0.999 * chips.clock) | (constant < 0.5 * chips.tdp)
    whole = np.asarray(double.area < 858e-6)
    same = np.asarray(single.chips_80 == np.asarray(double.chips_80))  # else one chip more or less
    assert same.mean() > 0.99
    for name in (*OUTPUTS, "utilization", "fleet_power"):
        a, b = (np.asarray(getattr(m, name)) for m in (single, double))
        rows = calm & (whole if name == "cost" else same if name == "scalability" else True)
        assert rows.sum() > 300
        assert np.abs(a / b - 1)[rows].max() < 2e-6, name
        assert np.quantile(np.abs(a / b - 1)[rows], 0.99) < 1e-6, name


@each_variant
def test_vmap_equals_loop(variant):
    chips = batch(variant, 5)
    together = leaves(run(chips))
    numbers = operations(True, chips.widths)
    for i in range(4):
        chip = jax.tree.map(lambda leaf, i=i: leaf[i], chips)
        alone = leaves(model(chip, numbers, Fleet(3.0), training=True, stacked=True))
        for name, value in alone.items():
            atol = 1e-6 if "margins" in name else 1e-12
            np.testing.assert_allclose(value, together[name][i], rtol=2e-6, atol=atol)


def test_scan_equals_stacked():
    chips = batch("simt", 5)
    numbers = operations(True, chips.widths)
    chip = jax.tree.map(lambda leaf: leaf[0], chips)
    stacked = leaves(model(chip, numbers, Fleet(3.0), training=True, stacked=True))
    scan = jax.jit(lambda chip: model(chip, numbers, Fleet(3.0), training=True))
    for name, value in leaves(scan(chip)).items():
        atol = 1e-6 if "margins" in name else 1e-12
        np.testing.assert_allclose(value, stacked[name], rtol=2e-6, atol=atol)


# Limits, and what only the runtime "alone" pays.
LIMITS = {"[0].dram.capacity", "[0].dram.edge", "[0].link.edge", "[0].tuning.overhead"}
# Converters that a digital macro has none of; tuning of a DRAM that is not there.
SILENT = {
    "systolic": {"[0].accumulator_rows"},
    "in_memory": {"[0].adc_bits", "[0].columns_per_adc"},
    "sram_only": {
        "[0].tuning.dram_efficiency", "[0].tuning.overlap", "[0].technology.scale.defect_density",
    },
}  # fmt: skip


def logs(metrics):
    return jnp.log(jnp.stack([getattr(metrics, name) for name in OUTPUTS], axis=-1))


@each_variant
@pytest.mark.parametrize("relax", [EXACT, SMOOTH], ids=["straight_through", "smooth"])
def test_gradients_are_finite_everywhere(variant, relax):
    """Through every leaf of chip and fleet, inside the domain and on its corners."""
    sizes = jnp.asarray(np.random.default_rng(0).choice([1.0, 2.0, 37.0, 65536.0], ROWS))
    for seed, training in ((3, True), (4, False)):

        def total(chips, sizes, training=training):
            return logs(traced(chips, relax, sizes, training)).sum()

        slopes = leaves(jax.grad(total, (0, 1))(batch(variant, seed, corners=True), sizes))
        for name, value in slopes.items():
            assert np.isfinite(value).all(), (name, training)
        # They say something: only leaves that are limits and nothing else are without effect.
        silent = {name for name, value in slopes.items() if not value.any()}
        silent -= {"[0].technology.scale.delay"}  # of most variants a limit of the clock only
        assert silent - SILENT.get(variant, set()) == LIMITS & set(slopes)


@each_variant
def test_straight_through_forward_is_exact_under_differentiation(variant):
    # Bit for bit in each operation (test_relax); here, in float64, but for the compiler's fusion.
    with jax.enable_x64(True):
        chips = doubled_precision(batch(variant, 9))
        plain = leaves(run(chips))
        values, _ = jax.jvp(traced, (chips,), (jax.tree.map(np.ones_like, chips),))
        for name, value in leaves(values).items():
            np.testing.assert_allclose(value, plain[name], rtol=1e-9, atol=1e-12, err_msg=name)


@each_variant
@once
@given(seed=seeds)
def test_smooth_gradients_are_central_differences(variant, seed):
    """Of log metric by log parameter, for every number of chip and fleet, in float64."""
    h = 1e-5
    with jax.enable_x64(True):
        chips = doubled_precision(batch(variant, seed + 2))
        flat, tree = jax.tree.flatten((chips, np.full(ROWS, 37.0)))
        which = np.arange(ROWS) // 2 % len(flat)  # the number that moves in each row

        def at(flat):
            chips, sizes = jax.tree.unflatten(tree, flat)
            return logs(traced(chips, SMOOTH, sizes))

        def moved(by):
            return [np.where(which == i, x * by, x) for i, x in enumerate(flat)]

        along = [np.where(which == i, x, 0.0) for i, x in enumerate(flat)]
        _, slope = jax.jvp(at, (flat,), (along,))
        difference = (at(moved(np.exp(h))) - at(moved(np.exp(-h)))) / (2 * h)
    # The table of nodes ends at 3 and 180 nm, a one-sided slope, left out; on its knots the
    # second derivative jumps, so that a difference over h is off by h times the jump.
    node = np.asarray(chips.technology.node)
    inside = (which != 0) | ((node > 3.01e-9) & (node < 179e-9))
    error = np.abs(np.asarray(slope - difference)) / (1 + np.abs(np.asarray(difference)))
    assert error[inside].max() < 1e-4
    assert error[which != 0].max() < 1e-5
    assert np.quantile(error[which != 0], 0.99) < 1e-6


@each_variant
def test_smooth_stays_near_exact(variant):
    chips = batch(variant, 1)
    exact = run(chips)
    for sharpness in (16.0, 4096.0):
        m = run(chips, Relax(mode="smooth", sharpness=jnp.float32(sharpness)))
        np.testing.assert_allclose(m.area, exact.area, rtol=1e-6)
        # What remains is folds: a smooth one is a fraction where the exact one is whole.
        assert np.abs(np.log(m.energy / exact.energy)).mean() < 0.2
