"""The optimisers are torch's own, to the bit, without what torch loads beside them."""

import subprocess
import sys

import pytest
import torch

from core.engine.optimizers import eager

KINDS = {"Adam": {}, "AdamW": {"weight_decay": 0.1}, "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}}
LOADS = """
import sys, torch
from core.engine.warm import warm_up
warm_up()
from core.engine.optimizers import eager
for kind in (torch.optim.AdamW, torch.optim.SGD):
    made = eager(kind)([torch.nn.Parameter(torch.ones(2))], lr=0.1, fused=True)
    made.param_groups[0]["params"][0].sum().backward()
    made.step(), made.zero_grad(), made.load_state_dict(made.state_dict())
print(sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""


def stepped(make, name: str, *, resumed: bool) -> tuple[torch.Tensor, dict]:
    """Weights after eight steps, and the state: of one optimiser, or of two, the second from the first one's state."""
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 7))
    optimizer = make([{"params": [weight]}], lr=0.05, fused=True, **KINDS[name])
    for step in range(8):
        if resumed and step == 4:
            state = optimizer.state_dict()
            optimizer = make([{"params": [weight]}], lr=0.5, fused=True, **KINDS[name])
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        (weight - 0.3 * step).square().sum().backward()
        optimizer.step()
    return weight.detach(), optimizer.state_dict()


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_steps_and_state_are_those_of_torch_bit_for_bit(name: str, resumed: bool) -> None:
    torchs = getattr(torch.optim, name)
    weight, state = stepped(eager(torchs), name, resumed=resumed)
    expected, told = stepped(torchs, name, resumed=resumed)
    assert torch.equal(weight, expected)
    assert state["param_groups"] == told["param_groups"]
    assert state["state"].keys() == told["state"].keys() == {0}
    for key, value in told["state"][0].items():
        assert torch.equal(torch.as_tensor(state["state"][0][key]), torch.as_tensor(value))


def test_a_step_is_no_part_of_a_later_gradient() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = eager(torch.optim.SGD)([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    assert weight.is_leaf and weight.grad_fn is None and torch.is_grad_enabled()


def test_a_process_that_trains_loads_neither_torchs_compiler_nor_sympy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
