"""AccelForge's workloads (YAML): einsums over named ranks, in full or as one line of text.

    workload:
      rank_sizes: {M: 64, K: 32, N: 16}          or   iteration_space_shape: {m: 0 <= m < 64}
      bits_per_value: {All: 8}
      einsums:
      - "Z[m, n] = A[m, k] * W[k, n]"
      - {name: B, tensor_accesses: [{name: Z, projection: [m, n]}, ...], ...}

A variable indexes the rank of its own name in capitals, or the rank that it is given for (`M: p`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hwmodels.errors import InputError
from hwmodels.workloads.importers.einsum import Access, Einsum, parse_index
from hwmodels.workloads.importers.layers import BITS, Layer, check_size
from hwmodels.workloads.importers.safe_yaml import mapping, sequence

_BOUND = re.compile(r"\s*([0-9]{1,10})\s*<=\s*(\w+)\s*<\s*([0-9]{1,10})\s*")
_LINE = re.compile(r"\s*(\w+)\s*\[([^\]]*)\]\s*=\s*(.*)")
_TENSOR = re.compile(r"(\w+)\s*\[([^\]]*)\]")


def layers(path: Path, documents: list[Any]) -> list[Layer]:
    """The layers of a file."""
    if len(documents) != 1:
        raise InputError(str(path), f"{len(documents)} documents", "allowed: one workload")
    content = mapping(f"{path.name}, workload", mapping(path.name, documents[0]).get("workload"))
    ranks = mapping(f"{path.name}, rank_sizes", content.get("rank_sizes", {}))
    sizes = {str(k).lower(): check_size(f"{path.name}, rank {k}", v) for k, v in ranks.items()}
    space = content.get("iteration_space_shape", content.get("shape", {}))
    bounds = space.values() if isinstance(space, dict) else sequence(f"{path.name}, shape", space)
    for text in bounds:
        sizes |= _bound(path.name, text)
    bits = content.get("bits_per_value", {})
    bits = float(bits["All"]) if isinstance(bits, dict) and _whole(bits.get("All")) else BITS
    listed = sequence(f"{path.name}, einsums", content.get("einsums"))
    made: set[str] = set()
    found = []
    for number, entry in enumerate(listed, 1):
        where = f"{path.name}, einsum {number}"
        entry = entry if isinstance(entry, dict) else {"einsum": entry}
        result, operands = _accesses(where, entry)
        own = dict(sizes)
        for text in sequence(f"{where}, shape", entry.get("iteration_space_shape", [])):
            own |= _bound(where, text)
        name = str(entry.get("name") or result.tensor)[:200]
        found.append(Einsum(name, own, result, operands, frozenset(made), bits).layer())
        made.add(result.tensor)
    return found


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64


def _bound(where: str, text: Any) -> dict[str, int]:
    match = _BOUND.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InputError(f"{where}, shape", text, "allowed: such as 0 <= m < 64")
    return {match[2]: check_size(f"{where}, {match[2]}", int(match[3]) - int(match[1]))}


def _accesses(where: str, entry: dict[Any, Any]) -> tuple[Access, tuple[Access, ...]]:
    """The result and the operands."""
    if "einsum" in entry:
        match = _LINE.fullmatch(entry["einsum"]) if isinstance(entry["einsum"], str) else None
        if match is None:
            raise InputError(where, entry["einsum"], "allowed: such as Z[m, n] = A[m, k] * B[k, n]")
        result = Access(match[1], _indices(where, match[2].split(",")))
        operands = [
            Access(name, _indices(where, inside.split(",")))
            for name, inside in _TENSOR.findall(match[3])
        ]
    else:
        results: list[Access] = []
        operands = []
        for access in sequence(f"{where}, tensor_accesses", entry.get("tensor_accesses")):
            found = mapping(f"{where}, tensor access", access)
            projection = found.get("projection")
            if isinstance(projection, dict):
                texts = list(projection.values())
            else:
                texts = sequence(f"{where}, projection", projection)
            name = str(found.get("name"))[:200]
            access = Access(name, _indices(where, texts))
            (results if found.get("output") is True else operands).append(access)
        if len(results) != 1:
            raise InputError(f"{where}, outputs", len(results), "allowed: one")
        result = results[0]
    if not operands:
        raise InputError(where, "no operands", "allowed: one or two")
    return result, tuple(operands)


def _indices(where: str, texts: list[Any]) -> tuple[dict[str, int], ...]:
    found = []
    for text in texts:
        if not isinstance(text, (str, dict)):
            raise InputError(f"{where}, index", text, "allowed: sums of variables")
        plain = str(next(iter(text.values()), "")) if isinstance(text, dict) else text
        # "M: p" indexes rank M with variable p, whose size is M's.
        rank, colon, variable = plain.partition(":")
        index = parse_index(f"{where}, index", (variable if colon else rank).strip())
        found.append(index)
    return tuple(found)
