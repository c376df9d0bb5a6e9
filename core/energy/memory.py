"""Memory traffic of one inference, from the same stored integers as the arithmetic.

After E. Lemaire et al., "An analytical estimation of spiking neural networks energy efficiency", ICONIP 2022,
arXiv:2210.13107 (below: L), with two differences: operations are the exact effective ones of the counter
instead of spikes x K^2 x C_out, and zeros are skipped for formal layers as they are for spikes.

A layer fed by spikes is event driven, over all T steps and per inference:
    a spike         1 read of the input queue (L eq. 5); 2 address MACs in a convolution (L eq. 16)
    a SynOp         1 weight read (L eq. 7, 8), 1 potential read and 1 write (L eq. 9, 10, 14, 15), 1 address add
    a bias          1 read an output and step
A layer fed by real values is formal, for each of its passes (one where its input is constant):
    a MAC           1 weight read and 1 input read (L eq. 3, 6)
    a bias          1 read an output
    an output       1 write (L eq. 11, 12)
    addresses       1 add per input, output and weight (L eq. 16 has C_out K^2 for the weights)
    constant input  the kept result is read again at each of the T steps, unless the layer gives one output
Weights of b bits are read as b / 32 of a word. Where weights are pruned the kept ones lie one after another and a bitmap says
where they belong: for each non-zero input element its taps' bits are read too, dense operations / inputs of them.
A neuron reads and writes its state at every step, and writes each spike into the queue of the next layer
(L eq. 9, 13, 14). A sum of branches or a gate reads its operands and writes its result.

Every assumption about reuse and sizes, by name:
    REUSE           `none` (the default, and L's): every operation fetches its operands from the layer's memory.
                    `row`: a formal layer's weights stay in registers while it computes one row of outputs. Events come
                    in any order, so it changes nothing for layers fed by spikes.
    WORD_BYTES      4: weights, potentials, inputs and queue entries are 32-bit words.
    QUEUE_WORDS     1000: an event queue holds so many spikes, as in L's experiments.
    own memories    each layer has an SRAM of its own for its weights with its biases, its potentials, its
                    inputs and its outputs, each exactly as large as needed (L).
    SRAM            an access costs what the memory's size says: linear between the points of the table, through 0
                    at size 0, constant above the last. One access a word, although Horowitz's ports are 64 bits wide.
    on the way      normalisation (folded), ReLU, pooling, concatenation, splitting and shuffling work on values on
                    their way to memory, or on addresses: no traffic.
    zeros           to know which values are not zero costs nothing: for a formal layer a map, for spikes their queue.

Not modelled: caches and DRAM, batching, routing between cores, control, leakage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from core.compression import layer_size
from core.energy.rules import (
    ELEMENTWISE,
    NEURONS,
    NORMALISERS,
    SYNAPTIC,
    exact,
    input_nonzero,
    is_event_driven,
    outputs_given,
    repriced,
    steps_run,
)
from core.errors import UnknownLayer, UnknownName
from core.schemas.results import Counts, LayerCounts
from core.schemas.run import Kind

#: One layer of `counts` -> operations that are neither ACs nor MACs, per inference, by name.
Others = Callable[[LayerCounts, Counts], dict[str, float]]

WORD_BYTES = 4
WORD_BITS = 8 * WORD_BYTES
QUEUE_WORDS = 1000
REUSE = ("none", "row")
DEFAULT_REUSE = "none"
#: Sizes in bytes at which Horowitz (ISSCC 2014, figure 1.1.9) prices an access, and the constants that hold them.
SRAM = ((8 * 1024, "sram-8k"), (32 * 1024, "sram-32k"), (1024 * 1024, "sram-1m"))
#: Marks traffic of event-driven layers: a chip's price of a SynOp contains it.
EVENT = "@event"
#: Operands read for one output of an elementwise layer.
_OPERANDS = {"add": 2, "scale": 2, "sigmoid": 1}


def sram_shares(size: float) -> dict[str, float]:
    """One access to a memory of `size` bytes as shares of accesses to the memories of the table.

    Interpolation is linear in size, so the price of an access is the same sum of the table's prices, and
    energy stays linear in the tally.
    """
    below, name_below = 0, None
    for at, name in SRAM:
        if size <= at:
            share = (size - below) / (at - below)
            return {name: share} if name_below is None else {name_below: 1 - share, name: share}
        below, name_below = at, name
    return {SRAM[-1][1]: 1.0}


def traffic(layer: LayerCounts, counts: Counts, reuse: str = DEFAULT_REUSE) -> dict[str, float]:
    """Accesses and address operations of one layer per inference, by the constant that prices one.

    Raises UnknownLayer where a layer's input spikes were not counted, UnknownName for a reuse that is not in REUSE.
    """
    if reuse not in REUSE:
        raise UnknownName(kind="reuse of operands", name=reuse, known=REUSE)
    if layer.kind in SYNAPTIC:
        return _event_driven(layer, counts) if is_event_driven(layer, counts) else _formal(layer, counts, reuse)
    if layer.kind in NORMALISERS:
        shifts = (layer.output_shape[0], layer.bias_ops * outputs_given(layer, counts))
        return _accesses(shifts, mark=EVENT if is_event_driven(layer, counts) else "") if layer.bias_ops else {}
    if layer.kind in NEURONS:
        spikes = sum(layer.spikes) / counts.n_samples
        return _accesses(
            (layer.output_numel, 2 * layer.output_numel * counts.time_steps), (QUEUE_WORDS, spikes), mark=EVENT
        )
    if layer.kind in ELEMENTWISE:
        moved = (_OPERANDS[layer.kind] + 1) * layer.output_numel * steps_run(layer, counts)
        return _accesses((layer.output_numel, moved))
    return {}


def _event_driven(layer: LayerCounts, counts: Counts) -> dict[str, float]:
    synops, _ = exact(layer, counts)
    spikes = input_nonzero(layer, counts) * counts.time_steps
    biases = layer.bias_ops * outputs_given(layer, counts)
    found = _accesses(
        (QUEUE_WORDS, spikes),
        (_weight_words(layer), _weight_reads(layer, synops) + biases + _place_reads(layer, counts)),
        (layer.output_numel, 2 * synops),
        mark=EVENT,
    )
    found["add-int32" + EVENT] = synops
    if layer.kind == "conv":
        found["mac-int32" + EVENT] = 2 * spikes  # to find the first output that the spike reaches
    return found


def _formal(layer: LayerCounts, counts: Counts, reuse: str) -> dict[str, float]:
    _, macs = exact(layer, counts)
    passes = steps_run(layer, counts)
    held = layer.output_shape[-1] if reuse == "row" and layer.kind == "conv" else 1
    again = counts.kind is Kind.SNN and layer.constant_input and not layer.one_output
    kept = counts.time_steps if again else 0
    found = _accesses(
        (layer.input_numel, macs),
        (
            _weight_words(layer),
            _weight_reads(layer, macs) / held + layer.bias_ops * passes + _place_reads(layer, counts),
        ),
        (layer.output_numel, layer.output_numel * (passes + kept)),
    )
    biases = layer.output_shape[0] if layer.bias_ops else 0
    weights = layer.params - biases if layer.kept_params is None else layer.kept_params
    found["add-int32"] = float((layer.input_numel + layer.output_numel + weights) * passes)
    return found


def _weight_words(layer: LayerCounts) -> float:
    """The memory of a layer's weights and biases, with the bitmap of the kept ones."""
    size = layer_size(layer)
    return size.bitmap_bits / WORD_BITS + layer.params - size.weights


def _weight_reads(layer: LayerCounts, operations: float) -> float:
    return operations * layer_size(layer).bits / WORD_BITS


def _place_reads(layer: LayerCounts, counts: Counts) -> float:
    """Words of the bitmap that are read to find the kept taps of all non-zero inputs."""
    if not layer_size(layer).is_pruned:
        return 0.0
    if not layer.input_nonzero:
        raise UnknownLayer(layer=layer.name, kind=f"{layer.kind} with pruned weights, whose inputs were not counted")
    steps = slice(0, 1) if layer.constant_input else slice(None)
    elements = sum(layer.input_nonzero[steps]) / counts.n_samples
    return elements * layer.dense_ops / layer.input_numel / WORD_BITS


def _accesses(*pairs: tuple[float, float], mark: str = "") -> dict[str, float]:
    """(words in the memory, accesses to it) of several memories -> accesses by constant."""
    found: defaultdict[str, float] = defaultdict(float)
    for words, accesses in pairs:
        for name, share in sram_shares(words * WORD_BYTES).items():
            found[name + mark] += accesses * share
    return dict(found)


def traffic_and_repriced(layer: LayerCounts, counts: Counts) -> dict[str, float]:
    """All that the mode `memory` counts beside ACs and MACs."""
    return traffic(layer, counts) | repriced(layer, counts)
