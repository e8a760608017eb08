"""The explorer in a real browser: numbers that are typed, and the selection as a file."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Page
from explorers import COUNT, budget, chosen, designs, where

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


def test_budgets_take_numbers_as_the_page_writes_them(fresh: Page) -> None:
    table = designs(COUNT)
    power = table["power_W"].astype("float32")
    assert budget(fresh, "Throughput (samples/s) at least", "0.25M") == ""
    assert chosen(fresh) == (table["throughput_per_s"] >= 250e3).sum()
    assert budget(fresh, "Throughput (samples/s) at least", "1e5") == ""
    assert chosen(fresh) == (table["throughput_per_s"] >= 1e5).sum()
    assert budget(fresh, "Throughput (samples/s) at least", "") == ""
    assert chosen(fresh) == COUNT
    for wrong in ("abc", "4x", "1,5", "3m"):
        said = budget(fresh, "Chip power, step average (W) at most", wrong)
        assert "not a number" in said
        assert fresh.js("field.ariaInvalid") == "true"
        assert chosen(fresh) == COUNT
    assert budget(fresh, "Chip power, step average (W) at most", "50") == ""
    assert chosen(fresh) == (power <= 50).sum()
    said = budget(fresh, "Chip power, step average (W) at least", "60")
    assert said == "at least is above at most"
    assert chosen(fresh) == (power <= 50).sum()


def test_editing_one_end_leaves_the_brushed_other_as_it_is(fresh: Page) -> None:
    box = where(fresh)
    fresh.drag(
        (box["x"] + 0.2 * box["w"], box["y"] + 0.2 * box["h"]),
        (box["x"] + 0.7 * box["w"], box["y"] + 0.7 * box["h"]),
    )
    low, high = fresh.js("filters.get(objectives[1])")
    assert budget(fresh, "Chip power, step average (W) at most", f"{0.9 * high:.9g}") == ""
    now = fresh.js("filters.get(objectives[1])")
    assert now[0] == low
    assert now[1] == pytest.approx(0.9 * high, rel=1e-6)


def test_numbers_are_read_as_they_are_written(fresh: Page) -> None:
    values = [
        0,
        1,
        -3,
        0.1,
        0.00123,
        6.7e-5,
        999.4,
        999.6,
        12345,
        999_999,
        2.5e6,
        8.94e9,
        3e16,
        4e21,
    ]
    for value, words in zip(values, fresh.js(f"{values}.map(v => short(v))"), strict=True):
        assert fresh.js(f"parsed('{words}')") == pytest.approx(value, rel=6e-3)
        assert len(words) <= 7
    assert fresh.js("['1000', '10k', '100k'].map(parsed).map(v => short(v))") == [
        "1k", "10k", "100k",
    ]  # fmt: skip
    assert fresh.js("short(999999)") == "1M"


def test_the_selection_downloads(fresh: Page, page: Page) -> None:
    table = designs(COUNT)
    budget(fresh, "Chip power, step average (W) at most", "50")
    expected = table[table["power_W"].astype("float32") <= 50]
    fresh.click(*fresh.js("(r => [r.x + 5, r.y + 5])(byId('download').getBoundingClientRect())"))
    file = page.folder / "selection.csv"
    end = time.monotonic() + 20
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.1)
    got = pd.read_csv(file)
    assert len(got) == len(expected)
    assert got["design"].tolist() == expected["design"].tolist()
    # A text that a spreadsheet would run is quoted as one; numbers never are.
    assert got["variant"].tolist() == expected["variant"].replace("=1+1", "'=1+1").tolist()
    for name in ("throughput_per_s", "power_W", "sms", "clock_GHz", "margin"):
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6)
