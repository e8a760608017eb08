"""The closed-form tiling against every integer tiling, as the experiment publishes it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[1])
    from experiments import tiling_gap


@pytest.mark.parametrize("copies", [1, 2])
def test_within_bounds_of_the_exhaustive_optimum(copies):
    cases = tiling_gap.draw(800, seed=4, copies=copies)
    ratio, contested = tiling_gap.ratios(cases, copies)
    assert contested.sum() > 300
    assert ratio.min() >= 1 - 1e-9
    assert np.median(ratio[contested]) < 1.01
    assert ratio[contested].mean() < 1.02
    assert ratio.max() < 1.2


def test_never_below_the_optimum_when_words_are_wider_in_dram():
    # There sums that leave and come back may pay, which the closed form does not do.
    ratio, _ = tiling_gap.ratios(tiling_gap.draw(400, seed=5, wide=True))
    assert ratio.min() >= 1 - 1e-9
    assert ratio.mean() < 1.04
    assert np.quantile(ratio, 0.95) < 1.25


def test_the_exhaustive_search_is_exhaustive():
    """Reduced or not, counted by `nest` or by hand: the same optimum."""
    cases = [case for case in tiling_gap.draw(240, seed=6, wide=True) if max(case[:3]) <= 40]
    assert len(cases) > 60
    for case in cases:
        m, n, k, word, capacity, left, right = case
        best = np.inf
        tm, tn, tk = np.meshgrid(*(np.arange(1, d + 1) for d in (m, n, k)), indexing="ij")
        over_m, over_n, over_k = (-(-d // t) for d, t in ((m, tm), (n, tn), (k, tk)))
        fits = word * (tm * tk + tk * tn) + 4 * tm * tn <= capacity
        spilled = 8 * m * n * (over_k - 1)
        for moved in (  # innermost K, N, M
            left * over_n + right * over_m,
            left + right * over_m + spilled,
            left * over_n + right + spilled,
        ):
            best = min(best, moved[fits].min())
        assert tiling_gap.optimum(case) == pytest.approx(best, rel=1e-12)
        assert tiling_gap.optimum(case, everything=True) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_publishes_the_distribution(flags, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tiling_gap", "--cases", "40", "--seed", "3", *flags])
    tiling_gap.main()
    printed = capsys.readouterr().out
    if flags:
        groups = json.loads(printed)
        assert groups["held once"]["cases"] == 40
        assert all(row["below"] == 0 for row in groups.values())
    assert "double-buffered, contested" in printed
