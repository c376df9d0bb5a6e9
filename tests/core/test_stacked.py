"""Several runs as one batched network: each step, end and bundle is the one that the run has alone."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from training import configs, go, numbers, stop_at

from core.backbones.catalog import layout_of, plan_for
from core.backbones.plan import Node
from core.bundle import Bundle
from core.datasets.load import load
from core.engine.data import Normaliser, evaluation_batches, split
from core.engine.experiment import start_network
from core.engine.fast.triton_there import triton_norm
from core.engine.network import Network
from core.engine.stacked.experiment import run_stack
from core.engine.stacked.layers import Windows, convolve
from core.engine.stacked.masks import skips
from core.engine.stacked.member import Member
from core.engine.stacked.together import members_at_once, require_together, stacked_memory_bytes
from core.engine.stacked.train import Stack, train
from core.engine.train import Trainer
from core.errors import BadValue, Interrupted, NonFiniteLoss, OutOfMemory
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.run import RunConfig

CPU = torch.device("cpu")
config = configs(train_limit=32, batch_size=16, max_epochs=2, time_steps=2, validation_share=0.03)


def with_seed(seed: int, wanted: RunConfig | None = None) -> RunConfig:
    return (wanted or config()).model_copy(update={"seed": seed})


def trainers(kind: type[Trainer], wanted: list[RunConfig], folder: Path) -> list:
    torch.set_num_threads(1)
    splits = split(load("digits", folder), wanted[0].training, CPU)
    return [
        kind(
            start_network(one, None, splits, CPU, None),
            one,
            splits,
            device=CPU,
            folder=folder / str(number),
            emit=lambda event: None,
            should_stop=lambda: False,
        )
        for number, one in enumerate(wanted)
    ]


def after_a_step(wanted: list[RunConfig], folder: Path) -> tuple[list[Trainer], list[Member]]:
    """The runs alone and the members of a stack, each one step from its start."""
    alone, members = trainers(Trainer, wanted, folder), trainers(Member, wanted, folder)
    for trainer in alone:
        trainer.network.train()
        trainer.network.fused = not trainer.config.training.differentiates_twice
        trainer._train_step()
    stack = Stack(members, CPU)
    stack.step()
    stack.give_back()
    return alone, members


STEPS = {
    "sgd, three seeds and rates": [
        with_seed(seed, config(mask="F4,F6", optimizer="sgd", lr=lr, weight_decay=decay))
        for seed, lr, decay in ((0, 0.1, 0.0), (1, 0.01, 0.1), (2, 0.05, 0.01))
    ],
    "three masks": [
        with_seed(seed, config(mask=mask, optimizer="sgd", lr=0.1))
        for seed, mask in enumerate(("F2,F9", "F4,F6", "F3,F5,F8"))
    ],
    "tet, smoothed, augmented": [
        with_seed(seed, config(optimizer="sgd", loss="tet", label_smoothing=s, augment="crop-flip-cutout"))
        for seed, s in enumerate((0.0, 0.2))
    ],
    "mean probability": [with_seed(seed, config(optimizer="sgd", loss="probability")) for seed in (0, 1)],
    "plif with a threshold to learn": [
        with_seed(seed, config(optimizer="sgd", **{"neuron.model": "plif", "learn_threshold": True, "tau": 2.0}))
        for seed in (0, 1)
    ],
    "CNNs": [with_seed(seed, config("cnn", mask="F4,F6", optimizer="sgd")) for seed in (0, 1)],
    "a stem of stride 2 with bypasses": [
        with_seed(seed, config(mask="F3,F4,F5", optimizer="sgd", stem_stride=2, bypass="simple")) for seed in (0, 1)
    ],
    "gradient-aware": [with_seed(0, config(optimizer="sgd", gradient_aware=aware)) for aware in (0.0, 0.1)],
}


@pytest.mark.parametrize("wanted", STEPS.values(), ids=STEPS)
def test_a_step_of_a_stack_is_the_step_of_each_run_alone(wanted: list[RunConfig], tmp_path) -> None:
    alone, members = after_a_step(wanted, tmp_path)
    for trainer, member in zip(alone, members, strict=True):
        assert float(member._loss_S[0]) == pytest.approx(float(trainer._loss_S[0]), rel=1e-5)
        assert int(member._hits_S[0]) == int(trainer._hits_S[0])
        torch.testing.assert_close(member._norm_SL[0], trainer._norm_SL[0], rtol=1e-4, atol=1e-6)
        before = start_network(trainer.config, None, trainer.splits, CPU, None).state_dict()
        for name, value in trainer.network.state_dict().items():
            torch.testing.assert_close(member.network.state_dict()[name], value, rtol=1e-5, atol=2e-6)
        assert not torch.equal(before["stem.conv.weight"], member.network.state_dict()["stem.conv.weight"])


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adams_step_is_the_same_wherever_a_gradient_is_more_than_rounding(kind: str, tmp_path) -> None:
    wanted = [with_seed(seed, config(optimizer=kind, lr=lr, weight_decay=0.01)) for seed, lr in ((0, 1e-3), (1, 3e-3))]
    alone, members = after_a_step(wanted, tmp_path)
    for trainer, member in zip(alone, members, strict=True):
        for name, value in trainer.network.named_parameters():
            ours = member.network.get_parameter(name)
            state, own = trainer._optimizer.state[value], member._optimizer.state[ours]
            moment = state["exp_avg"].abs()
            certain = moment > 1e-3 * moment.max()  # else its sign, which is all that a first step takes, is rounding
            torch.testing.assert_close(ours[certain], value[certain], rtol=1e-5, atol=1e-6)
            assert float(own["step"]) == float(state["step"]) == 1
            torch.testing.assert_close(own["exp_avg"], state["exp_avg"], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "geometry",
    [
        {"kernel": 3, "padding": 1},
        {"kernel": 3, "stride": 2, "padding": 1},
        {"kernel": 3, "dilation": 2, "padding": 2},
        {"kernel": 1, "stride": 2},
        {"kernel": 3, "padding": 1, "groups": 2},
        {"kernel": 3, "padding": 1, "groups": 6},
        {"kernel": 5, "stride": 3, "padding": 1},
    ],
    ids=str,
)
def test_a_batched_convolution_is_torchs_of_each_member(geometry: dict) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 9, 8, 6, generator=draw, dtype=torch.float64)
    node = Node(name="c", op="conv", inputs=("x",), shape=(12, 1, 1), in_shape=(6, 9, 8), **geometry)
    k, groups = node.kernel, node.groups
    weight = torch.randn(2, 12, 6 // groups, k, k, generator=draw, dtype=torch.float64)
    ours = convolve(x, weight, node)
    for member in range(2):
        theirs = F.conv2d(
            x[member].permute(0, 3, 1, 2), weight[member], None, node.stride, node.padding, node.dilation, groups
        )
        torch.testing.assert_close(ours[member], theirs.permute(0, 2, 3, 1))


def test_windows_can_be_differentiated_twice() -> None:
    x = torch.randn(1, 2, 5, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for window in ((3, 1, 1), (2, 2, 1), (2, 1, 2)):
        assert torch.autograd.gradcheck(lambda x, w=window: Windows.apply(x, *w), (x,))
        assert torch.autograd.gradgradcheck(lambda x, w=window: Windows.apply(x, *w).square(), (x,))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[list[RunConfig], list[Path]]:
    """Two seeds; the second ends an epoch earlier."""
    folder = tmp_path_factory.mktemp("stack")
    wanted = [with_seed(0), with_seed(1, config(max_epochs=1))]
    outs = [folder / "first", folder / "second"]
    run_stack(wanted, outs=outs, data_dir=folder, threads=1, emit=lambda number, event: None)
    return wanted, outs


def test_each_member_leaves_an_ordinary_bundle(trained) -> None:
    for wanted, out in zip(*trained, strict=True):
        bundle = Bundle(out)
        bundle.verify()
        summary = bundle.summary()
        assert bundle.config() == wanted and summary.config_hash == wanted.config_hash
        assert summary.epochs_run == wanted.training.max_epochs
        assert bundle.environment()["stack"] == {"members": 2}
        assert go(wanted, out)[0] == summary  # a run alone finds it finished


def test_a_members_answers_are_those_of_its_weights_in_an_ordinary_network(trained, tmp_path) -> None:
    for wanted, out in zip(*trained, strict=True):
        bundle = Bundle(out)
        (trainer,) = trainers(Trainer, [wanted], tmp_path)
        network = trainer.network
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in bundle.weights().items()})
        network.eval()
        x, _ = next(iter(evaluation_batches(trainer.splits.test, Normaliser.of(network, trainer.splits.spec, CPU), 8)))
        with torch.inference_mode():
            outputs_TNC = network(x)
        found = torch.from_numpy(bundle.predictions().outputs[:8])
        torch.testing.assert_close(outputs_TNC.transpose(0, 1), found, rtol=1e-5, atol=1e-5)


def test_the_end_of_a_training_is_nearer_to_the_run_alone_than_another_seed(trained, tmp_path) -> None:
    wanted, outs = trained
    go(wanted[0], tmp_path / "alone")
    stacked, other, alone = (Bundle(folder).metrics().train_loss for folder in (*outs, tmp_path / "alone"))
    spread = abs(stacked[0] - other[0])
    assert abs(stacked[0] - alone[0]) < spread / 10
    assert abs(stacked[1] - alone[1]) < spread


def test_a_member_that_ends_early_stays_as_it_was_and_is_what_it_is_without_the_others(trained, tmp_path) -> None:
    wanted, outs = trained
    run_stack(wanted[1:], outs=[tmp_path / "alone"], data_dir=tmp_path, threads=1, emit=lambda number, event: None)
    together, alone = numbers(outs[1]), numbers(tmp_path / "alone")
    assert together["weights"] == alone["weights"]
    assert together["metrics"] == alone["metrics"]


def test_a_stack_that_was_stopped_goes_on_where_it_was(trained, tmp_path) -> None:
    wanted, outs = trained
    folders = [tmp_path / "a", tmp_path / "b"]
    ask = {"outs": folders, "data_dir": tmp_path, "threads": 1, "emit": lambda number, event: None}
    with pytest.raises(Interrupted):
        run_stack(wanted, should_stop=stop_at(1), **ask)  # after the first of two steps
    run_stack(wanted, **ask)
    for folder, out in zip(folders, outs, strict=True):
        assert numbers(folder) == numbers(out)


def test_a_run_alone_goes_on_from_a_members_checkpoint(tmp_path) -> None:
    wanted = [with_seed(0, config(max_epochs=1)), with_seed(1, config(max_epochs=1))]
    folders = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(Interrupted):
        run_stack(
            wanted, outs=folders, data_dir=tmp_path, threads=1, should_stop=stop_at(1), emit=lambda number, event: None
        )
    summary, events = go(wanted[1], folders[1])
    assert (events[0].resumed_epoch, events[0].resumed_step) == (1, 1)
    assert summary.epochs_run == 1


def test_one_that_leaves_the_finite_ends_alone(tmp_path) -> None:
    wanted = [with_seed(0, config(max_epochs=1)), with_seed(1, config(max_epochs=1))]
    broken, sound = trainers(Member, wanted, tmp_path)
    with torch.no_grad():
        broken.network.get_parameter("classifier.conv.weight").fill_(torch.nan)
    train([broken, sound], CPU, lambda: False)
    (alone,) = trainers(Member, wanted[1:], tmp_path)
    train([alone], CPU, lambda: False)
    assert isinstance(broken.failure, NonFiniteLoss) and broken.failure.fields["step"] == 1
    assert sound.failure is None and sound.metrics.train_loss == alone.metrics.train_loss


@pytest.mark.parametrize(
    "others, field",
    [
        ([config(batch_size=8)], "training.batch_size"),
        ([config("cnn")], "kind"),
        ([config(tau=2.0)], "neuron.tau"),
        ([config(time_steps=3)], "time_steps"),
    ],
)
def test_runs_that_are_no_stack_are_refused_with_the_field(others: list[RunConfig], field: str) -> None:
    with pytest.raises(BadValue) as refused:
        require_together([config(), *others])
    assert refused.value.fields["field"] == field


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"encoding": "rate"}, "encoding"),
        ({"ema": 0.99, "select": "ema"}, "training.ema"),
        ({"rate_penalty": 1.0}, "training.rate_penalty"),
        ({"distillation": 0.5}, "training.distillation"),
        ({"neuron.model": "count"}, "neuron.model"),
    ],
)
def test_what_a_stack_cannot_do_is_refused(changes: dict, field: str) -> None:
    with pytest.raises(BadValue) as refused:
        require_together([config(**changes)])
    assert refused.value.fields["field"] == field


def test_a_network_with_dropout_is_refused_by_the_name_of_its_layer() -> None:
    with pytest.raises(BadValue, match="dropout is a dropout"):
        require_together([build_config(RunRequest(definition="imagenet", dataset="cifar10"))])


def test_a_cnn_is_not_refused_for_what_only_spiking_runs_have() -> None:
    require_together([config("cnn", encoding="rate", rate_penalty=1.0)])


def test_masks_that_zeros_cannot_realise_are_refused() -> None:
    blocks = layout_of("xception").blocks  # E2 halves the image, so no zeros stand for its absence
    masks = (blocks, tuple(block for block in blocks if block != "E2"))
    plans = [plan_for(backbone="xception", mask=mask, input_shape=(3, 32, 32), n_classes=10) for mask in masks]
    with pytest.raises(BadValue, match="the same in all runs of this stack: E2 gives"):
        skips(plans[0], plans)


def test_as_many_runs_are_in_memory_as_fit(monkeypatch) -> None:
    wanted = [with_seed(seed) for seed in range(4)]
    each = stacked_memory_bytes(wanted[0])
    for free, fits in ((2.6 * each, 2), (100 * each, 4), (None, 4)):
        monkeypatch.setattr("core.engine.stacked.together.available_bytes", lambda device, free=free: free)
        assert members_at_once(wanted, CPU) == fits
    monkeypatch.setattr("core.engine.stacked.together.available_bytes", lambda device: each)
    with pytest.raises(OutOfMemory):
        members_at_once(wanted, CPU)


def test_members_are_ordinary_networks_of_their_own_plan(tmp_path) -> None:
    masks = ("F9", "F4,F6")
    members = trainers(Member, [with_seed(0, config(mask=mask)) for mask in masks], tmp_path)
    stack = Stack(members, CPU)
    before = [{name: value.clone() for name, value in member.network.state_dict().items()} for member in members]
    stack.give_back()
    for member, values, mask in zip(members, before, masks, strict=True):
        assert isinstance(member.network, Network) and ",".join(member.network.plan.mask) == mask
        for name, value in member.network.state_dict().items():
            assert torch.equal(value, values[name]), name


def test_kernels_that_cannot_run_here_are_not_loaded_and_the_log_says_why(monkeypatch, caplog) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert triton_norm(CPU, wanted=True) is None and caplog.records[0].why == "the device is cpu"
    caplog.clear()
    assert triton_norm(CPU, wanted=False) is None and not caplog.records


def test_products_in_bfloat16_are_near_those_in_float32() -> None:
    draw = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 3, 8, 8, 16, generator=draw), torch.randn(2, 8, 16, 3, 3, generator=draw)
    node = Node(name="c", op="conv", inputs=("x",), shape=(8, 8, 8), in_shape=(16, 8, 8), kernel=3, padding=1)
    exact, mixed = convolve(x, weight, node), convolve(x, weight, node, mixed=True)
    assert mixed.dtype == torch.float32
    away = float((mixed - exact).abs().max() / exact.abs().max())
    assert 0 < away < 2**-7
