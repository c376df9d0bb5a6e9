"""Who takes part in `benchmarks.training_step`: each makes one training step of the same network, or what bounds it.

All but the bound start from the same weights, see the same images and labels, run T steps in training mode, take the
cross-entropy of the output averaged over time, and step Adam.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

N_CLASSES, SIDE, MASK = 10, 32, "Full"
LAYOUT_TRIES = 3  # of each layer in each layout, before the faster is taken


def parts(batch: int, steps: int, **neuron: Any) -> Any:
    """Our network, images and labels."""
    import torch

    from core.backbones.catalog import parse_mask, plan_for
    from core.engine.network import Network
    from core.host.malloc import keep_freed_memory
    from core.schemas.run import NeuronConfig, RunConfig

    keep_freed_memory()
    mask = parse_mask("squeezenet", MASK)
    plan = plan_for(backbone="squeezenet", mask=mask, input_shape=(3, SIDE, SIDE), n_classes=N_CLASSES)
    config = RunConfig(mask=mask, kind="snn", dataset="cifar10", time_steps=steps, neuron=NeuronConfig(**neuron))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    labels = torch.randint(0, N_CLASSES, (batch,), generator=generator)
    return Network(plan, config), x, labels


def _steps_of(network: Any, x: Any, labels: Any, after: Callable[[Any], None], **adam: Any) -> Callable[[], None]:
    """One training step; `after` forgets what the neurons hold."""
    import torch
    from torch.nn import functional as F

    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, **adam)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x).mean(0), labels).backward()
        optimizer.step()
        after(network)

    return step


def spikefront(batch: int, steps: int) -> Callable[[], None]:
    """Our network with the fused Adam, as the trainer runs it."""
    return _steps_of(*parts(batch, steps), after=lambda _: None, fused=True)


def counts(batch: int, steps: int) -> Callable[[], None]:
    """The same layers with neurons that count up to T: each convolution once and not T times."""
    return _steps_of(*parts(batch, steps, model="count", v_threshold=0.5), after=lambda _: None, fused=True)


def spikingjelly_network(ours: Any, steps: int) -> Any:
    """The same weights in SpikingJelly's layers and neurons, multi-step."""
    from core.oracles.spikingjelly_counts import SpikingSqueezeNet

    config = ours.config
    network = SpikingSqueezeNet(mask=config.mask, channels=3, n_classes=N_CLASSES, steps=steps, lif=config.neuron)
    network.load_state_dict(ours.state_dict())
    return network


def spikingjelly(batch: int, steps: int) -> Callable[[], None]:
    """SpikingJelly's multi-step mode as its tutorial writes it: reset_net after each batch, torch's default Adam."""
    from spikingjelly.activation_based import functional

    ours, x, labels = parts(batch, steps)
    return _steps_of(spikingjelly_network(ours, steps), x, labels, after=functional.reset_net)


def spikingjelly_compiled(batch: int, steps: int) -> Callable[[], None]:
    """The same under torch.compile. Needs a C++ compiler; its first step, minutes of compiling, is printed."""
    import torch
    from spikingjelly.activation_based import functional

    ours, x, labels = parts(batch, steps)
    network = spikingjelly_network(ours, steps)
    compiled = torch.compile(network)
    step = _steps_of(compiled, x, labels, after=lambda _: functional.reset_net(network))
    start = time.perf_counter()
    step()
    print(f"SpikingJelly compiled, batch {batch}: {time.perf_counter() - start:.1f} s for the first step", flush=True)
    return step


def snntorch(batch: int, steps: int) -> Callable[[], None]:
    """snnTorch's loop over steps, as its tutorials write it. Its neuron resets one step later than SpikingJelly's, so it is no
    twin: the same layers and sizes, not the same spikes."""
    import torch
    from snntorch import Leaky
    from spikingjelly.activation_based import functional

    ours, x, labels = parts(batch, steps)
    layers = spikingjelly_network(ours, steps)
    functional.set_step_mode(layers, "s")
    units = [module for module in layers.modules() if hasattr(module, "act")]
    for unit in units:
        unit.act = Leaky(beta=1 - 1 / ours.config.neuron.tau, init_hidden=True, reset_mechanism="zero")

    class Loop(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def once(self, x: Any) -> Any:
            x = layers.pool(layers.stem(x))
            for name in layers.order:
                block = layers.get_submodule(name)
                if name == "pool":
                    x = block(x)
                else:
                    x = block.squeeze(x)
                    x = torch.cat((block.expand1(x), block.expand3(x)), dim=1)
            return layers.classifier(x).mean((2, 3))

        def forward(self, x: Any) -> Any:
            for unit in units:  # `utils.reset` does not look into modules of modules
                unit.act.reset_mem()
            return torch.stack([self.once(x) for _ in range(steps)])

    return _steps_of(Loop(), x, labels, after=lambda _: None)


def dense(batch: int, steps: int) -> Callable[[], None]:
    """The floor: the dense convolutions of a step alone, forward and both gradients, each in its faster layout; the first, which
    sees the same image at every step, once and without a gradient of the image."""
    import torch
    from torch.nn import functional as F

    network, _, _ = parts(batch, steps)
    works = []
    for node in network.plan.nodes:
        if node.op == "conv":
            layer, first = network.get_submodule(node.name), network.is_constant(node)
            rows = batch * (1 if first else steps)
            options = [
                _convolution(F, torch, layer, (rows, *node.in_shape), first, form)
                for form in (torch.contiguous_format, torch.channels_last)
            ]
            works.append(min(options, key=_seconds))

    def step() -> None:
        for work in works:
            work()

    return step


def _convolution(F: Any, torch: Any, layer: Any, shape: tuple[int, ...], first: bool, form: Any) -> Callable[[], None]:
    x = torch.randn(shape).contiguous(memory_format=form)
    weight = layer.weight.detach().contiguous(memory_format=form)
    gradient = torch.randn_like(F.conv2d(x, weight, None, layer.stride, layer.padding))

    @torch.no_grad()
    def work() -> None:
        F.conv2d(x, weight, None, layer.stride, layer.padding)
        torch.ops.aten.convolution_backward(
            gradient, x, weight, None, layer.stride, layer.padding, layer.dilation, False, (0, 0), 1,
            (not first, True, False),
        )  # fmt: skip

    return work


def _seconds(work: Callable[[], None]) -> float:
    work()
    start = time.process_time()
    for _ in range(LAYOUT_TRIES):
        work()
    return time.process_time() - start


def saved_bytes(network: Any, x: Any) -> int:
    """What autograd keeps of one forward pass for the backward one, each memory once, without the weights."""
    import torch

    held: dict[int, Any] = {}
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = storage  # held, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = network(x)
    found = sum(storage.nbytes() for storage in held.values())
    del out
    return found


def check(batch: int, steps: int) -> tuple[str, float]:
    """That our step and SpikingJelly's compute the same, which raises SystemExit where they do not; and our saved bytes over
    its."""
    import torch
    from torch.nn import functional as F

    ours, x, labels = parts(batch, steps)
    theirs = spikingjelly_network(ours, steps)
    bytes_ = [saved_bytes(network, x) for network in (ours, theirs)]
    from spikingjelly.activation_based import functional

    functional.reset_net(theirs)
    outputs, gradients = [], []
    for network in (ours, theirs):
        out = network(x)
        F.cross_entropy(out.mean(0), labels).backward()
        outputs.append(out.detach())
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    away = max(
        float((g - gradients[1][name]).norm() / gradients[1][name].norm().clamp_min(1e-12))
        for name, g in gradients[0].items()
        if not name.endswith("conv.bias") or name.startswith("classifier")  # others are 0 but for rounding
    )
    least = float((outputs[0] - outputs[1]).abs().max())
    if least > 1e-3 or away > 1e-2 or not torch.isfinite(outputs[0]).all():
        raise SystemExit(f"the steps differ: outputs by {least:.1e}, gradients by {away:.1e}")
    told = f"batch {batch}: outputs of both differ by {least:.1e} at most, gradients by {away:.1e} of their length; "
    told += (
        f"saved for the backward pass {bytes_[0] / batch / 1024:.0f} and {bytes_[1] / batch / 1024:.0f} KiB an image"
    )
    return told, bytes_[0] / bytes_[1]
