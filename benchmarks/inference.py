"""How fast does a spiking network answer on a CPU: by what fires, densely, and in SpikingJelly's multi-step mode?

Four ways, on one thread, in turn: SpikingJelly as its tutorial writes it; our plain path (normalisation and neurons fused,
channels_last); the evaluation by what fires; and the floor, the network's dense convolutions alone with nothing in between.
First all ways must answer alike. The processor's time is taken, so that a neighbour on the machine disturbs little.

- SqueezeNet-P, LIF, T = 4, for which the gallery has no trained network: drawn weights whose normalisations are set so that
  each layer fires at a given rate. A small run on CIFAR-10 fired at 0.13 (docs/performance.md).
- The gallery's trained networks on images of their own data set's shape: their neurons count, which SpikingJelly's do not.
- What a run's test takes: the LIF network and one of the gallery, in its batches, with every count.

    python -m benchmarks.inference [--small] [--json] [--rounds N] [--batch N ...] [--rate R ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Comparison, in_turn, report

STEPS, RATES, BATCHES = 4, (0.0, 0.1, 0.3, 0.5), (1, 8, 128)
TRAINED_RATE = 0.13
AT_ONCE = 8  # images, at least, that each way takes in a turn
CALIBRATION = 16  # images by which the rates are set
#: Of all spikes, how many may differ between SpikingJelly and ours: it normalises in another order of operations.
FLIPPED = 1e-3


def images(batch: int) -> Any:
    import torch

    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network_firing_at(rate: float) -> Any:
    """SqueezeNet-P with LIF neurons that fire at about `rate`, over all layers and steps."""
    import torch

    from core.engine.diagnose import FiringRate

    share = rate  # at the first step; what stays in the membranes adds to it later
    for _ in range(4):
        network = _firing_first(share)
        firing = FiringRate(network)
        with torch.inference_mode(), firing.watch():
            network(images(CALIBRATION))
        if not rate or abs(firing.read() - rate) < 0.01:
            break
        share *= rate / firing.read()
    return network


def _firing_first(rate: float) -> Any:
    """The network whose normalisations let about `rate` of each layer's neurons fire at the first step."""
    import torch

    from core.backbones.catalog import parse_mask, plan_for
    from core.engine.network import Network, observe
    from core.schemas.run import RunConfig

    mask = parse_mask("squeezenet", "Ref-1")
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, 32, 32), n_classes=10)
    config = RunConfig(mask=mask, kind="snn", dataset="cifar10", time_steps=STEPS)
    network = Network(plan, config).eval()
    normed = {node.inputs[0]: node.name for node in plan.nodes if node.op == "bn"}

    def set_rate(node: Any, inputs: Any, output: Any) -> None:
        """Statistics of what comes out of this convolution, and the shift that lifts its share over the threshold."""
        if node.name not in normed:
            return
        norm = network.get_submodule(normed[node.name])
        norm.running_mean.copy_(output.mean((0, 2, 3)))
        norm.running_var.copy_(output.var((0, 2, 3)).clamp_min(1e-3))
        shown = (output - norm.running_mean.view(-1, 1, 1)) / (norm.running_var.view(-1, 1, 1) + norm.eps).sqrt()
        top = shown.flatten().sort().values
        reach = config.neuron.v_threshold * config.neuron.tau
        edge = top[min(len(top) - 1, int(len(top) * (1 - rate)))] if rate else top[-1] + 10.0
        norm.bias.fill_(float(reach - edge))

    with torch.no_grad(), observe(network, set_rate, every_node=True):
        network(images(CALIBRATION))
    return network


def ways(network: Any, x: Any) -> dict[str, Callable[[], Any]]:
    """Each way to put x through the network, by its name; the first is what others are compared with."""
    import torch
    from torch.nn import functional as F

    def of(by_events: bool) -> Callable[[], Any]:
        @torch.inference_mode()
        def call() -> Any:
            network.uses_events = by_events
            return network(x)

        return call

    given = []
    for node in network.plan.nodes:
        if node.op == "conv":
            layer = network.get_submodule(node.name)
            once = network.is_constant(node) or network.gives_one_output(node)
            rows = len(x) * (1 if once else network.steps)
            zeros = torch.zeros(rows, *node.in_shape).contiguous(memory_format=torch.channels_last)
            given.append((zeros, layer.weight, layer.stride, layer.padding, layer.groups))

    @torch.inference_mode()
    def floor() -> None:
        for value, weight, stride, padding, groups in given:
            F.conv2d(value, weight, None, stride, padding, 1, groups)

    found = {"plain path": of(False), "by what fires": of(True), "dense convolutions alone": floor}
    if network.config.neuron.model != "count":
        found = {"SpikingJelly multi-step": spikingjelly(network, x)} | found
    return found


def spikingjelly(network: Any, x: Any) -> Callable[[], Any]:
    """The same weights in its layers and neurons, multi-step."""
    import torch
    from spikingjelly.activation_based import functional

    from core.oracles.spikingjelly_counts import SpikingSqueezeNet

    config = network.config
    theirs = SpikingSqueezeNet(mask=config.mask, channels=3, n_classes=10, steps=network.steps, lif=config.neuron)
    theirs.load_state_dict(network.state_dict())
    theirs.eval()

    @torch.inference_mode()
    def call() -> Any:
        out = theirs(x)
        functional.reset_net(theirs)
        return out

    call.network = theirs
    return call


def spikes_of(call: Any) -> Any:
    """Its output, and the spikes of each image summed over layers and steps, [N] int64."""
    import torch
    from spikingjelly.activation_based.neuron import BaseNode

    seen: list[Any] = []
    neurons = [module for module in call.network.modules() if isinstance(module, BaseNode)]
    hooks = [n.register_forward_hook(lambda _, __, out: seen.append(out.flatten(2).sum((0, 2)))) for n in neurons]
    try:
        out = call()
    finally:
        for hook in hooks:
            hook.remove()
    return out, torch.stack(seen).sum(0).long().numpy()


def check(network: Any, x: Any, calls: dict[str, Callable[[], Any]]) -> str:
    """That all ways answer alike; raises where they do not. Returns what was found, with the firing rate."""
    import torch

    from core.engine.count import Counter

    outputs, counted = {}, {}
    for name in ("plain path", "by what fires"):
        with Counter(network) as counter:
            outputs[name] = calls[name]()
        counted[name] = counter.per_sample()
    plain, events = (outputs[name] for name in outputs)
    first, second = (counted[name]["spikes"] for name in counted)
    away = abs(first - second).sum() / max(1, first.sum())
    if not torch.allclose(plain, events, atol=1e-4) and away > FLIPPED:
        raise SystemExit(f"the plain path and the one by what fires differ: {float((plain - events).abs().max())}")
    places = sum(node.numel for node in network.act_nodes) * network.steps * len(x)
    bits = torch.equal(plain, events) and all((first == second).ravel())
    told = f"batch {len(x)}: firing rate {second.sum() / places:.3f}; outputs and counts "
    told += "equal in every bit" if bits else f"equal but for {away:.1e} of the spikes"
    if "SpikingJelly multi-step" in calls:
        theirs, fired = spikes_of(calls["SpikingJelly multi-step"])
        same = float((theirs.mean(0).argmax(1) == events.mean(0).argmax(1)).float().mean())
        away = abs(fired - second.sum((1, 2))).sum() / max(1, fired.sum())
        if same < 1 - 1 / 64 or away > FLIPPED:
            raise SystemExit(f"SpikingJelly answers {same:.1%} alike, and {away:.1e} of its spikes are others")
        told += f"; of SpikingJelly's answers {same:.1%} are the same, of its spikes all but {away:.1e}"
    return told


def repeated(call: Callable[[], Any], times: int) -> Callable[[], None]:
    """Several calls in one turn: of a single one after another's, most of the time would go into cold caches."""

    def calls() -> None:
        for _ in range(times):
            call()

    return calls


def evaluate(network: Any, *, n: int, counted: bool) -> Callable[[], None]:
    """Some images in the batches of a run's test, with all counts."""
    import torch

    from core.engine.count import Counter
    from core.engine.train import EVALUATION_BATCH

    x = images(EVALUATION_BATCH["cpu"])

    @torch.inference_mode()
    def call() -> None:
        network.uses_events = True
        if not counted:
            for _ in range(0, n, len(x)):
                network(x)
            return
        with Counter(network) as counter:
            for _ in range(0, n, len(x)):
                network(x)
        counter.counts()
        counter.per_sample()

    return call


def gallery_networks(small: bool) -> list[tuple[str, Any]]:
    from core.engine.sources import trained
    from core.gallery.catalog import gallery, unpacked

    found = []
    for run in gallery().whole[2:3] if small else gallery().whole:
        with unpacked(run) as bundle:
            found.append((f"{run.label}, T = {bundle.config().time_steps}, counts", trained(bundle)))
    return found


def main() -> None:
    import torch

    from core.host.malloc import keep_freed_memory

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="batches of 1 and 8, few rates and rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--batch", type=int, nargs="+")
    parser.add_argument("--rate", type=float, nargs="+", help="firing rates of the drawn network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    rounds = arguments.rounds or (5 if arguments.small else 9)
    batches = arguments.batch or (BATCHES[:2] if arguments.small else BATCHES)
    made: list[Comparison] = []

    def timed(found: Comparison) -> None:
        made.append(found)
        if not arguments.json:
            report([found], as_json=False)

    def compared(title: str, network: Any, batch: int, *, without: tuple[str, ...] = (), **options: Any) -> None:
        x = images(batch)
        calls = {name: call for name, call in ways(network, x).items() if name not in without}
        told = check(network, x, calls)
        if not arguments.json:
            print(f"{title}: {told}")
        # a batch of 128 takes seconds: fewer rounds
        few = max(3, rounds // 3) if batch > 32 else rounds
        again = max(1, AT_ONCE // batch)
        turns = {name: repeated(call, again) for name, call in calls.items()}
        timed(in_turn(title, turns, images=again * batch, rounds=few, batch=batch, steps=network.steps, **options))

    drawn = network_firing_at(TRAINED_RATE)
    for batch in batches:
        compared("SqueezeNet-P, LIF, rates drawn", drawn, batch)
    for rate in arguments.rate or (RATES[::3] if arguments.small else RATES):
        slow = ("SpikingJelly multi-step",)
        compared("SqueezeNet-P, LIF, rates drawn", network_firing_at(rate), 8, without=slow, rate=rate)
    networks = gallery_networks(arguments.small)
    for name, network in networks:
        compared(name, network, 8)
    for name, network in [("SqueezeNet-P, LIF, rates drawn", drawn), *networks[:1]]:
        n = 128 if arguments.small else 256
        calls = {
            "evaluation": evaluate(network, n=n, counted=False),
            "with all counts": evaluate(network, n=n, counted=True),
        }
        few = max(3, rounds // 3)
        timed(in_turn(f"Test: {name}", calls, images=n, rounds=few, batch=128, steps=network.steps))
    if arguments.json:
        report(made, as_json=True)


if __name__ == "__main__":
    main()
