"""Networks written for other tools and opened again by them: the same outputs at every step, on real images."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import onnxruntime
import pytest
import torch
from bundles import IMAGES, N, made
from commands import called
from torch.nn import functional as F

from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.engine import encodings
from core.engine.data import Normaliser
from core.errors import BadValue, BundleCorrupt, NotExpressible, PackageMissing, UnknownName
from core.exchange import nir_file, onnx_file, spikingjelly_file
from core.exchange.source import SILENT_BELOW, read
from core.exchange.targets import TARGETS
from core.oracles.recount import load
from core.schemas.run import NeuronConfig

SOFT_IF = NeuronConfig(model="if", reset="soft")
CONVERTED = {"start": "converted", "training": {"max_epochs": 0, "teacher_epochs": 1}, "neuron": SOFT_IF}


def expected(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Of our network in float64: the input of every step [T, N, C, H, W] float32, and the outputs [T, N, classes]."""
    network = load(bundle)
    x = Normaliser(DATASETS["digits"], torch.device("cpu"), network.encoding)(torch.from_numpy(IMAGES))
    coded = encodings.ENCODINGS[network.encoding](x, network.steps, network._draw)
    coded = coded.unsqueeze(0).expand(network.steps, *x.shape) if network.encoding == "direct" else coded
    network.seed_encoding("test")
    with torch.no_grad():
        outputs = network(x.double())
    return coded.reshape(network.steps, *x.shape).contiguous().numpy(), outputs.numpy()


def agrees(found: np.ndarray, outputs: np.ndarray, *, steps: int) -> None:
    """Equal but for rounding to float32, which may turn a spike of one image in a dozen."""
    assert found.shape == outputs.shape == (steps, N, 10)
    assert np.abs(outputs).max() > 0.01 and outputs.std(1).max() > 0  # not a silent network
    off = np.abs(found - outputs).max((0, 2)) > 1e-4 * np.abs(outputs).max()
    assert off.sum() <= 1, f"{off.sum()} of {N} images differ"


# ONNX


def run_onnx(path: Path, x_TNCHW: np.ndarray) -> tuple[np.ndarray, onnxruntime.InferenceSession]:
    """Every step with the state of the one before, as the file's head says."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    start = {"v": float(session.get_modelmeta().custom_metadata_map["v_start"]), "sum": 0.0}
    given = {value.name: value.shape for value in session.get_inputs() if value.name not in ("image", "step")}
    state = {name: np.full((N, *shape[1:]), start[name.partition(".")[0]], np.float32) for name, shape in given.items()}
    counts = {"step"} & {value.name for value in session.get_inputs()}
    results = [value.name for value in session.get_outputs()]
    outputs = []
    for t, x in enumerate(x_TNCHW, start=1):
        step = dict.fromkeys(counts, np.array(t, np.float32))
        found = dict(zip(results, session.run(None, {"image": x, **step, **state}), strict=True))
        outputs.append(found.pop("output"))
        state = {name.removeprefix("next."): value for name, value in found.items()}
    return np.stack(outputs), session


@pytest.mark.parametrize("kind", ["snn", "cnn"])
@pytest.mark.parametrize("backbone", ["squeezenet", "shufflenetv2", "mixnet"])  # concat, depthwise and shuffle, gates
def test_onnxruntime_gives_the_same_outputs_step_by_step(tmp_path, backbone, kind):
    bundle = made(tmp_path, backbone=backbone, kind=kind)
    onnx_file.write(read(bundle), tmp_path / "net.onnx")
    x, outputs = expected(bundle)
    found, session = run_onnx(tmp_path / "net.onnx", x)
    steps = 3 if kind == "snn" else 1
    agrees(found, outputs, steps=steps)
    states = [value.name for value in session.get_inputs()][1:]
    assert bool(states) is (kind == "snn")
    told = session.get_modelmeta().custom_metadata_map
    assert (told["time_steps"], told["encoding"], json.loads(told["classes"])[9]) == (str(steps), "direct", "9")
    pixels = IMAGES.astype(np.float32) * np.array(json.loads(told["scale"])) + np.array(json.loads(told["shift"]))
    np.testing.assert_allclose(pixels.transpose(0, 3, 1, 2), x[0], atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        {"neuron": NeuronConfig(model="plif", reset="soft", tau=1.5)},
        {"neuron": NeuronConfig(model="if", reset="hard", v_threshold=0.8)},
        {"encoding": "latency"},
        CONVERTED,
        CONVERTED | {"backbone": "mixnet"},  # gates of the mean so far: the number of the step matters
    ],
    ids=["plif soft", "if hard", "latency", "converted", "converted gates"],
)
def test_every_neuron_coding_and_converted_networks_run_in_onnxruntime(tmp_path, config):
    bundle = made(tmp_path, **config)
    onnx_file.write(read(bundle), tmp_path / "net.onnx")
    x, outputs = expected(bundle)
    found, _ = run_onnx(tmp_path / "net.onnx", x)
    agrees(found, outputs, steps=3)


# NIR, by an interpreter of its own equations


class NirReference:
    """A NIR graph by the equations of its nodes, Euler's method with the file's dt; edges that meet are summed."""

    def __init__(self, graph: nir.NIRGraph, dt: float) -> None:
        self.graph, self.dt, self.state = graph, dt, {}
        waiting, self.order = set(graph.nodes), []
        while waiting:
            ready = [name for name in waiting if not any(b == name and a in waiting for a, b in graph.edges)]
            assert ready, "a circle"
            self.order += ready
            waiting -= set(ready)

    def step(self, x: torch.Tensor) -> torch.Tensor:
        values = {}
        for name in self.order:
            inputs = [values[a] for a, b in self.graph.edges if b == name]
            values[name] = self._value(name, self.graph.nodes[name], sum(inputs) if inputs else x)
        return values["output"]

    def _value(self, name: str, node: nir.NIRNode, x: torch.Tensor) -> torch.Tensor:
        as_tensor = lambda value: torch.from_numpy(np.asarray(value)).double()
        pair = lambda value: tuple(int(side) for side in value)
        match node:
            case nir.Input() | nir.Output():
                return x
            case nir.Conv2d():
                assert tuple(x.shape[2:]) == tuple(node.input_shape)
                shape = (pair(node.stride), pair(node.padding), pair(node.dilation), int(node.groups))
                return F.conv2d(x, as_tensor(node.weight), as_tensor(node.bias), *shape)
            case nir.AvgPool2d():
                return F.avg_pool2d(x, pair(node.kernel_size), pair(node.stride), pair(node.padding))
            case nir.SumPool2d():
                window = pair(node.kernel_size)
                return F.avg_pool2d(x, window, pair(node.stride), pair(node.padding), divisor_override=1)
            case nir.Threshold():
                return (x > as_tensor(node.threshold)).double()
            case nir.Flatten():
                return x.flatten(1)
            case nir.LIF() | nir.IF():
                v = self.state.get(name, torch.zeros_like(x))
                drive = as_tensor(node.r) * x
                if isinstance(node, nir.LIF):
                    drive = (as_tensor(node.v_leak) - v + drive) / as_tensor(node.tau)
                v = v + self.dt * drive
                fired = (v > as_tensor(node.v_threshold)).double()
                self.state[name] = torch.where(fired > 0, as_tensor(node.v_reset), v)
                return fired
        raise AssertionError(type(node))


def run_nir(path: Path, x_TNCHW: np.ndarray) -> np.ndarray:
    graph = nir.read(path)  # with NIR's own check of every edge's types
    reference = NirReference(graph, float(graph.metadata["dt"]))
    return torch.stack([reference.step(torch.from_numpy(x).double()) for x in x_TNCHW]).numpy()


@pytest.mark.parametrize("backbone", ["squeezenet", "shufflenetv2", "mnasnet"])  # concat; depthwise, shuffle; sums
def test_nir_reads_the_graph_whose_equations_give_the_same_outputs(tmp_path, backbone):
    bundle = made(tmp_path, backbone=backbone)
    nir_file.write(read(bundle), tmp_path / "net.nir")
    x, outputs = expected(bundle)
    agrees(run_nir(tmp_path / "net.nir", x), outputs, steps=3)
    told = nir.read(tmp_path / "net.nir").metadata
    assert (told["time_steps"], told["encoding"], json.loads(told["classes"])[3]) == (3, "direct", "3")


@pytest.mark.parametrize(
    "config",
    [
        {"neuron": NeuronConfig(model="if")},
        {"neuron": NeuronConfig(model="plif", tau=1.7)},
        {"encoding": "rate"},
        {"mask": ("F2", "F5", "F9")},  # a pool of a concatenation
    ],
    ids=["if", "plif", "rate", "pool of a concat"],
)
def test_other_neurons_codings_and_pools_in_nir(tmp_path, config):
    bundle = made(tmp_path, **config)
    nir_file.write(read(bundle), tmp_path / "net.nir")
    x, outputs = expected(bundle)
    agrees(run_nir(tmp_path / "net.nir", x), outputs, steps=3)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"kind": "cnn"}, "NIR cannot say a CNN: it has no rectifier"),
        ({"neuron": NeuronConfig(reset="soft")}, "NIR cannot say the soft reset"),
        ({"backbone": "mixnet"}, r"\(sigmoid\).*squeeze-and-excitation"),
        ({"backbone": "xception"}, "no maximum of real values"),
    ],
    ids=["cnn", "soft", "gates", "max of reals"],
)
def test_what_nir_has_no_word_for_is_refused_by_name_and_nothing_is_written(tmp_path, config, said):
    bundle = made(tmp_path, **config)
    with pytest.raises(NotExpressible, match=said):
        nir_file.write(read(bundle), tmp_path / "net.nir")
    assert not (tmp_path / "net.nir").exists()


def test_a_pool_whose_window_stands_over_the_edge_is_refused_in_nir_and_right_in_onnx(tmp_path):
    bundle = made(tmp_path)
    source = read(bundle)
    over = {"kernel": 3, "stride": 2, "ceil_mode": True}  # 16 -> ceil(13 / 2) + 1 = 8, as the plan's 2x2
    nodes = tuple(replace(node, **over) if node.name == "pool1" else node for node in source.plan.nodes)
    source = replace(source, plan=replace(source.plan, nodes=nodes))
    with pytest.raises(NotExpressible, match=r"pool1 \(maxpool\).*stands over the edge"):
        nir_file.write(source, tmp_path / "net.nir")
    onnx_file.write(source, tmp_path / "net.onnx")
    network = load(bundle)
    network.plan = source.plan
    x, _ = expected(bundle)
    with torch.no_grad():
        outputs = network(torch.from_numpy(x[0]).double()).numpy()
    agrees(run_onnx(tmp_path / "net.onnx", x)[0], outputs, steps=3)


# SpikingJelly, in a process that has nothing of ours

OPEN = """
import importlib, os, sys
import numpy as np
import torch

torch.set_num_threads(1)
for folder, given in zip(sys.argv[1::2], sys.argv[2::2]):
    os.chdir(folder)
    sys.path[0] = folder
    importlib.invalidate_caches()
    sys.modules.pop("net", None)
    net = importlib.import_module("net")
    assert net.__file__ == os.path.join(folder, "net.py")
    images, ours = (torch.from_numpy(np.load(name)) for name in ("images.npy", "coded.npy"))
    coded = ours if given == "given" else net.prepare(images)
    with torch.no_grad():
        network = net.load()
        outputs = network(coded)
        again = network(coded)  # starts anew
    assert torch.equal(outputs, again) and len(net.CLASSES) == 10
    assert not [name for name in sys.modules if name.partition(".")[0] in ("core", "syops", "pickle5")], "not alone"
    np.savez("found.npz", coded=coded.numpy(), outputs=outputs.numpy())
"""

WRITTEN = {
    "snn": {},
    "cnn": {"kind": "cnn"},
    "shuffle": {"backbone": "shufflenetv2"},
    "gates": {"backbone": "mixnet", "kind": "cnn"},
    "plif latency": {
        "neuron": NeuronConfig(model="plif", reset="soft", surrogate="exponential"),
        "encoding": "latency",
    },
    "if rate": {"neuron": NeuronConfig(model="if"), "encoding": "rate"},
    "converted gates": CONVERTED | {"backbone": "mixnet"},
    "converted": CONVERTED,
    "cells": {"backbone": "litesnn", "architecture": {"cell": "0,1|2,3|5,6", "filters": 4}},
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, tuple[Path, np.ndarray, np.ndarray]]:
    """By name of WRITTEN: the folder where one process for all has left what it found, our inputs and our outputs.

    It codes the images itself, or takes ours where the coding draws.
    """
    base = tmp_path_factory.mktemp("alone")
    wanted, words = {}, []
    for name, config in WRITTEN.items():
        folder = base / name
        bundle = made(folder / "bundle", **config)
        written = spikingjelly_file.write(read(bundle), folder / "net.py")
        assert [path.name for path in written] == ["net.py", "net.safetensors"]
        x, outputs = expected(bundle)
        np.save(folder / "images.npy", IMAGES)
        np.save(folder / "coded.npy", x)
        wanted[name] = (folder, x, outputs)
        words += [str(folder), "given" if config.get("encoding") == "rate" else "own"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, *words],
        cwd=base, capture_output=True, text=True, timeout=200, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return wanted


@pytest.mark.parametrize("name", WRITTEN)
def test_spikingjelly_alone_builds_the_network_from_the_file(alone, name):
    folder, x, outputs = alone[name]
    found = np.load(folder / "found.npz")
    np.testing.assert_allclose(found["coded"], x, atol=1e-5)
    agrees(found["outputs"], outputs, steps=1 if WRITTEN[name].get("kind") == "cnn" else 3)


def test_nothing_that_a_class_is_called_becomes_code(tmp_path):
    source = read(made(tmp_path))
    evil = '"""\nimport os\n\\'
    object.__setattr__(source, "classes", (evil, "']+[print('x')]+['"))
    object.__setattr__(source, "config", source.config.model_copy(update={"dataset": '""" + evil()'}))
    spikingjelly_file.write(source, tmp_path / "net.py")
    tree = ast.parse((tmp_path / "net.py").read_text())
    named = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    found = [node for node in named if node.targets[0].id == "CLASSES"]
    assert ast.literal_eval(found[0].value) == [evil, "']+[print('x')]+['"]
    assert isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[1], ast.ImportFrom)


# all of them


def test_a_name_that_python_cannot_import_is_refused(tmp_path):
    source = read(made(tmp_path))
    for name in ("net.txt", "my-net.py", "1net.py"):
        with pytest.raises(BadValue, match="a name that Python can import"):
            spikingjelly_file.write(source, tmp_path / name)


def test_weights_that_do_not_fit_the_plan_are_a_damaged_bundle(tmp_path):
    from safetensors.numpy import save

    bundle = made(tmp_path)
    weights = bundle.weights()
    weights["F9.squeeze.conv.weight"] = weights["F9.squeeze.conv.weight"][:1]
    bundle.write_bytes("weights.safetensors", save(weights))
    with pytest.raises(BundleCorrupt, match=r"F9\.squeeze\.conv\.weight is of shape"):
        read(bundle)


def test_a_package_that_is_not_there_is_named_with_its_extra(tmp_path, monkeypatch):
    source = read(made(tmp_path))
    for package, module in (("nir", nir_file), ("onnx", onnx_file)):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(PackageMissing, match=rf"{package}.*pip install -c constraints.txt -e '\.\[export\]'"):
            module.write(source, tmp_path / "net")


def test_the_targets_are_three_and_another_one_is_not_known():
    assert list(TARGETS) == ["spikingjelly", "nir", "onnx"]
    with pytest.raises(UnknownName, match="Did you mean onnx"):
        TARGETS["onx"]


def test_a_pixel_is_silent_below_the_same_value_in_both_places():
    assert SILENT_BELOW == encodings.SILENT_BELOW


def test_the_command_writes_the_files_and_says_what_opens_them(tmp_path):
    bundle = made(tmp_path / "bundle")
    for name in ("environment.json", "metrics.json", "gradients.json", "summary.json"):
        bundle.write_json(name, {})
    bundle.write_arrays("examples.npz", {"index": np.zeros(0)})
    bundle.seal()

    def export(*words: str) -> subprocess.CompletedProcess:
        return called("bundle", "export", str(bundle.path), *words)

    done = export("--to", "onnx", "--out", str(tmp_path / "net.onnx"))
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "net.onnx") in done.stdout and "onnxruntime" in done.stdout
    done = export("--to", "spikingjelly", "--out", str(tmp_path / "net.py"), "--json")
    assert json.loads(done.stdout) == {"files": [str(tmp_path / "net.py"), str(tmp_path / "net.safetensors")]}
    done = export("--to", "tflite", "--out", str(tmp_path / "net.tflite"))
    assert done.returncode == 1 and "export format" in done.stderr and "Traceback" not in done.stderr
