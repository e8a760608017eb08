"""Workloads asked for by text: settings, the user's own functions, scenarios."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

import dse
import hwmodels
from hwmodels.errors import InputError
from hwmodels.workloads import load_workload
from hwmodels.workloads.function import shapes
from hwmodels.workloads.scenario import Scenario
from hwmodels.workloads.scenario import names as scenarios
from hwmodels.workloads.settings import Settings, parse

MODULE = """
import jax
import jax.numpy as jnp

def example_args(batch=5):
    return {"w": jnp.zeros((7, 3))}, jnp.zeros((batch, 7)), jnp.zeros(batch, int)

def step(params, x, y):
    def loss(p):
        return -jnp.mean(jax.nn.log_softmax(x @ p["w"])[jnp.arange(x.shape[0]), y])
    value, slope = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, slope), value

def product(a, b):
    return a @ b

def broken():
    raise RuntimeError("no luck")
"""
SCENARIO = """
name = "two"
unit = "request"
about = "for the test"
[[part]]
workload = "mlp@batch=8"
samples = 16
latency_ms = 1
[[part]]
workload = "mlp-large@batch=64"
samples = 32
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "own_net.py").write_text(MODULE)
    (tmp_path / "two.toml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    __import__("sys").modules.pop("own_net", None)


def test_settings_are_read_from_text() -> None:
    assert parse("mlp") == ("mlp", Settings())
    assert parse("net@decode,batch=16,context=8192") == (
        "net", Settings(mode="decode", batch=16, context=8192)
    )  # fmt: skip
    assert parse("a:f@batch=2, args=f32[3,4] i32[]")[1] == Settings(batch=2, args="f32[3,4] i32[]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mlp@foo", "mode: got foo"),
        ("mlp@batch=0", "batch: got 0; allowed: 1 to"),
        ("mlp@batch=1e9", "batch: got 1e9"),
        ("mlp@batch=-3", "batch: got -3"),
        ("mlp@batch=3,batch=4", "given twice"),
        ("mlp@size=3", "setting: got size"),
        ("mlp@infer", "mode of mlp: got infer"),
        ("mlp@context=3", "context: got 3; allowed here: mode, batch"),
        ("@train", "a name, a file or module:function comes first"),
        ("mpl", "did you mean mlp?"),
        ("no_such_module:f", "cannot be imported: ModuleNotFoundError"),
        ("none.py:f", "no such file"),
        ("none.toml", "allowed: a scenario in TOML"),
    ],
)
def test_bad_text_is_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_workload(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_change_the_trace() -> None:
    plain, large = load_workload("mlp"), load_workload("mlp@batch=64")
    assert large.samples == 2 * plain.samples
    assert large.macs == 2 * plain.macs
    assert large.name == "mlp@batch=64"
    assert load_workload("mlp", batches=2).macs == large.macs


def test_a_function_of_ones_own(folder) -> None:
    step = load_workload("own_net:step")
    assert step.training
    assert step.samples == 5
    # forward 5x3x7 and the weight's gradient 7x3x5; nothing asks for the input's
    assert step.macs == 2 * 5 * 3 * 7
    assert load_workload("own_net:step@batch=11").macs == 2 * 11 * 3 * 7
    assert load_workload("own_net:step", batches=3).samples == 15
    assert load_workload("own_net.py:product@args=f32[3,4] f32[4,5]").macs == 3 * 4 * 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("own_net:stop", "did you mean step?"),
        ("own_net:product", "takes 2 positional arguments but 3 were given"),
        ("own_net:product@args=f32[3,4] f32[3,5]", "contracting dimensions"),
        ("own_net:product@args=q9[3]", "args, type: got q9"),
        ("own_net:product@args=f32[3,x]", "args: got f32[3,x]"),
        ("own_net:product@args=f32[0]", "sizes 1 to"),
        ("own_net:product@args=nothing", "args: got nothing"),
        ("own_net:step@args=broken", "RuntimeError: no luck"),
        ("own_net:step@infer", "mode: got infer"),
        ("own_net:product@batch=2,args=f32[3,4] f32[4,5]", "write the batch into them"),
        ("own_net:broken@args=f32[3]", "takes 0 positional arguments"),
    ],
)
def test_a_bad_function_is_one_line(folder, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_workload(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shapes() -> None:
    assert shapes("f32[3, 4];bf16[] u8[2]") == (
        jax.ShapeDtypeStruct((3, 4), "float32"), jax.ShapeDtypeStruct((), "bfloat16"),
        jax.ShapeDtypeStruct((2,), "uint8"),
    )  # fmt: skip


def test_a_scenario_is_the_sum_of_its_parts(folder) -> None:
    chip = hwmodels.load_chip("tpu_v4")
    scenario = load_workload("two.toml")
    parts = [load_workload(name) for name in ("mlp@batch=8", "mlp-large@batch=64")]
    runs = (16 / 8, 32 / 64)
    whole = hwmodels.evaluate(chip, scenario)
    alone = [hwmodels.evaluate(chip, part) for part in parts]

    def total(values) -> float:
        return sum(n * float(v) for n, v in zip(runs, values, strict=True))

    assert scenario.macs == total(p.macs for p in parts)
    np.testing.assert_allclose(whole.time, total(m.time for m in alone), rtol=1e-6)
    np.testing.assert_allclose(whole.energy, total(m.energy for m in alone), rtol=1e-6)
    np.testing.assert_allclose(whole.throughput * whole.time, 1.0, rtol=1e-6)
    np.testing.assert_allclose(whole.power, sum(whole.power_terms.values()), rtol=1e-5)
    np.testing.assert_allclose(whole.time, sum(whole.time_terms.values()), rtol=1e-5)
    # 16 samples of the first part and 32 of the second need this much of a fleet's seconds
    needed = 16 / float(alone[0].scalability) + 32 / float(alone[1].scalability)
    np.testing.assert_allclose(whole.scalability, 1 / needed, rtol=1e-5)
    late = 1.0 - float(alone[0].time) / 1e-3
    np.testing.assert_allclose(whole.margins["latency of mlp@batch=8"], late, rtol=1e-5)
    assert whole.peak_power == max(m.peak_power for m in alone)
    frame = whole.frame()
    assert len(frame) == sum(len(p.rows) for p in parts)
    np.testing.assert_allclose((frame["count"] * frame["time_us"]).sum() * 1e-6, whole.time, 1e-5)


def test_a_scenario_of_one_workload_is_that_workload(folder) -> None:
    (folder / "one.toml").write_text('[[part]]\nworkload = "mlp"\nsamples = 32\n')
    chip = hwmodels.VARIANTS["simt"]()
    found = hwmodels.evaluate(chip, load_workload("one.toml"))
    alone = hwmodels.evaluate(chip, load_workload("mlp"))
    for name in ("time", "energy", "power", "area", "peak_power", "efficiency", "chips_80"):
        np.testing.assert_allclose(getattr(found, name), getattr(alone, name), rtol=1e-6)
    np.testing.assert_allclose(32 * found.scalability, alone.scalability, rtol=1e-6)
    np.testing.assert_allclose(
        found.scaling.efficiency(64.0), alone.scaling.efficiency(64.0), rtol=1e-6
    )


def test_a_latency_limit_binds_in_a_sweep(folder) -> None:
    space = dse.default_space("systolic")
    scenario = load_workload("two.toml")
    swept = dse.sweep([space], scenario, designs=2000, seed=1)
    assert swept.census.feasible > 0
    (folder / "tight.toml").write_text(SCENARIO.replace("latency_ms = 1", "latency_ms = 0.001"))
    with pytest.raises(InputError, match="budget latency of mlp@batch=8: got 0 of 2,000 designs"):
        dse.sweep([space], load_workload("tight.toml"), designs=2000, seed=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "allowed: 1 to 64 tables"),
        ("part = 3", "allowed: 1 to 64 tables"),
        ("[[part]]\nworkload = 3", "part 1, workload: got 3"),
        ("[[part]]\nsamples = 3", "part 1, workload: got nothing"),
        ('[[part]]\nworkload = "mlp"\nsamples = -1', "part 1, samples: got -1"),
        ('[[part]]\nworkload = "mlp"\nlatency_ms = true', "part 1, latency_ms: got True"),
        ('[[part]]\nworkload = "two.toml"', "a scenario holds no scenario"),
        ('[[part]]\nworkload = "mlq"', "did you mean mlp?"),
        ('speed = 3\n[[part]]\nworkload = "mlp"', "field: got speed"),
        ("[[part]\n", "allowed: a scenario in TOML"),
    ],
)
def test_a_bad_scenario_is_one_line(folder, text: str, said: str) -> None:
    (folder / "bad.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_workload("bad.toml")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", scenarios())
def test_the_library_s_scenarios(name: str) -> None:
    scenario = load_workload(name)
    assert isinstance(scenario, Scenario)
    assert scenario.samples == 1
    assert scenario.notes
    assert scenario.macs == pytest.approx(sum(p.runs * p.workload.macs for p in scenario.parts))


def test_what_takes_no_scenario_says_so(folder) -> None:
    scenario = load_workload("two.toml")
    with pytest.raises(InputError, match="one workload, no scenario"):
        hwmodels.fleet.stores.stores(scenario, 16.0)
    assert math.isinf(scenario.parts[1].latency)
