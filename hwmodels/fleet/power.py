"""Power of a fleet by term: chips, traffic between nodes, ports, hosts, boards.

Dynamic energy of all chips over the step's time; static power of every chip, its own always-on
links included; energy of the bits between nodes; network cards and switch ports, hosts and
boards (voltage conversion, fans, switches inside the node) as the cluster states them. Left out:
cooling and conversion of the building (PUE), storage.
"""

from __future__ import annotations

from typing import Any

from hwmodels.fleet.plan import Cluster


def power_terms(
    cluster: Cluster, chips: Any, static: Any, dynamic: Any, network: Any, time: Any
) -> dict[str, Any]:
    """Power of the fleet [W]: `static` [W] of a chip; of a step `dynamic` [J] of all chips,
    `network` [J] of all bits between nodes, `time` [s]."""
    busy, idle = dynamic / time, chips * static
    return {
        "chip_dynamic": busy,
        "chip_static": idle,
        "network_traffic": network / time,
        "network_ports": chips * cluster.port_power,
        "hosts": chips / cluster.node_chips * cluster.host_power,
        "boards": cluster.board_share * (busy + idle),
    }
