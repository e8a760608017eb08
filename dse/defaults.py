"""The spaces that `dse pareto` sweeps: shared axes for all variants, own axes for each."""

from __future__ import annotations

from dse.parameter import Parameter
from dse.space import DRAM_KIND, Space
from hwmodels import VARIANTS
from hwmodels.errors import check_choice

# Large arrays of six-transistor SRAM share the supply; they work down to some four fifths of the
# nominal 0.75 V (an assumption: with assist circuits less, of denser cells more. Latches stop at
# 0.73 of nominal, Chen et al., ISLPED 2013, 22 nm).
LOWEST_SUPPLY_V = 0.6
_SHARED = (
    Parameter("voltage_V", "linear", LOWEST_SUPPLY_V, 1.0),
    Parameter("clock_GHz", "log", 0.2, 2.5),
    Parameter("sram_capacity_MiB", "log", 1, 256),
    Parameter("sram_bandwidth_B_per_cycle", "power2", 256, 32768),
    Parameter(DRAM_KIND, "choice", choices=("hbm2e", "hbm3", "gddr6", "lpddr5")),
    Parameter("dram_stacks", "integer", 1, 8),
    Parameter("link_count", "integer", 1, 18),
)
# A chip without DRAM has SRAM of another kind and size, and nothing of DRAM.
_OFF_CHIP = ("sram_capacity_MiB", "sram_bandwidth_B_per_cycle", DRAM_KIND, "dram_stacks")
_LANES = Parameter("vector_lanes", "power2", 64, 16384)
_OWN: dict[str, tuple[Parameter, ...]] = {
    "systolic": (
        Parameter("rows", "power2", 16, 512),
        Parameter("columns", "power2", 16, 512),
        Parameter("arrays", "power2", 1, 64),
        _LANES,
        Parameter(
            "dataflow", "choice",
            choices=("weight_stationary", "output_stationary", "input_stationary"),
        ),
    ),
    "simt": (
        Parameter("sms", "integer", 4, 160),
        Parameter("macs_per_sm", "power2", 64, 4096),
        Parameter("lanes_per_sm", "power2", 16, 256),
        Parameter("register_file_KiB", "power2", 64, 512),
        Parameter("shared_memory_KiB", "power2", 32, 256),
    ),
    "spatial": (
        Parameter("pe_rows", "power2", 8, 256),
        Parameter("pe_columns", "power2", 8, 256),
        Parameter("macs_per_pe", "power2", 1, 64),
        Parameter("scratchpad_B", "power2", 128, 8192),
        _LANES,
    ),
    "vector": (
        Parameter("cores", "integer", 2, 192),
        Parameter("lanes", "power2", 16, 512),
        Parameter("private_cache_KiB", "power2", 64, 4096),
    ),
    "in_memory": (
        Parameter("macros", "power2", 8, 4096),
        Parameter("rows", "power2", 32, 512),
        Parameter("columns", "power2", 16, 256),
        Parameter("write_bits", "power2", 32, 1024),
        _LANES,
    ),
    "sram_only": (
        Parameter("sram_capacity_MiB", "log", 8, 768),
        Parameter("sram_bandwidth_B_per_cycle", "power2", 1024, 1048576),
        Parameter("tiles", "power2", 4, 4096),
        Parameter("tile_side", "power2", 4, 128),
        Parameter("model_chips", "integer", 1, 16),
        _LANES,
    ),
}  # fmt: skip


def default_space(variant: str) -> Space:
    """The space that `dse pareto` sweeps: node (7 nm), format (bf16), DRAM kinds, links and the
    clock law are the same for every variant; only named structure differs."""
    check_choice("variant", variant, VARIANTS)
    shared = [p for p in _SHARED if VARIANTS[variant].HAS_DRAM or p.name not in _OFF_CHIP]
    return Space(variant, (*shared, *_OWN[variant]))
