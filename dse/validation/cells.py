"""Areas and powers as tables of chips write them: "2 x ~724", "<=331", "6 / 216", "700 (M)".

A cell is exact, a bound, an approximation, or no number of that kind; nothing is dropped silently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"\d+(?:\.\d+)?"
_REMARK = re.compile(r"\([^)]*\)")
_TERM = re.compile(rf"^(?:(\d+)\s*(?:x|\*|[A-Z]+)\s*)?(~?)\s*({_NUMBER})$")


@dataclass(frozen=True)
class Cell:
    """A number and what it is: "exact", "at_most", "about", "blank" or "unread"."""

    value: float
    kind: str

    @property
    def exact(self) -> float:
        """The number if it is exact, else NaN."""
        return self.value if self.kind == "exact" else float("nan")


_BLANK, _UNREAD = Cell(float("nan"), "blank"), Cell(float("nan"), "unread")


def read_cell(text: str, *, prefer: str = "") -> Cell:
    """The number of a cell.

    Alternatives stand between slashes: the one that names `prefer`, else the first. Sums of terms
    "4 IOD ~370" and products "2 x 724" are worked out; of a range the middle is "about".
    """
    text = _REMARK.sub("", text).strip()
    if not text or text.lower() in ("n/p", "none", "not published", "-"):
        return _BLANK
    if "/" in text:
        options = [option.strip() for option in text.split("/")]
        chosen = next((o for o in options if prefer and prefer in o), options[0])
        text = re.sub(r"\s*[a-z]+$", "", chosen)
    if bound := re.match(rf"^(?:<=?|≤)\s*({_NUMBER})$", text):
        return Cell(float(bound[1]), "at_most")
    if span := re.match(rf"^({_NUMBER})\s*-\s*({_NUMBER})$", text):
        return Cell((float(span[1]) + float(span[2])) / 2, "about")
    total, about = 0.0, False
    for term in text.split("+"):
        found = _TERM.match(term.strip())
        if not found:
            return _UNREAD
        total += float(found[1] or 1) * float(found[3])
        about |= bool(found[2])
    return Cell(total, "about" if about else "exact") if total > 0 else _UNREAD


def read_typical(text: str) -> Cell:
    """A typical power: of min/mean/max the mean, of several loads the first."""
    if found := re.search(rf"min/mean/max {_NUMBER}/({_NUMBER})/{_NUMBER}", text):
        return Cell(float(found[1]), "exact")
    if re.search(r"pJ|kW|GEMM", text):
        return _UNREAD
    loads = _REMARK.sub("|", text).split("|")
    return read_cell(loads[0].strip()) if text.strip() else _BLANK
