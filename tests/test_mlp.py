"""The reference trainer: back-propagation by hand, learning, densities, one compilation."""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels.errors import InputError
from hwmodels.workloads import load_workload
from hwmodels.workloads.datasets import digits, random_samples
from hwmodels.workloads.mlp import (
    MLP,
    MLP_DIGITS,
    MLP_LARGE,
    MlpConfig,
    epoch_function,
    initial_params,
    loss,
    manual_gradients,
    train,
    workload,
)

SMALL = MlpConfig(widths=(13, 7, 5, 3), batch=9, epochs=3, train_samples=31, test_samples=11)


def test_manual_backpropagation_agrees_with_autodiff() -> None:
    params = initial_params(SMALL, jax.random.key(3))
    params = jax.tree.map(lambda p: p + 0.1, params)
    data = random_samples(SMALL)
    by_hand = manual_gradients(params, data.x_train, data.y_train)
    expected = jax.grad(loss)(params, data.x_train, data.y_train)
    for mine, theirs in zip(jax.tree.leaves(by_hand), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-7)


def test_loss_is_the_mean_negative_logarithm_of_the_label() -> None:
    params = ({"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.25, 0.0])},)
    x, y = jnp.array([[2.0, 1.0]]), jnp.array([1])
    logits = np.array([2.0 + 0.5 + 0.25, -4.0 + 3.0])
    assert float(loss(params, x, y)) == pytest.approx(np.log(np.exp(logits).sum()) - logits[1])


def test_one_step_of_gradient_descent_is_the_rule() -> None:
    config = MlpConfig(
        widths=(13, 7, 3),
        batch=31,
        epochs=1,
        train_samples=31,
        test_samples=11,
        optimizer="sgd",
        learning_rate=0.5,
    )
    data = random_samples(config)
    start = initial_params(config, jax.random.split(jax.random.key(config.seed))[1])
    slopes = manual_gradients(start, data.x_train, data.y_train)
    expected = jax.tree.map(lambda w, g: w - 0.5 * g, start, slopes)
    found = train(config, data).params
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 1e-3), ("sgd", 0.1)])
def test_digits_are_learnt_and_densities_recorded(optimizer: str, rate: float) -> None:
    config = MlpConfig(
        **{**vars(MLP_DIGITS), "optimizer": optimizer, "learning_rate": rate}  # type: ignore[arg-type]
    )
    seen: list[Any] = []
    result = train(config, digits(), on_epoch=seen.append)
    assert result.test_accuracy > 0.9
    assert tuple(seen) == result.history
    assert [epoch.epoch for epoch in seen] == list(range(1, 31))
    assert seen[-1].loss < seen[0].loss
    assert result.device
    assert set(result.densities) == {"hidden_1", "hidden_2"}
    assert all(0.0 < density < 1.0 for density in result.densities.values())
    recorded = workload(config, result.densities)
    assert {row.lhs_density for row in recorded.rows if row.kind == "contraction"} == {
        1.0,
        *result.densities.values(),
    }
    assert {row.rhs_density for row in recorded.rows if row.kind == "contraction"} == {
        1.0,
        *result.densities.values(),
    }


def test_an_epoch_compiles_once() -> None:
    epoch_function.cache_clear()
    data = random_samples(SMALL)
    first = train(SMALL, data)
    assert epoch_function(SMALL)._cache_size() == 1
    assert train(SMALL, data).history[-1].loss == first.history[-1].loss
    assert epoch_function(SMALL)._cache_size() == 1
    assert epoch_function.cache_info().misses == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (784,)}, "widths"),
        ({"widths": (784, 0, 10)}, "widths: got 0"),
        ({"batch": 1001}, "batch: got 1001; allowed: at most train_samples, 1000"),
        ({"epochs": 0}, "epochs"),
        ({"test_samples": 2.5}, "test_samples"),
        ({"optimizer": "adm"}, "did you mean adam"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"seed": -1}, "seed"),
        ({"max_global_batch": 31}, "max_global_batch"),
    ],
)
def test_bad_configurations_name_the_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MlpConfig(**changes)


def test_data_must_fit_the_configuration() -> None:
    with pytest.raises(InputError, match=r"widths.*width 64"):
        train(MLP, digits())
    data = random_samples(SMALL)
    with pytest.raises(InputError, match="train_samples"):
        train(MlpConfig(**{**vars(SMALL), "train_samples": 30}), data)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="classes"):
        train(MlpConfig(**{**vars(SMALL), "widths": (13, 7, 2)}), data)  # type: ignore[arg-type]


def test_missing_scikit_learn_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"pip install -e '.\[digits\]'"):
        digits()


def test_reference_table_is_short_and_readable() -> None:
    mlp = load_workload("mlp")
    assert 8 <= len(mlp.rows) <= 20
    assert mlp.rows[0].name.startswith("dot 32x10x784 + add, relu")
    # The whole loss, forward and backward, between the last two products: one operation.
    assert sum(r.count for r in mlp.rows if r.kind == "vector" and r.phase != "optimizer") == 1
    assert not [row for row in mlp.rows if row.kind == "movement"]


def test_large_mlp() -> None:
    large = load_workload("mlp-large")
    sizes = (784 * 4096, 4096 * 4096, 4096 * 10)
    assert large.macs == 1024 * (3 * sum(sizes) - sizes[0])
    assert large.max_global_batch == MLP_LARGE.max_global_batch == 4_194_304
    assert sum(t.elements for t in large.gradients) == sum(sizes) + 4096 + 4096 + 10
