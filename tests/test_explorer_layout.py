"""The explorer in a real browser: room for everything, and how fast it follows the mouse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Page
from explorers import designs, where

from dse.explorer import write_explorer
from dse.front import OBJECTIVES, Objective

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


@pytest.mark.parametrize("width", [600, 700, 1000, 1400, 1920])
def test_nothing_overlaps_at_any_width(page: Page, width: int) -> None:
    page("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
          mobile=False)  # fmt: skip
    page.js("parallel.show(possible); repin(() => pins.push(1, 2))")
    page.settle()
    assert page.js("document.documentElement.scrollWidth") <= width
    gaps = np.diff(page.js("parallel.across"))
    assert gaps.min() >= 80
    heads = page.js(
        "parallel.axes.map(c => Math.max(...wrapped(parallel.context, c.title, 74, 4)"
        ".map(l => parallel.context.measureText(l).width)))"
    )
    assert max(heads) <= 74
    boxes = page.js(
        "[...document.querySelectorAll('.columns table, .plot')].map(e => {"
        "const r = (e.closest('#parallel') || e).getBoundingClientRect();"
        "return [r.left, r.top, r.right, r.bottom] })"
    )
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert right <= width
        for other in boxes[:i]:
            apart = left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
            assert apart
    page.js("parallel.show([])")  # no axis at all is no error
    page.settle()
    page("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize(("count", "panels"), [(2, 1), (4, 6), (5, 6)])
def test_all_pairs_of_objectives_have_a_panel(tmp_path: Path, count: int, panels: int) -> None:
    more = (Objective("sms", "SMs", "", False), Objective("margin", "Margin", "mm2", True))
    objectives = (*OBJECTIVES, *more)[:count]
    file = write_explorer(tmp_path / "front.html", designs(200), objectives)
    with Page(file, tmp_path) as found:
        found.settle()
        assert found.js("panels.length") == panels
        assert found.js("new Set(panels.map(p => p.canvas.ariaLabel)).size") == panels
        assert max(found.js("panels.map(p => p.width)")) <= 800
        assert found.errors == []


def test_a_hundred_thousand_designs_stay_fluid(tmp_path: Path) -> None:
    file = write_explorer(tmp_path / "front.html", designs(100_000), OBJECTIVES)
    assert file.stat().st_size < 5.5e6
    with Page(file, tmp_path) as found:
        found.settle()
        milliseconds = found.js(
            "(() => { const t = performance.now(); for (let i = 0; i < 3; i++) {"
            "for (const p of plots) p.draw(); } return (performance.now() - t) / 3 })()"
        )
        assert milliseconds < 500  # some 20 on a quiet machine
        box = where(found)
        way = [
            (box["x"] + (0.3 + 0.02 * n) * box["w"], box["y"] + (0.2 + 0.02 * n) * box["h"])
            for n in range(20)
        ]
        assert found.frame_time(way) < 250  # some 6
        found.mouse("mousePressed", *way[0], pressed=True)
        assert found.frame_time(way[1:], pressed=True) < 250  # some 35
        found.mouse("mouseReleased", *way[-1])
        assert 0 < found.js("chosen") < 100_000
        assert found.errors == []
