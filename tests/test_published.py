"""`dse validate published`: NVDLA's series, TPU v1, servers; rows scored, reported, skipped."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.cli.main import main
from dse.validation import eyeriss, gpu_rows, networks, nvdla, tpu_v1, validate
from dse.validation.units import read_metric, rescale
from hwmodels import InputError

SHARED = Path(__file__).parents[2] / "shared" / "data" / "published.csv"
HEADER = "dataset,chip,n_chips,workload,batch,config,metric,value,unit,source"
EYERISS = "1.0V 200MHz core 60MHz link"


def shared() -> Path:
    if not SHARED.exists():
        pytest.skip("../shared/data/published.csv is not in this checkout")
    return SHARED


def write(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


# Networks


def test_networks():
    shapes = [layer.shape for layer in networks.RESNET50]
    macs = sum(x.k * x.c * x.p * x.q * x.r * x.s for x in shapes)
    assert len(shapes) == 54
    assert macs == 3857973248
    assert sum(x.k * x.c * x.r * x.s for x in shapes) == 25502912
    assert [layer.name for layer in networks.find_layers("VGG CONV5_3")] == ["CONV5-3"]
    assert len(networks.find_layers("vgg16")) == 13
    for text in ("CONV4", "alexnet 4", "AlexNet layer 4", "CONV4 of AlexNet"):
        assert networks.find_layers(text) == networks.ALEXNET[3:4]
    for text in ("AlexNet (5 conv layers)", "AlexNet CONV1-5", "AlexNet conv (5 layers)"):
        assert networks.find_layers(text) == networks.ALEXNET
    assert networks.find_layers("CONV1-2") == networks.VGG16[1:2]
    for text in ("AlexNet CONV6", "LeNet", "AlexNet (7 conv layers)", "ResNet-101", "", "conv"):
        with pytest.raises(InputError, match="allowed"):
            networks.find_layers(text)


def test_inference_workload():
    layer = networks.find_layers("AlexNet CONV2")
    step = networks.inference("one", layer, batch=3, bits=8, block=32)
    row = step.rows[0]
    assert (row.batch, row.m, row.n, row.k) == (2, 3 * 27 * 27, 128, 64 * 25)
    assert row.reads[0].bytes() == 3 * 2 * 48 * 31 * 31
    assert row.reads[1].bytes() == 2 * 128 * 48 * 25  # stored without the block's padding
    assert not step.training


# NVDLA

SERIES = {  # nvdla.org primer: cell area [mm2], peak and average power [mW] at 16 nm; buffer [KB]
    2048: (512, 3.3, 766, 291),
    512: (256, 1.4, 210, 80),
    64: (128, 0.55, 55, 21),
    # From memory; no constant was fitted to these.
    1024: (256, 1.8, 375, 143),
    256: (256, 1.0, 135, 48),
    128: (256, 0.84, 82, 31),
    32: (128, 0.47, 45, 17),
}


@pytest.mark.parametrize("units", SERIES)
def test_nvdla_series(units):
    buffer, *measured = SERIES[units]
    chip, config = f"NVDLA {units} MAC", f"1GHz 16nm CBUF {buffer} KB"
    metrics = ("cell_area_16nm", "peak_power", "avg_power")
    found = [nvdla.predict(x, chip, "ResNet-50 int8", config) for x in metrics]
    assert found == pytest.approx(measured, rel=0.15)
    # A row without a config is one of the series.
    assert nvdla.read_configuration(chip, "") == nvdla.read_configuration(chip, config)


def test_nvdla_grows():
    sizes = sorted(nvdla.ATOMS)
    for metric in ("cell_area_16nm", "cell_area_28nm", "peak_power"):
        values = [
            nvdla.predict(metric, f"NVDLA {n} MAC", "ResNet-50", "1GHz 16nm CBUF 256 KB")
            for n in sizes
        ]
        assert values == sorted(values)
        assert values[-1] / values[0] < sizes[-1] / sizes[0]  # a part does not scale
    assert all(channels * kernels == n for n, (channels, kernels) in nvdla.ATOMS.items())


def test_nvdla_slower_clock():
    fast, slow = (
        nvdla.predict("peak_power", "NVDLA 256 MAC", "", f"{clock}GHz 16nm CBUF 256 KB")
        for clock in ("1", "0.5")
    )
    assert slow == pytest.approx(0.5 * fast)


# TPU v1


@pytest.mark.parametrize(
    ("name", "tops"),
    # ISCA 2017, Table 3; MLP1 from memory.
    [("MLP0", 12.3), ("MLP1", 9.7), ("LSTM0", 3.7), ("CNN0", 86.0)],
)
def test_tpu_rates(name, tops):
    assert tpu_v1.achieved_tops(name, {}) == pytest.approx(tops, rel=0.2)


def test_tpu_workload_by_hand():
    # 20 M weights in five layers: 4 M each, near 2000 x 2000, so 2048 columns.
    step = tpu_v1.workload("MLP0", tpu_v1.network("MLP0", {}))
    (row,) = step.rows
    assert (row.count, row.m, row.n, row.k) == (5, 200, 2048, 4e6 / 2048)
    assert step.macs == pytest.approx(200 * 20e6)
    # Weights bind: 20 MB at 34 GB/s make 13.6 T/s, refresh and row misses 0.9 of it.
    assert tpu_v1.achieved_tops("MLP0", {}) < 0.9 * 2 * 200 * 34e9 / 1e12


def test_tpu_facts():
    # A file's facts win over the table.
    small = tpu_v1.network("MLP1", {"weights_M": 7.0, "batch": 32, "ops_per_weight_byte": 32})
    assert (small.weights, small.batch) == (7e6, 32)
    mixed = tpu_v1.workload("CNN1", tpu_v1.network("CNN1", {}))
    assert mixed.macs == pytest.approx(1750 * 100e6, rel=1e-3)
    deeper = tpu_v1.network("LSTM0", {"layers": 116})
    assert (deeper.dense, deeper.convolutions, deeper.vector) == (48, 0, 68)
    with pytest.raises(InputError, match="MLP0"):
        tpu_v1.network("MLP9", {})


# The kind


def test_rows_are_scored_reported_or_skipped(tmp_path):
    path = write(
        tmp_path,
        f"Eyeriss_JSSC17,Eyeriss v1,1,AlexNet CONV3,4,{EYERISS},processing_latency,21.8,ms,x",
        f"Eyeriss_JSSC17,Eyeriss v1,1,AlexNet CONV3,4,{EYERISS},active_PEs,156,,x",
        f"Eyeriss_JSSC17,Eyeriss v1,1,AlexNet CONV9,4,{EYERISS},power,266,mW,x",
        "NVDLA_primer,NVDLA 100 MAC,1,ResNet-50 int8,1,1GHz 16nm CBUF 128 KB,peak_power,80,mW,x",
        "TPUv1_ISCA17,TPU v1,1,die power,,,idle/busy_W,28/40,W,x",
        "Elsewhere,Chip,1,job,,,power,3,W,x",
    )
    report = validate("published", path)
    figures = report.figures
    assert (figures["rows"], figures["scored"], figures["reported"], figures["skipped"]) == (
        6,
        1,
        1,
        4,
    )
    dataset = figures["by_dataset"]["Eyeriss_JSSC17"]
    counts = [dataset[name] for name in ("rows", "scored", "reported", "skipped")]
    assert counts == [3, 1, 1, 1]
    assert dataset["mape_covers"] == figures["mape_covers"] == "scored"
    assert dataset["mape"] == dataset["max"] == dataset["by_metric"]["processing_latency"]
    assert dataset["reported_by_metric"] == {"active_PEs": 0.0}
    assert dataset["reported_mape"] == 0.0
    # A dataset of which nothing is predicted has its line too.
    elsewhere = figures["by_dataset"]["Elsewhere"]
    assert (elsewhere["rows"], elsewhere["mape"], elsewhere["mape_covers"]) == (1, None, "no row")
    reasons = list(report.table["skipped"])
    assert reasons[:2] == ["", ""]
    for reason, said in zip(
        reasons[2:], ("CONV5", "NVDLA 64 MAC", "idle/busy_W", "Elsewhere"), strict=True
    ):
        assert said in reason


def test_facts_come_from_the_same_run(tmp_path):
    run = "TPUv1_ISCA17,TPU v1,1,LSTM0,64,"
    path = write(
        tmp_path,
        f"{run},weights_M,26,,x",
        f"{run},ops_per_weight_byte,64,,x",
        f"{run},achieved_TOPS,3.7,,x",
    )
    half = validate("published", path).table["predicted"].iloc[2]
    facts = {"weights_M": 26.0, "ops_per_weight_byte": 64.0}
    assert half == pytest.approx(tpu_v1.achieved_tops("LSTM0", facts))
    assert half != pytest.approx(tpu_v1.achieved_tops("LSTM0", {}))


def test_servers():
    facts = {"samples_per_s": 200e3, "prerun_min_system_W": 600.0}
    found = gpu_rows.wall_power("NVIDIA A100-PCIe-80GB", "resnet50", facts)
    assert 600 < found < 600 + 8 * 300 / gpu_rows.SUPPLY
    with pytest.raises(InputError, match="samples_per_s"):
        gpu_rows.wall_power("NVIDIA A100-SXM-80GB", "resnet50", {})
    with pytest.raises(InputError, match="chip"):
        gpu_rows.wall_power("Abacus 2", "resnet50", facts)
    # The card has less power for the same die.
    card, module = (
        gpu_rows.ceiling(f"A100 {x}", "GEMM 2048x5120x6144", "bf16") for x in ("PCIe", "SXM")
    )
    assert 0.6 * module < card < module < 312


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEADER}\nEyeriss_JSSC17,Eyeriss v1", "2 cells"),
        ("dataset,chip,metric\nEyeriss,Eyeriss v1,power", "missing: value"),
        (HEADER, "no rows"),
    ],
)
def test_bad_files(tmp_path, capsys, text, said):
    path = tmp_path / "rows.csv"
    path.write_text(text + "\n")
    assert main(["validate", "published", str(path)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line != "predicting ..."]
    assert said in line


# A row as other tables write it: what of it is scored (None: not), or why it is skipped.
OTHERS = [
    ("Eyeriss,Eyeriss v1,1,CONV5,4,,processing_latency,10,ms,x", True),
    ("JSSC17,Eyeriss,1,VGG16 conv5_3,,,Processing latency (s),0.0485,,x", True),
    ("Eyeriss,Eyeriss v1,1,AlexNet (5 conv layers),,,power,0.278,W,x", True),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV1-5,16,core 250 MHz,fps,34.7,frames/s,x", False),
    ("Eyeriss,Eyeriss v2,1,AlexNet CONV5,4,,power,236,mW,x", "Eyeriss v2"),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV5,0.5,,power,236,mW,x", "batch"),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV5,1e9,,power,236,mW,x", "batch"),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV5,4,0MHz core,power,236,mW,x", "config"),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV5,4,9V,power,236,mW,x", "config"),
    ("Eyeriss,Eyeriss v1,1,AlexNet FC6,4,,power,236,mW,x", "CONV5"),
    ("Eyeriss,Eyeriss v1,1,,4,,power,236,mW,x", "alexnet"),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV5,4,,power,,mW,x", "no number"),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV5,4,,power,-3,mW,x", "no number"),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV5,4,,power,236,furlong,x", "unit"),
    ("Eyeriss,Eyeriss v1,1,AlexNet CONV5,4,,,236,mW,x", "not modelled"),
    ("nvdla,NVDLA-32,1,ResNet-50,1,,cell_area_16nm,470000,um2,x", True),
    ("NVDLA_primer,nvdla 128 mac,,,,1000 MHz 16nm 0.25 MB,Peak power,82,,x", True),
    ("NVDLA_primer,NVDLA 128 MAC,,,,,cell_area_28nm,1.4,mm2,x", False),
    ("NVDLA_primer,NVDLA 128 MAC,,,,,cell_area_0nm,1.4,mm2,x", "0 nm"),
    ("NVDLA_primer,NVDLA 128 MAC,,,,0 GHz,peak_power,82,mW,x", "config"),
    ("NVDLA_primer,nv_small,,,,,peak_power,55,mW,x", "chip"),
    ("NVDLA_primer,NVDLA 128 MAC,,,,,latency,55,mW,x", "metric"),
    ("TPUv1,TPUv1,1,mlp-1,168,,achieved TOPS,9.7,TOP/s,x", True),
    ("TPUv1,TPU v1,1,CNN1,,,achieved_TOPS,14.1,,x", False),
    ("TPUv1,TPU v1,1,CNN9,,,achieved_TOPS,14.1,,x", "CNN9"),
    ("TPUv1,K80 die,1,CNN1,,,achieved_TOPS,14.1,,x", "K80"),
    ("MAMF,A100 SXM,1,GEMM 0x1x1,,bf16,max_TFLOPs,270,TFLOP/s,x", "sizes"),
    ("MAMF,Abacus,1,GEMM 8x8x8,,bf16,max_TFLOPs,270,TFLOP/s,x", "chip"),
    ("MAMF,A100 SXM,1,GEMM 8x8x8,,fp3,max_TFLOPs,270,TFLOP/s,x", "number_format"),
    (",,,,,,,,,", "not modelled"),
]  # fmt: skip


def test_rows_in_other_words(tmp_path):
    report = validate("published", write(tmp_path, *(row for row, _ in OTHERS)))
    found = report.table[["predicted", "scored", "skipped"]].itertuples(index=False)
    for (row, wanted), (predicted, scored, skipped) in zip(OTHERS, found, strict=True):
        if isinstance(wanted, str):
            assert wanted in skipped, row
        else:
            assert (predicted > 0, scored, skipped) == (True, wanted, ""), row
    # The same figure in another unit is as wrong.
    assert abs(report.table["error"][1]) < 0.12
    assert abs(report.table["error"][2]) < 0.2
    assert abs(report.table["error"][15]) < 0.15


@given(
    st.text(max_size=30),
    st.text(max_size=12),
    st.text("0123456789. GMHzVcorelinknm KB", max_size=24),
    st.text(max_size=8),
)
def test_any_text_is_read(workload, number, config, unit):
    """Whatever a cell holds is a value, or one clear line."""
    for read in (
        lambda: networks.find_layers(workload),
        lambda: networks.find_layers(f"VGG16 {workload}"),
        lambda: nvdla.read_configuration(f"NVDLA {number} MAC", config),
        lambda: eyeriss.operating_point(config),
        lambda: rescale(1.0, "mW", unit),
    ):
        with contextlib.suppress(InputError):
            assert read()
    metric, left = read_metric(workload, ("power",))
    assert metric in ("power", workload)
    assert not left or left in workload


def test_units():
    assert rescale(3.0, "mW", "W") == pytest.approx(3e-3)
    assert rescale(3.0, "ms", "us") == pytest.approx(3e3)
    assert rescale(3.0, "mm2", "um2") == pytest.approx(3e6)
    assert rescale(3.0, "TOPS", "GOP/s") == pytest.approx(3e3)
    assert rescale(3.0, "TFLOP/s", "") == 3.0
    with pytest.raises(InputError, match="needed: mW"):
        rescale(3.0, "mW", "ms")
    assert read_metric("Peak power (W)", ("peak_power", "power")) == ("peak_power", "W")
    assert read_metric("power_mW", ("peak_power", "power")) == ("power", "mW")
    assert read_metric("achieved_TOPS", ("achieved_TOPS",)) == ("achieved_TOPS", "")
    assert read_metric("p99_latency_ms", ("power",)) == ("p99_latency_ms", "")


def test_shared_measurements(tmp_path, capsys):
    file, out = shared(), tmp_path / "run"
    assert main(["validate", "published", str(file), "--json", "--out", str(out)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["scored"] + figures["reported"] + figures["skipped"] == figures["rows"]
    datasets = figures["by_dataset"]
    assert datasets["NVDLA_primer"]["max"] < 0.15
    assert datasets["TPUv1_ISCA17"]["max"] < 0.20
    of_eyeriss = datasets["Eyeriss_JSSC17"]
    assert of_eyeriss["max"] < 0.12
    assert of_eyeriss["reported_by_metric"]["active_PEs"] == 0
    assert all(part["mape"] < 0.2 for part in datasets.values())
    assert (out / "errors.csv").exists()
    assert (out / "predicted_vs_measured.png").exists()
