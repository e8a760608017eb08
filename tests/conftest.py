"""Tests compile many programs and run each of them once or twice."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

# Half of the time of all tests is compilation; kernels ask for a level of their own. (The versions
# that constraints.txt names know both flags; XLA ends a process that states one it does not know.)
for _flag in ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false"):
    if _flag.partition("=")[0] not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flag}".strip()


@pytest.fixture(scope="module", autouse=True)
def _programs_of_a_file_are_let_go() -> Iterator[None]:
    """Each program maps pages of its own, of which Linux allows a process 65,530."""
    yield
    import jax

    jax.clear_caches()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The explorer of hostile designs in a browser."""
    from explorers import opened  # which few tests need

    with opened(tmp_path_factory.mktemp("explorer")) as found:
        yield found


@pytest.fixture
def fresh(page: Any) -> Any:
    """The same without filters and pins."""
    from explorers import cleared

    return cleared(page)
