import pytest
import torch
from spikingjelly.activation_based import neuron as sj_neuron
from spikingjelly.activation_based import surrogate as sj_surrogate

from core.engine.fused import FusedMaxPool, lif
from core.engine.neurons import lif_step, run_steps
from core.engine.surrogates import ATan
from core.schemas.run import NeuronConfig

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def folded_input(steps, *, constant=False, dtype=torch.float32, layout=torch.contiguous_format, seed=0):
    """[T x N, C, H, W] (or [N, ...]) currents strong enough to make about a third of the neurons fire."""
    generator = torch.Generator().manual_seed(seed)
    rows = 3 if constant else 3 * steps
    x = torch.randn(rows, 5, 7, 6, generator=generator, dtype=torch.float64) * 2
    return x.to(dtype).contiguous(memory_format=layout).requires_grad_()


def test_membrane_charges_fires_and_resets_as_computed_by_hand():
    neuron = NeuronConfig(tau=2.0, v_threshold=1.0)
    x, v = torch.tensor([1.5]), torch.tensor([0.0])
    s, v = lif_step(x, v, neuron)  # H = 0 + (1.5 - 0) / 2
    assert (s.item(), v.item()) == (0.0, 0.75)
    s, v = lif_step(x, v, neuron)  # H = 0.75 + (1.5 - 0.75) / 2 = 1.125, fires, resets
    assert (s.item(), v.item()) == (1.0, 0.0)


def test_a_membrane_exactly_at_the_threshold_fires():
    s, _ = lif_step(torch.tensor([2.0]), torch.tensor([0.0]), NeuronConfig(tau=2.0, v_threshold=1.0))
    assert s.item() == 1.0


@pytest.mark.parametrize("alpha", [1.0, 2.0, 5.0])
def test_surrogate_gradient_is_the_arctangent_formula(alpha):
    u = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    ATan.apply(u, alpha).sum().backward()
    expected = (alpha / 2) / (1 + (torch.pi * alpha * u.detach() / 2) ** 2)
    torch.testing.assert_close(u.grad, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("tau", [2.0, 1.08, 3.7])
@pytest.mark.parametrize("way", ["reference", "fused"])
def test_spikes_equal_spikingjelly_exactly_and_gradients_to_1e5(way, tau, constant):
    steps, config = 4, NeuronConfig(tau=tau, v_threshold=0.8, alpha=2.0)
    node = sj_neuron.LIFNode(tau=tau, v_threshold=0.8, surrogate_function=sj_surrogate.ATan(alpha=2.0), step_mode="m")
    theirs_in = folded_input(steps, constant=constant)
    sequence = theirs_in.expand(steps, *theirs_in.shape) if constant else theirs_in.unflatten(0, (steps, 3))
    theirs = node(sequence).flatten(0, 1)
    ours_in = folded_input(steps, constant=constant)
    if way == "fused":
        ours = lif(ours_in, steps, constant, config)
    else:
        ours = run_steps(ours_in.unsqueeze(0) if constant else ours_in.unflatten(0, (steps, 3)), steps, config)
        ours = ours.flatten(0, 1)
    assert 0.05 < ours.mean() < 0.95
    assert torch.equal(ours, theirs)
    upstream = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1))
    theirs.backward(upstream)
    ours.backward(upstream)
    error = (ours_in.grad - theirs_in.grad).norm() / theirs_in.grad.norm()
    assert error < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("steps", [1, 4])
def test_fused_neuron_equals_the_reference_in_both_layouts(steps, layout, dtype):
    config = NeuronConfig(tau=1.5, v_threshold=0.7)
    a, b = (folded_input(steps, dtype=dtype, layout=layout) for _ in range(2))
    fused, plain = lif(a, steps, False, config), run_steps(b.unflatten(0, (steps, 3)), steps, config).flatten(0, 1)
    assert torch.equal(fused, plain)
    assert fused.is_contiguous(memory_format=layout)
    upstream = torch.randn(fused.shape, dtype=dtype).contiguous(memory_format=layout)
    fused.backward(upstream)
    plain.backward(upstream)
    torch.testing.assert_close(a.grad, b.grad, rtol=2e-5, atol=1e-6)


def test_number_of_threads_does_not_change_a_bit():
    config, steps = NeuronConfig(), 4
    x = torch.randn(steps * 8, 32, 32, 32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaf = x.clone().requires_grad_()
            out = lif(leaf, steps, False, config)
            out.backward(x)
            results.append((out.detach(), leaf.grad))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_reference_can_be_differentiated_twice_and_the_fused_kernel_says_it_cannot():
    config = NeuronConfig()
    for way in ("reference", "fused"):
        x = folded_input(2, dtype=torch.float64)
        out = lif(x, 2, False, config) if way == "fused" else run_steps(x.unflatten(0, (2, 3)), 2, config)
        loss = (out * torch.randn_like(out)).sum().square()
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        if way == "fused":
            with pytest.raises(RuntimeError, match="once_differentiable"):
                first.square().sum().backward()
        else:
            first.square().sum().backward()
            assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "kernel, stride, ceil_mode, side", [(2, 2, False, 8), (2, 2, False, 7), (3, 2, True, 8), (3, 2, True, 7)]
)
@pytest.mark.parametrize("spikes", [True, False])
def test_max_pooling_equals_torch_with_ties_and_overhanging_windows(kernel, stride, ceil_mode, side, spikes):
    x = torch.randn(3, 4, side, side)
    x = (x > 0.5).float() if spikes else x
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    theirs = torch.nn.functional.max_pool2d(b, kernel, stride, ceil_mode=ceil_mode)
    ours = FusedMaxPool.apply(a, kernel, stride, tuple(theirs.shape[2:]))
    assert torch.equal(ours, theirs)
    upstream = torch.randn_like(theirs)
    ours.backward(upstream)
    theirs.backward(upstream)
    torch.testing.assert_close(a.grad, b.grad)


def test_max_pooling_lets_a_nan_through():
    x = torch.zeros(1, 1, 2, 2)
    x[0, 0, 1, 1] = torch.nan
    assert FusedMaxPool.apply(x, 2, 2, (1, 1)).isnan().all()
