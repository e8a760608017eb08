"""Number formats by tensor class; zeros in operands: what gating and skipping save and cost."""

import dataclasses

import numpy as np
import pytest

from hwmodels import VARIANTS, InputError, Workload, evaluate, load_workload
from hwmodels.parts import mac, sparsity
from hwmodels.quantity import structure
from hwmodels.workloads import mlp
from hwmodels.workloads.operation import Operation, Tensor, Widths

LARGE = load_workload("mlp-large")
CLASSES = ("weight_format", "activation_format", "gradient_format")


def chip(variant="systolic", **values):
    return VARIANTS[variant]().replace(**values)


def inference():
    rows = tuple(row for row in LARGE.rows if row.phase == "forward")
    return dataclasses.replace(LARGE, rows=rows, training=False, gradients=())


def margin(workload=LARGE, **values):
    return float(evaluate(chip(**values), workload).margins["format"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_naming_the_default_changes_nothing(variant):
    plain = evaluate(chip(variant), LARGE)
    named = evaluate(chip(variant, **dict.fromkeys(CLASSES, "bf16")), LARGE)
    for name in ("time", "energy", "area", "cost", "scalability"):
        assert float(getattr(plain, name)) == float(getattr(named, name))


def test_error_signals_are_known_from_where_they_are_made():
    by_phase = {}
    for row in LARGE.rows:
        if row.kind == "contraction":
            by_phase.setdefault(row.phase, []).append([t.error for t in row.reads[:2]])
            if row.phase == "backward":
                assert all(t.error == (t.role == "activation") for t in row.writes)
    assert not np.any(by_phase["forward"])
    # Each backward product has one: beside weights, or beside a saved activation or the input.
    assert all(sum(errors) == 1 for errors in by_phase["backward"])
    columns = LARGE.at_format(16.0).contraction
    np.testing.assert_array_equal(columns.error, columns.backward)
    assert columns.weight.sum() == len(by_phase["forward"]) + 2


def test_each_class_sets_its_bytes():
    def size(role, error=False):
        return Tensor(role, 100.0, 32.0, error=error).bytes(Widths(16, 8, 4))

    assert (size("activation"), size("activation", True), size("input")) == (200, 100, 200)
    assert (size("parameter"), size("gradient"), size("optimizer_state")) == (50, 400, 400)
    # Training keeps its master weights.
    whole = [
        float(w.at_format(Widths(16, 16, 8)).totals.footprint[0]) for w in (LARGE, inference())
    ]
    assert whole[1] == whole[0] / 4
    # Saved activations and errors: of 4096 x 1024 bf16 deltas, fp8 ones move half.
    moved = [
        float(evaluate(chip(gradient_format=f), LARGE, residency="cold").work_terms["dram_bytes"])
        for f in ("same", "fp8")
    ]
    assert moved[1] < moved[0]


def test_the_wider_operand_sets_the_energy_of_a_product():
    def energy(**values):
        return float(evaluate(chip(**values), LARGE).energy_terms["mac"])

    columns = LARGE.at_format(16.0).contraction
    macs = columns.count * columns.batch * columns.m * columns.n * columns.k
    forward = float(macs[columns.backward == 0].sum() / macs.sum())
    narrow = mac.relative_energy("bf16", "fp8")
    assert narrow == pytest.approx((mac.FORMATS["fp8"].multiply_pJ + 0.38) / (0.21 + 0.38))
    both = {"weight_format": "fp8", "activation_format": "fp8"}
    # Errors in bf16: only the forward products are narrow.
    assert energy(**both) / energy() == pytest.approx(forward * narrow + 1 - forward, rel=1e-5)
    assert energy(weight_format="fp8") == pytest.approx(energy(), rel=1e-6)
    assert energy(**both, gradient_format="fp8") == pytest.approx(narrow * energy(), rel=1e-6)
    # With fp8 weights and errors, the products of both: the input gradients.
    share = float(macs[(columns.error == 1) & (columns.weight == 1)].sum() / macs.sum())
    got = energy(weight_format="fp8", gradient_format="fp8") / energy()
    assert got == pytest.approx(1 - share * (1 - narrow), rel=1e-5)


def test_training_takes_floats_and_no_class_is_wider_than_the_multipliers():
    def admits(training=True, **formats):
        return chip("systolic", **formats).admits(training)

    for name in ("fp8", "bf16", "fp16", "tf32", "fp32"):
        assert admits(number_format=name)
    for name in ("int4", "int8", "int16"):
        assert not admits(number_format=name)
        assert admits(training=False, number_format=name)
    for field in CLASSES:
        assert admits(**{field: "fp8"})
        assert not admits(**{field: "int4"})
        assert not admits(**{field: "fp16"})  # 11 bits of significand on 8
        assert not admits(number_format="fp8", **{field: "bf16"})
    assert admits(training=False, weight_format="int4")
    assert admits(training=False, gradient_format="fp32")  # nobody has any
    # The margin says the same of the workload at hand.
    assert margin(number_format="int8") < 0
    assert margin(inference(), number_format="int8") == 0


DENSITY = {"hidden_1": 0.4, "hidden_2": 0.3}


def sparse():
    return mlp.workload(mlp.MLP_LARGE, DENSITY)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gating_saves_multiplications_and_nothing_else(variant):
    dense, gated = (evaluate(chip(variant, sparsity=s), sparse()) for s in ("none", "gate"))
    rows = [row for row in sparse().rows if row.kind == "contraction"]
    needed = sum(row.count * row.macs * row.lhs_density * row.rhs_density for row in rows)
    share = needed / sparse().macs
    assert 0.3 < share < 0.9
    assert float(gated.energy_terms["mac"] / dense.energy_terms["mac"]) == pytest.approx(
        share, rel=1e-5
    )
    assert float(gated.energy_terms["sparsity"]) == pytest.approx(
        sparsity.ENERGY["gate"] * float(dense.energy_terms["mac"]), rel=1e-5
    )
    assert float(gated.area) > float(dense.area)
    assert float(gated.peak_power) > float(dense.peak_power)  # random operands: no zeros
    assert float(gated.work_terms["cycles"]) == float(dense.work_terms["cycles"])
    # Where nothing is zero, it only costs.
    assert float(evaluate(chip(variant, sparsity="gate"), LARGE).energy_terms["mac"]) == float(
        evaluate(chip(variant), LARGE).energy_terms["mac"]
    )


def test_only_independent_units_skip():
    can = {v for v, cls in VARIANTS.items() if "skip" in structure(cls)["sparsity"]}
    assert can == {"spatial", "vector"}
    with pytest.raises(InputError, match=r"^sparsity: got skip; allowed: none, gate"):
        chip(sparsity="skip")


def test_skipping_saves_cycles_within_its_bounds():
    dense, skipped = (evaluate(chip("spatial", sparsity=s), sparse()) for s in ("none", "skip"))
    assert float(skipped.work_terms["macs"]) < float(dense.work_terms["macs"])
    saved = float(skipped.work_terms["cycles"] / dense.work_terms["cycles"])
    done = float(skipped.work_terms["macs"] / dense.work_terms["macs"])
    assert done < saved < 1  # load imbalance
    assert float(skipped.utilization) <= 1
    assert float(skipped.area) > float(dense.area)
    assert float(
        skipped.energy_terms["register" if "register" in skipped.energy_terms else "local"]
    )
    full = evaluate(chip("spatial", sparsity="skip"), LARGE)
    assert float(full.work_terms["cycles"]) == float(
        evaluate(chip("spatial"), LARGE).work_terms["cycles"]
    )
    # SIMD lanes share the left operand, and skip by it alone.
    one = Tensor("activation", 64.0 * 64, 32.0)
    row = Operation("contraction", "dot", "forward", (one, one), (one,), batch=1, m=64, n=64, k=64,
                    lhs_density=0.25, rhs_density=0.5)  # fmt: skip
    single = Workload("one", (row,), 64.0, 64.0, False, (one,))
    for variant, share in (("vector", 0.25), ("spatial", 0.125)):
        m = evaluate(chip(variant, sparsity="skip"), single)
        assert float(m.work_terms["macs"]) == pytest.approx(64**3 * share)
        cycles = float(evaluate(chip(variant), single).work_terms["cycles"])
        assert float(m.work_terms["cycles"]) == pytest.approx(
            cycles * float(sparsity.time_share(np.float32(share))), rel=1e-5
        )


def test_imbalance_meets_scnn():
    share = sparsity.time_share(np.asarray([0.0, 0.13, 0.5, 0.9, 1.0]))
    assert float(1 / share[1]) == pytest.approx(3.5, rel=0.01)
    assert np.all(np.diff(share) >= 0)
    assert (float(share[0]), float(share[-1])) == (0, 1)
