"""Files of other tools: layers by hand, round trips, and mutations that never give a traceback."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from hwmodels.errors import InputError
from hwmodels.workloads import Workload, load_workload
from hwmodels.workloads.importers.exporting import export
from hwmodels.workloads.importers.files import load_file
from hwmodels.workloads.importers.layers import Layer, layers_of
from hwmodels.workloads.operation import Convolution
from hwmodels.workloads.settings import Settings

SHARED = Path(__file__).parents[2] / "shared" / "data" / "workloads"

# One image of 11 x 9 with 3 channels, 5 kernels of 3 x 3, stride 2: 5 x 4 outputs.
CONV = Convolution(n=1, c=3, k=5, p=5, q=4, r=3, s=3, stride_h=2, stride_w=2)
TOPOLOGY = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, \
Num Filter, Strides,
Conv1, 11, 9, 3, 3, 3, 5, 2,
Conv2, 5, 4, 1, 1, 5, 7, 1,
"""
GEMMS = "Layer, M, N, K,\nqkv, 128, 96, 32,\nout, 128, 32, 33,\n"
PLAIN = "Name,batch,M,K,N,count\nscores,12,128,64,128,3\nup,1,7,11,13,1\n"
TABLE = """network,layer,R,S,P,Q,C,K,N,Wstride,Hstride,Wdilation,Hdilation,count,shape
x,a,3,1,5,4,3,5,2,2,1,1,1,4,cnn-layer
x,b,1,1,128,1,768,64,2,1,1,1,1,1,cnn-layer
"""
TIMELOOP = """!Problem
problem:
  version: 0.4
  shape:
    name: conv
    dimensions: [C, M, R, S, N, P, Q]
    coefficients:
    - {name: Wstride, default: 1}
    - {name: Hstride, default: 1}
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]], [[S]]]}
    - name: Inputs
      projection: [[[N]], [[C]], [[R], [P, Wstride]], [[S], [Q, Hstride]]]
    - {name: Outputs, projection: [[[N]], [[M]], [[Q]], [[P]]], read_write: true}
  instance: {C: 3, M: 5, R: 3, S: 3, N: 1, P: 5, Q: 4, Wstride: 2, Hstride: 2}
---
problem:
  shape: cnn-layer
  C: 256
  K: 512
  R: 3
  S: 3
  P: 56
  Q: 56
  N: 1
"""
ACCELFORGE = """workload:
  rank_sizes: {B: 2, M: 7, P: 7, H: 3, E: 5, D: 15, F: 28}
  bits_per_value: {All: 8}
  einsums:
  - einsum: "I[b, m, d] = copy(I_in[b, m, d])"
  - "Q[b, m, h, e] = I[b, m, d] * WQ[h, e, d]"
  - "K[b, m, h, e] = I[b, m, d] * WK[h, e, d]"
  - einsum: "QK[b, m, p, h] = Q[b, m, h, e] * K[b, M: p, h, e]"
  - name: Depthwise
    tensor_accesses:
    - name: T
      projection: {P0: f + r, D: d}
    - {name: WD, projection: [r, d]}
    - {name: TD, projection: [f, d], output: True}
    iteration_space_shape: [0 <= r < 3]
"""
ZIGZAG = """- id: 0
  operator_type: Conv
  equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, K, C, OY, OX, FY, FX]
  loop_sizes: [1, 5, 3, 5, 4, 3, 3]
  operand_precision: {W: 8, I: 8, O: 16, O_final: 8}
  operand_source: {I: 0, W: 0}
- id: 1
  operator_type: Pooling
  equation: O[b][g][oy][ox]+=W[fx][fy]*I[b][g][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, G, OY, OX, FX, FY]
  loop_sizes: [1, 5, 2, 2, 3, 3]
  operand_precision: {I: 8, W: 0, O: 16, O_final: 8}
- id: 2
  operator_type: Add
  equation: O[b][g][oy][ox]=W[b][g][oy][ox]+I[b][g][oy][ox]
  loop_dims: [B, G, OY, OX]
  loop_sizes: [1, 5, 2, 2]
"""
LLAMA = json.dumps({
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32,
    "vocab_size": 128256, "max_position_embeddings": 8192, "tie_word_embeddings": False,
})  # fmt: skip
FILES = {
    "topology.csv": TOPOLOGY, "gemms.csv": GEMMS, "plain.csv": PLAIN, "table.csv": TABLE,
    "timeloop.yaml": TIMELOOP, "accelforge.yaml": ACCELFORGE, "zigzag.yml": ZIGZAG,
    "config.json": LLAMA,
}  # fmt: skip


def read(folder: Path, name: str, text: str, **settings: object) -> Workload:
    path = folder / name
    path.write_text(text)
    return load_file(str(path), Settings(**settings))  # type: ignore[arg-type]


def products(workload: Workload) -> list[tuple[float, ...]]:
    return [(x.batch, x.m, x.n, x.k, x.count) for x in layers_of(workload)]


def test_scalesim(tmp_path: Path) -> None:
    found = read(tmp_path, "topology.csv", TOPOLOGY)
    assert layers_of(found)[0].convolution == CONV
    assert products(found) == [(1, 20, 5, 27, 1), (1, 20, 7, 5, 1)]
    assert found.macs == 20 * 5 * 27 + 20 * 7 * 5
    # Words of 16 bits: image, kernels, result, and the second layer's.
    assert found.bytes == 2 * (11 * 9 * 3 + 5 * 27 + 20 * 5 + 20 * 5 + 35 + 140)
    assert products(read(tmp_path, "gemms.csv", GEMMS)) == [
        (1, 128, 96, 32, 1),
        (1, 128, 32, 33, 1),
    ]


def test_plain_tables(tmp_path: Path) -> None:
    assert products(read(tmp_path, "plain.csv", PLAIN)) == [
        (12, 128, 128, 64, 3),
        (1, 7, 13, 11, 1),
    ]
    found = read(tmp_path, "table.csv", TABLE)
    assert products(found) == [(1, 40, 5, 9, 4), (1, 256, 64, 768, 1)]
    assert found.samples == 2
    first = layers_of(found)[0].convolution
    assert first is not None
    assert (first.stride_h, first.stride_w) == (2, 1)


def test_timeloop(tmp_path: Path) -> None:
    found = layers_of(read(tmp_path, "problem.yaml", TIMELOOP))
    assert found[0].convolution == CONV
    assert found[1].convolution == Convolution(n=1, c=256, k=512, p=56, q=56, r=3, s=3)


def test_accelforge(tmp_path: Path) -> None:
    found = read(tmp_path, "workload.yaml", ACCELFORGE)
    rows = {row.name: row for row in found.rows}
    assert rows["I"].kind == "vector"
    assert rows["I"].simple == 2 * 7 * 15
    q, scores, depth = rows["Q"], rows["QK"], rows["Depthwise"]
    assert (q.batch, q.m, q.n, q.k) == (1, 14, 15, 15)
    assert q.reads[1].role == "parameter"
    # Heads and samples are batches, keys of the other rank: nothing is a weight.
    assert (scores.batch, scores.m, scores.n, scores.k) == (6, 7, 7, 5)
    assert scores.reads[1].role == "activation"
    assert depth.convolution == Convolution(n=1, c=1, k=1, p=28, q=1, r=3, s=1, groups=15)
    assert q.reads[0].bits == 8


def test_zigzag(tmp_path: Path) -> None:
    found = read(tmp_path, "net.yml", ZIGZAG)
    assert layers_of(found)[0].convolution == CONV
    assert [row.kind for row in found.rows] == ["contraction", "vector", "vector"]
    assert found.rows[1].simple == 5 * 4 * 9
    assert found.rows[2].simple == 5 * 4


def test_hugging_face(tmp_path: Path) -> None:
    found = read(tmp_path, "config.json", LLAMA, mode="decode", batch=2, context=64)
    same = load_workload("llama3-8b@decode,batch=2,context=64")
    assert [t.elements for t in found.footprints] == [t.elements for t in same.footprints]
    assert found.macs == same.macs
    bert = {"model_type": "bert", "hidden_size": 768, "num_attention_heads": 12,
            "num_hidden_layers": 12, "intermediate_size": 3072, "vocab_size": 30522,
            "max_position_embeddings": 512, "type_vocab_size": 2}  # fmt: skip
    found = read(tmp_path, "config.json", json.dumps(bert), mode="infer", batch=1)
    assert found.macs == load_workload("bert-base@infer,batch=1").macs


def test_training_by_the_standard_backward_rules(tmp_path: Path) -> None:
    found = read(tmp_path, "plain.csv", "m,n,k\n7,5,3\n7,2,5\n", mode="train")
    sizes = {(r.phase, r.m, r.n, r.k) for r in found.rows if r.kind == "contraction"}
    assert sizes == {
        ("forward", 7, 5, 3), ("backward", 3, 5, 7),
        ("forward", 7, 2, 5), ("backward", 7, 5, 2), ("backward", 5, 2, 7),
    }  # fmt: skip
    update = found.rows[-1]
    assert len(update.reads) == 4
    assert len(update.writes) == 3
    assert update.bytes == 7 * 4 * (15 + 10)
    assert update.flops == 14 * 25  # as traced from optax
    assert found.training


def test_a_batch_scales_what_has_samples(tmp_path: Path) -> None:
    one = read(tmp_path, "topology.csv", TOPOLOGY)
    many = read(tmp_path, "topology.csv", TOPOLOGY, batch=6)
    assert many.macs == 6 * one.macs
    assert many.samples == 6
    path = tmp_path / "topology.csv"
    assert load_workload(str(path), batches=2).macs == 2 * one.macs


@pytest.mark.parametrize("kind", ["csv", "scalesim", "timeloop"])
@pytest.mark.parametrize(
    "name", ["topology.csv", "gemms.csv", "plain.csv", "table.csv", "zigzag.yml"]
)
def test_round_trips_keep_every_dimension(tmp_path: Path, kind: str, name: str) -> None:
    first = layers_of(read(tmp_path, name, FILES[name]))
    suffix = "yaml" if kind == "timeloop" else "csv"
    second = layers_of(read(tmp_path, f"again.{suffix}", export(
        read(tmp_path, name, FILES[name]), kind)))  # fmt: skip

    def runs(layers: list[Layer]) -> dict[tuple[object, ...], int]:
        found: dict[tuple[object, ...], int] = {}
        for x in layers:
            shape = x.convolution
            # SCALE-Sim has no batches, and writes what it cannot say of a convolution as products.
            exact = kind != "scalesim" or name in ("topology.csv", "zigzag.yml")
            key: tuple[object, ...] = (x.m, x.n, x.k, *((x.batch, shape) if exact else ()))
            found[key] = found.get(key, 0) + x.count * (1 if exact else x.batch)
        return found

    assert runs(first) == runs(second)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the layer tables beside the repository")
def test_given_tables_add_up() -> None:
    import pandas as pd

    for path in sorted(SHARED.glob("*.csv")):
        table = pd.read_csv(path)
        found = load_workload(str(path))
        assert found.macs == (table["macs_per_layer"] * table["count"]).sum(), path.name


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "no layers"),
        ("a.csv", "a,b\n1,2\n", "header: got a, b"),
        ("a.csv", "m,n,k\n1,2,x\n", "line 2, k: got x"),
        ("a.csv", "m,n,k\n1,2,3\n\n1,2\n", "line 4, k: got nothing"),
        ("a.csv", "m,n,k\n1,2,99999999999\n", "line 2, k: got 99999999999"),
        ("a.csv", 'm,n,k\n1,"2\n', "line 2"),
        ("a.csv", TOPOLOGY.replace("11, 9, 3", "2, 9, 3"), "line 2, filter: got 3 x 3"),
        ("a.yaml", "a: &x [1]\nb: *x\n", "an alias"),
        ("a.yaml", "a: 1\na: 2\n", "or twice"),
        ("a.yaml", "a: [1\n", "line 2"),
        ("a.yaml", "[" * 200, "nested deeper"),
        ("a.yaml", "!!python/object/apply:os.system [ls]", "zigzag"),
        ("a.yaml", "{% set x = 1 %}", "Jinja template"),
        ("a.yaml", "problem: 3", "problem 1, problem: got 3"),
        ("a.yaml", TIMELOOP.replace("C: 3,", "C: -3,"), "problem 1, C: got -3"),
        ("a.yaml", TIMELOOP.replace("[[C]], [[M]]", "[[C]], [[Z]]"), "Weights, projection"),
        ("a.yaml", TIMELOOP.replace("[P, Wstride]", "[P, Xstride]"), "coefficient: got Xstride"),
        ("a.yaml", ZIGZAG.replace("[1, 5, 3, 5, 4, 3, 3]", "[1, 5]"), "layer 0, loop_sizes: got 2"),
        ("a.yaml", ZIGZAG.replace("+=W", "-=W"), "layer 0, equation"),
        ("a.yaml", ACCELFORGE.replace("E: 5,", ""), "dimension e: got no size"),
        ("a.json", "{", "allowed: a config.json"),
        ("a.json", "[]", "allowed: a mapping"),
        ("a.json", '{"model_type": "t6"}', "model_type: got t6"),
        ("a.json", '{"model_type": "llama"}', "hidden_size: got nothing"),
        ("a.json", LLAMA.replace("32,", "1000000000,"), "got 1000000000"),
        ("a.json", LLAMA.replace("4096", "NaN"), "NaN is no JSON"),
        ("../no.csv", "", "no such file"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    if not name.startswith(".."):
        path.write_text(text)
    if said == "zigzag":  # plain data under any tag: no layers, and nothing was run
        said = "layer 0"
    with pytest.raises(InputError) as caught:
        load_file(str(path), Settings())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


TOKENS = ("999999999999", "-1", "0", "1e9", "", "null", "[]", "{}", "&a", "*a", "!!binary x",
          "!x", "\x00", "\n", ",", ":", "../../etc/passwd", "true", "3.5", "[" * 70, "'", '"',
          "NaN")  # fmt: skip


def mutated(text: str, rng: random.Random) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        change = rng.randrange(5)
        if change == 0:
            del data[at:]
        elif change == 1:
            del data[at : at + rng.randint(1, 12)]
        elif change == 2:
            data[at:at] = rng.choice(TOKENS).encode()
        elif change == 3 and at < len(data):
            data[at] = rng.randrange(256)
        else:
            end = at + rng.randint(1, 20)
            data[at:at] = data[at:end] * rng.randint(1, 3)
        if not data:
            data = bytearray(b" ")
    return bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_mutated_files_give_no_traceback(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    path, good = tmp_path / name, 0
    begin, count = time.monotonic(), 1300 if name != "config.json" else 900
    settings = Settings(mode="decode", batch=1, context=2) if name == "config.json" else Settings()
    lines = []
    for _ in range(count):
        path.write_bytes(mutated(FILES[name], rng))
        try:
            load_file(str(path), settings)
            good += 1
        except InputError as error:
            lines.append(str(error))
    assert 0 < good < count
    assert all("\n" not in line for line in lines)
    assert time.monotonic() - begin < 120  # none hangs
