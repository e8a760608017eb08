"""A tensor operation by its indices, as Timeloop, AccelForge and ZigZag write it, and its layer.

    O[n, k, p, q] += W[k, c, r, s] * I[n, c, 2 p + r, 2 q + s]

Dimensions in both operands and the result are a batch (groups), in the result and one operand its
free size, in both operands only the sum. An index that adds two dimensions is a window: one that
the result has (with its stride), one that is summed over (with its dilation).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from hwmodels.errors import InputError
from hwmodels.workloads.importers.layers import BITS, Layer, check_size, conv_layer
from hwmodels.workloads.operation import Convolution

# Terms of a sum: coefficient of each dimension.
Index = Mapping[str, int]
_TERM = re.compile(r"(?:([0-9]{1,9})\s*\*\s*)?([A-Za-z_][A-Za-z_0-9]*)(?:\s*\*\s*([0-9]{1,9}))?")


@dataclass(frozen=True)
class Access:
    """A tensor and the indices that it is read or written at."""

    tensor: str
    indices: tuple[Index, ...]

    @property
    def dimensions(self) -> set[str]:
        """All that the indices name."""
        return {name for index in self.indices for name in index}


@dataclass(frozen=True)
class Einsum:
    """`sizes` of the dimensions; `made` is a tensor of the file's own that an earlier one makes."""

    name: str
    sizes: Mapping[str, int]
    result: Access
    operands: tuple[Access, ...]
    made: frozenset[str] = frozenset()
    bits: float = BITS
    count: int = 1

    def layer(self) -> Layer:
        """The product, convolution or elementwise operation that this is."""
        where = f"layer {self.name}"
        used = self.result.dimensions.union(*(a.dimensions for a in self.operands))
        for name in used:
            if name not in self.sizes:
                raise InputError(f"{where}, dimension {name}", "no size", "every dimension has one")
            check_size(f"{where}, dimension {name}", self.sizes[name])
        summed = used - self.result.dimensions
        if len(self.operands) != 2 or not summed:
            if len(self.operands) > 2:
                said = f"{len(self.operands)} operands"
                raise InputError(where, said, "allowed: one or two")
            elements = math.prod(self.sizes[d] for d in used)
            return Layer(self.name, elements=elements, bits=self.bits, count=self.count)
        return self._product(*self._ordered(), summed)

    def _ordered(self) -> tuple[Access, Access]:
        """Activation and weight: that with windows, or that an earlier layer makes, comes first."""
        first, second = self.operands
        windows = [any(len(i) > 1 for i in access.indices) for access in (first, second)]
        if windows[0] != windows[1]:
            swapped = windows[1]
        else:
            swapped = second.tensor in self.made and first.tensor not in self.made
        return (second, first) if swapped else (first, second)

    def _product(self, seen: Access, weight: Access, summed: set[str]) -> Layer:
        where, result = f"layer {self.name}", self.result.dimensions
        a, b = seen.dimensions, weight.dimensions
        windows = [index for index in seen.indices if len(index) > 1]
        for index in (*weight.indices, *self.result.indices):
            if len(index) > 1:
                raise InputError(where, f"an index that adds {', '.join(index)}",
                                 "allowed: in one operand")  # fmt: skip

        def size(names: set[str]) -> int:
            return math.prod(self.sizes[name] for name in names)

        batch, m = result & a & b, (result & a) - b
        n, k = (result & b) - a, summed
        weighted = weight.tensor not in self.made
        common = {"bits": self.bits, "count": self.count, "weight": weighted}
        pairs = [self._window(index, result, summed, b) for index in windows]
        shape = None
        if windows and len(windows) <= 2 and all(pairs):
            shape = self._convolution([p for p in pairs if p], batch, m, n, k)
        if shape is not None:
            return conv_layer(self.name, shape, **common)
        return Layer(
            self.name, m=size(m), n=size(n), k=size(k), batch=size(batch), **common,  # type: ignore[arg-type]
        )  # fmt: skip

    def _window(
        self, index: Index, result: set[str], summed: set[str], weight: set[str]
    ) -> tuple[str, int, str, int] | None:
        """(output dimension, stride, kernel dimension, dilation), if that is what the index is."""
        out = [d for d in index if d in result and d not in weight]
        kernel = [d for d in index if d in summed and d in weight]
        if len(index) != 2 or len(out) != 1 or len(kernel) != 1:
            return None
        return out[0], index[out[0]], kernel[0], index[kernel[0]]

    def _convolution(
        self, pairs: list[tuple[str, int, str, int]], batch: set[str], m: set[str], n: set[str],
        k: set[str],
    ) -> Convolution:  # fmt: skip
        def size(names: set[str]) -> int:
            return math.prod(self.sizes[name] for name in names)

        outputs, kernels = {p[0] for p in pairs}, {p[2] for p in pairs}
        (p, stride_h, r, dilation_h), second = pairs[0], pairs[1:]
        q, stride_w, s, dilation_w = second[0] if second else ("", 1, "", 1)
        return Convolution(
            n=size(m - outputs), c=size(k - kernels), k=size(n), p=self.sizes[p],
            q=self.sizes.get(q, 1), r=self.sizes[r], s=self.sizes.get(s, 1), groups=size(batch),
            stride_h=stride_h, stride_w=stride_w, dilation_h=dilation_h, dilation_w=dilation_w,
        )  # fmt: skip


def parse_index(where: str, text: str) -> dict[str, int]:
    """`2*ox + 1*fx` or `p + r`: coefficients by dimension."""
    found: dict[str, int] = {}
    for term in text.split("+"):
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise InputError(where, text, "allowed: sums of dimensions with whole coefficients")
        name = match[2]
        if name in found:
            raise InputError(where, text, f"{name} comes twice")
        found[name] = check_size(f"{where}, coefficient", int(match[1] or match[3] or 1))
    return found
