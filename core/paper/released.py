"""LitE-SNN (Liu et al., IJCAI 2024, arXiv:2401.14652): its released code and architectures against themselves.

What is said, where, and with which figures lies in `released.json`; each statement names its arithmetic here. The result tables of
the paper are not at hand: no figure of them is filled in or judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache

from core.backbones.catalog import plan_for
from core.backbones.litesnn import BLOCKS, MOST, NODES, edges_of, wiring
from core.backbones.plan import Node, Plan
from core.compression import FLOAT_BITS, LayerSize, plan_layers, plan_size, weights_of
from core.datasets.catalog import DATASETS
from core.paper import released_search as search
from core.paper.rounding import Interval, Printed, audit, figure
from core.paper.statements import Statement, read
from core.schemas.architecture import ArchitectureConfig
from core.schemas.audit import Audit, AuditFinding
from core.schemas.compression import CompressionConfig, Size, written

FILE = "released.json"
RULE = (
    "A statement of the code is confirmed if the code, or arithmetic on it, gives what it says, and contradicted if it gives "
    "something else. Not checkable is what needs a training or the paper's result tables: they are not at hand here, so none of "
    "their figures is filled in or judged."
)
UNPRICED = "none"
NO_TABLES = "The paper's tables, which may print it, are not at hand here."
FIELD_MB = 10**6
AUXILIARY = (576, 128, 768)  # channels of the auxiliary head's convolutions, 1x1 and 2x2, and of its linear layer


@cache
def released_audit() -> Audit:
    """Every statement's findings, in the order of the file."""
    source, said = read(FILE)
    assert source is not None
    found = (finding for statement in said for finding in CHECKS[statement.check](statement))
    return audit(source, found, rule=RULE, profile=UNPRICED)


def network(cell: str, n_classes: int = 10) -> Plan:
    """A released architecture as it is retrained: 48 filters, images of 32 x 32."""
    return plan_for(
        backbone="litesnn",
        mask=BLOCKS,
        input_shape=DATASETS["cifar10"].image_shape,
        n_classes=n_classes,
        architecture=ArchitectureConfig(cell=cell, filters=MOST),
    )


def compression(said: Statement) -> CompressionConfig:
    """The released bits by cell, as indices into 1, 2 and 4; a fifth kept; stem and classifier at 4 bits."""
    bits = [search.BITS[int(index)] for index in said.printed["bits"].split(",")]
    by_cell = written(dict(zip(BLOCKS, bits, strict=True)))
    return CompressionConfig(keep=float(search.KEEP), bits=4, block_bits=by_cell)


def against(
    said: Statement, field: str, printed: Printed, ours: Fraction | int, sum_: str, why: str = ""
) -> AuditFinding:
    """An exact number of ours against one that stands in the code; `why` follows it if they differ."""
    value = Fraction(ours)
    equal = value == printed.value
    end = "as it says." if equal else f"not {figure(printed.value)}. {why}".rstrip()
    return said.row.finding(
        field,
        "",
        "confirmed" if equal else "contradicted",
        f"{sum_}: {figure(value)}, {end}",
        printed=printed.value,
        recomputed=value,
        interval=Interval.exactly(value),
    )


def open_(said: Statement, field: str, unit: str, ours: Fraction | int, sum_: str) -> AuditFinding:
    """A figure that nothing at hand prints."""
    return said.row.finding(field, unit, "not checkable", sum_, recomputed=Fraction(ours))


def halves(said: Statement) -> Iterator[AuditFinding]:
    """Which images two samplers of halves draw from a loader of all."""
    n, half = DATASETS["cifar10"].n_train, said.figure("half")
    first = math.floor(said.figure("portion").value * n)
    second = n - first
    drawn = range(second)  # a sampler numbers its own subset from 0
    seen = len(range(max(first, drawn.start), drawn.stop))
    yield against(said, "images drawn for the weights", half, first, f"floor(0.5 x {n:,})")
    yield against(
        said, "images of the other half drawn for the architecture", half, seen,
        f"The sampler of images {first:,} to {n - 1:,} numbers them 0 to {drawn[-1]:,}, and the loader takes these numbers of all "
        f"{n:,}. Drawn of the other half",
        f"{n - first:,} of {n:,} training images take no part in the search.",
    )  # fmt: skip


def second_batch(said: Statement) -> Iterator[AuditFinding]:
    """A batch that is fetched and never read."""
    passes = said.figure("passes")
    own = 0  # both calls are model(input)
    yield said.row.finding(
        "passes that read it",
        "",
        "contradicted",
        f"A step of the search passes through the network {figure(passes.value)} times, once for the weights and once for the "
        "architecture, each time with input and target; input_search is put on the GPU and read nowhere.",
        recomputed=Fraction(own),
    )


def operations(said: Statement) -> Iterator[AuditFinding]:
    """Two operations that are the same convolution once the network is retrained."""
    chosen, edges = int(said.figure("operations").value), 2 * NODES
    wirings = math.prod(math.comb(len(edges_of(node)), 2) for node in range(NODES))
    outcomes = wirings * chosen**edges
    yield against(
        said, "different operations of an edge, retrained", said.figure("operations"), 1,
        f"The retrained cell builds each edge with signal=1, where skip_connect is a {search.KERNEL} x {search.KERNEL} convolution as "
        "snn_b3 is. Different ones",
    )  # fmt: skip
    yield open_(
        said,
        "different networks that decoding can give",
        "",
        wirings,
        f"{NODES} nodes of two edges have 1 x 3 x 6 = {wirings} wirings; with {chosen} operations on {edges} edges they have "
        f"{outcomes:,} outcomes, which build {wirings} networks. {NO_TABLES}",
    )


def decoded(said: Statement) -> Iterator[AuditFinding]:
    """What is searched beside what is retrained."""
    nodes, kept = said.figure("nodes"), said.figure("decoded_nodes")
    rows, read_ = (search.edge_rows(int(one.value)) for one in (nodes, kept))
    yield against(said, "nodes of a cell", nodes, kept.value, "search.py has --step 4, decode.py and train.py 3")
    yield against(
        said, "edges decoded", Printed.written(str(rows)), read_,
        f"{figure(nodes.value)} nodes have {rows} edges, and decoding reads the first 2 + 3 + 4",
        "What the search learned of the last node's edges is dropped.",
    )  # fmt: skip
    yield against(
        said, "filters", said.figure("filters"), said.figure("retrained_filters").value,
        "search.py has --filter_multiplier 12, train.py 48",
    )  # fmt: skip


def penalties(said: Statement) -> Iterator[AuditFinding]:
    """The terms of the loss when the search starts."""
    side = DATASETS["cifar10"].image_shape[1]
    weights, bits = sum(edge.weights for edge in search.mixed_edges(side)), search.size_bits(side)
    most, steps, batch = search.most_bit_synops(side), said.figure("steps").value, said.figure("batch").value
    chance = math.log(DATASETS["cifar10"].n_classes)
    size = said.figure("size").value * bits
    synops = said.figure("bit_synops").value * most * batch * steps
    open_end = (
        f"The cross-entropy of chance is ln 10 = {chance:.4g}. Whether so little moves a search needs its training."
    )
    yield open_(
        said, "term of the size", "", size,
        f"{weights:,} weights x 1/5 x (1 + 2 + 4) / 3 bits = {figure(bits)} bits, x 5e-10 = {figure(size)}. {open_end}",
    )  # fmt: skip
    yield open_(
        said, "term of Bit-SynOps, at most", "", synops,
        f"{figure(most)} an image and step if every neuron fires, x {figure(batch)} images x {figure(steps)} steps x 5e-14 = "
        f"{figure(synops)}. {open_end}",
    )  # fmt: skip


def time_steps(said: Statement) -> Iterator[AuditFinding]:
    """A number typed where the search's answer would stand."""
    yield said.row.unknown(
        "time steps", "steps", said.figure("steps"),
        "decode.py reads alphas and betas, not psi; the 5 is typed into the network, and the search's own answer was not released.",
    )  # fmt: skip


def hundred_classes(said: Statement) -> Iterator[AuditFinding]:
    """Classes of the layers that are typed in."""
    due, built = DATASETS["cifar100"].n_classes, DATASETS["cifar10"].n_classes
    yield against(
        said, "outputs of the classifier on CIFAR-100", Printed.written(str(due)), built,
        "nn.Linear(192, 10) in the search, SNN_2d_fc(576, 10) and the auxiliary head's 10 in retraining. Outputs",
        f"{due - built} of {due} classes have none.",
    )  # fmt: skip


def validation(said: Statement) -> Iterator[AuditFinding]:
    """Where the images of `valid_data` are from."""
    spec = DATASETS["cifar10"]
    yield said.row.finding(
        "training images held out",
        "",
        "contradicted",
        f"valid_data is CIFAR10(train=False), the {spec.n_test:,} test images; all {spec.n_train:,} training images train. So the test "
        "set chooses the weights that it then judges.",
        recomputed=Fraction(0),
    )


def membranes(said: Statement) -> Iterator[AuditFinding]:
    """Batches that begin with the membranes that the one before left."""
    batch, n = int(said.figure("batch").value), DATASETS["cifar10"].n_test
    batches = -(-n // batch)
    yield said.row.finding(
        "batches of the test that start at rest",
        f"of {batches}",
        "contradicted",
        "The pool before the classifier makes its membrane where it is None, and it is None once. "
        f"{n:,} images in batches of {batch}: {batches - 1} of {batches} batches begin with {figure(said.figure('decay').value)} of what "
        "the neurons of the one before held, so an answer depends on the order of the images.",
        recomputed=Fraction(1),
    )


def stem(said: Statement) -> Iterator[AuditFinding]:
    """What the layer that reads the image does, and what it is charged by."""
    first = _convolutions(network("released-code"))[0]
    bits = said.figure("bits").value
    yield said.row.finding(
        "MACs of the stem, a step",
        "",
        "contradicted",
        f"{weights_of(first):,} weights x {first.shape[1] * first.shape[2]:,} places = {first.dense_ops:,} MACs, "
        f"{figure(first.dense_ops * bits * search.KEEP)} Bit-SynOps of the kept ones at 4 bits if every input counts. The rate of its "
        "input is the mean of an image whose channels are normalised to mean 0, so what it is charged is about nothing, and may be "
        "less than that.",
        recomputed=Fraction(first.dense_ops),
    )


def size_per_weight(said: Statement) -> Iterator[AuditFinding]:
    """Bits a weight of a layer of which a fifth is kept: without its places, with a bitmap, at the entropy bound."""
    for bits in search.BITS:
        layer = LayerSize(name="", weights=10**6, kept=int(search.KEEP * 10**6), bits=bits)
        claimed, bitmap, bound = (
            Fraction(value) / layer.weights for value in (layer.kept_bits, layer.bitmap_bits, layer.entropy_bits)
        )
        yield said.row.finding(
            f"bits a weight, {bits} bit{'s' if bits > 1 else ''} kept",
            "",
            "contradicted",
            f"0.2 x {bits} = {figure(claimed)} holds the kept weights and not where they are. With a bit for every place "
            f"{figure(bitmap)}, {figure(bitmap / claimed)} times as many; at the entropy bound H(0.2) = {figure(bound - claimed)} more, "
            f"{figure(bound)}, {figure(bound / claimed)} times as many.",
            printed=claimed,
            recomputed=bound,
            interval=Interval(low=bound, high=bitmap),
        )


def architecture(said: Statement) -> Iterator[AuditFinding]:
    """Weights, sizes and operations of a released network."""
    plan, chosen = network(said.model), compression(said)
    size: Size = plan_size(plan, chosen)
    wires = " | ".join(f"{a}, {b}" for a, b in wiring(said.model))
    normal = plan.params - size.weights
    yield open_(
        said, "weights", "", size.weights,
        f"Stem 27 x {NODES * MOST}, cells 9 C_in C_out an edge (sources of each node: {wires}; -1 and -2 are cells before), "
        f"classifier 10 x {4 * NODES * MOST}: {size.weights:,}. Normalisations {normal:,}. {NO_TABLES}",
    )  # fmt: skip
    for name, value, how in (
        ("size of float32", FLOAT_BITS // 8 * size.weights, "4 bytes a weight"),
        ("size as the code counts it", size.kept_bytes, f"Bits of the {size.kept:,} kept weights"),
        ("size with a bitmap", size.bitmap_bytes, f"And {size.weights:,} bits for their places"),
        ("size at the entropy bound", size.entropy_bytes, "And their places at H(0.2) a weight"),
    ):
        times = (
            f", {value / size.kept_bytes:.3g} times the size as the code counts it" if value > size.kept_bytes else ""
        )
        yield open_(said, name, "MB", Fraction(value, FIELD_MB), f"{how}: {value:,} bytes{times}.")
    yield open_(
        said,
        "MACs of one step, dense",
        "",
        plan.dense_ops,
        f"Stem, cells and classifier, padding included: {plan.dense_ops:,}.",
    )
    synops = cell_bit_synops(plan, chosen)
    yield open_(
        said, "Bit-SynOps of one step at rate 1", "", synops,
        f"Over the cells 1/5 x bits x dense MACs = {figure(synops)}; times the mean rate and the steps.",
    )  # fmt: skip


def cell_bit_synops(plan: Plan, chosen: CompressionConfig) -> Fraction:
    """k P b H W over the cells, at rate 1: the source's formula without its stem and classifier."""
    bits = {layer.name: layer.bits for layer in plan_layers(plan, chosen)}
    return sum(
        (search.KEEP * bits[node.name] * node.dense_ops for node in _convolutions(plan) if node.block), Fraction(0)
    )


def megabytes(said: Statement) -> Iterator[AuditFinding]:
    """A count of parameters in millions, read as bytes."""
    plan, classes = network(said.model), DATASETS["cifar10"].n_classes
    wide, narrow, linear = AUXILIARY
    auxiliary = wide * narrow + 4 * narrow * linear + linear * classes
    biases = 2 * classes + 2 * (narrow + linear + classes)  # of both linear layers, and its normalisations
    counted = plan.params + auxiliary + biases
    yield said.row.finding(
        "param size",
        "MB",
        "contradicted",
        f"It is the number of parameters / 10^6: {figure(Fraction(counted, FIELD_MB))} for this network, which at 4 bytes each are "
        f"{figure(Fraction(4 * counted, FIELD_MB))} MB. {auxiliary:,} of them are weights of the auxiliary head, which is never evaluated.",
        printed=Fraction(counted, FIELD_MB),
        recomputed=Fraction(4 * counted, FIELD_MB),
        interval=Interval.exactly(Fraction(4 * counted, FIELD_MB)),
    )


def speech(said: Statement) -> Iterator[AuditFinding]:
    """Code that was not released."""
    yield said.row.finding(
        "Google Speech Commands",
        "",
        "not checkable",
        "The released code reads CIFAR-10, CIFAR-100 and frames of DVS-CIFAR10, and no sound; what was trained on is in the paper.",
    )


def _convolutions(plan: Plan) -> list[Node]:
    return [node for node in plan.nodes if node.op == "conv"]


CHECKS: dict[str, Callable[[Statement], Iterator[AuditFinding]]] = {
    check.__name__: check
    for check in (
        halves, second_batch, operations, decoded, penalties, time_steps, hundred_classes, validation, membranes, stem,
        size_per_weight, architecture, megabytes, speech,
    )
}  # fmt: skip
