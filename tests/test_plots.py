"""Figures: every format, units on every axis, legends, the awkward cases; warnings are errors."""

import dataclasses
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dse.front import OBJECTIVES, Front, Objective
from dse.plots import fronts, style
from dse.plots.words import wrapped
from hwmodels.errors import InputError

VARIANTS = ("systolic", "simt", "spatial", "vector")


def designs(variant, count, seed=0):
    rng = np.random.default_rng(seed)
    power = np.exp(rng.uniform(np.log(5), np.log(300), count))
    share = rng.beta(2, 2, count)
    throughput = (1 + VARIANTS.index(variant)) * 1e5 * power**0.8 * (1 - 0.8 * share**2)
    scalability = throughput * 40 * (1 + 60 * share) * (power / 20) ** 0.3
    return pd.DataFrame(
        {
            "variant": variant,
            "throughput_per_s": throughput,
            "power_W": power,
            "scalability_per_s": scalability,
        }
    )


def case(variants=VARIANTS, count=300):
    tables = {v: Front.from_table(designs(v, count, i)).table for i, v in enumerate(variants)}
    return tables, Front.from_table(pd.concat(tables.values(), ignore_index=True)).table


def texts_of(figure):
    return " ".join(" ".join(t.get_text().split()) for t in figure.texts)


def test_all_formats_are_written(tmp_path):
    paths = fronts.draw_front(*case(), tmp_path, title="mlp-large", budgets="area <= 400 mm²")
    kinds = ("pairwise", "3d", "parallel")
    names = [f"front_{n}.{e}" for n in kinds for e in ("png", "svg", "pdf")]
    names.append("front.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    assert sorted(p.name for p in paths) == sorted(names)
    for path in paths:
        heads = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "html": b"<!DOCTYPE"}
        head = heads[path.suffix[1:]]
        assert path.read_bytes().startswith(head)
    svg = (tmp_path / "front_pairwise.svg").read_text()
    assert "<text" not in svg  # outlines, with what they say as comments
    assert "<!-- Chip power, step average (W) -->" in svg
    assert "mlp-large" in svg
    assert "400 mm²" in svg
    assert b"/FontFile2" in (tmp_path / "front_3d.pdf").read_bytes()
    assert "matplotlib.pyplot" not in sys.modules


def test_same_front_same_bytes(tmp_path):
    tables, joint = case(count=40)
    for name in "ab":
        (tmp_path / name).mkdir()
        fronts.draw_front(tables, joint, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_no_global_state_is_changed(tmp_path):
    before = dict(matplotlib.rcParams)
    fronts.draw_front(*case(count=40), tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_axes_have_names_and_units():
    figure = fronts.pairwise(*case())
    panels, strips = figure.axes[:3], figure.axes[3:]
    labels = [
        (below.get_xlabel(), above.get_ylabel())
        for above, below in zip(panels, strips, strict=True)
    ]
    power, throughput = "Chip power, step average (W)", "Throughput (samples/s)"
    scalability = "Scalability S80 (samples/s)"
    assert labels == [(power, throughput), (power, scalability), (scalability, throughput)]
    assert all(a.get_xscale() == a.get_yscale() == "log" for a in panels)
    narrow = fronts.pairwise(*case(), columns=1).axes
    assert [(a.get_xlabel(), a.get_ylabel()) for a in narrow] == labels
    (axes,) = fronts.three_dimensional(*case()).axes
    assert [getattr(axes, f"get_{n}label")() for n in "xyz"] == [power, scalability, throughput]


@pytest.mark.parametrize("draw", [fronts.pairwise, fronts.three_dimensional])
def test_one_legend_names_what_is_drawn(draw):
    tables, joint = case(("systolic", "vector"))
    figure = draw({**tables, "simt": joint.iloc[:0]}, joint)
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["systolic array", "vector (SIMD CPU)", "on the joint front"]
    assert "No designs: simt." in texts_of(figure)


@pytest.mark.parametrize("draw", [fronts.pairwise, fronts.three_dimensional])
@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_texts_legend_and_panels_do_not_overlap(draw, count):
    names = list(style.VARIANT_STYLES)[:count]
    _, joint = case()
    tables = {name: joint.assign(variant=name) for name in names}
    figure = draw(tables, pd.concat(tables.values()), "A title", "budget <= 400 mm² " * 20)
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = figure.bbox
    blocks = [t.get_window_extent(renderer) for t in figure.texts if t.get_text()]
    blocks += [legend.get_window_extent(renderer) for legend in figure.legends]
    if draw is fronts.pairwise:  # three-dimensional axes do not know how large they are drawn
        blocks += [a.get_tightbbox(renderer) for a in figure.axes]
    for i, block in enumerate(blocks):
        assert page.x0 <= block.x0 < block.x1 <= page.x1
        assert page.y0 <= block.y0 < block.y1 <= page.y1
        assert not any(block.overlaps(other) for other in blocks[:i])


def test_step_line_is_the_front_of_two_objectives():
    rows = [(1e6, 10.0, 1e9), (3e6, 20.0, 1e8), (2e6, 30.0, 5e9), (4e6, 40.0, 1e7)]
    table = pd.DataFrame(rows, columns=["throughput_per_s", "power_W", "scalability_per_s"])
    table["variant"] = "simt"
    figure = fronts.pairwise({"simt": table}, table)
    (line,) = figure.axes[0].get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [10, 20, 40])  # 30 W loses to 20 W here
    np.testing.assert_array_equal(line.get_ydata(), [1e6, 3e6, 4e6])
    assert line.get_drawstyle() == "steps-post"
    (line,) = figure.axes[2].get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1e7, 1e8, 5e9])
    assert line.get_drawstyle() == "steps-pre"


def test_strips_are_each_line_over_the_best_of_all():
    columns = ["throughput_per_s", "power_W", "scalability_per_s"]
    fast = pd.DataFrame([(4.0, 10.0, 8.0), (6.0, 20.0, 3.0)], columns=columns)
    slow = pd.DataFrame([(1.0, 5.0, 1.0), (3.0, 10.0, 5.0)], columns=columns)
    tables = {"simt": fast.assign(variant="simt"), "vector": slow.assign(variant="vector")}
    joint = Front.from_table(pd.concat(tables.values())).table
    first, _, last = fronts.pairwise(tables, joint).axes[3:]
    simt, vector = (line.get_ydata() for line in first.get_lines())
    np.testing.assert_allclose(simt, [np.nan, 1.0, 1.0])  # at 5, 10 and 20 W
    np.testing.assert_allclose(vector, [1.0, 0.75, 0.5])
    simt, vector = (line.get_ydata() for line in last.get_lines())
    np.testing.assert_allclose(simt, [1.0, 1.0, 1.0])  # throughput at a scalability of 3, 5, 8
    np.testing.assert_allclose(vector, [0.5, 0.75, np.nan])


@pytest.mark.parametrize("count", [2, 4, 5])
def test_every_pair_of_any_objectives_has_a_panel(tmp_path, count):
    more = [Objective("area_mm2", "Die area", "mm²", False),
            Objective("cost_USD", "Cost", "USD", maximise=False)]  # fmt: skip
    objectives = (*OBJECTIVES, *more)[:count]
    tables, _ = case(count=30)
    whole = pd.concat(tables.values()).assign(area_mm2=lambda t: t["power_W"] * 2, cost_USD=9.0)
    front = Front.from_table(whole, objectives)
    pairs = count * (count - 1) // 2
    figure = front.plot(columns=1)
    assert len(figure.axes) == pairs
    names = {path.name for path in front.plot(tmp_path / "run_v1.0")}
    assert ("front_3d.png" in names) == (count > 2)


def test_a_front_of_variants_shows_their_own_fronts():
    tables, _ = case()
    shares = Front.from_table(pd.concat(tables.values(), ignore_index=True))
    known = dataclasses.replace(shares, own=tables)
    assert "Only designs of the joint front are drawn" in texts_of(shares.plot())
    figure = known.plot()
    assert "Lines: each variant's front" in texts_of(figure)
    drawn = {line.get_label(): len(line.get_xdata()) for line in figure.axes[0].get_lines()}
    assert len(drawn) == len(tables)


def test_titles_are_not_mathematics(tmp_path):
    front = Front.from_table(case(count=20)[1])
    assert front.plot(tmp_path / "a.png", title="bad $x_{ $", budgets="$ 5") == [tmp_path / "a.png"]


def test_lines_are_as_wide_as_they_may_be():
    words = "one two three four five six seven eight nine ten eleven twelve " * 4
    lines = wrapped(words, 2.0, 7)
    assert " ".join(lines) == words.strip()
    assert 5 < len(lines) < 14
    assert wrapped("", 2.0, 7) == []
    cut = wrapped("x" * 300, 2.0, 7)
    assert "".join(cut) == "x" * 300
    assert len(cut) > 5


def one_point():
    table = designs("simt", 1)
    return {"simt": table}, table


def one_power():
    table = designs("simt", 50).assign(power_W=75.0)
    return {"simt": table}, table.iloc[:3]


def all_equal_but_joint_empty():
    table = pd.concat([designs("vector", 1)] * 9)
    return {"vector": table}, table.iloc[:0]


def very_wide():
    table = designs("spatial", 9).assign(power_W=np.logspace(-9, 9, 9))
    return {"spatial": table}, table


def unknown_variant():
    table = designs("simt", 9).assign(variant="photonic")
    return {"photonic": table}, table


@pytest.mark.parametrize(
    "make", [one_point, one_power, all_equal_but_joint_empty, very_wide, unknown_variant]
)
def test_degenerate_fronts_are_drawn(tmp_path, make):
    tables, joint = make()
    some = joint if len(joint) else pd.concat(tables.values())
    assert len(fronts.draw_front(tables, some, tmp_path)) == 10
    for axes in fronts.pairwise(tables, joint).axes:
        for ticks, limits in ((axes.get_xticks(), axes.get_xlim()),):
            inside = (ticks >= limits[0]) & (ticks <= limits[1])
            assert 3 <= inside.sum() <= 7


def test_nothing_to_draw_is_refused(tmp_path):
    _, joint = case(count=5)
    with pytest.raises(InputError, match="at least one"):
        fronts.draw_front({"simt": joint.iloc[:0]}, joint, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_many_points_are_thinned_and_the_figure_says_so():
    table = designs("systolic", 20_000)
    figure = fronts.pairwise({"systolic": table}, table)
    assert "thinned evenly to 4,000 a variant, of: systolic 20,000" in texts_of(figure)
    assert "40 a variant at most, of 20,000" in texts_of(figure)
    cloud, outlined = figure.axes[0].collections
    assert (len(cloud.get_offsets()), len(outlined.get_offsets())) == (4000, 40)
    assert cloud.get_rasterized()


def test_front_plot(tmp_path):
    front = Front.from_table(pd.concat(case(count=40)[0].values()))
    assert front.plot(tmp_path / "front.svg") == [tmp_path / "front.svg"]
    assert len(front.plot(tmp_path / "new" / "folder")) == 10
    with pytest.raises(InputError, match="figure format"):
        front.plot(tmp_path / "front.jpeg")
    with pytest.raises(InputError, match="columns: got 3"):
        front.plot(columns=3)
    with pytest.raises(InputError, match="at least two"):
        Front.from_table(front.table, OBJECTIVES[:1]).plot(tmp_path / "one")
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize("most", [10, 200])
def test_the_page_of_a_large_front_keeps_the_joint_one_first(tmp_path, monkeypatch, most):
    tables, joint = case(count=200)
    pages = []
    monkeypatch.setattr(fronts, "MOST_EXPLORED", most)
    monkeypatch.setattr(fronts, "write_explorer", lambda path, table, *rest: pages.append(table))
    assert 10 < len(joint) < 200 < sum(map(len, tables.values()))
    fronts.draw_front(tables, joint, tmp_path, formats=())
    (page,) = pages
    assert len(page) == most
    on = page.merge(joint, on=list(joint)).drop_duplicates()
    assert len(on) == min(most, len(joint))


def test_variants_are_told_apart():
    looks = [*style.VARIANT_STYLES.values(), *map(style.variant_style, ("mine", "yours", "ours"))]
    assert len({look.colour for look in looks}) == len({look.marker for look in looks}) == 9


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (5, 7.2, [1e5, 1e6, 1e7]),
        (0.6, 2.5, [10, 30, 100, 300]),
        (0.58, 0.99, [4, 5, 6, 7, 8, 9]),
        (0, 12, [1, 100, 1e4, 1e6, 1e8, 1e10, 1e12]),
    ],
)
def test_ticks(low, high, expected):
    np.testing.assert_allclose(style.log_ticks(low, high, most=7), expected)


def test_engineering_numbers():
    values = (12_000, 2.5e6, 150, 4.5, 3e10, 0.002, 0.5, 0.0)
    said = ["12k", "2.5M", "150", "4.5", "30G", "0.002", "0.5", "0"]
    assert [style.engineering(v) for v in values] == said
