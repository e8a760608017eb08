"""YAML as plain data, bounded: no objects, no aliases, no duplicate keys, nothing deep or huge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hwmodels.errors import InputError
from hwmodels.workloads.importers.layers import LARGEST

DEEPEST = 64
_LONGEST = 400  # digits of a number: more are none of ours, and slow to read


class _Loader(yaml.SafeLoader):
    """Tags of other tools (`!Problem`) say nothing that keys do not: they are passed over."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise self.complaint("an alias", self.peek_event())
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > DEEPEST:
            raise self.complaint(f"nested deeper than {DEEPEST}", self.peek_event())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def complaint(self, what: str, at: Any) -> yaml.YAMLError:
        """An error with a place."""
        return yaml.constructor.ConstructorError(None, None, what, at.start_mark)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping of texts (or numbers) to values; keys once each."""
        made: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int)) or key in made:
                raise self.complaint(f"key {str(key)[:40]!r}: not a plain text, or twice", key_node)
            made[key] = self.construct_object(value_node, deep=True)
        return made


def _plain(loader: _Loader, tag: str, node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


def _number(loader: _Loader, node: Any) -> Any:
    if len(node.value) > _LONGEST:
        raise loader.complaint("a number too long", node)
    return yaml.SafeLoader.construct_yaml_int(loader, node)


_Loader.add_multi_constructor("!", _plain)
_Loader.add_multi_constructor("tag:", _plain)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)


def read_yaml(path: Path) -> list[Any]:
    """The documents of a file; `InputError` with file and line."""
    text = read_text(path)
    if "{%" in text or "{{" in text:
        raise InputError(str(path), "a Jinja template", "allowed: YAML; render it first")
    try:
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or error
        raise InputError(f"{path}{line}", said, "allowed: plain YAML") from None


def read_text(path: Path) -> str:
    """A text file; `InputError` if it is none, or too large."""
    try:
        if not path.is_file():
            raise InputError("workload", path, "no such file")
        if path.stat().st_size > LARGEST:
            raise InputError(str(path), f"{path.stat().st_size} bytes", f"allowed: to {LARGEST}")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(path), error, "allowed: a file of UTF-8 text") from None


def mapping(where: str, value: Any) -> dict[Any, Any]:
    """`value`, a mapping."""
    if not isinstance(value, dict):
        raise InputError(where, value, "allowed: a mapping")
    return value


def sequence(where: str, value: Any) -> list[Any]:
    """`value`, a list."""
    if not isinstance(value, list):
        raise InputError(where, value, "allowed: a list")
    return value
