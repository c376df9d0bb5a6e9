"""`benchmarks.gpu` without a GPU: what it says, and that nothing is timed which computes something else."""

import sys

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import SMALL, Check, away

NOTHING = {"name": "x", "bound": 1e-3}


def test_a_difference_above_its_bound_fails_and_one_that_is_no_number_too() -> None:
    assert Check(away=2e-3, **NOTHING).fails and Check(away=float("nan"), **NOTHING).fails
    assert not Check(away=1e-3, **NOTHING).fails
    assert not Check(away=None, why="no GPU", **NOTHING).fails


def test_a_difference_is_relative_to_the_largest_value() -> None:
    assert away(torch.tensor([1.0, 10.0]), torch.tensor([0.5, 10.0])) == pytest.approx(0.05)


def test_nothing_is_timed_where_the_numbers_differ(monkeypatch, capsys) -> None:
    unlooked = Check(away=None, why="no GPU", **NOTHING)
    monkeypatch.setattr(gpu, "same_as_cpu", lambda size: [Check(away=1.0, **NOTHING)])
    monkeypatch.setattr(gpu, "same_when_played", lambda size: unlooked)
    monkeypatch.setattr(gpu, "same_in_a_stack", lambda size, triton: unlooked)
    for name in ("steps_compared", "stack_compared"):
        monkeypatch.setattr(gpu, name, lambda *given: pytest.fail("it was timed"))
    monkeypatch.setattr(sys, "argv", ["gpu", "--small"])
    with pytest.raises(SystemExit, match="does not compute the same"):
        gpu.main()
    assert "FAILS" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_each_of_its_figures_is_unmeasured(capsys) -> None:
    checks = [gpu.same_when_played(SMALL), gpu.same_in_a_stack(SMALL, triton=True)]
    assert all(check.away is None for check in checks)
    gpu.tell(checks, [(None, {"spikefront": (None, None)})], 1.0)
    told = capsys.readouterr().out
    assert "no GPU: every figure of one is unmeasured" in told
    assert told.count("unmeasured") == 4


def test_two_ways_to_take_a_step_are_the_same_on_this_machine() -> None:
    torch.set_num_threads(1)
    found = gpu.same_as_cpu(SMALL)
    assert not any(check.fails for check in found)
    assert found[0].away is not None and found[1].away > 0  # two ways: not the same rounding
