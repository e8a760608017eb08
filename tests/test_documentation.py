"""What the pages show runs as it stands: code, spaces, chips, commands; links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pandas as pd
import pytest

import dse
import hwmodels
from dse.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[1]
NAMES = (
    "README.md", "CHANGELOG.md", "dse/README.md", "hwmodels/README.md", "hwmodels/EXTENDING.md",
    "hwmodels/accelerators/README.md", "hwmodels/fleet/README.md", "hwmodels/mapping/README.md",
    "hwmodels/workloads/README.md", "experiments/ACCURACY.md", "experiments/BENCHMARKS.md",
)  # fmt: skip
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}


def blocks(page: str, language: str, title: str = "") -> list[str]:
    """The code of a page, or of one of its sections."""
    text = PAGES[page]
    if title:
        text = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def run(page: str, found: list[str]) -> dict:
    scope: dict = {}
    for block in found:
        exec(compile(block, page, "exec"), scope)
    return scope


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    text = re.sub(r"```.*?```", "", PAGES[name], flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, part = target.partition("#")
        there = (ROOT / name).parent / path if path else ROOT / name
        assert there.exists(), target
        if part:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert part in map(anchor, headings), target


def test_every_page_is_read_from_the_readme():
    for name in NAMES:
        assert name == "README.md" or f"({name})" in PAGES["README.md"], name


def test_five_minutes_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks("README.md", "python", "Five minutes")
    assert len(found) == 2
    assert all("designs=" in block for block in found)
    fewer = [re.sub(r"designs=[\d_]+", "designs=4096", block) for block in found]
    scope = run("README.md", fewer)
    assert "feasible" not in capsys.readouterr().err
    assert scope["metrics"].feasible
    assert float(scope["slope"].sram.capacity) != 0
    assert {path.name for path in tmp_path.iterdir()} >= {"front.png", "mine.png"}
    (further,) = blocks("dse/README.md", "python", "Figures, and a design by itself")
    exec(compile(further, "dse/README.md", "exec"), scope)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"front.html", "front_parallel.pdf", "design_tornado.svg"} <= names


def test_mapping_examples_run(capsys):
    found = blocks("hwmodels/mapping/README.md", "python")
    assert len(found) == 2
    scope = run("mapping", found)
    printed = capsys.readouterr().out
    assert "SRAM" in printed
    assert "capacity 131072 words" in printed
    assert scope["best"].cycles > 0
    assert scope["counts"].traffic[0]["I"].reads.shape == (1000,)


def test_the_case_by_hand(capsys):
    (case,) = blocks("hwmodels/README.md", "python")
    shown = [
        float(x) for line in re.findall(r"#(.*)$", case, re.MULTILINE) for x in line.split(",")
    ]
    assert shown == [0.099, 0.015, 1.434, 1102, 0.234, 1.634]
    row = run("models", [case])["row"]
    printed = capsys.readouterr().out
    assert re.findall(r"(?:_us|_nJ|_bytes) +([\d.]+)", printed) == [
        "0.099",
        "0.015",
        "1.43429",
        "1102.0",
    ]
    assert row["busy_us"] + row["fill_drain_us"] == pytest.approx(0.234)
    assert row["time_us"] == pytest.approx(1.634)


def test_files_shown_are_taken(tmp_path):
    mine = tmp_path / "mine.toml"
    (space,) = blocks("dse/README.md", "toml")
    mine.write_text(space)
    assert "rows" in dse.Space.load(mine).names
    for chip in blocks("hwmodels/accelerators/README.md", "toml"):
        mine.write_text(chip)
        assert float(hwmodels.load_chip(mine).clock) > 0
    (scenario,) = blocks("hwmodels/workloads/README.md", "toml")
    mine.write_text(scenario)
    assert hwmodels.load_workload(str(mine)).unit == "request"


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None, name
    return found


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_exist(name):
    shell = "".join(blocks(name, "sh")).replace("\\\n", " ")
    lines = [line.split("#")[0] for line in re.findall(r"^dse .*$", shell, re.MULTILINE)]
    mentioned = [
        shlex.split(text)[1:] for text in (*lines, *re.findall(r"`(dse [a-z][^`]*)`", PAGES[name]))
    ]
    for first, *rest in mentioned:
        options = {o for p in command(first).params for o in p.opts} | {"--help"}
        for word in rest:
            assert not word.startswith("--") or word in options, (first, word)
    if name == "README.md":
        assert {first for first, *_ in mentioned} == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name):
    text = command(name).get_help(click.Context(command(name), info_name=f"dse {name}"))
    assert "Examples:" in text
    assert "--help" in text


def percent(share: float) -> str:
    return "0" if share < 5e-6 else f"{100 * share:.2g}%"


def test_the_table_of_agreement_is_that_of_the_full_run():
    found = pd.read_csv(ROOT / "experiments" / "results" / "validation" / "agreement.csv")
    for r in found.itertuples():
        errors = " | ".join(map(percent, (r.mean_error, r.median_error, r.largest_error)))
        row = f"| `{r.kind}` | {r.quantity} | {r.rows:,} | {errors} | {r.rank_correlation:.3g} |"
        assert row in PAGES["experiments/ACCURACY.md"]


def test_the_models_page_names_every_file_of_a_model():
    page = PAGES["hwmodels/README.md"]
    for path in sorted((ROOT / "hwmodels" / "parts").glob("[a-z]*.py")):
        assert f"parts/{path.name}" in page, path.name
    for variant in (*hwmodels.VARIANTS, "composed"):
        assert f"**`{variant}`**" in page, variant


def test_extending_to_the_letter(tmp_path):
    """Its files are written, its lines changed, and what it promises is run on a copy."""
    page = "hwmodels/EXTENDING.md"
    skip = shutil.ignore_patterns("__pycache__", "results", "*.md")
    for package in ("dse", "hwmodels", "experiments"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=skip)
    for block in (*blocks(page, "python"), *blocks(page, "text")):
        name, _, text = block.partition("\n")
        path = tmp_path / name.removeprefix("# ")
        assert not path.exists()
        path.write_text(text)
    for block in blocks(page, "diff"):
        name, *lines = block.splitlines()
        path = tmp_path / name.removeprefix("# ")
        before = "\n".join(line[1:] for line in lines if line[0] in " -")
        after = "\n".join(line[1:] for line in lines if line[0] in " +")
        text = path.read_text()
        assert text.count(before) == 1, before
        path.write_text(text.replace(before, after))

    def at_work(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    by_hand = f"""
import hwmodels, numpy as np
assert hwmodels.__file__.startswith({str(tmp_path)!r})
from hwmodels.parts import adder_tree, mac
process = hwmodels.VARIANTS["dot_product"]().technology.resolve()
np.testing.assert_allclose(adder_tree.energy(process, "bf16", 1.0), mac.energy(process, "bf16"))
chip = hwmodels.VARIANTS["dot_product"]().replace(units=7, width=5)
row = hwmodels.evaluate(chip, hwmodels.load_workload("attention.gemms")).frame().iloc[0]
folds = 110 * 154  # ceil(768 / 7) of columns by ceil(768 / 5) of terms
np.testing.assert_allclose(row["busy_us"], folds * 512 / 1000, rtol=1e-5)
"""
    at_work("-c", by_hand)
    assert "scores" in at_work("-m", "dse.cli.main", "trace", "attention.gemms")
    assert "Trees reach" in at_work("-m", "experiments.tree_or_chain", "--quick")
    assert (tmp_path / "runs" / "tree_or_chain-quick" / "bests.csv").exists()


def test_the_reference_is_made_of_docstrings(tmp_path):
    """Every public name says what it is, and the reference has a page of it."""
    pdoc = pytest.importorskip("pdoc", reason="the docs extra is not installed")
    for package in (hwmodels, dse):
        for name in package.__all__:
            thing = getattr(package, name)
            assert not callable(thing) or len(thing.__doc__ or "") > 20, name
    done = subprocess.run(
        [sys.executable, "-m", "pdoc", "hwmodels", "dse", "hwmodels.parts", "-o", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "evaluate" in (tmp_path / "hwmodels.html").read_text()
    assert "negative-binomial" in (tmp_path / "hwmodels" / "parts" / "die.html").read_text()
    assert pdoc.__version__
