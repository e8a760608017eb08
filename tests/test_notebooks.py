"""Notebooks run from top to bottom, and are the same as the text files they are paired with."""

from __future__ import annotations

from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="the notebooks extra is not installed")
nbclient = pytest.importorskip("nbclient", reason="the notebooks extra is not installed")

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TEXTS = sorted(NOTEBOOKS.glob("*.py"))


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_notebook_matches_its_text(text: Path) -> None:
    paired = jupytext.read(text)
    notebook = jupytext.read(text.with_suffix(".ipynb"))
    cells = [[(c.cell_type, c.source) for c in book.cells] for book in (paired, notebook)]
    assert cells[0] == cells[1]
    for cell in notebook.cells:
        assert cell.cell_type != "code" or cell.execution_count, "committed without its outputs"


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_notebook_runs(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPGRAD_NOTEBOOK_DESIGNS", "20000")
    notebook = jupytext.read(text)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
