"""A network as a Python file that builds it with SpikingJelly alone, and a safetensors file with its weights.

The Python file is written to be read: a line a layer, a line a step of the forward pass. Nothing is pickled.
"""

from __future__ import annotations

import re
from keyword import iskeyword
from pathlib import Path

from core.backbones.plan import Node
from core.bundle import write_atomic
from core.errors import BadValue, NotExpressible
from core.exchange.source import SILENT_BELOW, Source

#: SpikingJelly's surrogates that have the same sigma'(u) at the same alpha, by our names.
SURROGATE_NAMES = {
    "atan": "ATan",
    "sigmoid": "Sigmoid",
    "fast_sigmoid": "SoftSign",
    "piecewise_linear": "PiecewiseQuadratic",
    "exponential": "PiecewiseExp",
}

#: What the file below, or a torch module, means by these words.
RESERVED = frozenset({
    "x", "self", "torch", "nn", "functional", "layer", "neuron", "surrogate", "module", "Tensor", "Net", "grown", "gate",
    "shuffled", "load", "prepare", "train", "eval", "type", "float", "half", "double", "forward", "modules", "apply",
    "children", "parameters", "buffers",
})  # fmt: skip
HEAD = '''"""A trained network in SpikingJelly's layers: {title}.

    from {module} import load, prepare

    net = load()                         # with the weights of {weights} beside this file
    outputs = net(prepare(images))       # images: [N, {height}, {width}, 3] uint8 -> [T, N, classes]
    answers = outputs.mean(0).argmax(1)  # places in CLASSES

Needs torch, safetensors and SpikingJelly 2.0. Written by Spikefront.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

STEPS = {steps}  # T
CLASSES = {classes}
SCALE, SHIFT = {scale}, {shift}  # of a pixel in 0..255, one a channel
{v_start}

def prepare(images: Tensor) -> Tensor:
    """images: [N, H, W, 3] uint8; the input of every step, [T, N, 3, H, W] float32. Coding: {encoding}."""
    x = (images.float() * torch.tensor(SCALE) + torch.tensor(SHIFT)).permute(0, 3, 1, 2)
{coding}

'''
CODINGS = {
    "direct": "    return x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)",
    "rate": "    return (torch.rand(STEPS, *x.shape) < x).float()  # other spikes at every call",
    "latency": (
        "    first = torch.where(x >= {silent}, ((1 - x) * (STEPS - 1)).round(), STEPS)\n"
        "    return torch.stack([(first == t).float() for t in range(STEPS)])"
    ),
}
SUMS = '''
def grown(pool: nn.Module, x: Tensor) -> Tensor:
    """A max-pool where rates stand for values: what the maximum of the sums so far grows by."""
    most = pool(x.cumsum(0))
    return most.diff(dim=0, prepend=torch.zeros_like(most[:1]))


def gate(x: Tensor) -> Tensor:
    """A gate where rates stand for values: that of the mean so far."""
    steps = torch.arange(1, len(x) + 1, dtype=x.dtype, device=x.device)
    return (x.cumsum(0) / steps.view(-1, 1, 1, 1, 1)).sigmoid()

'''
SHUFFLED = '''
def shuffled(x: Tensor, groups: int) -> Tensor:
    """Channels as [groups, C / groups], transposed."""
    return x.unflatten(2, (groups, -1)).transpose(2, 3).flatten(2, 3)

'''
TAIL = '''
def load(path: Path = Path(__file__).with_suffix(".safetensors")) -> Net:
    """The trained network, in evaluation."""
    net = Net()
    net.load_state_dict(load_file(path))
    return net.eval()
'''


def write(source: Source, out: Path) -> list[Path]:
    """Write `out`, a .py file, and the weights beside it; returns both paths.

    Raises BadValue for a name that Python cannot import, NotExpressible for a part that SpikingJelly has not.
    """
    from safetensors.numpy import save

    if out.suffix != ".py" or not out.stem.isidentifier():
        raise BadValue(field="--out", value=str(out), expected="a name that Python can import, such as net.py")
    names = _names(source)
    weights = out.with_suffix(".safetensors")
    code = _code(source, names, out.stem, weights.name)
    renamed = {}
    for node in source.plan.nodes:
        own = [name for name in source.weights if name.rpartition(".")[0] == node.name]
        renamed |= {f"{names[node.name]}.{name.rpartition('.')[2]}": source.weights[name] for name in own}
    write_atomic(weights, save(renamed))
    write_atomic(out, code.encode())
    return [out, weights]


def _names(source: Source) -> dict[str, str]:
    """A Python name for each node of the plan: unique, and no word of Python's or of the file's own."""
    names: dict[str, str] = {}
    for node in source.plan.nodes:
        name = re.sub(r"\W", "_", node.name)
        name = f"_{name}" if name[0].isdigit() else name
        while name in names.values() or name in RESERVED or iskeyword(name):
            name += "_"
        names[node.name] = "x" if node.op == "input" else name
    return names


def _code(source: Source, names: dict[str, str], module: str, weights: str) -> str:
    _, height, width = source.plan.input_shape
    config = source.config
    head = HEAD.format(
        title=source.title.replace("\\", "").replace('"', "'"),
        module=module,
        weights=weights,
        height=height,
        width=width,
        steps=config.steps,
        classes=repr(list(source.classes)),
        scale=[float(x) for x in source.scale],
        shift=[float(x) for x in source.shift],
        v_start=f"V_START = {config.v_start!r}  # of every membrane\n" if config.is_converted else "",
        encoding=source.encoding,
        coding=CODINGS[source.encoding].format(silent=SILENT_BELOW),
    )
    layers = [
        f"        self.{names[node.name]} = {made}" for node in source.plan.nodes if (made := _layer(node, source))
    ]
    lines = [
        f"        {names[node.name]} = {_step(node, names, source)}" for node in source.plan.nodes if node.op != "input"
    ]
    start = [
        "        for module in self.modules():",
        "            if isinstance(module, neuron.base_node.BaseNode):",
        "                module.v = V_START",
    ]
    net = [
        "",
        "class Net(nn.Module):",
        '    """x: [T, N, C, H, W], the input of every step -> [T, N, classes]. Starts anew at every call."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *layers,
        '        functional.set_step_mode(self, "m")',
        "",
        "    def forward(self, x: Tensor) -> Tensor:",
        "        functional.reset_net(self)",
        *(start if config.is_converted else []),
        *lines,
        f"        return {names[source.plan.nodes[-1].name]}.flatten(2)",
        "",
    ]
    helpers = (SUMS if config.is_converted else "") + (
        SHUFFLED if any(node.op == "shuffle" for node in source.plan.nodes) else ""
    )
    return head + helpers + "\n".join(net) + "\n" + TAIL


def _layer(node: Node, source: Source) -> str | None:
    """The expression that makes a node's layer; None where it has none."""
    match node.op:
        case "conv":
            changed = {
                "stride": (node.stride, 1),
                "padding": (node.padding, 0),
                "dilation": (node.dilation, 1),
                "groups": (node.groups, 1),
                "bias": (node.bias, True),
            }
            more = "".join(f", {name}={value}" for name, (value, usual) in changed.items() if value != usual)
            return f"layer.Conv2d({node.in_shape[0]}, {node.shape[0]}, {node.kernel}{more})"
        case "bn":
            return f"layer.BatchNorm2d({node.shape[0]})"
        case "act":
            return _neuron(source) if source.spiking else "nn.ReLU()"
        case "maxpool":
            more = (f", padding={node.padding}" if node.padding else "") + (
                ", ceil_mode=True" if node.ceil_mode else ""
            )
            return f"layer.MaxPool2d({node.kernel}, {node.stride}{more})"
        case "global_avgpool":
            return "layer.AdaptiveAvgPool2d((1, 1))"
        case "dropout":
            return f"layer.Dropout({node.rate})"
    return None


def _neuron(source: Source) -> str:
    neuron = source.config.neuron
    kinds = {
        "lif": f"LIFNode(tau={neuron.tau!r}, decay_input=True, ",
        "plif": f"ParametricLIFNode(init_tau={neuron.tau!r}, decay_input=True, ",
        "if": "IFNode(",
    }
    for what, name, known in (("neuron", neuron.model, kinds), ("surrogate", neuron.surrogate, SURROGATE_NAMES)):
        if name not in known:
            raise NotExpressible(target="SpikingJelly", what=f"the {what} {name}", why="it has no such class.")
    reset = "0.0" if neuron.reset == "hard" else "None"
    surrogate = f"surrogate.{SURROGATE_NAMES[neuron.surrogate]}(alpha={neuron.alpha!r})"
    return f"neuron.{kinds[neuron.model]}v_threshold={neuron.v_threshold!r}, v_reset={reset}, surrogate_function={surrogate})"


def _step(node: Node, names: dict[str, str], source: Source) -> str:
    """The expression of a node's value."""
    xs = [names[name] for name in node.inputs]
    own = f"self.{names[node.name]}"
    if source.uses_sums(node):
        return f"grown({own}, {xs[0]})" if node.op == "maxpool" else f"gate({xs[0]})"
    match node.op:
        case "conv" | "bn" | "act" | "maxpool" | "global_avgpool" | "dropout":
            return f"{own}({xs[0]})"
        case "concat":
            return f"torch.cat(({', '.join(xs)}), 2)"
        case "split":
            return f"{xs[0]}[:, :, {node.start}:{node.start + node.shape[0]}]"
        case "shuffle":
            return f"shuffled({xs[0]}, {node.groups})"
        case "add":
            return f"{xs[0]} + {xs[1]}"
        case "scale":
            return f"{xs[0]} * {xs[1]}"
        case "sigmoid":
            return f"{xs[0]}.sigmoid()"
    raise NotExpressible(target="SpikingJelly", what=f"{node.name} ({node.op})", why="there is no rule for it.")
