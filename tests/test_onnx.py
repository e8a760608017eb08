"""ONNX models: every operator against the standard's own evaluator, networks, hostile files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hwmodels.errors import InputError
from hwmodels.workloads import Workload, load_workload, trace
from hwmodels.workloads.importers.onnx import _narrow, _run
from hwmodels.workloads.importers.onnx_operators import OPERATORS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 6, 7, 5)).astype(np.float32)
ROWS = RNG.normal(size=(3, 8)).astype(np.float32)
POSITIVE = np.abs(ROWS) + 0.5


def ints(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


def weight(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


# operator -> cases of (operands, attributes)
CASES: dict[str, list[tuple[list[np.ndarray], dict[str, Any]]]] = {
    **{name: [([ROWS], {})] for name in (
        "Neg", "Abs", "Exp", "Erf", "Tanh", "Sin", "Cos", "Floor", "Ceil", "Round", "Sign", "Relu",
        "Sigmoid", "Softplus", "Softsign", "Mish", "HardSwish", "Identity", "IsNaN", "Gelu",
        "Softmax", "LogSoftmax", "LeakyRelu", "Elu", "Selu", "HardSigmoid", "Shape", "Size",
        "Flatten", "Transpose", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd",
        "ReduceL2", "ReduceSumSquare", "ArgMax", "ArgMin", "Dropout", "Trilu",
    )},
    **{name: [([POSITIVE], {})] for name in ("Log", "Sqrt", "Reciprocal")},
    **{name: [([ROWS, weight(8)], {})] for name in (
        "Add", "Sub", "Mul", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Max",
        "Min", "Sum", "PRelu",
    )},
    "Div": [([ROWS, POSITIVE], {}), ([ints(7, 9), ints(2, 4)], {})],
    "Mod": [([ints(7, 9), ints(2, 4)], {})],
    "Pow": [([POSITIVE, np.float32([2])], {})],
    "Not": [([ROWS > 0], {})], "And": [([ROWS > 0, ROWS < 1], {})],
    "Or": [([ROWS > 0, ROWS < 1], {})], "Where": [([ROWS > 0, ROWS, POSITIVE], {})],
    "MatMul": [([ROWS, weight(8, 5)], {}), ([X, weight(5, 3)], {})],
    "Gemm": [([ROWS, weight(5, 8), weight(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0})],
    "Einsum": [([ROWS, weight(8, 5)], {"equation": "ij,jk->ki"})],
    "Conv": [
        ([X, weight(4, 6, 3, 2), weight(4)], {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
        ([X, weight(6, 2, 3, 3)], {"group": 3, "dilations": [2, 1]}),
        ([X, weight(4, 6, 3, 3)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ([X[..., 0], weight(4, 6, 3)], {"pads": [1, 1]}),
    ],
    "ConvTranspose": [
        ([X, weight(6, 4, 3, 2), weight(4)], {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
        ([X, weight(6, 4, 2, 2)], {"strides": [2, 2], "output_padding": [1, 0]}),
    ],
    "MaxPool": [([X], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
                ([X], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})],
    "AveragePool": [([X], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
                    ([X], {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1})],
    "GlobalAveragePool": [([X], {})], "GlobalMaxPool": [([X], {})],
    # As many images as channels: the standard's evaluator does only that many channels.
    "LRN": [([weight(6, 6, 3, 2)], {"size": size, "alpha": 0.3, "bias": 2.0}) for size in (3, 4)],
    "BatchNormalization": [([X, *(weight(6) for _ in range(3)), np.abs(weight(6))], {})],
    "LayerNormalization": [([X, weight(5), weight(5)], {}), ([X, weight(7, 5)], {"axis": 2})],
    "RMSNormalization": [([X, weight(5)], {})],
    "InstanceNormalization": [([X, weight(6), weight(6)], {})],
    "GroupNormalization": [([X, weight(6), weight(6)], {"num_groups": 3})],
    "Clip": [([ROWS, np.float32(-0.5), np.float32(0.5)], {})],
    "Cast": [([ROWS], {"to": TensorProto.INT32})], "CastLike": [([ROWS, ints(1)], {})],
    "TopK": [([ROWS, ints(3)], {})], "CumSum": [([ROWS, np.int64(1)], {})],
    "Reshape": [([X, ints(0, -1, 5)], {})], "Squeeze": [([X[:, :1], ints(1)], {})],
    "Unsqueeze": [([ROWS, ints(0, 2)], {})], "Concat": [([ROWS, POSITIVE], {"axis": 1})],
    "Split": [([ROWS, ints(3, 5)], {"axis": 1}), ([ROWS], {"axis": 1, "num_outputs": 2})],
    "Slice": [([X, ints(1, 4), ints(2**62, 0), ints(1, 3), ints(2, -1)], {})],
    "Gather": [([ROWS, ints(2, 0)], {}), ([ROWS, np.int64(1)], {"axis": 1})],
    "GatherElements": [([ROWS, np.int64([[1, 0], [2, 2], [7, 3]])], {"axis": 1})],
    "Expand": [([weight(3, 1), ints(2, 3, 4)], {})], "Tile": [([ROWS, ints(2, 3)], {})],
    "Pad": [([ROWS, ints(1, 0, 2, 3)], {}), ([ROWS, ints(1, 2, 1, 2)], {"mode": "reflect"})],
    "ConstantOfShape": [([ints(2, 3)], {})],
    "Range": [([np.float32(1), np.float32(7), np.float32(2)], {})],
    "Resize": [([X, np.float32([]), np.float32([1, 1, 2, 2])], {"mode": "nearest"})],
    "DepthToSpace": [([weight(1, 8, 2, 3)], {"blocksize": 2})],
}  # fmt: skip
# Deprecated: the standard's evaluator has it no more.
OLD = {"Upsample"}
PARTS = {"Split": 2, "TopK": 2}


def graph_of(name: str, operands: list[np.ndarray], attributes: dict[str, Any]) -> Any:
    inputs = [f"x{i}" for i in range(len(operands))]
    if name == "Resize":
        inputs[1] = ""
    outputs = [f"y{i}" for i in range(PARTS.get(name, 1))]
    node = helper.make_node(name, inputs, outputs, **attributes)
    infos = [
        helper.make_tensor_value_info(i, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for i, x in zip(inputs, operands, strict=True) if i
    ]  # fmt: skip
    results = [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in outputs]
    graph = helper.make_graph([node], "one", infos, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])


def test_every_operator_has_a_case() -> None:
    assert set(CASES) | OLD == set(OPERATORS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_operators_do_what_the_standard_says(name: str) -> None:
    for operands, attributes in CASES[name]:
        model = graph_of(name, operands, attributes)
        given = {f"x{i}": x for i, x in enumerate(operands)}
        if name == "Resize":
            del given["x1"]
        expected = ReferenceEvaluator(model).run(None, given)
        narrow = {k: _narrow(np.asarray(v)) for k, v in given.items()}
        shaped = {k: v for k, v in narrow.items() if k == "x0" and v.dtype == np.float32}
        found = jax.jit(
            lambda shaped, narrow=narrow, model=model: _run(
                Path("model.onnx"), model.graph, {**narrow, **shaped},
                [y.name for y in model.graph.output],
            )
        )(shaped if name != "Range" else {})  # fmt: skip
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == np.shape(theirs)
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def saved(folder: Path, nodes: list[Any], inputs: Any, outputs: Any, weights: Any) -> Path:
    tensors = [
        numpy_helper.from_array(np.asarray(w), name) if not isinstance(w, tuple)
        else helper.make_tensor(name, TensorProto.FLOAT, w, np.zeros(w).ravel())
        for name, w in weights.items()
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info(n, kind, shape) for n, kind, shape in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs], tensors,
    )  # fmt: skip
    path = folder / "net.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    path.write_bytes(model.SerializeToString())
    return path


def network(folder: Path, batch: int | str = "N") -> Path:
    """A convolution of 5 kernels of 3 x 3 on 11 x 9 images, pooling, a residual, a classifier whose
    input is flattened by a chain of shapes as exporters write it."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], strides=[2, 2]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        node("Add", ["b", "c"], ["d"]),
        node("Shape", ["d"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axis"], ["n1"]),
        node("Concat", ["n1", "rest"], ["to"], axis=0),
        node("Reshape", ["d", "to"], ["e"]),
        node("Gemm", ["e", "w3", "b3"], ["y"], transB=1),
    ]
    return saved(folder, nodes, [("x", TensorProto.FLOAT, (batch, 3, 11, 9))], ["y"], {
        "w1": (5, 3, 3, 3), "b1": (5,), "w2": (5, 5, 3, 3), "w3": (7, 100), "b3": (7,),
        "zero": np.int64(0), "axis": np.int64([0]), "rest": np.int64([-1]),
    })  # fmt: skip


def products(workload: Workload) -> list[tuple[float, ...]]:
    return sorted((r.m, r.n, r.k) for r in workload.rows if r.kind == "contraction")


def test_a_network_by_hand(tmp_path: Path) -> None:
    path = network(tmp_path)
    found = load_workload(str(path))
    # 5 x 4 outputs of 5 kernels of 27 taps; 45 taps; 100 numbers to 7 classes.
    assert products(found) == [(1, 7, 100), (20, 5, 27), (20, 5, 45)]
    assert load_workload(f"{path}@batch=6").macs == 6 * found.macs
    parameters = sum(t.elements for t in found.footprints if t.role == "parameter")
    assert parameters == 135 + 5 + 225 + 700 + 7
    assert "uncosted" not in found.coverage.values()
    assert load_workload(str(path), batches=3).samples == 3


def test_training_is_of_all_weights(tmp_path: Path) -> None:
    found = load_workload(f"{network(tmp_path)}@train,batch=4")
    assert found.training
    forward = sum(r.count * r.macs for r in found.rows if r.phase == "forward")
    backward = sum(r.count * r.macs for r in found.rows if r.phase == "backward")
    assert 1.5 < backward / forward < 2.2
    assert sum(t.elements for t in found.gradients) == 135 + 5 + 225 + 700 + 7


def test_a_transformer_block_is_what_jax_traces(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "wq"], ["q"]), node("MatMul", ["x", "wk"], ["k"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]), node("MatMul", ["q", "kt"], ["s"]),
        node("Softmax", ["s"], ["p"]), node("MatMul", ["p", "x"], ["o"]),
        node("Gelu", ["o"], ["y"]),
    ]  # fmt: skip
    inputs = [("x", TensorProto.FLOAT, ("N", "S", 24))]
    path = saved(tmp_path, nodes, inputs, ["y"], {"wq": (24, 16), "wk": (24, 16)})
    found = load_workload(f"{path}@batch=3,sequence=10")

    def block(weights: Any, x: Any) -> Any:
        s = (x @ weights["wq"]) @ jnp.swapaxes(x @ weights["wk"], 1, 2)
        return jax.nn.gelu(jax.nn.softmax(s, -1) @ x, approximate=False)

    shapes = {name: jax.ShapeDtypeStruct((24, 16), jnp.float32) for name in ("wq", "wk")}
    same = trace(block, shapes, jax.ShapeDtypeStruct((3, 10, 24), jnp.float32), parameters=0)
    assert products(found) == products(same)
    assert found.macs == same.macs
    with pytest.raises(InputError, match=r"input x: got axis 1 is S; give its size"):
        load_workload(str(path))


# Models that the standard's package comes with (weights made by nodes), and the multiply-adds [1e9]
# that torchvision publishes for these networks; AlexNet's in two columns is of the paper's size.
PACKAGED = {"resnet50": 4.09, "vgg19": 19.63, "densenet121": 2.83, "squeezenet": 0.35,
            "bvlc_alexnet": 0.66}  # fmt: skip


@pytest.mark.parametrize("name", PACKAGED)
def test_published_models(name: str) -> None:
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    found = load_workload(str(folder / f"light_{name}.onnx"))
    assert found.macs == pytest.approx(PACKAGED[name] * 1e9, rel=0.02)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([("NoSuch", ["x"], ["y"])], "operator NoSuch"),
        ([("If", ["x"], ["y"])], "operator If"),
        ([("Add", ["x", "z"], ["y"])], "no tensor 'z'"),
        ([("MatMul", ["x", "x"], ["y"])], "operands that fit"),
        ([("Reshape", ["x", "x"], ["y"])], "depends on data"),
        ([("Relu", ["x"], ["z"])], "output: got y"),
        ([("Add", ["z", "x"], ["y"]), ("Relu", ["y"], ["z"])], "no tensor 'z'"),
    ],
)
def test_bad_graphs_are_one_line(tmp_path: Path, nodes: Any, said: str) -> None:
    made = [helper.make_node(*node) for node in nodes]
    path = saved(tmp_path, made, [("x", TensorProto.FLOAT, (3, 4))], ["y"], {})
    with pytest.raises(InputError) as caught:
        load_workload(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_outside_are_never_opened(tmp_path: Path) -> None:
    path = network(tmp_path)
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    path.write_bytes(model.SerializeToString())
    assert products(load_workload(str(path))) == [(1, 7, 100), (20, 5, 27), (20, 5, 45)]


def test_mutated_models_give_no_traceback(tmp_path: Path) -> None:
    rng, path = random.Random(3), network(tmp_path, 2)
    whole = path.read_bytes()
    # The weights' zeros say nothing: mutate what is not one of them.
    places = [i for i, b in enumerate(whole) if b]
    good = 0
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            data[rng.choice(places)] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.choice(places) :]
        path.write_bytes(bytes(data))
        try:
            load_workload(str(path))
            good += 1
        except InputError as error:
            line = str(error)
            if "\n" in line:
                raise AssertionError(line) from error
    assert good > 0
