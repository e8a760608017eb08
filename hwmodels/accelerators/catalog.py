"""Real chips from TOML files: what their datasheets state, with unit, source and confidence.

A file has `[chip]`, the structure that the model reads, by the boundary names of its variant;
`[die]`, where a die holds more than the chip has enabled (whole SMs, cache); and `[published]`,
facts that predictions are compared with. A chip that is composed of memory levels
(`variant = "composed"`) has `[[memory]]` tables too, and no `[die]`; see
`hwmodels.accelerators.composed_entry`. A field is a number, or a table of a value, a source and
a confidence; those that a field leaves out are the file's own. Counts are whole numbers.
hwmodels/catalog/chips/tpu_v4.toml is an example. Files outside the catalog need neither family,
year, source nor confidence: theirs is "own", none, "the file" and "assumed".

Of `[published]` the model reads one number, the power cap: `load_chip` lowers voltage and clock to
it.
Areas and peak powers are predicted from `ChipEntry.chip()`, which has none.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from hwmodels.accelerators import VARIANTS
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.composed import Composed
from hwmodels.accelerators.composed_entry import ComposedEntry, read_levels
from hwmodels.accelerators.entry import BOUNDARIES, KINDS, ChipEntry, check_clock
from hwmodels.accelerators.facts import CONFIDENCES, PUBLISHED, read_fact, read_text
from hwmodels.errors import InputError, check_choice
from hwmodels.quantity import quantities, structure

CHIPS = Path(__file__).parents[1] / "catalog" / "chips"
COMPOSED = CHIPS.with_name("composed")  # examples of chips that nobody has built
_TEXTS = ("name", "variant", "family", "source", "confidence", "boundary", "remarks")
_FLAGS = ("market_cap", "partial")
UNBUILT = 2100  # the last year that a file may state, and that of one without
_KEYS = (*_TEXTS, "year", "aliases", *_FLAGS, "chip", "die", "published")
_COMPOSED_KEYS = (*(k for k in _KEYS if k not in ("die", "boundary", *_FLAGS)), "memory")
# A sketch of one's own need not cite; the catalog's chips do.
_OWN = {"family": "own", "source": "the file", "confidence": "assumed"}


def chips() -> list[str]:
    """File names of the catalog's chips, without their ending."""
    return sorted(path.stem for path in CHIPS.glob("*.toml"))


@functools.cache
def catalog() -> dict[str, ChipEntry]:
    """All entries of the catalog by file name."""
    return {key: load_entry(CHIPS / f"{key}.toml") for key in chips()}


def examples() -> list[str]:
    """File names of the catalog's composed chips, which nobody has built."""
    return sorted(path.stem for path in COMPOSED.glob("*.toml"))


def find_entry(name: str) -> ChipEntry | None:
    """The catalog's entry for a name as a person writes it ("TPU v4", "tpu_v4", "tpuv4")."""
    wanted = _plain(name)
    for entry in catalog().values():
        if wanted in {_plain(text) for text in (entry.key, entry.name, *entry.aliases)}:
            return entry
    example = next((key for key in examples() if _plain(key) == wanted), None)
    return _read(COMPOSED / f"{example}.toml") if example else None


def load_entry(chip: str | Path) -> ChipEntry:
    """A chip by its name in the catalog, or one of your own by the path of its TOML file.

    Raises:
      InputError: no such chip or file, or a field that is missing, unknown, in a wrong unit, or
        outside physics, naming field, value and what is allowed.
    """
    path = Path(chip)
    if path.suffix == ".toml":
        return _read(path)
    if entry := find_entry(str(chip)):
        return entry
    check_choice("chip", str(chip), [*chips(), *examples()])
    raise AssertionError("unreachable")


def load_chip(chip: str | Path) -> Accelerator:
    """The accelerator of a chip by catalog name or TOML file, under its published power cap.

    Raises:
      InputError: as `load_entry`.
    """
    accelerator: Accelerator = load_entry(chip).capped()
    return accelerator


def _read(path: Path) -> ChipEntry:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError("chip", path, f"needed: a readable TOML file ({error})") from None
    where = path.stem
    composed = content.get("variant") == Composed.NAME
    own = path.resolve().parent != CHIPS.resolve()
    for key in content:
        check_choice(f"{where}, field", key, _COMPOSED_KEYS if composed else _KEYS)
    text = {key: read_text(content, key, where) for key in _TEXTS if key in content}
    if own:
        text = {**_OWN, **text}
    if "variant" not in text:
        _check_complete(where, text)
    check_choice(f"{where}, variant", text["variant"], [*VARIANTS, Composed.NAME])
    check_choice(f"{where}, boundary", text.get("boundary", "package"), BOUNDARIES)
    if "confidence" in text:
        check_choice(f"{where}, confidence", text["confidence"], CONFIDENCES)
    year = content.get("year", UNBUILT if own else None)
    if isinstance(year, bool) or not isinstance(year, int) or not 1970 <= year <= UNBUILT:
        raise InputError(f"{where}, year", year, "allowed: a whole number, 1970 to 2100")
    aliases = content.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(a, str) for a in aliases):
        raise InputError(f"{where}, aliases", aliases, "allowed: a list of texts")
    flags = {key: content.get(key, False) for key in _FLAGS}
    for key, value in flags.items():
        if not isinstance(value, bool):
            raise InputError(f"{where}, {key}", value, "allowed: true or false")
    sections = {}
    for name in ("chip", "die", "published"):
        table = content.get(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{where}, {name}", table, f"allowed: a table [{name}]")
        known = PUBLISHED if name == "published" else quantities(_class(text["variant"]))
        options = {} if name == "published" else _options(text["variant"])
        sections[name] = {
            key: read_fact(f"{where}, {name}.{key}", key, value, known, options, text)
            for key, value in table.items()
        }
    _check_complete(where, text, sections["chip"])
    about: dict[str, Any] = dict(
        key=where, name=text["name"], variant=text["variant"], year=year, family=text["family"],
        inputs=sections["chip"], die=sections["die"], published=sections["published"],
        boundary=text.get("boundary", "package"), aliases=tuple(aliases),
        remarks=text.get("remarks", ""), **flags,
    )  # fmt: skip
    entry = ChipEntry(**about)
    _check_places(entry)
    if composed:
        number_format = str(entry.inputs["number_format"].value)
        try:
            levels = read_levels(content.get("memory"), number_format)
        except InputError as error:
            raise InputError(f"{where}, {error.field}", error.value, error.allowed) from None
        entry = ComposedEntry(**about, levels=levels)
    check_clock(entry)
    return entry


def _options(variant: str) -> dict[str, tuple[str, ...]]:
    kinds = {name: tuple(kinds) for name, kinds in KINDS.items()}
    if not _class(variant).HAS_DRAM:
        del kinds["dram_kind"]
    return structure(_class(variant)) | kinds


def _class(variant: str) -> type[Accelerator]:
    return Composed if variant == Composed.NAME else VARIANTS[variant]


def required(variant: str) -> list[str]:
    """Names that a file must state: node, clock, buffer, and the variant's own numbers."""
    shared = {f.name for f in fields(Accelerator)}
    shared |= set(_class(variant).OPTIONAL)
    known = quantities(_class(variant))
    own = [n for n, q in known.items() if q.path[0] not in shared]
    buffer = [name for name in ("sram_capacity_MiB",) if name in known]
    return ["node_nm", "clock_GHz", *buffer, "number_format", *own]


def _check_complete(where: str, text: dict[str, str], stated: Iterable[str] = ()) -> None:
    """Raise `InputError` with all that a file lacks, and what each may be."""
    missing = {key: "a text" for key in ("name", "family") if key not in text}
    if variant := text.get("variant"):
        numbers, options = quantities(_class(variant)), structure(_class(variant))
        for name in [n for n in required(variant) if n not in stated]:
            number = numbers.get(name)
            missing[f"chip.{name}"] = (
                f"{number.low:g} to {number.high:g}" if number else " or ".join(options[name])
            )
    else:
        missing["variant"] = " or ".join((*VARIANTS, Composed.NAME))
    if missing:
        needed = "; ".join(f"{name}: {allowed}" for name, allowed in missing.items())
        raise InputError(where, f"no {', '.join(missing)}", f"needed: {needed}")


def _check_places(entry: ChipEntry) -> None:
    if "tdp_W" in entry.inputs:
        raise InputError(f"{entry.key}, chip.tdp_W", "a cap", "allowed: under [published]")
    if "node_nm" in entry.die or "clock_GHz" in entry.die:
        raise InputError(f"{entry.key}, die", "node or clock", "allowed: counts and capacities")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
