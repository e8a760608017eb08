"""`dse validate published`: NVDLA's series, TPU v1, servers; rows scored, reported, skipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dse.cli.main import main
from dse.validation import gpu_rows, networks, nvdla, tpu_v1, validate
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
    for text in ("AlexNet CONV6", "LeNet"):
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

SERIES = {  # nvdla.org primer: cell area [mm2] and peak power [mW] at 16 nm; buffer [KB]
    2048: (512, 3.3, 766),
    512: (256, 1.4, 210),
    64: (128, 0.55, 55),
}


@pytest.mark.parametrize("units", SERIES)
def test_nvdla_series(units):
    buffer, area, power = SERIES[units]
    chip, config = f"NVDLA {units} MAC", f"1GHz 16nm CBUF {buffer} KB"
    found = [
        nvdla.predict(x, chip, "ResNet-50 int8", config) for x in ("cell_area_16nm", "peak_power")
    ]
    assert found == pytest.approx([area, power], rel=0.15)


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
    [("MLP0", 12.3), ("LSTM0", 3.7), ("CNN0", 86.0)],  # ISCA 2017, Table 3
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
    assert dataset["rows"] == 2
    assert dataset["scored"] == 1
    assert dataset["mape"] == dataset["max"] == dataset["by_metric"]["processing_latency"]
    assert dataset["reported"] == {"active_PEs": 0.0}
    reasons = list(report.table["skipped"])
    assert reasons[:2] == ["", ""]
    for reason, said in zip(
        reasons[2:], ("CONV5", "NVDLA 64 MAC", "28/40", "Elsewhere"), strict=True
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
    ("row", "said"),
    [
        ("Eyeriss_JSSC17,,1,AlexNet CONV3,4,,power,266,mW,x", "line 2, chip"),
        ("Eyeriss_JSSC17,Eyeriss v1,1,AlexNet CONV3,4,,power,,mW,x", "line 2, value"),
        ("Eyeriss_JSSC17,Eyeriss v1", "2 cells"),
    ],
)
def test_bad_files(tmp_path, capsys, row, said):
    assert main(["validate", "published", str(write(tmp_path, row))]) == 2
    assert said in capsys.readouterr().err


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
    assert of_eyeriss["reported"]["active_PEs"] == 0
    assert all(part["mape"] < 0.2 for part in datasets.values())
    assert (out / "errors.csv").exists()
    assert (out / "predicted_vs_measured.png").exists()
