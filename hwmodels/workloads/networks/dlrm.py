"""DLRM: a recommendation model (Naumov et al., 2019), with MLPerf's sizes for Criteo's terabyte.

    z0 = bottom(dense features);   z1..z26 = rows of the tables;   pairs = z_i . z_j for i < j
    click = sigmoid(top(z0, pairs))

13 dense features, 26 tables of 128 numbers a row and 187,767,399 rows together (MLPerf training,
at most 40 million each), bottom 512-256-128, top 1024-1024-512-256-1; 24.03 billion
parameters, 2.4 million of them in products. Training: SGD that touches only rows that were looked
up, as every implementation does; a dense gradient would be as large as the tables.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp

from hwmodels.workloads.networks.layers import F32, Shapes, dense, dense_shapes, shape
from hwmodels.workloads.networks.network import Network, inference, low
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.tracing import trace
from hwmodels.workloads.workload import Workload

FEATURES, TABLES, WIDTH, ROWS = 13, 26, 128, 187_767_399
BOTTOM = (FEATURES, 512, 256, 128)
PAIRS = (TABLES + 1) * TABLES // 2
TOP = (WIDTH + PAIRS, 1024, 1024, 512, 256, 1)
RATE = 0.1
SAMPLES = 2**18  # largest sensible global batch: four times MLPerf's 65,536, an assumption


def shapes() -> Shapes:
    """Parameters: `table` holds the rows of all tables."""
    return {
        "bottom": [dense_shapes(*pair) for pair in itertools.pairwise(BOTTOM)],
        "top": [dense_shapes(*pair) for pair in itertools.pairwise(TOP)],
        "table": shape(ROWS, WIDTH),
    }


def score(products: Shapes, looked_up: Any, features: Any) -> Any:
    """Log-odds (n,) of a click; `looked_up` (n, 26, 128), `features` (n, 13)."""
    x = features
    for p in products["bottom"]:
        x = jax.nn.relu(dense(p, x))
    every = jnp.concatenate([x[:, None], looked_up], axis=1)
    dots = jnp.einsum("nid,njd->nij", every, every)
    first, second = jnp.triu_indices(TABLES + 1, 1)
    x = jnp.concatenate([x, dots[:, first, second]], axis=1)
    for i, p in enumerate(products["top"]):
        x = dense(p, x)
        if i < len(products["top"]) - 1:
            x = jax.nn.relu(x)
    return x[:, 0]


def infer(params: Shapes, features: Any, indices: Any) -> Any:
    """Chance (n,) of a click; `indices` (n, 26): rows of the table."""
    return jax.nn.sigmoid(score(params, params["table"][indices], features))


def step(params: Shapes, features: Any, indices: Any, clicked: Any) -> tuple[Shapes, Any]:
    """A step of SGD; products of bf16 operands."""
    table = params["table"]
    products = {name: params[name] for name in ("bottom", "top")}

    def loss(products: Shapes, rows: Any) -> Any:
        odds = score(low(products), rows.astype(jnp.bfloat16), features).astype(F32)
        return jnp.mean(jnp.maximum(odds, 0) - odds * clicked + jnp.log1p(jnp.exp(-jnp.abs(odds))))

    value, (slopes, of_rows) = jax.value_and_grad(loss, (0, 1))(products, table[indices])
    moved = jax.tree.map(lambda p, g: p - RATE * g, products, slopes)
    return moved | {"table": table.at[indices].add(-RATE * of_rows)}, value


def _build(settings: Settings) -> Workload:
    n = settings.batch or 1
    features = jax.ShapeDtypeStruct((n, FEATURES), jnp.bfloat16)
    indices = jax.ShapeDtypeStruct((n, TABLES), jnp.int32)
    if settings.mode == "infer":
        return inference(
            infer, shapes(), features, indices, name="dlrm", samples=n, max_global_batch=SAMPLES
        )
    return trace(
        step, shapes(), features, indices, jax.ShapeDtypeStruct((n,), F32), name="dlrm",
        samples=n, max_global_batch=max(SAMPLES, n),
    )  # fmt: skip


NETWORKS = (Network("dlrm", ("train", "infer"), {"batch": 2048}, _build),)
