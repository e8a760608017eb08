"""Eyeriss (Chen et al., JSSC 2017): latency, traffic and power of AlexNet's and VGG-16's layers.

Latency is that of the row-stationary mapping (`hwmodels.mapping.row_stationary`). Whole latency
adds the way of the inputs from DRAM, which the buffer has no room to prefetch; the other tensors'
way hides behind the arithmetic or the other way round. The link moves 64 bits at the row's link
clock; inputs and outputs are run-length coded, three non-zero 16-bit values to 64 bits.

Power = energy / whole latency at 65 nm, 1.0 V. Dynamic energies are multiples of that of a 16-bit
multiply-accumulate, extracted by the chip's authors for this process (Chen et al., ISCA 2016,
Table IV: scratchpad of 0.5 kB 1, element to element 2, buffer 6; from memory). The filters' pad has
that size; those of inputs and sums, a tenth of it, take what the shared model of memories gives
them less. A multiply-accumulate reads an input, a tap and a sum and writes the sum; of a zero input
only the read is done.

The clock drives every flip-flop in every cycle, stalled or not. Its one constant is fitted and
stands for all that does not depend on work, so that it is some 170 mW where the clock's network
alone may take 110. Left out: pads, toggling that depends on the data (layers of equal activity and
density are measured up to 10% apart), what the chip spends while it waits for DRAM, which is half
of VGG-16's first layer.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from dse.validation.networks import ALEXNET, VGG16, Layer, find_layers
from hwmodels.errors import InputError
from hwmodels.mapping.row_stationary import RowStationary, best_mapping
from hwmodels.parts import mac, sram
from hwmodels.technology import Process, Technology

ARRAY = RowStationary()
NODE_M = 65e-9
NOMINAL = {"core": 200.0, "link": 60.0}  # MHz
MOST_BATCH = 1024
# Images in flight where a row does not say it (Chen et al., JSSC 2017, Tables V and VI).
USUAL_BATCH = {ALEXNET: 4, VGG16: 3}
FILTER_PAD, HOP, BUFFER = 1.0, 2.0, 6.0  # energies over a multiply-accumulate's
LINK_BYTES = 8.0
CODED = 64.0 / (3.0 * 16.0)  # bits in DRAM over bits of a non-zero value
WORD = 2.0
# Flip-flops of an element: scratchpads of inputs and sums (12 and 24 words), four FIFOs of four
# words, a pipeline of five words and two of products, 64 bits of control; an estimate.
FLOPS = 16.0 * (12 + 24 + 16 + 7) + 64.0
# Clock pin, its share of local buffers and wires, at 65 nm: 3 to 6 fF in such processes, an
# estimate; within it, fitted to the mean power of AlexNet's first three layers. Fitted to two of
# them, it predicts the third within 5%.
CLOCK_F_PER_FLOP = 4.97e-15


@dataclass(frozen=True)
class Run:
    """What is predicted of layers that run one after the other (SI)."""

    images: int
    processing: float
    total: float
    macs: float
    active: float
    buffer_bytes: float
    dram_bytes: float
    energy: dict[str, float]

    def figures(self) -> dict[str, float]:
        """By the names and in the units of the published table."""
        return {
            "processing_latency": 1e3 * self.processing,
            "total_latency": 1e3 * self.total,
            "MACs": 1e-9 * self.macs,
            "active_PEs": self.active,
            "GLB_access": 1e-6 * self.buffer_bytes,
            "DRAM_access": 1e-6 * self.dram_bytes,
            "power": 1e3 * sum(self.energy.values()) / self.total,
            "fps": self.images / self.total,
        }


def predict(workload: str, batch: int | None = None, config: str = "") -> Run:
    """A layer or all layers of a network.

    batch: images that run together; None for the chip's measurements of this network.
    config: supply and clocks, as "1.0V 200MHz core 60MHz link"; what it leaves out is that.

    Raises:
      InputError: an unknown workload, a batch or a config outside what is allowed.
    """
    layers = find_layers(workload)
    if batch is None:
        batch = next((n for own, n in USUAL_BATCH.items() if layers[0] in own), 1)
    if not 1 <= batch <= MOST_BATCH:
        raise InputError("batch", batch, f"allowed: 1 to {MOST_BATCH}")
    volts, clock, link = operating_point(config)
    runs = [_run(layer, batch, volts, 1e6 * clock, 1e6 * link) for layer in layers]
    macs = sum(run.macs for run in runs)
    return Run(
        images=batch,
        processing=sum(run.processing for run in runs),
        total=sum(run.total for run in runs),
        macs=macs,
        active=sum(run.active * run.macs for run in runs) / macs,
        buffer_bytes=sum(run.buffer_bytes for run in runs),
        dram_bytes=sum(run.dram_bytes for run in runs),
        energy={part: sum(run.energy[part] for run in runs) for part in runs[0].energy},
    )


def operating_point(config: str) -> tuple[float, float, float]:
    """Supply [V], clocks of core and link [MHz]; "core 200 MHz" is read as well."""
    supply = re.search(r"(\d+(?:\.\d+)?)\s*V\b", config, re.IGNORECASE)
    volts = float(supply[1]) if supply else 1.0
    clocks: dict[str, float] = {}
    for part in re.split("[,;/]", config.lower()):
        words = re.findall(r"core|link|\d+(?:\.\d+)?(?=\s*mhz)", part)
        if words and words[0] in NOMINAL:
            words.reverse()
        for word, name in itertools.pairwise([*words, "core"]):
            if word not in NOMINAL:
                clocks.setdefault(name if name in NOMINAL else "core", float(word))
    clocks = NOMINAL | clocks
    if not 0.5 <= volts <= 1.5 or min(clocks.values()) <= 0.0:
        raise InputError("config", config, "allowed: 0.5 to 1.5 V, clocks above 0 MHz")
    return volts, clocks["core"], clocks["link"]


def _run(layer: Layer, batch: int, volts: float, clock: float, link: float) -> Run:
    found = best_mapping(ARRAY, layer.of(batch))
    x, taps = found.mapping, layer.shape.s
    processing = found.cycles / clock
    inputs = WORD * CODED * layer.density * found.input_words
    # What a layer writes is as dense as what the next one reads; taken as its own inputs.
    rest = WORD * (found.filter_words + CODED * layer.density * found.output_words)
    bandwidth = LINK_BYTES * link
    total = max(processing, rest / bandwidth) + inputs / bandwidth

    process = Technology(node=NODE_M, voltage=volts).resolve()
    unit = float(mac.energy(process, "int16"))
    done = layer.density * found.macs
    arrived = found.macs / (x.p * taps)  # inputs into scratchpads
    filters, inputs_pad, sums = (
        unit * FILTER_PAD * _pad(process, words)
        for words in (ARRAY.filter_pad, ARRAY.input_pad, ARRAY.sum_pad)
    )
    return Run(
        batch, processing, total, found.macs, float(found.active),
        buffer_bytes=WORD * found.buffer_words, dram_bytes=inputs + rest,
        energy={
            "mac": unit * done,
            "scratchpad": inputs_pad * (found.macs + arrived) + (filters + 2.0 * sums) * done,
            "network": unit * HOP * (found.macs / (x.q * taps) + arrived + found.buffer_words),
            "buffer": unit * BUFFER * found.buffer_words,
            "clock": CLOCK_F_PER_FLOP * volts**2 * FLOPS * ARRAY.rows * ARRAY.columns
            * clock * total,
        },
    )  # fmt: skip


def _pad(process: Process, words: int) -> float:
    """Energy of a scratchpad's access over that of the filters' one, by its size."""
    energy, largest = (
        sram.energy(process, WORD * size, WORD) for size in (words, ARRAY.filter_pad)
    )
    return float(energy / largest)
