"""Normalisation and neurons in Triton against plain torch, on a CPU by Triton's interpreter.

TRITON_INTERPRET=1 python -m pytest tests/core/test_triton_norm.py
"""

import os
from pathlib import Path

import pytest
import torch
from training import configs

from core.datasets.load import load
from core.engine.data import split
from core.engine.experiment import start_network
from core.engine.network import observe
from core.engine.stacked import layers
from core.engine.stacked.member import Member
from core.engine.stacked.train import Stack
from core.engine.train import Trainer
from core.schemas.on_gpu import OnGpu
from core.schemas.run import NeuronConfig

pytest.importorskip("triton", reason="triton is not installed: CUDA builds of torch bring it")
if os.environ.get("TRITON_INTERPRET") != "1" and not torch.cuda.is_available():
    pytest.skip("no GPU, and TRITON_INTERPRET is not 1", allow_module_level=True)

from core.engine.fast import triton_norm
from core.engine.fast.triton_norm import knows, norm_fire

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
EPS = 1e-5


def plain(x, weight, shift, *, steps, constant, neuron, v_start):
    """The same by the stack's own layers, which autograd differentiates."""
    mean, variance = layers.moments(x)
    scale = torch.rsqrt(variance + EPS) * weight
    y = layers.affine(x, scale, shift - mean * scale)
    return layers.fire(y, steps, constant=constant, neuron=neuron, v_start=v_start)


NEURONS = {
    "the paper's": {},
    "soft reset": {"reset": "soft", "tau": 2.0},
    "detached reset": {"detach_reset": True},
    "detached soft reset": {"detach_reset": True, "reset": "soft"},
    "integrate and fire": {"model": "if", "reset": "soft", "v_start": "half"},
    "input that does not decay": {"decay_input": False, "tau": 2.0},
    "sigmoid": {"surrogate": "sigmoid", "alpha": 4.0},
    "fast sigmoid": {"surrogate": "fast_sigmoid"},
    "triangle": {"surrogate": "piecewise_linear", "alpha": 1.0},
    "exponential": {"surrogate": "exponential"},
}


@pytest.mark.parametrize("changes", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("constant", [False, True], ids=["moving", "constant"])
def test_spikes_and_gradients_are_those_of_plain_torch(changes: dict, constant: bool) -> None:
    steps, members, channels = 3, 2, 37  # no multiple of a program's channels, nor 2 x 5 x 4 of its rows
    neuron = NeuronConfig(**changes)
    v_start = neuron.v_threshold / 2 if neuron.v_start == "half" else 0.0
    draw = torch.Generator().manual_seed(1)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw).to(DEVICE)

    x = tensor(members, 2 if constant else 2 * steps, 5, 4, channels) * 3 + 1
    weight, shift = 1 + 0.3 * tensor(members, channels), 0.5 * tensor(members, channels)
    leaves = [value.detach().clone().requires_grad_() for value in (x, weight, shift)]
    others = [value.detach().clone().requires_grad_() for value in (x, weight, shift)]
    told = {"steps": steps, "constant": constant, "neuron": neuron, "v_start": v_start}
    expected = plain(*leaves, **told)
    found = norm_fire(*others, *layers.moments(x), eps=EPS, **told)
    assert found.shape == expected.shape and 0 < float(expected.detach().mean()) < 1
    assert float((found != expected).float().mean()) < 1e-4  # a membrane at its threshold, rounded another way
    upstream = tensor(*expected.shape)
    expected.backward(upstream)
    found.backward(upstream)
    for own, other in zip(others, leaves, strict=True):
        away = (own.grad - other.grad).abs().max() / other.grad.abs().max()
        assert float(away) < 1e-5


def test_what_the_kernels_have_not_is_said() -> None:
    assert knows(NeuronConfig(), 4) and knows(NeuronConfig(model="if"), 4)
    assert not knows(NeuronConfig(model="plif", tau=2.0), 4) and not knows(NeuronConfig(model="count"), 4)
    assert not knows(NeuronConfig(), 17)


def test_a_stack_whose_neurons_run_in_triton_takes_the_same_step(tmp_path, few_programs) -> None:
    found = []
    for triton in (False, True):
        members = [stack_member(tmp_path / f"{triton}{seed}", seed, mask) for seed, mask in enumerate(("F4,F6", "F6"))]
        stack = Stack(members, torch.device(DEVICE), on_gpu=OnGpu(triton=triton))
        assert bool(stack.network._joins) is triton
        stack.step()
        found.append((stack, members))
    (plain_stack, plain_members), (fused_stack, fused_members) = found
    for one, other in zip(plain_members, fused_members, strict=True):
        assert float(one._loss_S[0]) == pytest.approx(float(other._loss_S[0]), rel=1e-5)
    away = (plain_stack.network.values_KP - fused_stack.network.values_KP).abs().max()
    assert float(away) < 2e-6  # of weights that SGD has moved
    for name, values in plain_stack.network._statistics.items():
        torch.testing.assert_close(fused_stack.network._statistics[name], values, rtol=1e-5, atol=1e-6)


@pytest.fixture
def few_programs(monkeypatch) -> None:
    """Large tiles: the interpreter takes its time for each program, whatever it does."""
    monkeypatch.setattr(triton_norm, "ROWS", 4096)
    monkeypatch.setattr(triton_norm, "CHANNELS", 128)


def stack_member(folder: Path, seed: int, mask: str) -> Member:
    wanted = configs(train_limit=16, batch_size=8, time_steps=2, validation_share=0.03, optimizer="sgd")(mask=mask)
    wanted = wanted.model_copy(update={"seed": seed})
    device = torch.device(DEVICE)
    splits = split(load("digits", folder), wanted.training, device)
    network = start_network(wanted, None, splits, device, None)
    return Member(
        network, wanted, splits, device=device, folder=folder, emit=lambda event: None, should_stop=lambda: False
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_run_whose_neurons_run_in_triton_learns_the_same_from_a_batch(optimizer: str, tmp_path, few_programs) -> None:
    wanted = configs(train_limit=16, batch_size=8, time_steps=2, validation_share=0.03, optimizer=optimizer)(mask="F4")
    device = torch.device(DEVICE)
    splits = split(load("digits", tmp_path), wanted.training, device)
    found = []
    for triton in (False, True):
        one = Trainer(
            start_network(wanted, None, splits, device, None), wanted, splits, device=device, folder=tmp_path,
            emit=lambda event: None, should_stop=lambda: False, on_gpu=OnGpu(triton=triton),
        )  # fmt: skip
        one.network.train()
        one.network.fused = False
        asked = []
        with observe(one.network, lambda node, inputs, output, asked=asked: asked.append(node.op)):
            one._train_step()
        assert ("bn" in asked) is not triton and "act" in asked
        found.append(one)
    plain_run, fused_run = found
    assert float(fused_run._loss_S[0]) == pytest.approx(float(plain_run._loss_S[0]), rel=1e-5)
    torch.testing.assert_close(fused_run._norm_SL[0], plain_run._norm_SL[0], rtol=1e-4, atol=1e-6)
    for name, value in plain_run.network.named_buffers():
        torch.testing.assert_close(fused_run.network.get_buffer(name), value, rtol=1e-5, atol=1e-6)
    fused_run.network.eval()
    plain_run.network.eval()
    x = plain_run._normalise(splits.test.images[:4])
    with torch.inference_mode():
        torch.testing.assert_close(fused_run.network(x), plain_run.network(x), rtol=1e-2, atol=1e-2)
