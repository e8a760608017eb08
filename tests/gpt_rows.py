"""A GPT's training step by hand, rows and marks written out as Megatron-LM partitions it."""

from __future__ import annotations

from hwmodels import Operation, Tensor, Workload
from hwmodels.workloads.operation import Saved


def tensor(role, elements, bits=16.0, error=False):
    return Tensor(role, float(elements), bits, error=error)


def product(name, phase, sizes, operands, count, **marks):
    batch, m, n, k = map(float, sizes)
    lhs, rhs, result = operands
    return Operation(
        "contraction", name, phase,
        (tensor(lhs, batch * m * k), tensor(rhs, batch * k * n)),
        (tensor(result, batch * m * n, 32.0 if result == "gradient" else 16.0),),
        count=count, batch=batch, m=m, n=n, k=k, flops=2 * batch * m * n * k, **marks,
    )  # fmt: skip


def vector(name, phase, elements, count, **marks):
    data = tensor("activation", elements)
    return Operation(
        "vector", name, phase, (data, data), (data,), count=count, simple=4.0 * elements,
        spread="all", **marks,
    )  # fmt: skip


def dense(name, layers, tokens, inputs, outputs, column, place="layers"):
    """A product with a weight, forward and backward: column- or row-parallel."""
    reduced = float(tokens * outputs), float(tokens * inputs)
    free, inner = ("n", "k") if column else ("k", "n")
    forward = {"split": free, "reduced": 0.0 if column else reduced[0]}
    backward = {"split": inner, "reduced": reduced[1] if column else 0.0}
    act, weight = "activation", "parameter"
    return [
        product(name, "forward", (1, tokens, outputs, inputs), (act, weight, act), layers,
                spread="m", place=place, **forward),
        product(f"{name} dx", "backward", (1, tokens, inputs, outputs), (act, weight, act), layers,
                spread="m", place=place, **backward),
        product(f"{name} dw", "backward", (1, inputs, outputs, tokens), (act, act, "gradient"),
                layers, spread="k", split="n" if column else "m", place=place),
    ]  # fmt: skip


def gpt(layers=6, hidden=96, heads=4, seq=40, vocab=200, samples=2):
    """The step of a GPT with fp32 state, fp16 activations; `tensor_divides` is `heads`."""
    tokens, h, b = samples * seq, hidden, samples
    act = ("activation",) * 3
    head = h // heads
    scores, values = (b * heads, seq, seq, head), (b * heads, seq, head, seq)
    core = {"split": "batch", "spread": "batch", "core": True}
    back = {"split": "batch", "spread": "batch"}
    block = [
        vector("norm", "forward", tokens * h, 2 * layers),
        *dense("qkv", layers, tokens, h, 3 * h, column=True),
        product("scores", "forward", scores, act, layers, **core),
        vector("softmax", "forward", b * heads * seq**2, layers, split="all", core=True),
        product("values", "forward", values, act, layers, **core),
        *dense("projection", layers, tokens, h, h, column=False),
        *dense("up", layers, tokens, h, 4 * h, column=True),
        vector("gelu", "forward", 4 * tokens * h, layers, split="all"),
        *dense("down", layers, tokens, 4 * h, h, column=False),
        vector("residual", "forward", tokens * h, 2 * layers),
        product("dscores", "backward", scores, act, 2 * layers, **back),
        product("dvalues", "backward", values, act, 2 * layers, **back),
        vector("dsoftmax", "backward", b * heads * seq**2, layers, split="all"),
        vector("dgelu", "backward", 4 * tokens * h, layers, split="all"),
        vector("dnorm", "backward", 2 * tokens * h, 2 * layers),
    ]
    table = vocab * h
    embedded = tensor("activation", tokens * h)
    first = [
        Operation("movement", "embed", "forward", (tensor("parameter", tokens * h, 32.0),),
                  (embedded,), spread="all", place="first", reduced=float(tokens * h)),
        Operation("movement", "dembed", "backward", (embedded,),
                  (tensor("gradient", tokens * h, 32.0),), spread="all", place="first"),
    ]  # fmt: skip
    last = [
        *dense("head", 1, tokens, h, vocab, column=True, place="last"),
        vector("loss", "forward", tokens * vocab, 1, split="all", place="last"),
        vector("dloss", "backward", tokens * vocab, 1, split="all", place="last"),
    ]
    parameters = 12 * layers * h**2 + 2 * table
    state = [tensor(role, n * parameters, 32.0) for role, n in STATE]
    update = Operation(
        "vector", "adam", "optimizer", tuple(state),
        (state[0], state[2]), simple=12.0 * parameters, special=parameters,
        split="all", place="optimizer",
    )  # fmt: skip
    sbh, square = tokens * h, b * heads * seq**2
    saved = (
        saving(5 * sbh, layers),
        saving(12 * sbh, layers, split=True),
        saving(2.5 * square, layers, split=True, core=True),
        saving(tokens * vocab, 1, place="last", split=True),
    )
    return Workload(
        name="gpt",
        rows=(*first, *block, *last, update),
        samples=float(samples),
        max_global_batch=1e6,
        training=True,
        footprints=(*state, tensor("activation", 34 * sbh)),
        gradients=(tensor("gradient", parameters, 32.0),),
        last_gradient_fraction=table / parameters,
        layers=float(layers),
        cut=embedded,
        saved=saved,
    )


STATE = (("parameter", 1), ("gradient", 1), ("optimizer_state", 2))


def saving(elements, count, place="layers", split=False, core=False):
    """Korthikanti et al. (2022): 10 bytes of s b h whole, 24 split, 5 of a s^2 b core."""
    return Saved(
        elements=float(elements), bits=16.0, count=float(count), place=place, split=split,
        spread=True, core=core,
    )  # fmt: skip
