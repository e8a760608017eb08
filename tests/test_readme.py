"""The README's examples of mappings run as they stand."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_mapping_examples_run(capsys):
    text = README.read_text(encoding="utf-8")
    section = text.split("## Mappings: count one, find the best")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(blocks) == 2
    scope: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), scope)
    printed = capsys.readouterr().out
    assert "SRAM" in printed
    assert "capacity 131072 words" in printed
    assert scope["best"].cycles > 0
    assert scope["counts"].traffic[0]["I"].reads.shape == (1000,)
