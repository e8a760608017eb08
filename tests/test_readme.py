"""What the README shows runs as it stands: its code, its design space, its commands' names."""

import re
from pathlib import Path

import click
import pytest

import dse
from dse.cli.main import COMMANDS, cli

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(title: str, language: str) -> list[str]:
    section = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def test_mapping_examples_run(capsys):
    found = blocks("Mappings: count one, find the best", "python")
    assert len(found) == 2
    scope: dict = {}
    for block in found:
        exec(compile(block, "README.md", "exec"), scope)
    printed = capsys.readouterr().out
    assert "SRAM" in printed
    assert "capacity 131072 words" in printed
    assert scope["best"].cycles > 0
    assert scope["counts"].traffic[0]["I"].reads.shape == (1000,)


def test_five_minutes_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks("Five minutes", "python")
    assert len(found) == 2
    scope: dict = {}
    for block in found:
        assert "designs=" in block
        fewer = re.sub(r"designs=[\d_]+", "designs=4096", block)
        exec(compile(fewer, "README.md", "exec"), scope)
    assert "feasible" not in capsys.readouterr().err
    assert scope["metrics"].feasible
    assert float(scope["slope"].sram.capacity) != 0
    assert {path.name for path in tmp_path.iterdir()} >= {"front.png", "mine.png"}


def test_design_space_loads(tmp_path):
    (text,) = blocks("Your own design space", "toml")
    path = tmp_path / "mine.toml"
    path.write_text(text)
    space = dse.Space.load(path)
    assert "rows" in space.names


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def test_commands_and_options_exist():
    mentioned = re.findall(r"`dse ([a-z]+)((?: [^`]*)?)`", README)
    assert {name for name, _ in mentioned} == set(COMMANDS)
    for name, rest in mentioned:
        options = {o for p in command(name).params for o in p.opts}
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in options, (name, option)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name):
    text = command(name).get_help(click.Context(command(name), info_name=f"dse {name}"))
    assert "Examples:" in text
    assert "--help" in text
