"""FLOPs of primitives that hide an algorithm: transforms, sorts, matrix factorisations.

Counts are the leading terms of the standard algorithms: Van Loan, "Computational Frameworks for
the Fast Fourier Transform" (1992), for transforms; Golub and Van Loan, "Matrix Computations"
(4th ed., 2013; ch. 3 to 5, table 8.6.1), for linear algebra. XLA counts some of them otherwise
(8 N log2 N for a transform) or not at all, since it calls a library.
"""

from __future__ import annotations

import math
from typing import Any


def algorithm_flops(eqn: Any) -> float | None:
    """FLOPs of one run of a jaxpr equation, or None where its primitive hides no algorithm."""
    count = _COUNTS.get(eqn.primitive.name)
    return None if count is None else float(count(eqn))


def _elements(variable: Any) -> float:
    return float(math.prod(variable.aval.shape))


def _matrix(variable: Any) -> tuple[float, float, float]:
    """Matrices in a batch, rows and columns of each."""
    *batch, rows, columns = variable.aval.shape
    return float(math.prod(batch)), float(rows), float(columns)


def _fft(eqn: Any) -> float:
    """5 N log2 N of a complex transform of N points in all axes together, half of it if real."""
    points = math.prod(eqn.params["fft_lengths"])
    real, made = eqn.invars[0].aval, eqn.outvars[0].aval
    both_complex = real.dtype.kind == "c" and made.dtype.kind == "c"
    axes = len(eqn.params["fft_lengths"])
    transforms = math.prod(made.shape[: len(made.shape) - axes])
    return (5.0 if both_complex else 2.5) * transforms * points * math.log2(max(points, 1))


def _sort(eqn: Any) -> float:
    """n log2 n comparisons of each line."""
    length = eqn.invars[0].aval.shape[eqn.params["dimension"]]
    return _elements(eqn.invars[0]) * math.log2(max(length, 1))


def _top_k(eqn: Any) -> float:
    """Every element against a heap of k."""
    return _elements(eqn.invars[0]) * math.log2(eqn.params["k"] + 1)


def _cholesky(eqn: Any) -> float:
    batch, n, _ = _matrix(eqn.invars[0])
    return batch * n**3 / 3


def _lu(eqn: Any) -> float:
    batch, rows, columns = _matrix(eqn.invars[0])
    m, n = max(rows, columns), min(rows, columns)
    return batch * (m * n**2 - n**3 / 3)


def _reflectors(eqn: Any) -> float:
    """Householder's reduction, or the product of its reflectors: 2 m n^2 - 2/3 n^3."""
    batch, rows, columns = _matrix(eqn.invars[0])
    m, n = max(rows, columns), min(rows, columns)
    return batch * (2 * m * n**2 - 2 * n**3 / 3)


def _qr(eqn: Any) -> float:
    batch, rows, columns = _matrix(eqn.invars[0])
    m, n = max(rows, columns), min(rows, columns)
    full = 4 * (m**2 * n - m * n**2 + n**3 / 3)
    orthogonal = full if eqn.params.get("full_matrices") else 2 * m * n**2 - 2 * n**3 / 3
    return batch * (2 * m * n**2 - 2 * n**3 / 3 + orthogonal)


def _triangular_solve(eqn: Any) -> float:
    batch, n, _ = _matrix(eqn.invars[0])
    _, rows, columns = _matrix(eqn.invars[1])
    return batch * n * rows * columns


def _eigh(eqn: Any) -> float:
    batch, n, _ = _matrix(eqn.invars[0])
    return batch * 9 * n**3


def _eig(eqn: Any) -> float:
    batch, n, _ = _matrix(eqn.invars[0])
    names = ("compute_left_eigenvectors", "compute_right_eigenvectors", "compute_schur_vectors")
    return batch * (25 if any(eqn.params.get(name) for name in names) else 10) * n**3


def _svd(eqn: Any) -> float:
    batch, rows, columns = _matrix(eqn.invars[0])
    m, n = max(rows, columns), min(rows, columns)
    if not eqn.params.get("compute_uv", True):
        return batch * (4 * m * n**2 - 4 * n**3 / 3)
    if eqn.params.get("full_matrices"):
        return batch * (4 * m**2 * n + 8 * m * n**2 + 9 * n**3)
    return batch * (14 * m * n**2 + 8 * n**3)


def _tridiagonal_solve(eqn: Any) -> float:
    return 8 * _elements(eqn.invars[3])


_COUNTS = {
    "fft": _fft,
    "sort": _sort,
    "top_k": _top_k,
    "cholesky": _cholesky,
    "lu": _lu,
    "qr": _qr,
    "geqrf": _reflectors,
    "householder_product": _reflectors,
    "triangular_solve": _triangular_solve,
    "eigh": _eigh,
    "eig": _eig,
    "schur": _eig,
    "svd": _svd,
    "tridiagonal_solve": _tridiagonal_solve,
}
