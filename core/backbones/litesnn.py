"""LitE-SNN: a stem and eight cells of three nodes, wired as an architecture string says, any of the cells left out.

Liu et al., IJCAI 2024 (arXiv:2401.14652), as its released code builds the networks that it retrains
(github.com/Jaggie-Yan/Lite-SNN at a3a5163, `models/snndarts_retrain`). The space is that of SpikeDHS (Che et al., NeurIPS 2022).

    stem     3x3 convolution to 3F channels, normalisation, neuron
    cells    C1 to C8 at 1, 1, 1/2, 1/2, 1/2, 1/4, 1/4, 1/4 of the image's side, with F, 2F and 4F channels a node. What arrives at
             a finer side is brought down by taking every other pixel, so that spikes stay spikes
    node     the neuron of the sum of two 3x3 convolutions, each normalised
    cell     its three nodes' channels side by side
    head     mean over the map, linear without bias, normalisation

A cell's wiring is a string such as `0,1|3,4|6,7`: for each node the two edges that lead to it. A node's edges are numbered on from
those of the node before: from the cell two before, from the cell before, and from each earlier node of its cell. So node 1 has
edges 0 and 1, node 2 has 2 to 4, node 3 has 5 to 8; eighteen wirings in all. Every edge is the same convolution: in the released code
the `skip_connect` of the search becomes one, too.

Options:
    cell          a wiring, `all` (every node reads all its edges: what a search over cells trains), or `released-code` (the one typed into its LEAStereo.py) or `released-readme` (its README's)
    filters       F, 4 to 48; the released networks have 48. 8 costs about what SqueezeNet-P costs
    classifier    neuron: one between the mean and the linear layer, as the released code has it. A mean of spikes is at most 1, so
                  a neuron whose threshold is 1 never fires there; the released neuron's is 0.4 in our terms. Hence plain

The source's auxiliary head, which is trained with and never run afterwards, is not built.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations, product

from core.backbones.options import Option
from core.backbones.plan import Plan, PlanBuilder, Shape
from core.errors import BadValue

BLOCKS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8")
HALVINGS = dict(zip(BLOCKS, (0, 0, 1, 1, 1, 2, 2, 2), strict=True))
NODES = 3
ALL = "all"
LEAST, MOST = 4, 48  # filters

#: By the names that the option takes; the wiring of each.
RELEASED = {"released-code": "0,1|3,4|6,7", "released-readme": "0,1|2,3|5,7"}

MASKS = {
    "Full": BLOCKS,
    "Head-1": ("C1", "C2", "C3", "C4", "C5"),
    "Tail-1": ("C1", "C6", "C7", "C8"),
    "Alt-1": BLOCKS[::2],
    "Alt-2": BLOCKS[1::2],
    "Firsts": ("C1", "C3", "C6"),
}

OPTIONS = {
    "small": (
        Option(name="cell", values=tuple(RELEASED)),
        Option(name="filters", values=(8, 4, 16, 24, 32, 48)),
        Option(name="classifier", values=("plain", "neuron"), closed=True),
    )
}


def edges_of(node: int) -> range:
    """The edges that can lead to a node, 0 to 2: two of cells and one of each earlier node."""
    first = sum(2 + earlier for earlier in range(node))
    return range(first, first + 2 + node)


def edges_of_nodes() -> tuple[range, ...]:
    return tuple(map(edges_of, range(NODES)))


#: Edges of a cell.
EDGES = edges_of(NODES - 1)[-1] + 1
_ENDS = {"earlier": 0, "before": 1}  # of an edge's name, as its place among those of its node


def every_wiring() -> tuple[str, ...]:
    """All eighteen, in the order of their edges."""
    pairs = [[f"{a},{b}" for a, b in combinations(own, 2)] for own in edges_of_nodes()]
    return tuple("|".join(nodes) for nodes in product(*pairs))


def decoded_cell(weights: Sequence[float]) -> tuple[str, list[bool]]:
    """The wiring of the two heaviest edges of each node, the first of equal ones; and which edges these are."""
    nodes = [sorted(sorted(own, key=lambda edge: -weights[edge])[:2]) for own in edges_of_nodes()]
    kept = {edge for node in nodes for edge in node}
    return "|".join(f"{a},{b}" for a, b in nodes), [edge in kept for edge in range(EDGES)]


def edge_of_norm(plan: Plan) -> dict[str, int]:
    """The edge of each normalisation that ends one: `C3.node2.before.bn` is of edge 3."""
    found = {}
    for node in plan.nodes:
        parts = node.name.split(".")
        if node.op == "bn" and len(parts) == 4 and parts[0] in BLOCKS:
            own = edges_of(int(parts[1].removeprefix("node")) - 1)
            source = parts[2]
            found[node.name] = own[_ENDS[source] if source in _ENDS else 1 + int(source.removeprefix("node"))]
    return found


def wiring(cell: str) -> tuple[tuple[int, ...], ...]:
    """For each node the sources of its two edges: -2 and -1 for the cells before, 0 and 1 for nodes. Raises BadValue."""
    if cell == ALL:
        return tuple(tuple(edge - own[0] - 2 for edge in own) for own in edges_of_nodes())

    def refused(expected: str) -> BadValue:
        return BadValue(field="architecture.cell", value=cell, expected=expected)

    written = RELEASED.get(cell, cell)
    nodes = written.split("|")
    if len(nodes) != NODES:
        named = " or ".join(RELEASED)
        raise refused(f"{named}, or {NODES} nodes with | between them, such as 0,1|3,4|6,7")
    found = []
    for node, text in enumerate(nodes):
        own, name = edges_of(node), f"node {node + 1}"
        due = f"two of the edges {own[0]} to {own[-1]}, ascending, for {name}"
        numbers = text.split(",")
        if len(numbers) != 2:
            raise refused(f"{due}, not {len(numbers)}")
        if not all(number.isascii() and number.isdecimal() and number == str(int(number)) for number in numbers):
            raise refused(f"{due}, as whole numbers")
        first, second = (int(number) for number in numbers)
        for edge in (first, second):
            if edge > own[-1]:
                raise refused(f"{due}: edge {edge} is of a later node, which {name} cannot read")
            if edge < own[0]:
                raise refused(f"{due}: edge {edge} is of an earlier node")
        if first >= second:
            raise refused(due)
        found.append((first - own[0] - 2, second - own[0] - 2))
    return tuple(found)


def build(
    *,
    definition: str,
    mask: tuple[str, ...],
    input_shape: Shape,
    n_classes: int,
    cell: str,
    filters: int,
    classifier: str,
) -> Plan:
    """The plan for `mask`, the kept cells in network order; a removed one lets its input pass on, brought down as before.

    Raises BadValue for a wiring that is none, or filters out of bounds.
    """
    if not LEAST <= filters <= MOST:
        raise BadValue(field="architecture.filters", value=filters, expected=f"from {LEAST} to {MOST} for litesnn")
    sources = wiring(cell)
    b = PlanBuilder(input_shape, mask)
    halved: dict[str, str] = {}

    def current(name: str, x: str, channels: int) -> str:
        return b.bn(f"{name}.bn", b.conv(f"{name}.conv", x, channels, kernel=3, padding=1, bias=False))

    def brought_down(x: str, side: int) -> str:
        """x with every other pixel taken until its height is `side`."""
        while b.shape(x)[1] > side:
            if x not in halved:
                halved[x] = b.maxpool(f"{x}.halved", x, kernel=1, stride=2)
            x = halved[x]
        return x

    def add_cell(before: str, *, name: str, earlier: str, channels: int) -> str:
        nodes: list[str] = []
        for place, pair in enumerate(sources, 1):
            parts = []
            for source in pair:
                x = {-2: earlier, -1: before}.get(source) or nodes[source]
                from_ = {-2: "earlier", -1: "before"}.get(source) or f"node{source + 1}"
                parts.append(current(f"{name}.node{place}.{from_}", x, channels))
            total = parts[0]
            for at, part in enumerate(parts[1:]):
                total = b.add(f"{name}.node{place}.add{at + 1 if at else ''}", total, part)
            nodes.append(b.act(f"{name}.node{place}.act", total))
        return b.concat(f"{name}.concat", tuple(nodes))

    before = b.act("stem.act", current("stem", "input", NODES * filters))
    earlier = before
    sides = [b.shape(before)[1]]
    for _ in range(max(HALVINGS.values())):
        sides.append(-(-sides[-1] // 2))
    for name, times in HALVINGS.items():
        before = brought_down(before, sides[times])
        far = brought_down(earlier, sides[times]) if name in mask else before
        out = b.removable(name, before, partial(add_cell, name=name, earlier=far, channels=filters << times))
        earlier, before = before, out
    x = b.global_avgpool("pool", before)
    if classifier == "neuron":
        x = b.act("pool.act", x)
    b.bn("classifier.bn", b.conv("classifier.conv", x, n_classes, kernel=1, bias=False))
    return b.finish(backbone="litesnn", definition=definition, blocks=BLOCKS, mask=mask)
