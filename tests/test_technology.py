"""Node, voltage and temperature against published anchors and by their laws."""

import csv
import dataclasses
import itertools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels import technology
from hwmodels.parts import mac
from hwmodels.quantity import quantities
from hwmodels.technology import NODES_NM, NOMINAL_V, Scale, Technology, voltage_margin

SHARED = Path(__file__).parents[2] / "shared" / "data"
TABLES = {
    name: getattr(technology, name)
    for name in (
        "NOMINAL_V", "THRESHOLD_V", "LOGIC_ENERGY", "LOGIC_AREA", "SRAM_CELL_UM2",
        "NOMINAL_CLOCK_GHZ", "GATE_DELAY_PS", "LOGIC_LEAKAGE_W_MM2", "SRAM_LEAKAGE_MW_MIBIT",
        "WAFER_PRICE_USD", "DEFECTS_PER_CM2",
    )
}  # fmt: skip


def at(node_nm, voltage, temperature=358.15):
    return Technology(
        node=jnp.float32(node_nm * 1e-9),
        voltage=jnp.float32(voltage),
        temperature=jnp.float32(temperature),
    ).resolve()


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_met_at_their_nodes_and_monotone_between(name):
    table = TABLES[name]
    look = jax.vmap(lambda node: Technology(node=node).lookup(table))
    np.testing.assert_allclose(look(jnp.float32(NODES_NM) * 1e-9), table, rtol=1e-6)
    with jax.enable_x64(True):
        values = np.asarray(look(jnp.asarray(np.geomspace(3.0, 180.0, 3001) * 1e-9)))
    assert values.min() >= min(table) * (1 - 1e-9)
    assert values.max() <= max(table) * (1 + 1e-9)
    for sign in (1, -1):
        if np.all(sign * np.diff(table) >= 0):
            assert np.all(sign * np.diff(values) >= -1e-12)


def test_slope_by_node_exists_on_the_tabulated_nodes():
    # Designs sit on 7, 5 or 3 nm: with kinks there, one-sided slopes would disagree.
    def log_area(x):
        return jnp.log(Technology(node=jnp.exp(x)).lookup(TABLES["LOGIC_AREA"]))

    with jax.enable_x64(True):
        for node in NODES_NM[1:-1]:
            x, h = math.log(node * 1e-9), 1e-6
            right = (log_area(x + h) - log_area(x)) / h
            left = (log_area(x) - log_area(x - h)) / h
            np.testing.assert_allclose(left, right, rtol=1e-4)
            np.testing.assert_allclose(jax.grad(log_area)(x), right, rtol=1e-4)


def test_float32_agrees_with_float64():
    rng = np.random.default_rng(1)
    nodes = np.float32(np.exp(rng.uniform(np.log(3), np.log(180), 999)) * 1e-9)
    volts = np.float32(rng.uniform(0.35, 2.2, 999))
    resolve = jax.vmap(lambda n, v: Technology(node=n, voltage=v).resolve())
    single = [np.asarray(x) for x in resolve(nodes, volts)]
    with jax.enable_x64(True):
        double = [np.asarray(x) for x in resolve(np.float64(nodes), np.float64(volts))]
    for a, b in zip(single, double, strict=True):
        np.testing.assert_allclose(a, b, rtol=3e-6)  # worst: leakage at three times nominal


def test_energy_goes_with_the_square_of_voltage():
    low, high = at(7, 0.5), at(7, 0.9)
    for field in ("energy_scale", "wire_energy"):
        ratio = getattr(high, field) / getattr(low, field)
        np.testing.assert_allclose(ratio, (0.9 / 0.5) ** 2, rtol=1e-6)


def test_clock_limit_by_hand():
    # 7 nm at nominal 0.75 V: 1.75 GHz as tabulated. At 0.4 V with Vt = 0.30 V:
    # slope 2 n kT/q = 2 x 1.4 x 8.617e-5 x 358.15 = 0.08642 V; drive = softplus(x)^1.3 / V.
    np.testing.assert_allclose(at(7, 0.75).max_clock, 1.75e9, rtol=1e-6)
    slope = 2 * 1.4 * 8.617333e-5 * 358.15

    def drive(v):
        return math.log1p(math.exp((v - 0.30) / slope)) ** 1.3 / v

    expected = 1.75e9 * drive(0.4) / drive(0.75)
    np.testing.assert_allclose(at(7, 0.4).max_clock, expected, rtol=1e-5)


def test_clock_limit_rises_with_voltage_and_is_finite_below_threshold():
    for node in NODES_NM:
        limits = [at(node, v) for v in np.linspace(0.35, 2.2, 21)]
        assert np.all(np.diff([float(x.max_clock) for x in limits]) > 0)
        assert np.all(np.diff([float(x.gate_delay) for x in limits]) < 0)
        assert float(limits[0].max_clock) > 0
    deep = at(7, 0.15)
    assert 0 < float(deep.max_clock) < 0.06 * float(at(7, 0.75).max_clock)


def test_voltage_limits_by_hand():
    # 7 nm: 1.35 x 0.75 V at most, 0.30 + 0.05 V at least.
    assert float(at(7, 0.75).max_voltage) == pytest.approx(1.0125, rel=1e-6)
    assert float(at(7, 0.75).min_voltage) == pytest.approx(0.35, rel=1e-6)
    assert float(voltage_margin(at(7, 0.9))) == pytest.approx(1.0125 / 0.9 - 1, rel=1e-5)
    assert float(voltage_margin(at(7, 0.4))) == pytest.approx(0.4 / 0.35 - 1, rel=1e-5)
    assert float(voltage_margin(at(180, 0.4))) < 0 < float(voltage_margin(at(180, 1.8)))
    for volts in (1.1, 1.8, 40.0):
        assert float(voltage_margin(at(7, volts))) < 0
    for node, volts in zip(NODES_NM, NOMINAL_V, strict=True):
        assert 0.3 < float(voltage_margin(at(node, volts))) < 0.36


def test_newer_nodes_are_smaller_faster_and_take_less_energy():
    def at_nominal(node):
        return Technology(node, Technology(node).lookup(NOMINAL_V)).resolve()

    process = jax.vmap(at_nominal)(jnp.float32(np.geomspace(3, 180, 200) * 1e-9))
    for name in ("energy_scale", "area_scale", "sram_cell", "gate_delay", "wire_energy"):
        values = np.asarray(getattr(process, name))
        assert np.all(np.diff(values) >= -1e-6 * values[1:]), name
    for name in ("max_clock", "wafer_price", "defect_density"):
        values = np.asarray(getattr(process, name))
        assert np.all(np.diff(values) <= 1e-6 * values[1:]), name


def test_slopes_are_finite_at_every_bound_and_equal_differences_inside():
    """Of every field's logarithm by the logarithm of node, voltage and temperature."""
    known = quantities(Technology)
    bounds = [(q.low, q.high, q.default) for q in known.values() if len(q.path) == 1]
    corners = np.asarray([*itertools.product(*bounds)])
    scale = np.asarray([1e-9, 1.0, 1.0])

    def logs(x):
        return jnp.log(jnp.stack(Technology(*jnp.exp(x)).resolve()))

    slope = jax.vmap(jax.jacfwd(logs))
    at_corners = slope(jnp.float32(np.log(corners * scale)))
    assert np.isfinite(at_corners).all()
    rng = np.random.default_rng(5)
    low, high = (np.log(np.asarray([b[i] for b in bounds]) * scale) for i in (0, 1))
    inside = rng.uniform(low + 0.01, high - 0.01, (99, 3))
    with jax.enable_x64(True):
        got = np.asarray(slope(jnp.asarray(inside)))
        for i in range(3):
            h = 1e-6 * np.eye(3)[i]
            up, down = (jax.vmap(logs)(jnp.asarray(inside + s * h)) for s in (1, -1))
            np.testing.assert_allclose(got[..., i], (up - down) / 2e-6, rtol=1e-5, atol=1e-4)


def test_leakage_doubles_every_20_kelvin_and_grows_with_voltage():
    warm, hot = at(7, 0.75, 318.15), at(7, 0.75, 338.15)
    np.testing.assert_allclose(hot.logic_leakage / warm.logic_leakage, 2.0, rtol=1e-5)
    np.testing.assert_allclose(at(7, 0.75).logic_leakage, 0.04e6, rtol=1e-6)
    # 0.75 -> 0.85 V: V, times exp(0.08 x 0.1 / (1.4 kT/q)).
    expected = 0.85 / 0.75 * math.exp(0.08 * 0.1 / (1.4 * 8.617333e-5 * 358.15))
    assert np.all(np.diff([float(at(7, 0.75, k).sram_leakage) for k in (250, 300, 358, 400)]) > 0)
    ratio = at(7, 0.85).sram_leakage / at(7, 0.75).sram_leakage
    np.testing.assert_allclose(ratio, expected, rtol=1e-5)


def test_published_operation_energies():
    """Anchors of energy.csv: exact at 7 nm by construction, within 20% at 45 nm and 0.9 V."""
    path = SHARED / "energy.csv"
    if not path.exists():
        pytest.skip("../shared/data/energy.csv is not in this checkout")
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["category"] == "op_energy"]
    published = {(row["item"], row["node_nm"]): row["value"] for row in rows}
    parts = {
        "int8": ("int8 mult", "int32 add"),
        "bf16": ("bf16 mult", "fp32 add"),
        "fp16": ("fp16 mult", "fp32 add"),
        "fp32": ("fp32 mult", "fp32 add"),
    }
    checked = 0
    for number_format, items in parts.items():
        for node, volts, tolerance in (("7", 0.75, 1e-5), ("45", 0.9, 0.2)):
            if all((item, node) in published for item in items):
                expected = sum(float(published[item, node]) for item in items)
                energy = float(mac.energy(at(float(node), volts), number_format)) * 1e12
                assert energy == pytest.approx(expected, rel=tolerance), (number_format, node)
                checked += 1
    assert checked >= 7


def test_scale_multiplies_what_it_says_and_leaves_the_rest():
    plain = Technology().resolve()
    named = {
        "logic_energy": {"energy_scale"},
        "wire_energy": {"wire_energy"},
        "sram_energy": {"sram_energy"},
        "leakage": {"logic_leakage", "sram_leakage"},
        "delay": {"max_clock", "gate_delay"},
        "logic_area": {"area_scale"},
        "sram_area": {"sram_cell"},
        "defect_density": {"defect_density"},
        "wafer_price": {"wafer_price"},
    }
    assert named.keys() == {field.name for field in dataclasses.fields(Scale)}
    for name, changed in named.items():
        scaled = Technology(scale=Scale(**{name: 2.0})).resolve()
        for field in plain._fields:
            ratio = float(getattr(scaled, field)) / float(getattr(plain, field))
            factor = 0.5 if field == "max_clock" else 2.0
            assert ratio == pytest.approx(factor if field in changed else 1.0, rel=1e-6), field
