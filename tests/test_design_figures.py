"""Figures of one design, of a trace and of a comparison: what they say, at both widths."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from dse.breakdown import break_down, find_chip
from dse.front import OBJECTIVES, POWER, THROUGHPUT
from dse.grouping import counted, gathered, phased
from dse.plots import style
from dse.plots.bands import bands
from dse.plots.design import design_figures, weak_curve
from dse.plots.difference import difference
from dse.plots.operations import operation_bars
from dse.plots.parallel import parallel
from dse.plots.placing import Field
from dse.plots.tornado import tornado
from dse.plots.words import measured, parted, shortened, typeset, width, wrapped
from hwmodels import VARIANTS, Fleet, load_workload
from hwmodels.workloads.contractions import ContractionShape

LONG = "best of $a_b$ and every other design of a run with a rather long name"
KINDS = ("roofline", "energy", "parts", "scaling", "tornado")


@pytest.fixture(scope="module", params=[1, 2])
def drawn(request):
    """All figures of a design with one link, at a width of a page's columns."""
    chip = VARIANTS["simt"]().replace(link_count=1.0, sms=4.0)
    return request.param, design_figures(LONG, chip, load_workload("mlp"), columns=request.param)


def words(figure):
    return " ".join(" ".join(t.get_text().split()) for t in figure.texts)


def check_page(figure, columns):
    """Every text is on the page, none below 6 points, and the heading lies on no panel."""
    inches = style.ONE_COLUMN_INCHES if columns == 1 else style.TWO_COLUMN_INCHES
    assert figure.get_size_inches()[0] == pytest.approx(inches)
    figure.dpi = style.DPI
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    assert min(t.get_size() for t in figure.findobj(Text) if t.get_text().strip()) >= 6.0
    blocks = [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]
    blocks += [legend.get_window_extent(renderer) for legend in figure.legends]
    # With their labels, but for ticks beyond an axis' limits, which are not drawn.
    for box in (*blocks, *(axes.get_tightbbox(renderer) for axes in figure.axes)):
        assert -1 <= box.x0 <= box.x1 <= figure.bbox.x1 + 1, figure
        assert -1 <= box.y0 <= box.y1 <= figure.bbox.y1 + 1, figure
    panels = [axes.get_window_extent(renderer) for axes in figure.axes]
    for block, panel in itertools.product(blocks, panels):
        assert not block.overlaps(panel)


@pytest.mark.parametrize("kind", KINDS)
def test_a_design_s_figures_hold_their_words(drawn, kind):
    columns, figures = drawn
    check_page(figures[kind], columns)
    assert LONG in words(figures[kind])
    assert "simt, 7 nm, " in words(figures[kind])
    assert " mm²" in words(figures[kind])


def test_why_a_fleet_cannot_be_formed(drawn):
    _, figures = drawn
    assert (
        "Fleets of 2 chips or more cannot be formed: 1 link a chip, where torus2d takes 4."
        in words(figures["scaling"])
    )


def test_curves_end_where_links_do_not_suffice():
    chip, workload = VARIANTS["systolic"](), load_workload("mlp")
    few = break_down("few", chip.replace(link_count=5.0), workload)
    torus, full = (weak_curve(few, Fleet(topology=t)) for t in ("torus2d", "fully_connected"))
    assert torus["throughput"].notna().all()
    assert list(full["chips"][full["throughput"].notna()]) == [1, 2, 4]  # 5 links: 6 chips
    alone = break_down("alone", chip.replace(link_count=1.0), workload)
    assert list(weak_curve(alone, Fleet())["throughput"].notna())[:2] == [True, False]


def swung():
    return pd.DataFrame(
        [("sms", 4.0, 3.0, 5.0, -0.2, 0.1), ("tuning_overlap", 1.0, 0.9, 1.0, -0.05, 0.0),
         ("clock_GHz", 1.25, 1.125, 1.375, -0.01, 0.012), ("rows", 1.0, 1.0, 2.0, 0.0, 0.03),
         ("dram_bandwidth_GBps", 300.0, 270.0, 330.0, 0.0, 0.0)],
        columns=["parameter", "value", "below", "above", "less", "more"],
    )  # fmt: skip


@pytest.mark.parametrize("columns", [1, 2])
def test_a_tornado_says_what_was_done(columns):
    figure = tornado(swung(), 0.1, "a title", metric="step_time $x_y$", columns=columns)
    check_page(figure, columns)
    (axes,) = figure.axes
    said = [text.get_text() for text in axes.texts]
    for expected in ("SMs", "4 → 3 / 5", "1.25 → 1.12 / 1.38 GHz", "1 → 0.9 / –", "1 → – / 2"):
        assert expected in said
    assert said.count("at its limit") == 2
    assert axes.get_xlabel() == "Change of step_time $x_y$ (%)"
    assert "4 of 5 numbers" in words(figure)  # one that does nothing has no row
    assert "whole ones by at least 1" in words(figure)


def test_names_of_contractions_are_whole_numbers():
    assert ContractionShape(1, 3211264, 64, 147, 0.0).text == "3211264x64x147"
    assert ContractionShape(25.0, 1048576.0, 7, 2.5, 0.0).text == "25*(1048576x7x2.5)"


def operations(rows):
    table = pd.DataFrame(rows, columns=["operation", "phase", "count", "time", "bound"])
    return table.assign(double=2 * table["time"])


def test_equal_operations_are_one_row_with_their_count():
    table = operations(
        [("dot 3x5x7", "forward", 2.0, 1.0, "dram"), ("dot 3x5x7", "forward", 1.0, 4.0, "compute"),
         ("dot 3x5x7", "backward", 1.0, 3.0, "dram"), ("exp [3x7]", "forward", 1.0, 2.0, "dram")]
    )  # fmt: skip
    rows = gathered(table, "time", 2)
    assert [phased(row) for _, row in rows.iterrows()] == [
        "3× dot 3x5x7 (forward)", "dot 3x5x7 (backward)", "exp [3x7] (forward)",
    ]  # fmt: skip
    assert list(rows["time"]) == [5.0, 3.0, 2.0]  # the only other one is itself
    assert list(rows["bound"]) == ["several", "dram", "dram"]
    rows = gathered(table, "time", 1)
    assert list(rows["operation"]) == ["dot 3x5x7", "2 others together"]
    assert rows["double"].sum() == table["double"].sum()


def test_the_others_do_not_dwarf_what_is_shown():
    """Forty layers of as many sizes: by themselves thirty would be the others."""
    sizes = range(1, 41)
    table = operations(
        [(f"conv {n}x64x3 + exp, mul", "forward", 1.0, 1.0, "dram") for n in sizes]
        + [(f"neg, mul, +1 more [{n}x5]", "backward", 2.0, 0.5, "dram") for n in sizes]
        + [(f"dot 4*({n}x3x5)", "forward", 1.0, 0.1, "dram") for n in sizes]
    )
    rows = gathered(table, "time", 4)
    assert [counted(row) for _, row in rows.iterrows()] == [
        "40× (40 sizes) conv + exp, mul", "80× (40 sizes) neg, mul, +1 more",
        "40× (40 sizes) dot",
    ]  # fmt: skip
    assert rows["time"].sum() == pytest.approx(table["time"].sum())


def test_the_trace_of_a_deep_network_is_shown_nearly_whole():
    workload = load_workload("resnet18")
    figure = operation_bars(workload)
    check_page(figure, 2)
    flops, moved, intensity = figure.axes
    labels = [label.get_text() for label in flops.get_yticklabels()]
    assert len(labels) < 20 < len(workload.rows)
    for axes, total in ((flops, workload.flops), (moved, workload.bytes)):
        bars = [bar.get_width() for bar in axes.patches]
        assert sum(bars) == pytest.approx(total)
        assert bars[-1] < max(bars[:-1])
    assert not intensity.patches  # a bar on a logarithmic axis has no length
    assert len(intensity.collections[0].get_offsets()) == len(labels)
    assert not any("e+0" in label for label in labels)


def test_a_comparison_says_what_was_done_to_b():
    time = pd.DataFrame({"label": ["dot " * 40, "exp"], "A": [3e-6, 1e-6], "B": [2e-6, 4e-6]})
    energy = pd.DataFrame({"label": ["MAC units"], "A": [1e-6], "B": [5e-6]})
    names = ("x (simt, 7 nm)", "y, scaled to x's area (systolic, 7 nm)")
    figure = difference(time, energy, names, LONG * 2)
    check_page(figure, 2)
    (legend,) = figure.legends
    assert legend.get_texts()[1].get_text() == f"B: {names[1]}"
    left, right = figure.axes
    assert left.get_xlabel() == "Time of a step (µs)"
    assert right.get_xlabel() == "Energy of a step (µJ)"
    assert min(len(axes.get_xticks()) for axes in (left, right)) >= 3


@pytest.mark.parametrize("columns", [1, 2])
def test_parallel_axes_say_how_they_are_scaled(columns):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "variant": "simt", "throughput_per_s": 10 ** rng.uniform(2, 6, 30),
        "power_W": rng.uniform(50, 100, 30), "scalability_per_s": 10 ** rng.uniform(2, 9, 30),
        "sram_bandwidth_B_per_cycle": rng.uniform(50, 100, 30),
    })  # fmt: skip
    figure = parallel(table, OBJECTIVES, LONG, columns)
    check_page(figure, columns)
    said = [" ".join(text.get_text().split()) for text in figure.axes[0].texts]
    assert (said.count("log"), said.count("linear")) == (2, 2)
    assert {"Chip power, step average (W) ↓", "SRAM bandwidth (B/cycle)"} <= set(said)
    assert "joint front of all variants: 30 designs" in words(figure)


def test_safe_and_fragile_designs_are_both_seen():
    chance = np.array([0.09, 1.0, 0.5])
    same = np.full(3, 10.0)
    table = pd.DataFrame(
        {"chance": chance, "throughput_per_s_median": same, "power_W_median": same}
    )
    band = pd.DataFrame({"power_W": [5.0, 20.0], "low": [8.0, 9.0], "median": [9.0, 11.0],
                         "high": [10.0, 12.0]})  # fmt: skip
    figure = bands(table, [(POWER, THROUGHPUT, band)], "a title", "a note")
    check_page(figure, 2)
    axes, _ = figure.axes
    points = axes.collections[1]
    assert list(points.get_array()) == [1.0, 0.5, 0.09]  # later ones lie on top
    assert (np.diff(points.get_sizes()) < 0).all()
    assert not any("$" in label.get_text() for label in axes.get_xticklabels())
    (median,) = axes.lines
    assert median.get_zorder() > points.get_zorder()


def test_labels_keep_off_marks_and_lines():
    disc, line = (50.0, 50.0, 6.0), (0.0, 40.0, 100.0, 40.0)
    field = Field((100.0, 100.0), [disc], [line])
    x, y = field.beside(disc[:2], disc[2], 20.0, 7.0)
    away = np.hypot(max(abs(x - 50) - 10, 0), max(abs(y - 50) - 3.5, 0))
    assert away >= disc[2]
    assert abs(y - 40) > 3.5
    other = field.beside(disc[:2], disc[2], 20.0, 7.0)
    assert abs(other[0] - x) >= 20 or abs(other[1] - y) >= 7
    crowded = Field((100.0, 100.0), [(x, 44.0, 4.0) for x in range(50, 101, 5)])
    x, y = crowded.along(line, 30.0, 7.0, 1, 1.0)
    assert x < 40  # the right end, which it would rather have, is taken above
    assert y > 40 or x > 60


def test_words():
    assert parted("sram_bandwidth_B_per_cycle") == ("SRAM bandwidth", "B/cycle")
    assert parted("dram_bandwidth_GBps") == ("DRAM bandwidth", "GB/s")
    assert parted("macs_per_sm") == ("MACs per SM", "")
    assert (typeset("us"), typeset("uJ"), typeset("mm2")) == ("µs", "µJ", "mm²")
    assert (measured(1.7349e-4, "J"), measured(812.4, "mm2")) == ("173 µJ", "812 mm²")
    name = "neg, mul, add_any, convert_element_type [128x56x56x256] (backward)"
    short = shortened(name, 2.2, 6.6)
    assert width(short, 6.6) <= 2.2
    assert short.endswith("… [128x56x56x256] (backward)")
    lines = wrapped(f"{LONG} {'x' * 200}", 2.0, 9.5, bold=True)
    assert all(width(line, 9.5, bold=True) <= 2.0 for line in lines)
    assert "".join(lines).replace(" ", "").endswith("x" * 200)


def test_a_roofline_s_legend_names_what_is_drawn():
    kinds = design_figures("lone", find_chip("sram_only"), load_workload("mlp"))
    labels = {text.get_text() for text in kinds["roofline"].legends[0].get_texts()}
    assert "hollow: per byte of the buffer" in labels
    assert "area of a mark: share of the step's time" in labels
    assert not any("DRAM" in label for label in labels)
