"""What is needed to repeat a run: versions, commit, machine, time."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path


def provenance() -> dict[str, object]:
    """What is needed to repeat a run: versions, commit, machine, time. Never fails.

    `git_commit` and `git_modified` are None unless this file is tracked by a git checkout.
    """
    commit = modified = None
    # Tracked, not merely inside: a virtual environment often lies in someone else's repository.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is not None:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
        modified = None if changes is None else bool(changes)
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        **{name: _version(name) for name in ("chipgrad", "jax", "numpy")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": len(affinity(0)) if affinity else os.cpu_count(),
        "git_commit": commit,
        "git_modified": modified,
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
