import itertools
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import neuron as sj_neuron
from spikingjelly.activation_based import surrogate as sj_surrogate

from core.engine.fast.fused import FusedMaxPool, is_compiled, spikes
from core.engine.neurons import RESETS, STEPS, initial_w, lif_step, run_steps
from core.engine.surrogates import SURROGATES, Spike, atan
from core.errors import BadValue
from core.oracles.spikingjelly_counts import neuron_of
from core.recipes.build import override
from core.schemas.run import NeuronConfig, RunConfig

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


def test_every_name_of_the_config_has_its_function_and_the_other_way_round():
    for field, table in (("model", (*STEPS, "count")), ("reset", RESETS), ("surrogate", SURROGATES)):
        assert set(get_args(NeuronConfig.model_fields[field].annotation)) == set(table)


def one_neuron(currents, **config):
    """The membrane after each step and the spikes of one neuron, by the step function."""
    neuron, v, w = NeuronConfig(**config), torch.zeros(1, dtype=torch.float64), None
    if neuron.model == "plif":
        w = torch.tensor(initial_w(neuron), dtype=torch.float64)
    spikes, membranes = [], []
    for x in currents:
        s, v = STEPS[neuron.model](torch.tensor([x], dtype=torch.float64), v, neuron, w)
        spikes.append(s.item())
        membranes.append(round(v.item(), 12))
    return spikes, membranes


def test_an_integrator_adds_up_and_forgets_or_keeps_what_is_above_the_threshold():
    # H = 0.7, 1.4 (fires), then 0 + 0.7 after a hard reset, 0.4 + 0.7 = 1.1 (fires) after a soft one
    assert one_neuron([0.7] * 3, model="if", reset="hard") == ([0, 1, 0], [0.7, 0.0, 0.7])
    assert one_neuron([0.7] * 3, model="if", reset="soft") == ([0, 1, 1], [0.7, 0.4, 0.1])


@pytest.mark.parametrize("model", ["lif", "plif"])
def test_a_leaky_neuron_with_soft_reset_keeps_what_is_above_the_threshold(model):
    # tau = 4: H = 6 / 4 = 1.5 fires, V = 0.5; H = 0.5 + (2 - 0.5) / 4 = 0.875
    assert one_neuron([6.0, 2.0], model=model, tau=4.0, reset="soft") == ([1, 0], [0.5, 0.875])


def test_the_time_constant_of_a_plif_starts_at_the_configs_and_learns():
    config = NeuronConfig(model="plif", tau=3.0)
    w = torch.tensor(initial_w(config), dtype=torch.float64, requires_grad=True)
    assert 1 / w.sigmoid().item() == pytest.approx(3.0)
    x = torch.tensor([[1.2]], dtype=torch.float64)
    run_steps(x, 1, config, w).sum().backward()
    # S = [x q >= 1], q = sigmoid(w): dS/dw = sigma'(1.2 q - 1) x q (1 - q)
    q = torch.tensor(1 / 3, dtype=torch.float64)
    expected = atan(1.2 * q - 1, config.alpha) * 1.2 * q * (1 - q)
    torch.testing.assert_close(w.grad, expected, rtol=1e-12, atol=0)


def both_ways(config, steps, constant, dtype=torch.float32, **input_kw):
    """Our spikes [T x N, ...] by the reference and by the kernel, with the input and (for plif) w that they came from."""
    for way in ("reference", "fused"):
        x = folded_input(steps, constant=constant, dtype=dtype, **input_kw)
        w = torch.tensor(initial_w(config), dtype=dtype, requires_grad=True) if config.model == "plif" else None
        if way == "fused":
            out = spikes(x, steps, constant, config, w)
        else:
            out = run_steps(x.unsqueeze(0) if constant else x.unflatten(0, (steps, 3)), steps, config, w).flatten(0, 1)
        yield out, x, w


def equals_spikingjelly(config, constant):
    """Spikes exactly, gradients to 1e-5 relative: the reference's and the kernel's."""
    steps = 5
    node = neuron_of(config, "m")
    theirs_in = folded_input(steps, constant=constant)
    theirs = node(theirs_in.expand(steps, *theirs_in.shape) if constant else theirs_in.unflatten(0, (steps, 3)))
    upstream = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1))
    theirs.backward(upstream)
    for ours, ours_in, w in both_ways(config, steps, constant):
        assert 0.05 < ours.mean() < 0.95
        assert torch.equal(ours, theirs.flatten(0, 1))
        ours.backward(upstream.flatten(0, 1))
        assert (ours_in.grad - theirs_in.grad).norm() <= 1e-5 * theirs_in.grad.norm()
        if w is not None:  # one sum over all neurons and steps, of terms that cancel
            assert abs(w.grad - node.w.grad) <= 1e-5 * ours_in.grad.norm()


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("model, reset, surrogate", list(itertools.product(STEPS, RESETS, SURROGATES)))
def test_every_combination_equals_spikingjelly_spikes_exactly_and_gradients_to_1e5(model, reset, surrogate, constant):
    config = NeuronConfig(model=model, reset=reset, surrogate=surrogate, tau=1.7, v_threshold=0.8, alpha=1.6)
    equals_spikingjelly(config, constant)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    "decay, detach, start", list(itertools.product([True, False], [True, False], ["zero", "half"]))
)
@pytest.mark.parametrize("model, reset", list(itertools.product(STEPS, RESETS)))
def test_leak_start_and_detached_reset_equal_spikingjelly(model, reset, decay, detach, start, constant):
    config = NeuronConfig(
        model=model, reset=reset, tau=1.7, v_threshold=0.8, alpha=1.6,
        decay_input=decay, detach_reset=detach, v_start=start,
    )  # fmt: skip
    equals_spikingjelly(config, constant)


def test_leak_and_gain_apart_keep_the_whole_input():
    # tau = 4: H = 3/4 V + X = 0.75, then 0.5625 + 0.75 = 1.3125 fires; with decay H = 0.1875, 0.328125
    assert one_neuron([0.75, 0.75], tau=4.0, decay_input=False) == ([0, 1], [0.75, 0.0])
    assert one_neuron([0.75, 0.75], tau=4.0) == ([0, 0], [0.1875, 0.328125])


def test_a_membrane_that_starts_half_way_rounds_the_rate_of_an_integrator():
    # five levels, round(4 X): X = 0.2 gives one spike in four steps, which V = 0 at the start would never reach
    for x, count in ((0.1, 0), (0.2, 1), (0.45, 2), (0.7, 3), (0.9, 4), (2.0, 4)):
        currents = torch.full((1, 1), x, dtype=torch.float64)
        config = NeuronConfig(model="if", reset="soft", v_start="half")
        assert run_steps(currents, 4, config).sum() == count == min(4, math.floor(4 * x + 0.5))
        assert run_steps(currents, 4, config, v_start=0.0).sum() == min(4, math.floor(4 * x + 1e-9))


def test_a_detached_reset_leaves_the_spikes_and_changes_the_gradient():
    grads = []
    for detach in (False, True):
        ((out, x, _), _) = both_ways(NeuronConfig(tau=1.7, v_threshold=0.8, detach_reset=detach), 5, False)
        out.sum().backward()
        grads.append((out.detach(), x.grad))
    assert torch.equal(grads[0][0], grads[1][0]) and not torch.allclose(grads[0][1], grads[1][1])


def written_out(x_TM, gs_TM, tau, v_threshold, alpha):
    """Spikes and dL/dX of lif, hard reset, atan, as they were first compiled: the same operations in the same order,
    each rounded to float32. Its numbers must never change."""
    real = np.float32
    tau, v_threshold, alpha = real(tau), real(v_threshold), real(alpha)
    half = alpha * real(0.5)
    slope = half * real(np.pi)
    v, hs, spikes_T = np.zeros_like(x_TM[0]), [], []
    for x in x_TM:
        h = v + (x - v) / tau
        fired = h >= v_threshold
        hs.append(h)
        spikes_T.append(fired.astype(real))
        v = np.where(fired, real(0), h)
    gv, gx_T = np.zeros_like(v), []
    for h, gs in zip(hs[::-1], gs_TM[::-1], strict=True):
        scaled = slope * (h - v_threshold)
        sigma = half / (real(1) + scaled * scaled)
        kept = np.where(h >= v_threshold, real(0), real(1))
        gh = gs * sigma + gv * (kept - h * sigma)
        g = gh / tau
        gv = gh - g
        gx_T.append(g)
    return np.stack(spikes_T), np.stack(gx_T[::-1])


@pytest.mark.parametrize("tau", [2.0, 1.08, 3.7])
def test_the_papers_neuron_gives_the_numbers_it_always_gave_bit_for_bit(tau):
    x = folded_input(4)
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    out = spikes(x, 4, False, NeuronConfig(tau=tau, v_threshold=0.8, alpha=1.6))
    out.backward(upstream)
    expected = written_out(x.detach().reshape(4, -1).numpy(), upstream.reshape(4, -1).numpy(), tau, 0.8, 1.6)
    for ours, theirs in zip((out.detach(), x.grad), expected, strict=True):
        assert np.array_equal(ours.reshape(4, -1).numpy(), theirs)


@pytest.mark.parametrize("reset, surrogate", list(itertools.product(RESETS, SURROGATES)))
def test_gradients_of_a_plifs_time_constant_equal_spikingjelly_in_float64(reset, surrogate):
    for decay in (True, False):
        config = NeuronConfig(
            model="plif", reset=reset, surrogate=surrogate, tau=1.7, v_threshold=0.8, alpha=1.6, decay_input=decay
        )
        node = neuron_of(config, "m").double()
        x = folded_input(5, dtype=torch.float64).unflatten(0, (5, 3))
        upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        node(x).backward(upstream)
        for out, _, w in both_ways(config, 5, False, dtype=torch.float64):
            out.backward(upstream.flatten(0, 1))
            torch.testing.assert_close(w.grad, node.w.grad, rtol=1e-6, atol=0)  # theirs starts from a float32 w


@pytest.mark.parametrize("alpha", [0.8, 3.0])
@pytest.mark.parametrize(
    "name, peak",  # sigma'(0) / alpha
    [("atan", 1 / 2), ("sigmoid", 1 / 4), ("fast_sigmoid", 1 / 2), ("piecewise_linear", 1), ("exponential", 1 / 2)],
)
def test_surrogates_are_even_have_area_1_and_the_stated_peak(name, peak, alpha):
    # u = tan(phi) maps all of the axis to a finite one: area = sum of sigma'(tan phi) / cos^2 phi
    phi = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000 * torch.pi - torch.pi / 2
    u = phi.tan()
    derivative = SURROGATES[name](u, alpha)
    torch.testing.assert_close(derivative, derivative.flip(0), rtol=1e-6, atol=1e-12)
    assert float((derivative / phi.cos().square()).mean() * torch.pi) == pytest.approx(1.0, rel=1e-4)
    assert float(SURROGATES[name](torch.zeros(1), alpha)) == pytest.approx(peak * alpha)
    assert float(derivative.max()) <= peak * alpha * (1 + 1e-9)


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_can_be_differentiated_again_and_the_spike_uses_that_derivative(name):
    # away from the kinks at 0 and +-1 / alpha, where a difference quotient means nothing
    u = torch.tensor([-1.3, -0.3, 0.2, 0.4, 0.9], dtype=torch.float64, requires_grad=True)
    derivative = SURROGATES[name]
    assert torch.autograd.gradcheck(lambda u: derivative(u, 1.5), u)
    assert torch.autograd.gradgradcheck(lambda u: derivative(u, 1.5), u)
    weights = torch.tensor([1.0, 2.0, -1.0, 3.0, 0.5], dtype=torch.float64)
    (first,) = torch.autograd.grad((Spike.apply(u, 1.5, derivative) * weights).sum(), u, create_graph=True)
    assert torch.equal(first, weights * derivative(u, 1.5))
    (second,) = torch.autograd.grad(first.sum(), u)
    (expected,) = torch.autograd.grad((weights * derivative(u, 1.5)).sum(), u)
    assert torch.equal(second, expected) and bool((second != 0).any())


@pytest.mark.parametrize("name", ["fast_sigmoid", "piecewise_linear", "exponential"])
def test_second_derivatives_are_0_at_the_kinks(name):
    u = torch.tensor([0.0, 0.5, -0.5], dtype=torch.float64, requires_grad=True)  # 1 / alpha = 0.5
    (second,) = torch.autograd.grad(SURROGATES[name](u, 2.0).sum(), u)
    assert second[0] == 0
    if name == "piecewise_linear":
        assert second[1] == second[2] == 0


def test_the_kernels_know_every_combination():
    for model, reset, surrogate in itertools.product((*STEPS, "count"), RESETS, SURROGATES):
        assert is_compiled(NeuronConfig(model=model, reset=reset, surrogate=surrogate))
    unknown = NeuronConfig().model_copy(update={"surrogate": "arctangent of a later day"})
    assert not is_compiled(unknown)


def test_every_field_of_a_neuron_and_every_word_it_takes_stands_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "neurons.md").read_text()
    for name, field in NeuronConfig.model_fields.items():
        assert name in page, name
        for word in get_args(field.annotation):
            assert f"`{word}`" in page, (name, word)


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("neuron.tau", "1", "above 1"),
        ("tau", "0.5", "above 1"),
        ("neuron.v_threshold", "0", "above 0"),
        ("v_threshold", "-1", "above 0"),
        ("neuron.alpha", "0", "above 0"),
        ("neuron.model", "izhikevich", "'plif'"),
        ("neuron.model", "counts", "'count'"),
        ("neuron.v_start", "0.5", "'half'"),
        ("neuron.decay_input", "maybe", "true or false"),
        ("neuron.reset", "none", "'soft'"),
        ("surrogate", "relu", "'exponential'"),
        ("encoding", "phase", "'latency'"),
        ("conversion_percentile", "101", "at most 100"),
        ("conversion_percentile", "50", "above 50"),
        ("time_steps", "0", "at least 1"),
    ],
)
def test_a_bad_value_is_refused_with_its_field_and_what_it_must_be(name, value, expected):
    with pytest.raises(BadValue) as caught:
        override(RunConfig(mask=("F2",)), {name: value})
    assert caught.value.fields["field"].endswith(name)
    assert expected in caught.value.fields["expected"]


@pytest.mark.parametrize("alpha", [1.0, 2.0, 5.0])
def test_surrogate_gradient_is_the_arctangent_formula(alpha):
    u = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    Spike.apply(u, alpha, atan).sum().backward()
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
        ours = spikes(ours_in, steps, constant, config)
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
    fused, plain = spikes(a, steps, False, config), run_steps(b.unflatten(0, (steps, 3)), steps, config).flatten(0, 1)
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
            out = spikes(leaf, steps, False, config)
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
        out = spikes(x, 2, False, config) if way == "fused" else run_steps(x.unflatten(0, (2, 3)), 2, config)
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
