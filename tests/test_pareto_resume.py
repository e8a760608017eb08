"""`dse pareto` stopped in each of its stages: it goes on with --resume, to the same front."""

from __future__ import annotations

import json

import pytest

from dse import pareto
from dse.checkpoint import Checkpoint
from dse.cli.main import main

ASKED = ["--variant", "vector", "--workload", "mlp-large", "--designs", "4000",
         "--evaluations", "9000", "--seed", "3"]  # fmt: skip


@pytest.fixture
def stopped(monkeypatch):
    """`stopped(where)`: from now on Ctrl-C comes in the sweep, in the search, or when drawing."""
    write, drawn = Checkpoint.write, pareto.write

    def stop(where: str | None) -> None:
        def noted(self, *state):
            self._last = -1e9  # every round, not every second
            write(self, *state)
            if where == "search":
                raise KeyboardInterrupt

        def drawing(*arguments):
            if where == "drawing":
                raise KeyboardInterrupt
            drawn(*arguments)

        monkeypatch.setattr(Checkpoint, "write", noted)
        monkeypatch.setattr(pareto, "write", drawing)

    return stop


def test_a_stopped_run_goes_on_to_the_same_fronts(tmp_path, capsys, stopped):
    folder, kept = tmp_path / "run", tmp_path / "run.checkpoint"
    stopped("search")
    assert main(["pareto", *ASKED, "--out", str(folder)]) == 130
    assert f"dse pareto --resume {folder}" in capsys.readouterr().err
    assert kept.is_dir()
    assert not folder.exists()
    # Not lost to who starts it again, nor mixed with another question.
    assert main(["pareto", *ASKED, "--out", str(folder)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["pareto", "--resume", str(folder), "--seed", "4"]) == 2
    assert "--seed: got 4" in capsys.readouterr().err
    stopped("drawing")
    assert main(["pareto", "--resume", str(folder)]) == 130
    stopped(None)
    assert main(["pareto", "--resume", str(folder), "--json"]) == 0
    resumed = json.loads(capsys.readouterr().out)
    assert main(["pareto", *ASKED, "--out", str(tmp_path / "whole"), "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    for name in ("hypervolume", "designs", "knee", "best"):
        assert resumed[name] == whole[name]
    for name in ("front.csv", "variant_fronts.csv", "trace.csv"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "whole"]
    assert main(["pareto", "--resume", str(folder)]) == 2
    assert "it is finished" in capsys.readouterr().err


def test_a_changed_question_is_refused(tmp_path, capsys, stopped):
    folder = tmp_path / "run"
    stopped("search")
    assert main(["pareto", *ASKED, "--out", str(folder)]) == 130
    request = tmp_path / "run.checkpoint" / "request.json"
    asked = json.loads(request.read_text())
    request.write_text(json.dumps(asked | {"designs": 5000}))
    capsys.readouterr()
    assert main(["pareto", "--resume", str(folder)]) == 2
    assert "designs: was 4000, is 5000" in capsys.readouterr().err
    request.write_text("{}")
    assert main(["pareto", "--resume", str(folder)]) == 2
    assert "not one that this command wrote" in capsys.readouterr().err
    request.write_text("{")
    assert main(["pareto", "--resume", str(folder)]) == 2
    assert "not readable" in capsys.readouterr().err


def test_what_cannot_end_leaves_nothing(tmp_path, capsys):
    arguments = ["pareto", *ASKED, "--at-most", "power_W=0.001", "--out", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "power_W" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
