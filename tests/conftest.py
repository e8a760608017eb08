"""Tests compile many programs and run each of them once or twice."""

import os
from collections.abc import Iterator

import pytest

# A fifth of the time of all tests; kernels ask for a level of their own.
_FLAG = "--xla_backend_optimization_level"
if _FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}=0".strip()


@pytest.fixture(scope="module", autouse=True)
def _programs_of_a_file_are_let_go() -> Iterator[None]:
    """Each program maps pages of its own, of which Linux allows a process 65,530."""
    yield
    import jax

    jax.clear_caches()
