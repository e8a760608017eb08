"""Tests compile many programs and run each of them once or twice."""

import os

# A fifth of the time of all tests; kernels ask for a level of their own.
_FLAG = "--xla_backend_optimization_level"
if _FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}=0".strip()
