"""A run counted again: its network rebuilt in SpikingJelly's layers with its weights, on some of its test images.

Three things are held against each other, layer by layer: what our network counts (the mode exact), what a foreign tool
finds on the rebuilt network, and what it must find by its own rules on the values of ours. Both networks run in float64,
so that no spike hangs on how a sum was rounded, and the integers must be equal. What the bundle holds of the same images
was taken in float32, on the run's device, and stands beside them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter as Sums
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from core.analysis.predictions import predict
from core.backbones.plan import Node
from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES
from core.energy.rules import layer_kind
from core.engine.count import Counter
from core.engine.data import Normaliser
from core.engine.network import Network, observe
from core.engine.sources import trained
from core.engine.tested import require_tested_on, spread
from core.oracles.tools import TOOLS, Call, Found, Tool
from core.schemas.recount import CounterName, Operations, Recount, RecountedLayer, Spikes, Stored
from core.schemas.run import Kind, RunConfig

log = logging.getLogger(__name__)

FILE = "recount.json"
BATCH = 8  # images at a time: memory stays below that of training
MOST = 64  # images of a run that counts itself again
#: Of its own time, what a run may spend on counting batches; with what follows them it stays below 2 %. One batch is
#: counted in any case.
SHARE = 0.015
#: Of the stored integers. On the CPU they differ by a millionth; TF32 on a GPU rounds to ten bits.
ROUNDING = 0.02


def recount(
    bundle: Bundle,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    counter: CounterName = "spikingjelly",
    n: int = MOST,
    budget_s: float | None = None,
) -> Recount:
    """`n` test images, spread over the set, through the bundle's network and through the rebuilt one.

    images: [M, H, W, 3] uint8, labels: [M], the whole test set that the run was tested on. Stops after the batch that
    uses up `budget_s`. Raises BadValue for another test set, BundleCorrupt, PackageMissing, UnknownLayer for a part that
    SpikingJelly has not, UnknownName for a counter.
    """
    started = time.monotonic()
    # the first neuron of SpikingJelly in a process makes torch say that a GPU's compiler is not there
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    tool = TOOLS[counter]
    tool_version = tool.version
    config = bundle.config()
    stored = bundle.predictions()
    require_tested_on(stored, labels, name=config.dataset)
    network = load(bundle)
    chosen = spread(len(stored.label), n, first=network.encoding == "rate")
    batches = [chosen[low : low + BATCH] for low in range(0, len(chosen), BATCH)]
    normalise = Normaliser(DATASETS[config.dataset], torch.device("cpu"), network.encoding)
    ours = Ours(network, tool)

    def given() -> Iterator[Tensor]:
        """What the tool's network gets: each batch as ours has coded it, after ours has seen it."""
        begun = time.monotonic()
        for place, batch in enumerate(batches):
            now = time.monotonic()
            if place and budget_s is not None and (now - started) + (now - begun) > budget_s:
                return  # another batch like the last one would be too much
            begun = now
            yield ours.see(normalise(torch.from_numpy(images[stored.index[batch]])).double())

    # not inference_mode: in it a dispatch counter sees nothing
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model = tool.model(network)
        with ours, watched(model) as theirs:
            found = tool.measure(model, given())
    n_seen = ours.counter.n_samples
    answers, their_answers = (
        predict(torch.cat(parts, 1).transpose(0, 1).numpy()) for parts in (ours.outputs, theirs.outputs)
    )
    result = Recount(
        counter=counter,
        counter_version=tool_version,
        n_images=n_seen,
        time_steps=network.steps,
        answers_equal=int((answers == their_answers).sum()),
        stored=_stored(bundle, chosen[:n_seen], ours.counter, their_answers),
        layers=_layers(network, tool, ours, found, theirs.spikes),
        not_known=tool.not_known,
    )
    log.info(
        "run.recounted",
        extra={"counter": counter, "n_images": n_seen, "equal": result.equal, "wall_s": time.monotonic() - started},
    )
    return result


def rebuilds(config: RunConfig) -> bool:
    """Whether SpikingJelly has the network's neurons, which are none that count, and its plan is the whole of it, which it is
    not of a search over cells."""
    if config.seeks.cell:
        return False
    return config.kind is Kind.CNN or config.neuron.model != "count"


def after_test(bundle: Bundle, images: np.ndarray, labels: np.ndarray) -> None:
    """What a run does at its end, before its manifest is written: leaves recount.json in the bundle.

    A recount that fails is recorded as such and fails nothing. Of counts there is none.
    """
    if not rebuilds(bundle.config()):
        return
    try:
        summary = bundle.summary()
        budget_s = SHARE * (summary.train_wall_s + summary.evaluate_wall_s)
        found = recount(bundle, images, labels, budget_s=budget_s)
    except Exception as error:
        log.exception("run.recount_failed")
        failure = f"{type(error).__name__}: {error}"[:500]
        found = Recount(counter="spikingjelly", counter_version=TOOLS["spikingjelly"].version, failure=failure)
    bundle.write_model(FILE, found)


def load(bundle: Bundle) -> Network:
    """The network of a bundle in float64 and plain torch, in evaluation. Raises BundleCorrupt."""
    network = trained(bundle, fused=False).double()
    network.seed_encoding("test")
    return network


class Ours:
    """Our network at work on batches: what it counts, and what the tool must find by its own rules."""

    def __init__(self, network: Network, tool: Tool) -> None:
        self.network, self.tool = network, tool
        self.counter = Counter(network)
        self.outputs: list[Tensor] = []
        self.acs: Sums[str] = Sums()
        self.macs: Sums[str] = Sums()
        self._given: Tensor | None = None
        self._observing = observe(network, self._note, every_node=True)

    def __enter__(self) -> Self:
        self.counter.__enter__()
        self._observing.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._observing.__exit__(*error)
        self.counter.__exit__(*error)

    def see(self, x: Tensor) -> Tensor:
        """x: [N, C, H, W] float64; returns the input of every step, [T, N, C, H, W]."""
        self.outputs.append(self.network(x))
        assert self._given is not None
        return self._given

    @property
    def by_rule(self) -> dict[str, Found]:
        return {name: (self.acs[name], self.macs[name]) for name in self.acs}

    def _note(self, node: Node, inputs: tuple[Tensor, ...], output: Tensor | None) -> None:
        out = self._steps(node, output)
        if node.op == "input":
            self._given = out
            return
        call = Call(network=self.network, node=node, x=self._steps(self._node(node.inputs[0]), inputs[0]), out=out)
        if (found := self.tool.rule(call)) is not None:
            self.acs[node.name] += found[0]
            self.macs[node.name] += found[1]

    def _node(self, name: str) -> Node:
        return self.network.plan.node(name)

    def _steps(self, node: Node, value: Tensor) -> Tensor:
        """[T, N, ...] of what a node gave, which is kept once where it never changes."""
        steps = self.network.steps
        return value.expand(steps, *value.shape) if self.network.is_constant(node) else value.unflatten(0, (steps, -1))


class Theirs:
    """What the rebuilt network said: outputs [T, N, classes] of each batch, and the spikes of each neuron layer."""

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []
        self.spikes: Sums[str] = Sums()


@contextmanager
def watched(model: nn.Module) -> Iterator[Theirs]:
    """Watch outputs and neurons of a network of SpikingJelly's, whose layers bear the plan's names."""
    from spikingjelly.activation_based import neuron

    seen = Theirs()

    def spikes_of(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: object, output: Tensor) -> None:
            seen.spikes[name] += int(output.count_nonzero())

        return note

    hooks = [model.register_forward_hook(lambda module, inputs, output: seen.outputs.append(output))]
    for name, module in model.named_modules():
        if isinstance(module, neuron.base_node.BaseNode):
            hooks.append(module.register_forward_hook(spikes_of(name.removeprefix("layers.").replace("__", "."))))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _layers(
    network: Network, tool: Tool, ours: Ours, found: dict[str, Found], spikes: Sums[str]
) -> tuple[RecountedLayer, ...]:
    counts = ours.counter.counts()
    charged = {layer.name: (layer.acs, layer.macs) for layer in MODES["exact"].tally(counts).layers}
    fired = {layer.name: sum(layer.spikes) for layer in counts.layers if layer.spikes}
    by_rule = ours.by_rule
    rows = []
    for node in network.plan.nodes:
        if node.op == "input":
            continue
        name = node.name
        exact = tuple(round(operations * counts.n_samples) for operations in charged[name])
        known = name in by_rule or name in found
        wanted, got = by_rule.get(name, (0, 0)), found.get(name, (0, 0))
        sent = Spikes(ours=fired[name], theirs=spikes[name]) if name in fired else None
        rows.append(
            RecountedLayer(
                name=name,
                kind=layer_kind(node, network.config.kind, network.config.neuron.model),
                exact=_operations(exact),
                ours=_operations(wanted) if known else None,
                theirs=_operations(got) if known else None,
                spikes=sent,
                reason=_reason(node, network, tool, exact, got) if known else "",
                equal=_close(wanted, got, tool.tolerance) and (sent is None or sent.ours == sent.theirs),
            )
        )
    return tuple(rows)


def _reason(node: Node, network: Network, tool: Tool, exact: Found, got: Found) -> str:
    if _close(exact, got, tool.tolerance):
        return ""
    if sum(exact) == sum(got):
        return f"The input held 0 and 1 alone, so {tool.title} takes it for spikes; the plan knows that it need not."
    return tool.reason(node, network)


def _operations(found: Found) -> Operations:
    return Operations(acs=found[0], macs=found[1])


def _close(one: Found, other: Found, tolerance: float) -> bool:
    return all(abs(a - b) <= tolerance * max(abs(a), abs(b)) for a, b in zip(one, other, strict=True))


def _stored(bundle: Bundle, chosen: np.ndarray, counter: Counter, answers: np.ndarray) -> Stored:
    """The stored answers and integers of the same images."""
    now, before = counter.per_sample(), bundle.counts_per_sample()
    told = predict(bundle.predictions().outputs[chosen])
    equal = int((told == answers).sum())
    operations = _difference(now["ac"] + now["mac"], (before["ac"] + before["mac"])[chosen])
    spikes = _difference(now["spikes"], before["spikes"][chosen])
    return Stored(
        answers_equal=equal,
        operations_difference=operations,
        spikes_difference=spikes,
        within=max(operations, spikes) <= ROUNDING and len(chosen) - equal <= max(1, ROUNDING * len(chosen)),
    )


def _difference(now: np.ndarray, before: np.ndarray) -> float:
    """[N, L, T] each: the sum over layers of the differences between their sums, as a share of all."""
    a, b = (values.sum((0, 2)).astype(float) for values in (now, before))
    return float(np.abs(a - b).sum() / max(a.sum(), 1.0))
