"""ZigZag's workloads (YAML): a list of layers, each an equation with loop sizes.

- id: 0
  operator_type: Conv
  equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, K, C, OY, OX, FY, FX]
  loop_sizes: [1, 64, 3, 112, 112, 7, 7]
  operand_precision: {W: 8, I: 8, O: 16, O_final: 8}
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hwmodels.errors import InputError
from hwmodels.workloads.importers.einsum import Access, Einsum, parse_index
from hwmodels.workloads.importers.layers import BITS, Layer, check_size
from hwmodels.workloads.importers.safe_yaml import mapping, sequence

_EQUATION = re.compile(r"(\w+)((?:\[\w+\])+)\+?=(.*)")
_TENSOR = re.compile(r"(\w+)((?:\[\w+\])+)")


def layers(path: Path, documents: list[Any]) -> list[Layer]:
    """The layers of a file."""
    if len(documents) != 1:
        raise InputError(str(path), f"{len(documents)} documents", "allowed: one list of layers")
    return [_layer(path.name, i, x) for i, x in enumerate(sequence(path.name, documents[0]))]


def _layer(file: str, number: int, entry: Any) -> Layer:
    content = mapping(f"{file}, layer {number}", entry)
    name = str(content.get("name") or f"{content.get('operator_type', 'layer')} {number}")[:200]
    where = f"{file}, layer {number}"
    equation = str(content.get("equation", "")).replace(" ", "")
    match = _EQUATION.fullmatch(equation)
    if match is None:
        raise InputError(
            f"{where}, equation", equation, "allowed: such as O[m][n]+=I[m][k]*W[k][n]"
        )
    dims = sequence(f"{where}, loop_dims", content.get("loop_dims"))
    numbers = sequence(f"{where}, loop_sizes", content.get("loop_sizes"))
    if len(dims) != len(numbers):
        raise InputError(f"{where}, loop_sizes", len(numbers), f"allowed: {len(dims)}, one a dim")
    sizes = {
        str(d).lower(): check_size(f"{where}, loop size of {d}", n)
        for d, n in zip(dims, numbers, strict=True)
    }
    relations = {}
    for text in sequence(f"{where}, dimension_relations", content.get("dimension_relations", [])):
        name_of, equals, added = str(text).replace(" ", "").partition("=")
        if not equals:
            raise InputError(f"{where}, dimension_relations", text, "allowed: such as ix=2*ox+1*fx")
        relations[name_of] = parse_index(f"{where}, dimension_relations", added)

    def access(tensor: str, inside: str) -> Access:
        names = inside[1:-1].split("][")
        return Access(tensor, tuple(relations.get(d, {d: 1}) for d in names))

    operands = tuple(access(*found) for found in _TENSOR.findall(match[3]))
    if not operands:
        raise InputError(f"{where}, equation", equation, "allowed: one or two operands")
    precision = content.get("operand_precision")
    bits = precision.get("I", BITS) if isinstance(precision, dict) else BITS
    good = isinstance(bits, (int, float)) and not isinstance(bits, bool) and 1 <= bits <= 64
    if not good:
        raise InputError(f"{where}, operand_precision", bits, "allowed: 1 to 64 bits")
    # Pooling multiplies by nothing: its kernel has no precision.
    if isinstance(precision, dict) and precision.get("W") == 0:
        operands = tuple(a for a in operands if a.tensor != "W")
    given = {a.tensor for a in operands} if _sources(content, number) else set()
    made = frozenset(given)
    return Einsum(name, sizes, access(match[1], match[2]), operands, made, float(bits)).layer()


def _sources(content: dict[Any, Any], number: int) -> bool:
    """Whether both operands come from other layers, so that neither is a weight."""
    sources = content.get("operand_source")
    if not isinstance(sources, dict) or len(sources) < 2:
        return False
    own = content.get("id", number)
    return all(source != own for source in sources.values())
