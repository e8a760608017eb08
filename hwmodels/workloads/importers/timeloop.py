"""Timeloop's problems (YAML, versions 0.2 to 0.4): one or several, each its own document.

`shape` names dimensions, coefficients (strides, dilations) and the projection of each data space;
`instance` gives sizes. Older files hold the sizes beside the shape; a shape may be just the word
`cnn-layer`, which has the usual seven dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwmodels.errors import InputError
from hwmodels.workloads.importers.einsum import Access, Einsum
from hwmodels.workloads.importers.layers import Layer, check_size
from hwmodels.workloads.importers.safe_yaml import mapping, sequence

CNN: dict[str, Any] = {
    "name": "cnn-layer",
    "dimensions": ["C", "K", "R", "S", "N", "P", "Q"],
    "coefficients": [
        {"name": name, "default": 1} for name in ("Wstride", "Hstride", "Wdilation", "Hdilation")
    ],
    "data_spaces": [
        {"name": "Weights", "projection": [[["C"]], [["K"]], [["R"]], [["S"]]]},
        {"name": "Inputs", "projection": [
            [["N"]], [["C"]], [["R", "Wdilation"], ["P", "Wstride"]],
            [["S", "Hdilation"], ["Q", "Hstride"]],
        ]},
        {"name": "Outputs", "projection": [[["N"]], [["K"]], [["Q"]], [["P"]]],
         "read_write": True},
    ],
}  # fmt: skip


def layers(path: Path, documents: list[Any]) -> list[Layer]:
    """The layers of a file's documents."""
    return [_layer(f"{path.name}, problem {i}", d) for i, d in enumerate(documents, 1)]


def _layer(where: str, document: Any) -> Layer:
    problem = mapping(f"{where}, problem", mapping(where, document).get("problem"))
    shape = problem.get("shape", "cnn-layer")
    if isinstance(shape, str):
        if shape.lower().replace("_", "-") not in ("cnn-layer", "cnn"):
            raise InputError(f"{where}, shape", shape, "allowed: cnn-layer, or a shape in full")
        shape = CNN
    shape = mapping(f"{where}, shape", shape)
    instance = mapping(f"{where}, instance", problem.get("instance", problem))
    names = [_text(f"{where}, dimension", d)
             for d in sequence(f"{where}, dimensions", shape.get("dimensions"))]  # fmt: skip
    sizes = {name: check_size(f"{where}, {name}", instance.get(name, 1)) for name in names}
    factors = {
        _text(f"{where}, coefficient", _get(where, c, "name")): c
        for c in sequence(f"{where}, coefficients", shape.get("coefficients", []))
    }
    known = {
        name: check_size(f"{where}, {name}", instance.get(name, c.get("default", 1)))
        for name, c in factors.items()
    }
    spaces = sequence(f"{where}, data_spaces", shape.get("data_spaces", shape.get("data-spaces")))
    accesses = [(_access(where, s, sizes, known), _written(s)) for s in spaces]
    results = [access for access, written in accesses if written]
    if len(results) != 1:
        raise InputError(f"{where}, data_spaces", f"{len(results)} with read_write", "allowed: one")
    name = str(problem.get("name") or instance.get("name") or shape.get("name") or where)
    operands = tuple(access for access, written in accesses if not written)
    return Einsum(name[:200], sizes, results[0], operands).layer()


def _access(where: str, space: Any, sizes: Mapping[str, int], factors: Mapping[str, int]) -> Access:
    name = _text(f"{where}, data space", _get(where, space, "name"))
    indices = []
    for rank in sequence(f"{where}, {name}, projection", _get(where, space, "projection")):
        terms = rank if isinstance(rank, list) else [rank]
        index: dict[str, int] = {}
        for term in terms:
            parts = term if isinstance(term, list) else [term]
            if not 1 <= len(parts) <= 2 or not isinstance(parts[0], str) or parts[0] not in sizes:
                allowed = "allowed: a dimension of the shape, with at most one coefficient"
                raise InputError(f"{where}, {name}, projection", term, allowed)
            factor = parts[1] if len(parts) == 2 else 1
            if isinstance(factor, str):
                if factor not in factors:
                    allowed = f"allowed: {', '.join(factors) or 'none is named'}"
                    raise InputError(f"{where}, {name}, coefficient", factor, allowed)
                factor = factors[factor]
            index[parts[0]] = check_size(f"{where}, {name}, coefficient", factor)
        indices.append(index)
    return Access(name, tuple(indices))


def _written(space: Mapping[str, Any]) -> bool:
    value = space.get("read_write", space.get("read-write", False))
    return value is True or str(value).lower() == "true"


def _get(where: str, value: Any, key: str) -> Any:
    found = mapping(where, value)
    if key not in found:
        raise InputError(f"{where}, {key}", "nothing", "needed")
    return found[key]


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 200:
        raise InputError(where, value, "allowed: a name")
    return value
