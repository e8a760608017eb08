"""`dse validate gemm` and `dse calibrate`: by hand, known constants recovered, measured rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dse.calibration import calibrate
from dse.catalog_file import with_constants
from dse.cli.main import main
from dse.priors import PRIORS
from dse.validation import validate
from dse.validation.gemm import measure, product, products
from hwmodels import InputError, evaluate
from hwmodels.accelerators.catalog import load_entry

SHARED = Path(__file__).parents[2] / "shared" / "data"
HEADER = "device,dtype,M,N,K,latency_us"

ARRAYS = """name = "Two arrays"
aliases = ["mine"]
variant = "systolic"
year = 2024
family = "test"
source = "made up"
confidence = "assumed"

[chip]                    # a remark
node_nm = 7
clock_GHz = 1.0
number_format = "bf16"
rows = 64
columns = 64
arrays = 2
vector_lanes = 1024
sram_capacity_MiB = 32
sram_bandwidth_B_per_cycle = 4096
dram_stacks = 1
dram_bandwidth_GBps = 100
dram_latency_ns = 400

[published]
peak_TFLOPs = 16.4
"""
PROCESSORS = """name = "Ten processors"
variant = "simt"
year = 2024
family = "test"
source = "made up"
confidence = "assumed"

[chip]
node_nm = 7
clock_GHz = 1.0
number_format = "fp16"
sms = 10
macs_per_sm = 512
macs_per_instruction = 128
lanes_per_sm = 64
register_file_KiB = 256
shared_memory_KiB = 128
sram_capacity_MiB = 8
sram_bandwidth_B_per_cycle = 1024
dram_stacks = 1
dram_bandwidth_GBps = 100
"""


def shared() -> Path:
    path = SHARED / "gemm_latency.csv"
    if not path.exists():
        pytest.skip("../shared/data/gemm_latency.csv is not in this checkout")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def write(tmp_path: Path, name: str, content: str) -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_a_product_by_hand(tmp_path: Path) -> None:
    """Operands on chip, the result to DRAM, part of the shorter time not hidden."""
    constants = {
        "tuning_compute_efficiency": 0.8, "tuning_dram_efficiency": 0.5, "tuning_overlap": 0.75,
        "tuning_overhead_us": 3.0,
    }  # fmt: skip
    text = with_constants(ARRAYS, {name: f"{name} = {x}" for name, x in constants.items()})
    chip = load_entry(write(tmp_path, "arrays.toml", text)).capped()
    got = measure(chip, products([(1000, 100, 130)], "bf16"))
    # 3 x 2 folds, each shared by both arrays: 6 x 500 steps. The result: 200 kB at 50 GB/s.
    compute, dram = 6 * 500e-9 / 0.8, 200e3 / 50e9
    fill = (np.ceil(130 / 3) + 64 + 64 - 2) * 1e-9
    latency = 400e-9 * 200e3 / (200e3 + 260e3 + 26e3)  # of the share that is not on chip
    time = max(compute, dram) + 0.25 * min(compute, dram) + fill + latency + 3e-6
    np.testing.assert_allclose(got.time, time, rtol=1e-5)


def test_rows_are_what_evaluate_says(tmp_path: Path) -> None:
    chip = load_entry(write(tmp_path, "chip.toml", PROCESSORS)).capped()

    sizes = [(512, 384, 1000), (7, 9, 11), (100, 8192, 64)]
    got = measure(chip, products(sizes, "bf16")).time
    for size, time in zip(sizes, got, strict=True):
        alone = evaluate(chip, product(*size, 16.0), runtime="alone", residency="cold")
        np.testing.assert_allclose(time, alone.time, rtol=1e-6)


SEED = 0


def rows_of(path: Path, device: str, dtype: str, constants: dict[str, float], power: bool) -> str:
    """Rows that the chip of `path` with these constants would give, with 3% noise."""
    rng = np.random.default_rng(SEED)
    sizes = [(1, 3, 3), *(tuple(x) for x in np.exp(rng.uniform(1, 8.5, (29, 3))).astype(int))]
    text = with_constants(
        path.read_text(), {name: f"{name} = {x}" for name, x in constants.items()}
    )
    chip = load_entry(write(path.parent, "true.toml", text)).capped()
    got = measure(chip.replace(number_format=dtype), products(sizes, dtype))
    noise = np.exp(0.03 * rng.standard_normal((2, len(sizes))))
    lines = [HEADER + (",power_W" if power else "")]
    for (m, n, k), time, watts in zip(
        sizes, got.time * noise[0], got.power * noise[1], strict=True
    ):
        cells = f"{device},{dtype},{m},{n},{k},{1e6 * time}"
        lines.append(cells + (f",{watts}" if power else ""))
    return "\n".join(lines) + "\n"


CASES = {
    "arrays": (ARRAYS, "bf16", {
        "tuning_compute_efficiency": 0.7, "tuning_dram_efficiency": 0.6, "tuning_overlap": 0.5,
        "tuning_overhead_us": 2.5,
    }),
    "processors": (PROCESSORS, "fp16", {
        "tuning_compute_efficiency": 0.75, "tuning_dram_efficiency": 0.9,
        "tuning_overhead_us": 11.0, "tuning_energy_scale": 1.6,
    }),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_known_constants_are_recovered_within_their_uncertainty(tmp_path: Path, case: str) -> None:
    text, dtype, constants = CASES[case]
    chip = write(tmp_path, f"{case}.toml", text)
    power = "tuning_energy_scale" in constants
    rows = write(tmp_path, "rows.csv", rows_of(chip, case, dtype, constants, power))
    fit = calibrate(chip, rows)
    found = fit.named()
    assert set(found) == set(constants)
    misses = []
    for name, true in constants.items():
        low, value, high = (found[name][key] for key in ("low", "value", "high"))
        assert low < value < high
        # Informative: every constant is known far better than its prior says.
        assert high / low < 1.35, name
        misses.append((true - value) / (high - value if true > value else value - low))
    assert max(np.abs(misses)) < 3  # 99.7% of a Gaussian
    assert np.sqrt(np.mean(np.square(misses))) < 2
    assert 0.015 < fit.noise < 0.05
    assert fit.mape < 0.04
    assert fit.folds == 30
    assert fit.mape <= fit.held_out_mape < 0.05


def test_without_evidence_the_priors_stand(tmp_path: Path) -> None:
    """One row of a huge product says nothing of DRAM and overhead, and is held out by no fold."""
    chip = write(tmp_path, "p.toml", PROCESSORS)
    fit = calibrate(chip, write(tmp_path, "rows.csv", f"{HEADER}\np,fp16,8192,8192,8192,130000\n"))
    prior = PRIORS["simt"]
    for name in ("dram_efficiency", "overhead"):
        x = fit.constants[name]
        assert x["value"] == pytest.approx(prior[name].median, rel=1e-2)
        apart = prior[name].real(x["high"]) - prior[name].real(x["value"])
        assert apart == pytest.approx(prior[name].deviation, rel=0.05)
    assert (fit.folds, fit.held_out_mape) == (0, None)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, dtype, constants = CASES["arrays"]
    chip = write(tmp_path, "arrays.toml", text)
    rows = rows_of(chip, "mine", dtype, constants, False)
    file = write(tmp_path, "rows.csv", rows + "h100,fp8,64,64,64,5.0\n")  # another device's row
    out = tmp_path / "fitted.toml"
    status, printed, _ = run(capsys, "calibrate", chip, file, "--out", out, "--json")
    assert status == 0
    found = json.loads(printed)
    assert (found["chip"], found["rows"], found["out"]) == ("arrays", 30, str(out))
    assert found["mape"] < 0.05
    # The file is the old one with four more lines, and loads.
    lines = out.read_text().splitlines()
    assert [line for line in lines if not line.startswith("tuning_")] == ARRAYS.splitlines()
    entry = load_entry(out)
    for name, values in found["constants"].items():
        fact = entry.inputs[name]
        assert fact.confidence == "fitted"
        assert fact.number == pytest.approx(values["value"], rel=1e-3)
        assert "fitted to 30 rows of rows.csv; 68%: " in fact.source
    assert entry.capped().quantities()["tuning_overhead_us"] == pytest.approx(2.5, rel=0.1)
    # Fitted again, the lines are replaced; nothing else is left in the folder.
    status, _, message = run(capsys, "calibrate", out, file, "--out", out)
    assert (status, message.count("\n")) == (2, 1)
    assert "exists already; --force" in message
    status, printed, _ = run(capsys, "calibrate", out, file, "--out", out, "--force")
    assert status == 0
    assert "tuning_overlap" in printed
    assert "held out" in printed
    assert len(out.read_text().splitlines()) == len(lines)
    assert {path.name for path in tmp_path.iterdir()} == {
        "arrays.toml", "true.toml", "rows.csv", "fitted.toml",
    }  # fmt: skip


ROW = f"{HEADER}\nmi210,bf16,64,64,64,35.0\n"


@pytest.mark.parametrize(
    ("arguments", "content", "said"),
    [
        (["a100_90gb", "FILE"], ROW, ["chip", "a100_90gb", "did you mean a100_80gb"]),
        (["mi210", "none.csv"], ROW, ["FILE", "none.csv", "cannot be read"]),
        (
            ["mi210", "FILE"],
            "device,M,N,K\nmi210,1,1,1\n",
            ["header", "missing: dtype, latency_us"],
        ),
        (["mi210", "FILE"], ROW.replace("35.0", "-1"), ["line 2, latency_us", "a number > 0"]),
        (["mi210", "FILE"], ROW.replace("bf16", "bf17"), ["line 2, dtype", "did you mean bf16"]),
        (["h100", "FILE"], ROW, ["device", "got mi210", "no row of h100"]),
        (["mi210", "FILE"], ROW + "mi210,fp32,64,64,64,9\n", ["dtype", "bf16, fp32", "one format"]),
        (["mi210", "FILE", "--out", "x.csv"], ROW, ["--out", "x.csv", "ends in .toml"]),
        (["mi210", "FILE", "--out", "no/x.toml"], ROW, ["--out", "an existing folder"]),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], content: str, said: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "FILE", content)
    status, printed, message = run(capsys, "calibrate", *arguments)
    assert (status, printed) == (2, "")
    (line,) = [line for line in message.splitlines() if line != "fitting ..."]
    assert all(part in line for part in said), line
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


def test_validate_leaves_out_an_unknown_device_and_says_so(tmp_path: Path) -> None:
    other = "mi2100,bf16,64,64,64,35.0\n"
    figures = validate("gemm", write(tmp_path, "rows.csv", ROW + other)).figures
    assert (figures["rows"], figures["skipped"]) == (2, 1)
    ((reason, line),) = figures["skipped_line"].items()
    assert line == 3
    assert "did you mean mi210" in reason
    assert list(figures["mape_by_device"]) == ["mi210"]
    with pytest.raises(InputError, match=r"device: got .*mi2100.*no device of the catalog"):
        validate("gemm", write(tmp_path, "none.csv", f"{HEADER}\n{other}"))


def test_validate_gives_figures_by_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ROW + "mi210,fp16,64,64,64,36.0\ntpu_v4,bf16,4096,4096,4096,600\n"
    file = write(tmp_path, "rows.csv", rows)
    status, printed, _ = run(capsys, "validate", "gemm", file, "--json")
    assert status == 0
    figures = json.loads(printed)
    assert figures["rows"] == 3
    by_device = figures["mape_by_device"]
    assert list(by_device) == ["mi210", "tpu_v4"]
    assert figures["mape"] == pytest.approx((2 * by_device["mi210"] + by_device["tpu_v4"]) / 3)
    status, printed, _ = run(capsys, "validate", "gemm", file, "--out", tmp_path / "run")
    assert status == 0
    assert "mape_by_device  value" in printed
    assert list(pd.read_csv(tmp_path / "run" / "errors.csv")["device"]) == ["mi210"] * 2 + [
        "tpu_v4"
    ]


DEVICES = {"a100_80gb": 0.08, "mi210": 0.08, "tpu_v4": 0.15, "tpu_v6e": 0.15}


@pytest.mark.parametrize("chip", ["a100_80gb", "tpu_v4"])  # the others' fits are alike
def test_measured_products(chip: str) -> None:
    fit = calibrate(chip, shared())
    assert fit.mape <= DEVICES[chip]
    assert fit.held_out_mape <= DEVICES[chip]
    for name, x in fit.named().items():
        assert x["low"] <= x["value"] <= x["high"], name
    # DRAM is never fitted above its specification, nor units above their peak.
    assert max(fit.constants[n]["high"] for n in ("dram_efficiency", "compute_efficiency")) <= 1


def test_shipped_chips_reach_the_figures() -> None:
    fitted = [name for name in DEVICES if "tuning_overhead_us" in load_entry(name).inputs]
    if len(fitted) < len(DEVICES):
        pytest.skip("the catalog's entries carry no fits yet")
    figures = validate("gemm", shared()).figures
    assert figures["mape"] <= 0.1
    limits = {"a100_sxm_80gb": 0.08, "mi210": 0.08, "tpu_v4": 0.15, "tpu_v6e": 0.15}
    for device, value in figures["mape_by_device"].items():
        assert value <= limits[device], device
