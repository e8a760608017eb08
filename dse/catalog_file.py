"""A chip's catalog file with fitted constants in place of its old ones; the rest as it was."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dse.calibration import FITTED, Fit
from hwmodels.accelerators.catalog import CHIPS, load_entry
from hwmodels.errors import InputError


def check_target(path: Path, force: bool) -> None:
    """Raise `InputError` unless `path` can become a new catalog file."""
    if path.suffix != ".toml":
        raise InputError("--out", path, "allowed: a name that ends in .toml")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError("--out", path, "allowed: a file in an existing folder")
    if path.exists() and not force:
        raise InputError("--out", path, "exists already; --force replaces it")


def write_catalog_file(fit: Fit, chip: str | Path, path: Path) -> None:
    """Write the file of `chip` (as given to `calibrate`) with the constants of `fit`.

    Raises:
      InputError: the file cannot be written, or its [chip] is laid out so that lines cannot be
        replaced one by one.
    """
    source = Path(chip) if Path(chip).suffix == ".toml" else CHIPS / f"{fit.entry.key}.toml"
    content = with_constants(source.read_text(encoding="utf-8"), fit_lines(fit))
    part = path.with_name(f".{path.stem}.{os.getpid()}.toml")
    try:
        part.write_text(content, encoding="utf-8")
        written = load_entry(part).chip().quantities()
        for name, values in fit.named().items():
            if abs(written[name] - values["value"]) > 1e-3 * abs(values["value"]):
                raise InputError(f"{source}, chip.{name}", written[name], "one line for each field")
        os.replace(part, path)
    except OSError as error:
        raise InputError("--out", path, f"cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def fit_lines(fit: Fit) -> dict[str, str]:
    """A line of TOML for each constant, by field, with the rows, interval and error it rests on."""
    lines, basis = {}, fit.rests_on()
    for name, values in fit.named().items():
        held_out = "" if fit.held_out_mape is None else f"; held-out error {fit.held_out_mape:.1%}"
        rows = f"{len(fit.table)} rows of {fit.path.name}"
        fitted = basis[name] == FITTED
        said = f"fitted to {rows}" if fitted else f"prior, not informed by {rows}"
        source = f"{said}; 68%: {values['low']:.3g} to {values['high']:.3g}{held_out}"
        cited = json.dumps(source, ensure_ascii=False)
        number, confidence = float(f"{values['value']:.4g}"), "fitted" if fitted else "assumed"
        lines[name] = (
            f'{name} = {{ value = {number!r}, source = {cited}, confidence = "{confidence}" }}'
        )
    return lines


def with_constants(content: str, lines: dict[str, str]) -> str:
    """`content` with `lines` at the end of its [chip], instead of those for the same fields."""
    before: list[str] = []
    chip: list[str] = []
    after: list[str] = []
    section = before
    for line in content.splitlines():
        if line.startswith("["):
            section = chip if line.split("#")[0].strip() == "[chip]" else after if chip else before
        section.append(line)
    kept = [line for line in chip if line.split("=")[0].strip() not in lines]
    gap = len(kept)
    while gap and not kept[gap - 1].strip():
        gap -= 1
    return "\n".join([*before, *kept[:gap], *lines.values(), *kept[gap:], *after]) + "\n"
