"""Made-up designs, the explorer opened on them, and how a test asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from browser import Page

from dse.explorer import write_explorer
from dse.front import OBJECTIVES

COUNT = 2000
HOSTILE = "</script><script>window.broken = 1</script>"


def designs(count: int, seed: int = 0) -> pd.DataFrame:
    """Made-up designs with the columns of a run, some of them with hostile names."""
    random = np.random.default_rng(seed)
    size = random.uniform(0, 1, count)
    names = ["simt", "systolic", HOSTILE, "constructor", "__proto__", "toString", "=1+1"]
    return pd.DataFrame({
        "design": 2 * np.arange(count) + 2**24 + 1,  # what float32 does not hold
        "variant": random.choice(names, count),
        "throughput_per_s": 10 ** (3 + 3 * size),
        "power_W": 10 ** (1 + 1.5 * size + 0.2 * random.normal(size=count)),
        "scalability_per_s": 10 ** (6 + 2 * random.uniform(0, 1, count)),
        "sms": random.integers(4, 160, count),
        "clock_GHz": np.where(random.uniform(size=count) < 0.1, np.nan, 1 + size),
        "margin": random.normal(size=count),
        **{f"count_of_some_long_part_{n}": random.integers(1, 9, count) for n in range(6)},
    })  # fmt: skip


def where(page: Page, plot: str = "panels[0]") -> dict[str, float]:
    return page.js(
        f"(() => {{ const r = {plot}.canvas.getBoundingClientRect(); const b = {plot}.box;"
        "return {x: r.x + b.left, y: r.y + b.top, w: b.wide, h: b.high} })()"
    )


def spot(page: Page, plot: str, inner: str) -> tuple[float, float]:
    """The place in the window of [x, y] within a plot."""
    x, y = page.js(
        f"(() => {{ const r = {plot}.canvas.getBoundingClientRect(); const [x, y] = {inner};"
        "return [r.x + x, r.y + y] })()"
    )
    return x, y


@contextmanager
def opened(folder: Path) -> Iterator[Page]:
    """The explorer of hostile designs, which is to run without an error."""
    file = write_explorer(folder / "front.html", designs(COUNT), OBJECTIVES, title=HOSTILE)
    with Page(file, folder) as page:
        page("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        page.settle()
        yield page
        assert page.errors == []


def cleared(page: Page) -> Page:
    """Without filters and pins, the mouse apart."""
    page.mouse("mouseMoved", 2, 2)
    page.js("byId('clear').click(); pins.length = 0; showPins()")
    page.settle()
    return page


def chosen(page: Page) -> int:
    """How many designs the page says are selected."""
    text = page.js("byId('status').textContent")
    assert text.endswith("of 2,000 designs selected")
    return int(text.split()[0].replace(",", ""))


def budget(page: Page, label: str, words: str) -> str:
    """Type into a budget; what the page says of it."""
    page.js(
        f"(globalThis.field = [...document.querySelectorAll('#budgets input')].find("
        f"i => i.ariaLabel === '{label}')).focus()"
    )
    page.js("field.select()")
    page("Input.insertText", text=words) if words else page.js("field.value = ''")
    page.js("field.dispatchEvent(new Event('change'))")
    assert page.js("field.ariaInvalid") in ("true", "false")
    return page.js("field.closest('tr').querySelector('.problem').textContent")
