"""On-chip network: packets over routers and wires.

    energy of a bit = hops x ROUTER_J + length x wire energy
    latency         = hops x ROUTER_CYCLES / clock + length x WIRE_S_PER_M
    mean hops of uniform traffic on an R x C mesh = (R - 1/R) / 3 + (C - 1/C) / 3

A router of P ports buffers `DEPTH` flits at each; crossbar, allocators and flow control are taken
as large as the buffers again. Its energy, per unit of `energy_scale`, lies between the 5-port
routers of Intel's 80-core chip (65 nm, 924 mW at 4 GHz: 1.4 pJ a bit, 0.5 so scaled; Hoskote et
al., IEEE Micro 2007, from memory) and buffers alone (0.005): an estimate for wide flits and few
virtual channels. Left out: contention, virtual channels, serialisation of long packets.
"""

from __future__ import annotations

from typing import Any

from hwmodels.parts import register_file
from hwmodels.technology import Process

ROUTER_J = 0.25e-12  # J per bit and hop, per unit of energy_scale; an estimate
ROUTER_CYCLES = 3.0  # route, allocate, traverse; typical of published meshes, from memory
WIRE_S_PER_M = 0.15e-6  # repeated global wire, 0.15 ns/mm at all nodes; an estimate
PORTS = 5.0  # four neighbours and the tile
DEPTH = 4.0  # flits buffered at a port
CONTROL = 2.0  # area of a router over that of its buffers; an estimate


def energy(process: Process, hops: Any, length: Any) -> Any:
    """Energy of moving one byte over `hops` routers and `length` [m] of wire [J/byte]."""
    return 8.0 * (ROUTER_J * process.energy_scale * hops + process.wire_energy * length)


def latency(clock: Any, hops: Any, length: Any) -> Any:
    """Time of the head of a packet over `hops` routers and `length` [m] of wire [s]."""
    return ROUTER_CYCLES * hops / clock + WIRE_S_PER_M * length


def router_area(process: Process, flit_bits: Any, ports: Any = PORTS) -> Any:
    """Area of one router [m2]."""
    return CONTROL * register_file.area(process, ports * DEPTH * flit_bits)


def mean_hops(rows: Any, columns: Any) -> Any:
    """Links between two random tiles of a mesh, the same tile included."""
    return (rows - 1.0 / rows) / 3.0 + (columns - 1.0 / columns) / 3.0


def bisection_bandwidth(clock: Any, flit_bits: Any, across: Any) -> Any:
    """Bytes a second over a cut of `across` links, both directions [B/s]."""
    return 2.0 * across * flit_bits / 8.0 * clock
