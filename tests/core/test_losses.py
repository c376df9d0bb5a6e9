"""Every term of the loss against numbers derived in view, and their sum against the config that asks for it."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import PlanBuilder
from core.engine.count import Counter
from core.engine.losses import (
    accumulates_penalty,
    cross_entropy_of_mean,
    cross_entropy_of_probability,
    distillation,
    distillation_per_step,
    firing_rate_penalty,
    grad_cam,
    grad_cam_aware,
    gradient_aware,
    temporal_efficient,
)
from core.engine.network import Network, passing_counts
from core.engine.neurons import run_steps
from core.engine.objective import Objective, cam_node, ramp
from core.schemas.run import Kind, NeuronConfig, RunConfig, TrainingConfig

LABELS = torch.tensor([0])


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def test_a_smoothed_label_gives_every_class_its_share() -> None:
    outputs = torch.tensor([[[1.0, 0.0]]])  # CE to class 0: ln(1 + e^-1); to class 1: ln(1 + e)
    loss = cross_entropy_of_mean(outputs, LABELS, label_smoothing=0.2)
    assert float(loss) == pytest.approx(0.9 * softplus(-1) + 0.1 * softplus(1))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("second", "of_mean", "of_probability"),
    [
        ((0.0, 2.0), math.log(2), -math.log((sigmoid(2) + sigmoid(-2)) / 2)),  # ln 2 both: 0.8808 + 0.1192 = 1
        ((0.0, 0.0), -math.log(sigmoid(1)), -math.log((sigmoid(2) + 0.5) / 2)),  # 0.3133 and 0.3705
    ],
)
def test_the_mean_probability_is_another_loss_than_the_mean_output(second, of_mean, of_probability) -> None:
    outputs = torch.tensor([[[2.0, 0.0]], [second]])  # T = 2, N = 1, C = 2
    assert float(cross_entropy_of_mean(outputs, LABELS)) == pytest.approx(of_mean)
    assert float(cross_entropy_of_probability(outputs, LABELS)) == pytest.approx(of_probability)


def test_a_smoothed_label_of_the_mean_probability_gives_every_class_its_share() -> None:
    outputs = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]])
    p = (sigmoid(2) + 0.5) / 2
    loss = cross_entropy_of_probability(outputs, LABELS, label_smoothing=0.2)
    assert float(loss) == pytest.approx(-0.9 * math.log(p) - 0.1 * math.log(1 - p))
    one_step = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(
        cross_entropy_of_probability(one_step, THREE, 0.1), cross_entropy_of_mean(one_step, THREE, 0.1)
    )


def test_a_probability_of_nearly_nothing_keeps_its_gradient() -> None:
    outputs = torch.tensor([[[-200.0, 0.0]], [[-200.0, 0.0]]], requires_grad=True)
    cross_entropy_of_probability(outputs, LABELS).backward()
    assert outputs.grad.flatten().tolist() == pytest.approx([-0.5, 0.5, -0.5, 0.5], rel=1e-5)


def test_tet_asks_every_step_for_the_answer_and_pulls_outputs_to_phi() -> None:
    outputs = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]])  # T = 2, N = 1, C = 2
    each = (softplus(-2) + math.log(2)) / 2  # not the cross-entropy of the mean, softplus(-1)
    pull = ((2 - 1) ** 2 + 1 + 1 + 1) / 4
    loss = temporal_efficient(outputs, LABELS, share=0.25, phi=1.0)
    assert float(loss) == pytest.approx(0.75 * each + 0.25 * pull)


def test_distillation_is_nothing_for_the_teachers_own_answers_whatever_their_offset() -> None:
    teacher = torch.tensor([[3.0, 1.0, -2.0]])
    assert float(distillation((teacher + 5).unsqueeze(0), teacher, 4.0)) == pytest.approx(0, abs=1e-6)


def test_distillation_is_the_scaled_divergence_of_the_softened_answers() -> None:
    outputs = torch.tensor([[[1.0, -1.0]], [[-1.0, 1.0]]])  # the mean is (0, 0): the student says 1/2, 1/2
    p = math.exp(1) / (math.exp(1) + 1)  # the teacher at temperature 2: softmax(1, 0)
    divergence = p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5)
    assert float(distillation(outputs, torch.tensor([[2.0, 0.0]]), 2.0)) == pytest.approx(4 * divergence)


def test_distillation_per_step_asks_every_step_for_the_teachers_answer() -> None:
    outputs = torch.tensor([[[1.0, -1.0]], [[-1.0, 1.0]]])
    teacher = torch.tensor([[2.0, 0.0]])
    each = [float(distillation(step.unsqueeze(0), teacher, 2.0)) for step in outputs]
    assert float(distillation_per_step(outputs, teacher, 2.0)) == pytest.approx(sum(each) / 2)
    # both steps stray from (2, 0), and only one of them where the mean of the two would
    assert float(distillation_per_step(outputs, teacher, 2.0)) > float(distillation(outputs, teacher, 2.0))


def test_accumulates_below_the_target_are_free_and_above_it_cost_the_square_of_their_excess() -> None:
    found = [float(accumulates_penalty(torch.tensor(acs, dtype=torch.float64), 100.0)) for acs in (60.0, 100.0, 150.0)]
    assert found == pytest.approx([0, 0, 0.25])


def test_the_ac_term_is_off_at_first_and_rises_to_its_weight() -> None:
    found = [ramp((0.5, 0.7), progress) for progress in (0.0, 0.5, 0.6, 0.7, 1.0)]
    assert found == pytest.approx([0, 0, 0.5, 1, 1])
    assert [ramp((0.5, 0.5), progress) for progress in (0.49, 0.5)] == [0, 1]


def test_only_layers_above_the_target_pay_and_their_gradient_is_shared_by_their_neurons() -> None:
    busy = torch.tensor([1.0, 1.0, 0.0, 0.0], requires_grad=True)  # rate 1/2
    calm = torch.tensor([1.0] + [0.0] * 9, requires_grad=True)  # rate 1/10
    penalty = firing_rate_penalty([busy, calm], target=0.2)
    penalty.backward()
    assert penalty.item() == pytest.approx((0.5 - 0.2) ** 2 / 2)
    assert busy.grad.tolist() == pytest.approx([2 * 0.3 / 2 / 4] * 4)
    assert calm.grad.tolist() == [0] * 10


def test_the_gradient_aware_term_of_a_square_is_the_one_done_by_hand() -> None:
    w = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    term = gradient_aware(2 * w.square().sum(), [w], eps=0.5)  # g = 4 w = 12
    term.backward()
    assert term.item() == pytest.approx(1 - 12 / 12.5)
    assert w.grad.item() == pytest.approx(-4 * 0.5 / 12.5**2)  # d/dw eps / (4 w + eps)


def test_a_gradient_that_has_vanished_costs_one_a_layer_and_stays_finite() -> None:
    w = torch.zeros(3, requires_grad=True)
    term = gradient_aware(w.square().sum(), [w, w], eps=1e-3)
    term.backward()
    assert term.item() == 2
    assert torch.isfinite(w.grad).all()


def slope_against_differences(model: nn.Module, loss_of, weights: list[nn.Parameter]) -> tuple[float, float]:
    """d L_GA / d direction: by autograd, and by a central difference of L_GA itself, which needs no second derivative."""
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    model.zero_grad()
    gradient_aware(loss_of(), weights, eps=0.1).backward()
    slope = sum(float((w.grad * d).sum()) for w, d in zip(weights, directions, strict=True))
    values, h = [], 1e-5
    for sign in (1, -2):
        with torch.no_grad():
            for w, d in zip(weights, directions, strict=True):
                w.add_(d, alpha=sign * h)
        values.append(gradient_aware(loss_of(), weights, eps=0.1).item())
    return slope, (values[0] - values[1]) / (2 * h)


def test_the_second_derivative_of_a_smooth_cnn_is_that_of_finite_differences() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Softplus(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).double()
    x, labels = torch.randn(5, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    slope, difference = slope_against_differences(
        model, lambda: F.cross_entropy(model(x), labels), [model[0].weight, model[3].weight]
    )
    assert abs(slope) > 1e-3
    assert slope == pytest.approx(difference, rel=1e-6)


def small(kind: Kind = Kind.SNN, *, fused: bool = False, **training) -> Network:
    plan = plan_for(backbone="squeezenet", mask=("F9",), input_shape=(3, 8, 8), n_classes=3)
    config = RunConfig(mask=("F9",), kind=kind, time_steps=2, training=TrainingConfig(**training))
    return Network(plan, config, fused=fused).train()


X, THREE = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([0, 1, 2, 0, 1, 2])


def test_the_second_derivative_of_our_own_cnn_is_that_of_finite_differences() -> None:
    network = small(Kind.CNN).double()
    weights = [parameter for name, parameter in network.named_parameters() if name.endswith("conv.weight")]
    slope, difference = slope_against_differences(
        network, lambda: cross_entropy_of_mean(network(X.double()), THREE), weights
    )
    assert abs(slope) > 1e-3
    assert slope == pytest.approx(difference, rel=1e-4)  # ReLU and pooling have kinks


def test_a_neurons_second_derivative_is_that_of_its_surrogate() -> None:
    x, c, tau, alpha, eps = 3.0, 2.0, 2.0, 2.0, 0.5
    w = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    spikes = run_steps((w * x).unsqueeze(0), 1, NeuronConfig(tau=tau, alpha=alpha))
    gradient_aware(c * spikes.sum(), [w], eps=eps).backward()
    u = 0.5 * x / tau - 1  # H - v_threshold after one step from V = 0
    scaled = math.pi * alpha * u / 2
    first = alpha / 2 / (1 + scaled**2)
    second = -alpha / 2 / (1 + scaled**2) ** 2 * 2 * scaled * math.pi * alpha / 2
    g = c * first * x / tau
    assert w.grad.item() == pytest.approx(-eps / (g + eps) ** 2 * c * second * (x / tau) ** 2)


def test_grad_cam_is_the_class_activation_map_where_an_average_pool_and_weights_follow() -> None:
    # T = 2, N = 1, K = 2, 1 x 2 positions; y = the mean over time and place of 3 A_0 - A_1
    a = torch.tensor([[[[1.0, 0.0]], [[0.0, 4.0]]], [[[1.0, 1.0]], [[0.0, 2.0]]]], requires_grad=True)
    weights = torch.tensor([3.0, -1.0])
    score = torch.einsum("k,tkhw->t", weights, a).mean().reshape(1) / 2
    # over time A_0 = (1, 0.5), A_1 = (0, 3); a_k = 1/2 sum_t sum_ij of w_k / (2 x 2)
    expected = [0.5 * (3 * 1 - 0), max(0, 0.5 * (3 * 0.5 - 3))]
    assert grad_cam(a, score).flatten().tolist() == pytest.approx(expected)


def maps(weights: list[list[float]]) -> float:
    """The term for two channels, each active at its own place, and classes that weigh them as given."""
    a = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]], requires_grad=True)
    outputs = torch.einsum("ck,nkhw->nc", torch.tensor(weights, dtype=torch.float32), a).unsqueeze(0)
    return grad_cam_aware(a, outputs, LABELS).item()


def test_evidence_at_different_places_costs_nothing_and_at_the_same_place_one() -> None:
    assert maps([[1, 0], [0, 1]]) == 0
    assert maps([[1, 0], [0.5, 0]]) == pytest.approx(1)
    assert maps([[1, 1], [1, 0]]) == pytest.approx(math.sqrt(0.5))
    assert maps([[1, 0], [-1, -1]]) == 0  # nothing speaks for the other class


def test_the_rival_is_the_strongest_wrong_class() -> None:
    # outputs are 1, 2 and 3: class 2 shares the place of class 0, class 1 does not
    assert maps([[1, 0], [0, 2], [3, 0]]) == pytest.approx(1)
    assert maps([[1, 0], [0, 3], [2, 0]]) == 0


def test_the_gradient_of_the_grad_cam_term_is_that_of_finite_differences_in_every_weight() -> None:
    generator = torch.Generator().manual_seed(3)
    x, labels = torch.randn(6, 4, 3, 3, generator=generator, dtype=torch.float64).relu(), torch.tensor([0, 1, 2])
    w = torch.randn(3, 4, generator=generator, dtype=torch.float64).requires_grad_()  # of the classifier, after the map
    v = torch.rand(4, generator=generator, dtype=torch.float64).requires_grad_()  # before it

    def term() -> torch.Tensor:
        a = x * v[:, None, None]  # [T x N, K, H, W] with T = 2 and N = 3
        return grad_cam_aware(a, torch.einsum("ck,nkhw->nc", w, a).unflatten(0, (2, 3)), labels)

    term().backward()
    h = 1e-6
    for parameter in (w, v):
        for place in range(parameter.numel()):
            values = []
            for move in (h, -2 * h):
                with torch.no_grad():
                    parameter.view(-1)[place] += move
                values.append(term().item())
            with torch.no_grad():
                parameter.view(-1)[place] += h
            difference = (values[0] - values[1]) / (2 * h)
            assert parameter.grad.view(-1)[place].item() == pytest.approx(difference, rel=1e-5, abs=1e-8)
    assert w.grad.abs().max() > 1e-3 and v.grad.abs().max() > 1e-3


def test_grad_cam_looks_at_the_last_activation_that_has_more_than_one_place() -> None:
    plan = plan_for(backbone="squeezenet", mask=("F9",), input_shape=(3, 16, 16), n_classes=3)
    assert plan.node("F9.concat").shape == (512, 2, 2)
    assert cam_node(plan).name == "F9.concat"
    build = PlanBuilder((3, 8, 8))
    x = build.act("wide", build.conv("a", "input", 4, kernel=3))
    x = build.act("narrow", build.conv("b", build.global_avgpool("pool", x), 4, kernel=1))
    build.conv("c", x, 3, kernel=1)
    assert cam_node(build.finish(backbone="x", definition="small", blocks=(), mask=())).name == "wide"


@pytest.mark.parametrize("encoding", ["direct", "rate"])
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_the_ac_term_weighs_the_very_accumulates_that_the_counter_finds(backbone: str, encoding: str) -> None:
    mask = BACKBONES[backbone].masks["Alt-1"]
    plan = plan_for(backbone=backbone, mask=mask, input_shape=(3, 16, 16), n_classes=3, encoding=encoding)
    training = TrainingConfig(ac_penalty=2.0, ac_target=1000.0)
    config = RunConfig(backbone=backbone, mask=mask, time_steps=3, encoding=encoding, training=training)
    network, x = Network(plan, config).eval(), torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(7))
    network.seed_encoding()
    with Counter(network) as counter:
        network(x)
    acs = sum(sum(layer.ac) for layer in counter.counts().layers)
    assert acs > 4 * 1000 or encoding == "direct"
    network.seed_encoding()
    terms = Objective(network, config)(x, torch.tensor([0, 1, 2, 0])).terms
    expected = 2.0 * max(0.0, acs / 4 / 1000 - 1) ** 2
    assert terms["ac_penalty"].item() == torch.tensor(expected).item()  # float32 of the same integer


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_the_ac_term_of_counts_is_that_of_the_spikes_they_stand_for(backbone: str) -> None:
    mask = BACKBONES[backbone].masks["Alt-1"]
    plan = plan_for(backbone=backbone, mask=mask, input_shape=(3, 16, 16), n_classes=3)
    training = TrainingConfig(ac_penalty=2.0, ac_target=10.0)
    config = RunConfig(backbone=backbone, mask=mask, time_steps=3, neuron={"model": "count"}, training=training)
    network, x = Network(plan, config).eval(), torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(7))
    with Counter(network) as counter:
        network(x)
    acs = sum(sum(layer.ac) for layer in counter.counts().layers)
    with passing_counts(network):
        terms = Objective(network, config)(x, torch.tensor([0, 1, 2, 0])).terms
    assert terms["ac_penalty"].item() == torch.tensor(2.0 * max(0.0, acs / 4 / 10 - 1) ** 2).item()


def test_the_ac_term_moves_the_weights_through_the_compiled_kernels_as_through_plain_torch() -> None:
    gradients = []
    for fused in (True, False):
        network = small(fused=fused, ac_penalty=1.0, ac_target=10.0, ac_ramp=(0.5, 0.7))
        step(network, None).terms["ac_penalty"].backward()
        gradients.append(network.get_parameter("F9.squeeze.conv.weight").grad)
    assert float(gradients[0].abs().max()) > 0
    assert float((gradients[0] - gradients[1]).norm()) < 1e-4 * float(gradients[1].norm())


def test_before_its_ramp_the_ac_term_is_not_computed(monkeypatch) -> None:
    monkeypatch.setattr("core.engine.objective.observe", None)  # calling it would fail
    network = small(ac_penalty=1.0, ac_target=10.0)
    done = Objective(network, network.config)(X, THREE, None, progress=0.5)
    assert list(done.terms) == ["cross_entropy"]


def test_phi_is_the_threshold_unless_it_is_given() -> None:
    def tet(**changes) -> float:
        plan = plan_for(backbone="squeezenet", mask=("F9",), input_shape=(3, 8, 8), n_classes=3)
        training = TrainingConfig(loss="tet", tet_lambda=1.0, **changes)
        config = RunConfig(mask=("F9",), time_steps=2, neuron={"v_threshold": 0.5}, training=training)
        return step(Network(plan, config).train(), None).terms["tet"].item()

    assert tet() == tet(tet_phi=0.5) != tet(tet_phi=1.0)


def test_the_loss_of_the_mean_probability_is_taken_where_it_is_asked_for() -> None:
    network = small(loss="probability", label_smoothing=0.1)
    done = step(network, None)
    assert done.loss.item() == pytest.approx(cross_entropy_of_probability(done.outputs_TNC, THREE, 0.1).item())
    cnn = step(small(Kind.CNN, loss="probability"), None)
    assert torch.equal(cnn.loss, cross_entropy_of_mean(cnn.outputs_TNC, THREE))


ALL = {
    "loss": "tet",
    "distillation": 0.25,
    "rate_penalty": 2.0,
    "ac_penalty": 1e-2,
    "ac_target": 10.0,
    "gradient_aware": 0.1,
    "grad_cam_aware": 0.2,
}
TAUGHT = torch.randn(6, 3, generator=torch.Generator().manual_seed(6))


def step(network: Network, taught=TAUGHT):
    return Objective(network, network.config)(X, THREE, taught)


def test_the_loss_is_the_sum_of_the_terms_and_every_one_moves_the_weights() -> None:
    done = step(small(**ALL))
    assert list(done.terms) == ["tet", "distillation", "rate_penalty", "ac_penalty", "gradient_aware", "grad_cam_aware"]
    assert done.loss.item() == pytest.approx(sum(term.item() for term in done.terms.values()))
    for name in done.terms:
        network = small(**ALL)
        step(network).terms[name].backward()
        assert float(network.get_parameter("stem.conv.weight").grad.abs().max()) > 0, name


def test_each_term_is_weighed_as_the_config_says() -> None:
    one, two = step(small(**ALL)).terms, step(small(**{**ALL, "rate_penalty": 4.0, "grad_cam_aware": 0.6})).terms
    assert two["rate_penalty"].item() == pytest.approx(2 * one["rate_penalty"].item())
    assert two["grad_cam_aware"].item() == pytest.approx(3 * one["grad_cam_aware"].item())
    assert two["gradient_aware"] == one["gradient_aware"]
    undistilled = step(small(**{**ALL, "distillation": 0.0})).terms
    assert one["tet"].item() == pytest.approx(0.75 * undistilled["tet"].item())
    # L_GA looks at the gradient of the cross-entropy itself, whatever share distillation leaves of it
    assert undistilled["gradient_aware"] == one["gradient_aware"]


def test_a_cnn_takes_no_term_of_spikes_time_or_a_teacher() -> None:
    done = step(small(Kind.CNN, **ALL), None)
    assert list(done.terms) == ["cross_entropy", "gradient_aware", "grad_cam_aware"]


def test_without_terms_nothing_is_watched_and_the_loss_is_the_cross_entropy_to_the_bit(monkeypatch) -> None:
    monkeypatch.setattr("core.engine.objective.observe", None)  # calling it would fail
    plain, other = small(fused=True), small(fused=True)
    done = step(plain, None)
    assert list(done.terms) == ["cross_entropy"]
    done.loss.backward()
    loss = cross_entropy_of_mean(other(X), THREE)
    loss.backward()
    assert torch.equal(done.loss, loss)
    for a, b in zip(plain.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_the_firing_rate_penalty_sees_the_same_rates_through_the_compiled_kernels() -> None:
    terms = [step(small(fused=fused, rate_penalty=1.0), None).terms["rate_penalty"] for fused in (True, False)]
    assert terms[0].item() == pytest.approx(terms[1].item(), rel=1e-4) and terms[0].item() > 0


def test_in_mixed_precision_only_the_products_are_rounded_and_only_in_training() -> None:
    from core.engine.network import observe

    network, kept = small(precision="mixed"), {}
    with observe(network, lambda node, inputs, output: kept.update({node.name: output}), every_node=True):
        network(X)
    assert all(value.dtype == torch.float32 for value in kept.values())
    rounded = {name for name, value in kept.items() if torch.equal(value, value.bfloat16().float())}
    convs = {node.name for node in network.plan.nodes if node.op == "conv"}
    assert convs <= rounded
    assert not {"stem.bn", "F9.squeeze.bn"} & rounded
    with torch.no_grad():
        assert torch.equal(network.eval()(X), _in_full(network)(X))


def _in_full(network: Network) -> Network:
    full = small()
    full.load_state_dict(network.state_dict())
    return full.eval()
