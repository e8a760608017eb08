"""Memories that a variant names itself, in place of the shared buffer: ports, traffic, energy.

A chip that is composed of levels (`hwmodels.accelerators.composed`) has one `Port` a level; others
have none. A port's bandwidth is of one bank; `None` is never a bound.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hwmodels.relax import Relax


class Port(NamedTuple):
    """One memory: energy of a byte [J/B]; bytes a cycle of one bank, reads and writes together
    or of separate ports; `banks`: all of them; `peak`: bytes a cycle of all when every unit works.
    """

    energy: Any
    bandwidth: Any
    read_bandwidth: Any
    write_bandwidth: Any
    banks: Any
    peak: Any


class Moved(NamedTuple):
    """Traffic of an operation at one memory: bytes read and written, cycles its ports are busy."""

    read: Any
    written: Any
    cycles: Any


def moved(port: Port, read: Any, written: Any, banks: Any, relax: Relax) -> Moved:
    """The traffic of bytes that `banks` of the memory share evenly."""
    cycles = [
        amount / (bandwidth * banks)
        for amount, bandwidth in (
            (read + written, port.bandwidth),
            (read, port.read_bandwidth),
            (written, port.write_bandwidth),
        )
        if bandwidth is not None
    ]
    return Moved(read, written, relax.maximum(*cycles) if cycles else 0.0 * read)
