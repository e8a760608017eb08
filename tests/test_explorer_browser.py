"""The explorer in a real browser: what its clicks and keys do."""

from __future__ import annotations

import numpy as np
import pytest
from browser import CHROMIUM, Page
from explorers import COUNT, HOSTILE, budget, chosen, designs, spot, where

from dse.front import OBJECTIVES, non_dominated

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")


def test_texts_of_files_stay_texts(fresh: Page) -> None:
    assert fresh.js("byId('title').textContent") == HOSTILE
    assert fresh.js("window.broken === undefined")
    assert fresh.js("document.querySelectorAll('script').length") == 2
    legend = fresh.js("byId('legend').textContent")
    for name in (HOSTILE, "__proto__", "constructor", "=1+1", "SIMT (GPU-like)"):
        assert name in legend
    assert "SIMT (GPU-like)" in fresh.js("variants.labels.map((_, v) => text(variants, v))")


def test_a_brush_in_a_panel_selects_in_both_axes_and_stays_to_be_seen(fresh: Page) -> None:
    box, table = where(fresh), designs(COUNT)
    middle = box["x"] + 0.5 * box["w"], box["y"] + 0.5 * box["h"]
    fresh.drag((box["x"] + 2, box["y"] + 2), middle)
    ends = fresh.js("[...filters].map(([c, f]) => [c.name, ...f])")
    assert {name for name, *_ in ends} == {"power_W", "throughput_per_s"}
    expected = np.ones(len(table), bool)
    for name, low, high in ends:
        values = table[name].astype("float32").astype(float)
        expected &= (values >= low) & (values <= high)
    assert 0 < expected.sum() < COUNT
    assert chosen(fresh) == expected.sum()
    fresh.settle()
    inked = (
        "panels[0].marks.getImageData((panels[0].box.left + {} * panels[0].box.wide) *"
        " panels[0].ratio, (panels[0].box.top + {} * panels[0].box.high) * panels[0].ratio,"
        " 1, 1).data[3]"
    )
    assert fresh.js(inked.format(0.3, 0.3)) > 0
    assert fresh.js(inked.format(0.7, 0.7)) == 0
    # A click on an empty place of the same panel releases it.
    fresh.click(box["x"] + 0.97 * box["w"], box["y"] + 0.97 * box["h"])
    assert chosen(fresh) == COUNT
    fresh.settle()
    assert fresh.js(inked.format(0.3, 0.3)) == 0


def test_a_brush_along_an_axis_selects_its_labels(fresh: Page) -> None:
    x, y = spot(
        fresh, "parallel", "[parallel.across[parallel.axes.indexOf(variants)],"
        "parallel.toY(place(variants, variants.labels.indexOf('simt')))]",
    )  # fmt: skip
    fresh.drag((x, y - 12), (x, y + 12))
    assert chosen(fresh) == (designs(COUNT)["variant"] == "simt").sum()
    choice = "[...document.querySelectorAll('select')].find(s => s.ariaLabel === 'Variant, only')"
    assert fresh.js(f"{choice}.value") == "SIMT (GPU-like)"
    fresh.click(x, y)
    assert chosen(fresh) == COUNT
    fresh.js(f"{choice}.value = '__proto__'; {choice}.dispatchEvent(new Event('change'))")
    assert chosen(fresh) == (designs(COUNT)["variant"] == "__proto__").sum()


def test_the_joint_front_can_be_selected(fresh: Page) -> None:
    points = designs(COUNT)[[o.column for o in OBJECTIVES]].to_numpy()
    joint = non_dominated(points, maximise=[o.maximise for o in OBJECTIVES])
    fresh.click(*fresh.js("(r => [r.x + 5, r.y + 5])(byId('joint').getBoundingClientRect())"))
    assert chosen(fresh) == joint.sum()
    fresh.js("byId('clear').click()")
    assert chosen(fresh) == COUNT
    assert not fresh.js("byId('joint').checked")


def test_pointing_shows_a_design_and_clicks_pin_two(fresh: Page) -> None:
    table = designs(COUNT)
    for index in (int(table["power_W"].idxmax()), int(table["throughput_per_s"].idxmin())):
        x, y = spot(fresh, "panels[0]", f"panels[0].at({index})")
        fresh.mouse("mouseMoved", x, y)
        assert not fresh.js("byId('tip').hidden")
        names = fresh.js("[...byId('tip').querySelectorAll('span')].map(s => s.textContent)")
        assert names[:2] == ["Throughput (samples/s)", "Chip power, step average (W)"]
        assert len(names) == 11
        values = fresh.js("[...byId('tip').querySelectorAll('b')].map(s => s.textContent)")
        assert all(values)
        pointed = fresh.js("pointed")
        assert str(table["design"][pointed]) in values  # with every digit
        box = fresh.js("(r => [r.left, r.top, r.right, r.bottom])(tip.getBoundingClientRect())")
        assert min(box) >= 0
        assert box[2] <= fresh.js("innerWidth")
        assert box[3] <= fresh.js("innerHeight")
        fresh.click(x, y)
        assert fresh.js("pins.at(-1)") == pointed
    first, second = fresh.js("pins")
    rows = fresh.js("[...byId('pins').rows].map(r => [...r.cells].map(c => c.textContent))")
    cells = {row[0]: row[1:] for row in rows}
    assert cells[""] == ["A", "B", "B / A"]
    ratio = table["power_W"][second] / table["power_W"][first]
    assert float(cells["Chip power, step average (W)"][2]) == pytest.approx(ratio, rel=5e-3)
    assert cells["Design"] == [str(table["design"][first]), str(table["design"][second]), ""]
    assert "NaN" not in str(rows)


def test_a_missing_value_has_no_ratio(fresh: Page) -> None:
    missing = designs(COUNT)["clock_GHz"].isna().to_numpy()
    ends = int(np.argmax(missing)), int(np.argmin(missing))
    for pair in (ends, ends[::-1]):
        fresh.js(f"repin(() => {{ pins.length = 0; pins.push({pair[0]}, {pair[1]}) }})")
        rows = fresh.js("[...byId('pins').rows].map(r => [...r.cells].map(c => c.textContent))")
        (row,) = [cells for cells in rows if cells[0] == "Clock (GHz)"]
        assert row[1 + pair.index(ends[0])] == "–"
        assert row[3] == ""


def test_lines_can_be_pointed_at_and_break_where_a_value_is_missing(fresh: Page) -> None:
    index = fresh.js("parallel.drawn[5]")
    x, y = spot(
        fresh, "parallel", f"[0.5 * (parallel.across[0] + parallel.across[1]), 0.5 * ("
        f"parallel.toY(places(parallel.axes[0])[{index}])"
        f" + parallel.toY(places(parallel.axes[1])[{index}]))]",
    )  # fmt: skip
    fresh.mouse("mouseMoved", x, y)
    found = fresh.js("pointed")
    assert found in fresh.js("parallel.drawn")
    fresh.click(x, y)
    assert fresh.js("pins") == [found]
    fresh.js("parallel.show([named('sms'), named('clock_GHz'), ...objectives])")
    fresh.settle()
    missing = int(np.flatnonzero(designs(COUNT)["clock_GHz"].isna())[0])
    moves = fresh.js(
        "(() => { const seen = []; parallel.trace({beginPath() {}, stroke() {},"
        f"moveTo() {{ seen.push('M') }}, lineTo() {{ seen.push('L') }} }}, {missing});"
        "return seen.join('') })()"
    )
    assert moves == "MLMLL"  # a stroke on the first axis, then a line through the last three


def test_the_keyboard_reaches_designs(fresh: Page) -> None:
    table = designs(COUNT)
    budget(fresh, "Chip power, step average (W) at least", "50")
    power = table["power_W"].where(table["power_W"].astype("float32") >= 50).dropna()
    order = power.sort_values().index.tolist()
    fresh.js("panels[0].canvas.focus()")
    fresh.key("ArrowRight")
    assert fresh.js("pointed") == order[0]
    fresh.key("ArrowRight")
    fresh.key("ArrowRight")
    fresh.key("ArrowLeft")
    assert fresh.js("pointed") == order[1]
    assert "Throughput (samples/s): " in fresh.js("byId('spoken').textContent")
    assert not fresh.js("byId('tip').hidden")
    fresh.key("Enter")
    fresh.key("End")
    assert fresh.js("[pointed, ...pins]") == [order[-1], order[1]]
    fresh.key("Escape")
    assert fresh.js("[pointed, pins.length]") == [-1, 1]
    fresh.key("Escape")
    assert fresh.js("pins.length") == 0
    unlabelled = "[...document.querySelectorAll('input, select, canvas[tabindex]')].filter("
    assert fresh.js(f"{unlabelled} i => !i.ariaLabel && !i.labels?.length).length") == 0


def test_only_the_main_button_acts_and_a_cancelled_brush_ends(fresh: Page) -> None:
    x, y = spot(fresh, "panels[0]", "panels[0].at(17)")
    fresh.click(x, y, button="right")
    assert fresh.js("pins.length") == 0
    box = where(fresh)
    fresh.mouse("mouseMoved", box["x"] + 20, box["y"] + 20)
    fresh.mouse("mousePressed", box["x"] + 20, box["y"] + 20, pressed=True)
    fresh.js("panels[0].canvas.dispatchEvent(new PointerEvent('pointercancel'))")
    fresh.mouse("mouseMoved", box["x"] + 90, box["y"] + 90, pressed=True)
    fresh.mouse("mouseReleased", box["x"] + 90, box["y"] + 90)
    assert chosen(fresh) == COUNT
