"""The explorer: one safe file, and what its clicks do in a real browser."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Page

from dse.explorer import MOST, explorer, write_explorer
from dse.explorer.page import island
from dse.front import OBJECTIVES
from hwmodels import InputError

HOSTILE = "</script><script>window.broken = 1</script>"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


def designs(count: int, seed: int = 0) -> pd.DataFrame:
    """Made-up designs with the columns of a run."""
    random = np.random.default_rng(seed)
    size = random.uniform(0, 1, count)
    return pd.DataFrame({
        "design": np.arange(count),
        "variant": random.choice(["simt", "systolic", HOSTILE], count),
        "throughput_per_s": 10 ** (3 + 3 * size),
        "power_W": 10 ** (1 + 1.5 * size + 0.2 * random.normal(size=count)),
        "scalability_per_s": 10 ** (6 + 2 * random.uniform(0, 1, count)),
        "sms": random.integers(4, 160, count),
        "clock_GHz": np.where(random.uniform(size=count) < 0.1, np.nan, 1 + size),
    })  # fmt: skip


def test_the_page_is_one_file_without_a_network():
    page = explorer(designs(50), OBJECTIVES, title=HOSTILE)
    assert not re.search(r"(src|href)\s*=", page.replace("link.href =", ""))
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    assert HOSTILE not in page
    assert page.count("</script>") == 2


def test_an_island_holds_anything():
    text = "</script><!--\u2028\u2029&amp;{{PROGRAM}}\\"
    made = island({"a": text})
    assert not set("<>&\u2028\u2029") & set(made)
    assert json.loads(made) == {"a": text}


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_too_few_and_too_many_are_one_line(count):
    with pytest.raises(InputError, match="allowed: 1 to 200,000"):
        explorer(designs(1).iloc[np.zeros(count, int)], OBJECTIVES)


def test_a_missing_objective_is_named():
    with pytest.raises(InputError, match="power_W"):
        explorer(designs(3).drop(columns="power_W"), OBJECTIVES)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("explorer")
    file = write_explorer(folder / "front.html", designs(2000), OBJECTIVES, title=HOSTILE)
    with Page(file, folder) as opened:
        opened("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        yield opened


@pytest.fixture
def fresh(page: Page) -> Page:
    page.js("filters.clear(); pins.length = 0; select(); changed()")
    return page


def where(page: Page, panel: int) -> dict[str, float]:
    return page.js(
        f"(() => {{ const r = panels[{panel}].canvas.getBoundingClientRect();"
        f" const b = panels[{panel}].box(); return {{x: r.x + b.left, y: r.y + b.top,"
        " w: b.wide, h: b.high} })()"
    )


def chosen(page: Page) -> int:
    text = page.js("byId('status').textContent")
    assert text.endswith("of 2,000 designs selected")
    return int(text.split()[0].replace(",", ""))


@needs_browser
def test_texts_of_files_stay_texts(fresh: Page) -> None:
    assert fresh.js("byId('title').textContent") == HOSTILE
    assert fresh.js("window.broken === undefined")
    assert fresh.js("document.querySelectorAll('script').length") == 2
    assert HOSTILE in fresh.js("byId('legend').textContent")
    assert fresh.errors == []


@needs_browser
def test_a_brush_in_a_panel_selects_in_both_axes(fresh: Page) -> None:
    box, table = where(fresh, 0), designs(2000)
    middle = box["x"] + 0.5 * box["w"], box["y"] + 0.5 * box["h"]
    fresh.drag((box["x"] + 2, box["y"] + 2), middle)
    ends = fresh.js("[...filters].map(([c, f]) => [c.name, ...f])")
    assert {name for name, *_ in ends} == {"power_W", "throughput_per_s"}
    expected = np.ones(len(table), bool)
    for name, low, high in ends:
        values = table[name].astype("float32").astype(float)
        expected &= (values >= low) & (values <= high)
    assert 0 < expected.sum() < 2000
    assert chosen(fresh) == expected.sum()
    # A click on an empty place of the same panel releases it.
    fresh.click(box["x"] + 0.97 * box["w"], box["y"] + 0.97 * box["h"])
    assert chosen(fresh) == 2000


@needs_browser
def test_a_brush_along_an_axis_selects_its_labels(fresh: Page) -> None:
    spot = fresh.js(
        "(() => { const r = canvas.getBoundingClientRect(); const n = upright.findIndex("
        "c => c.name === 'variant'); const v = upright[n]; const code = v.labels.indexOf('simt');"
        "return {x: r.x + across(n), y: r.y + along(v, code)} })()"
    )
    fresh.drag((spot["x"], spot["y"] - 20), (spot["x"], spot["y"] + 20))
    assert chosen(fresh) == (designs(2000)["variant"] == "simt").sum()
    fresh.click(spot["x"], spot["y"])
    assert chosen(fresh) == 2000


@needs_browser
def test_pointing_shows_a_design_and_clicks_pin_two(fresh: Page) -> None:
    table = designs(2000)
    found = []
    for index in (int(table["power_W"].idxmax()), int(table["throughput_per_s"].idxmin())):
        spot = fresh.js(
            f"(() => {{ const r = panels[0].canvas.getBoundingClientRect(); const [x, y] = "
            f"panels[0].at({index}); return {{x: r.x + x, y: r.y + y}} }})()"
        )
        fresh.mouse("mouseMoved", spot["x"], spot["y"])
        assert not fresh.js("byId('tip').hidden")
        tip = fresh.js("byId('tip').textContent")
        assert "power, step average (W): " in tip
        assert "sms: " in tip
        fresh.click(spot["x"], spot["y"])
        found.append(fresh.js("pins.at(-1)"))
    assert fresh.js("pins.length") == 2
    assert "B / A" in fresh.js("byId('pins').textContent")
    ratio = table["power_W"][found[1]] / table["power_W"][found[0]]
    row = fresh.js("[...byId('pins').rows].find(r => r.textContent.includes('(W)')).innerText")
    assert float(row.split()[-1]) == pytest.approx(ratio, rel=5e-3)


@needs_browser
def test_budgets_filter_and_the_selection_downloads(fresh: Page, page: Page) -> None:
    table = designs(2000)
    fresh.js(
        "(() => { const i = [...document.querySelectorAll('#budgets input')].find("
        "i => i.ariaLabel === 'power_W at most'); i.value = '50';"
        "i.dispatchEvent(new Event('change')) })()"
    )
    expected = table[table["power_W"].astype("float32") <= 50]
    assert chosen(fresh) == len(expected)
    spot = fresh.js(
        "(() => { const r = byId('download').getBoundingClientRect();"
        "return {x: r.x + r.width / 2, y: r.y + r.height / 2} })()"
    )
    fresh.click(spot["x"], spot["y"])
    file = page.folder / "selection.csv"
    end = time.monotonic() + 20
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.1)
    got = pd.read_csv(file)
    assert len(got) == len(expected)
    assert got["variant"].tolist() == expected["variant"].tolist()
    for name in ("throughput_per_s", "power_W", "sms", "clock_GHz"):
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6)


@needs_browser
def test_a_hundred_thousand_designs_draw(tmp_path: Path) -> None:
    file = write_explorer(tmp_path / "front.html", designs(100_000), OBJECTIVES)
    assert file.stat().st_size < 5e6
    with Page(file, tmp_path) as opened:
        milliseconds = opened.js(
            "(() => { const t = performance.now(); for (let i = 0; i < 3; i++) {"
            "for (const p of panels) p.draw(); drawParallel(); } return (performance.now() - t) / 3"
            "})()"
        )
        assert opened.errors == []
        assert milliseconds < 5000  # some 60 on a quiet machine
