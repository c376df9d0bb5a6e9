"""The pieces of training: schedules, batches, augmentation, loss, diagnosis, checkpoint files."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.backbones.catalog import plan_for
from core.datasets.catalog import DATASETS
from core.engine.average import Average, statistics_images, take_statistics
from core.engine.checkpoint import FILE, OLDER, load_checkpoint, save_checkpoint
from core.engine.data import (
    Images,
    Normaliser,
    TrainBatches,
    batch_bounds,
    crop_flip,
    cutout,
    evaluation_batches,
    stream,
)
from core.engine.diagnose import FiringRate, GradientNorms, choose_examples
from core.engine.losses import cross_entropy_of_mean
from core.engine.network import Network, observe
from core.engine.optimizers import optimizer, set_rate
from core.engine.schedules import learning_rate, mean_rate
from core.schemas.run import Kind, RunConfig, TrainingConfig

CPU = torch.device("cpu")


def training(**changes) -> TrainingConfig:
    return TrainingConfig(**{"lr": 1.0, "max_epochs": 4, **changes})


def test_the_published_schedule_drops_after_epochs_50_and_100() -> None:
    config = training(schedule="multistep", milestones=(50, 100), gamma=0.1, max_epochs=150)
    rates = [learning_rate(config, epoch, 0, 10) for epoch in (1, 50, 51, 100, 101, 150)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_cosine_starts_full_is_half_in_the_middle_and_ends_near_nothing() -> None:
    config = training(schedule="cosine")
    assert learning_rate(config, 1, 0, 10) == 1
    assert learning_rate(config, 3, 0, 10) == pytest.approx(0.5)  # 2 of 4 epochs done
    last = 3.9 / 4  # of the way, at step 9 of 10 of epoch 4
    assert learning_rate(config, 4, 9, 10) == pytest.approx((1 + math.cos(math.pi * last)) / 2)


def test_a_line_falls_from_the_full_rate_after_the_warm_up_to_nothing_at_the_end() -> None:
    config = training(schedule="linear", warmup_epochs=1.0)  # 4 epochs, so 3 to fall over
    assert learning_rate(config, 1, 9, 10) == pytest.approx(1)  # the last step of the warm-up
    assert [learning_rate(config, epoch, 0, 10) for epoch in (2, 3, 4)] == pytest.approx([1, 2 / 3, 1 / 3])
    assert learning_rate(config, 4, 9, 10) == pytest.approx(0.1 / 3)
    assert learning_rate(config, 5, 0, 10) == 0  # where training has ended


def test_warm_up_rises_from_the_first_step_to_the_full_rate() -> None:
    config = training(schedule="constant", warmup_epochs=0.5)
    assert [learning_rate(config, 1, step, 4) for step in range(4)] == pytest.approx([0.5, 1, 1, 1])
    assert mean_rate(config, 1, 4) == pytest.approx((0.5 + 3) / 4)


def test_every_image_is_in_one_batch_and_a_lone_last_one_joins_its_neighbours() -> None:
    assert batch_bounds(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert batch_bounds(9, 4) == [(0, 4), (4, 9)]
    assert batch_bounds(3, 4) == [(0, 3)]
    assert batch_bounds(3, 1) == [(0, 1), (1, 2), (2, 3)]


def images(n: int, size: int = 8) -> Images:
    pixels = torch.arange(n * size * size * 3).remainder(251).to(torch.uint8).reshape(n, size, size, 3)
    return Images(images=pixels, labels=torch.arange(n), index=np.arange(n))


def test_an_epoch_visits_every_image_once_in_an_order_of_its_own() -> None:
    config = RunConfig(mask=("F9",), training=training(batch_size=4))
    batches = TrainBatches(images(10), config, Normaliser(DATASETS["digits"], CPU))
    orders = [torch.cat([batches.get(epoch, step)[1] for step in range(batches.steps)]).tolist() for epoch in (1, 2, 1)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] == orders[2] != orders[1]


def test_a_batch_asked_for_alone_is_the_one_of_the_whole_epoch() -> None:
    config = RunConfig(mask=("F9",), training=training(batch_size=4, augment="crop-flip"))
    fresh, used = (TrainBatches(images(10), config, Normaliser(DATASETS["digits"], CPU)) for _ in range(2))
    for step in range(used.steps):
        x, labels = used.get(3, step)
    alone_x, alone_labels = fresh.get(3, step)
    assert torch.equal(x, alone_x) and torch.equal(labels, alone_labels)


def test_normalised_pixels_follow_the_formula() -> None:
    spec = DATASETS["cifar10"]
    part = images(3)
    ((x, _),) = evaluation_batches(part, Normaliser(spec, CPU), 8)
    expected = (part.images.double() / 255 - torch.tensor(spec.mean).double()) / torch.tensor(spec.std).double()
    torch.testing.assert_close(x.double(), expected.permute(0, 3, 1, 2), atol=1e-5, rtol=0)
    assert x.dtype == torch.float32


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("encoding", ["direct", "rate"])
@pytest.mark.parametrize("reading", ["normalised", "intensity"])
def test_a_network_gets_its_pixels_as_its_config_says(kind: Kind, encoding: str, reading: str) -> None:
    plan = plan_for(backbone="squeezenet", mask=("F9",), input_shape=(3, 8, 8), n_classes=3)
    config = RunConfig(mask=("F9",), kind=kind, encoding=encoding, input=reading)
    spec, pixels = DATASETS["cifar10"], images(3).images
    x = Normaliser.of(Network(plan, config), spec, CPU)(pixels)
    intensities = (pixels.double() / 255).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values).double().view(3, 1, 1) for values in (spec.mean, spec.std))
    as_is = reading == "intensity" or (kind is Kind.SNN and encoding == "rate")  # a CNN has no coding
    expected = intensities if as_is else (intensities - mean) / std
    torch.testing.assert_close(x.double(), expected, atol=1e-5, rtol=0)


def test_crop_flip_gives_the_windows_of_the_mirrored_padded_image() -> None:
    part = images(2, size=8)  # shifts of up to 8 // 8 = 1
    seen = set()
    for key in range(60):
        out = crop_flip(part.images, torch.tensor([1]), stream(key))[0][0]
        original = part.images[1].float().permute(2, 0, 1)
        windows = {}
        for mirrored in (False, True):
            padded = F.pad(original.flip(2) if mirrored else original, (1, 1, 1, 1), mode="reflect")
            for down in range(3):
                for right in range(3):
                    windows[mirrored, down, right] = padded[:, down : down + 8, right : right + 8].permute(1, 2, 0)
        matches = [name for name, window in windows.items() if torch.equal(window, out.float())]
        assert matches
        seen.update(matches)
    assert len(seen) > 12  # of 18


def test_crop_alone_mirrors_nothing() -> None:
    part, key = images(2, size=8), 0
    mirrored = crop_flip(part.images.flip(2), torch.tensor([1] * 200), stream(key), flip=False)[0]
    straight = crop_flip(part.images, torch.tensor([1] * 200), stream(key), flip=False)[0]
    assert len({image.numpy().tobytes() for image in straight}) == 9  # 3 x 3 shifts and no more
    assert {image.numpy().tobytes() for image in straight}.isdisjoint(image.numpy().tobytes() for image in mirrored)


@pytest.mark.parametrize("kind", ["crop-altflip", "crop-altflip-cutout"])
def test_an_alternating_flip_mirrors_a_fixed_random_half_and_the_other_half_in_the_next_epoch(kind: str) -> None:
    n, side = 400, 8
    left = torch.zeros(n, side, side, 3, dtype=torch.uint8)
    left[:, :, : side // 2] = 255  # bright on the left, dark on the right
    part = Images(images=left, labels=torch.arange(n), index=np.arange(n))
    config = RunConfig(mask=("F9",), training=training(batch_size=100, augment=kind))
    batches = TrainBatches(part, config, Normaliser(DATASETS["digits"], CPU))
    mirrored = {}
    for epoch in (1, 2, 3, 4):
        seen = torch.zeros(n, dtype=torch.bool)
        for step in range(batches.steps):
            pixels, labels = batches.pixels(epoch, step)
            half = pixels.float().mean((1, 3))
            seen[labels] = half[:, side // 2 :].mean(1) > half[:, : side // 2].mean(1)
        mirrored[epoch] = seen
    assert 150 < int(mirrored[1].sum()) < 250
    assert torch.equal(mirrored[2], ~mirrored[1])
    assert torch.equal(mirrored[3], mirrored[1]) and torch.equal(mirrored[4], mirrored[2])
    other = TrainBatches(part, config.model_copy(update={"seed": 1}), Normaliser(DATASETS["digits"], CPU))
    assert not torch.equal(other._alternating(1), batches._alternating(1))


def test_an_alternating_flip_shifts_as_the_random_one_does() -> None:
    part = images(8, size=16)
    chosen = torch.arange(8)
    never = crop_flip(part.images, chosen, stream("shift"), flip=False)[0]
    assert torch.equal(crop_flip(part.images, chosen, stream("shift"), flip=torch.zeros(8, dtype=torch.bool))[0], never)
    every = crop_flip(part.images, chosen, stream("shift"), flip=torch.ones(8, dtype=torch.bool))[0]
    assert not torch.equal(every, never)


@pytest.mark.parametrize("size", [32, 16])
def test_cutout_covers_a_square_of_a_quarter_of_the_side_about_any_pixel(size: int) -> None:
    fill = torch.tensor([7, 8, 9], dtype=torch.uint8)
    white = torch.full((3000, size, size, 3), 255, dtype=torch.uint8)
    out = cutout(white, stream(1), fill)
    covered = (out == fill).all(3)
    assert ((out == 255).all(3) ^ covered).all()
    heights, widths = covered.any(2).sum(1), covered.any(1).sum(1)
    assert torch.equal(covered.sum((1, 2)), heights * widths)  # one rectangle each
    # a centre at the edge leaves half the square inside, one well inside all of it; both sides alike
    side = size // 4
    assert set(heights.tolist()) == set(widths.tolist()) == set(range(side // 2, side + 1))
    assert covered.any(0).all()
    share = float(covered.float().mean())
    inside = sum(min(side, c + side // 2) - max(0, c + side // 2 - size) for c in range(size)) / size**2
    assert share == pytest.approx(inside**2, rel=0.05)


def test_cutout_is_the_mean_colour_which_normalises_to_nothing() -> None:
    spec = DATASETS["cifar10"]
    normalise = Normaliser(spec, CPU)
    grey = normalise(normalise.mean_pixel.expand(1, 4, 4, 3))
    assert float(grey.abs().max()) <= 0.5 / 255 / min(spec.std)
    config = RunConfig(mask=("F9",), training=training(batch_size=4, augment="crop-flip-cutout"))
    pixels, _ = TrainBatches(images(8, size=16), config, normalise).pixels(1, 0)
    assert ((pixels == normalise.mean_pixel).all(3).sum((1, 2)) >= 2 * 2).all()


@pytest.mark.parametrize("rule", ["adamw", "sgd"])
def test_decay_is_of_convolution_weights_and_of_nothing_else(rule: str) -> None:
    plan = plan_for(backbone="squeezenet", mask=("F9",), input_shape=(3, 8, 8), n_classes=3)
    wanted = training(optimizer=rule, weight_decay=0.1, lr=0.5, nesterov=False, momentum=0.0)
    network = Network(plan, RunConfig(mask=("F9",), training=wanted, neuron={"model": "plif"}))
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer(network, wanted).step()
    for name, value in network.named_parameters():
        kept = 1 - 0.5 * 0.1 if name.endswith("conv.weight") else 1.0  # without a gradient the decay is all there is
        torch.testing.assert_close(value.detach(), before[name] * kept)


def plif(**changes) -> tuple[Network, torch.optim.Optimizer]:
    plan = plan_for(backbone="squeezenet", mask=("F9",), input_shape=(3, 8, 8), n_classes=3)
    wanted = training(lr=0.5, **changes)
    network = Network(plan, RunConfig(mask=("F9",), training=wanted, neuron={"model": "plif"}))
    return network, optimizer(network, wanted)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_what_neurons_learn_moves_by_its_own_rate_without_decay(name: str) -> None:
    network, of = plif(optimizer=name, weight_decay=0.1, neuron_lr_factor=0.1)
    assert [value for group in of.param_groups for value in group["params"] if value.dim() == 0] == [
        value for name, value in network.named_parameters() if name.endswith("act.w")
    ]
    set_rate(of, 0.2)
    rates = {id(value): group["lr"] for group in of.param_groups for value in group["params"]}
    decays = {id(value): group["weight_decay"] for group in of.param_groups for value in group["params"]}
    assert len(rates) == len(list(network.parameters()))
    for at, value in network.named_parameters():
        assert rates[id(value)] == pytest.approx(0.02 if at.endswith("act.w") else 0.2)
        assert decays[id(value)] == (0.1 if at.endswith("conv.weight") or (name == "adam" and "act.w" not in at) else 0)


def test_without_a_factor_the_groups_are_those_that_older_checkpoints_number() -> None:
    for name, sizes in (("adam", [22]), ("adamw", [5, 17])):  # 5 kernels; their biases, 4 x 2 of norms, 4 of neurons
        network, of = plif(optimizer=name)
        assert [len(group["params"]) for group in of.param_groups] == sizes
        kernels_first = sorted(network.parameters(), key=lambda p: p.dim() < 2)
        in_order = list(network.parameters()) if name == "adam" else kernels_first
        numbered = [value for group in of.param_groups for value in group["params"]]
        assert all(a is b for a, b in zip(numbered, in_order, strict=True))


def test_two_steps_of_sgd_are_those_of_nesterovs_momentum_done_by_hand() -> None:
    network, of = plif(optimizer="sgd", momentum=0.9, weight_decay=0.1)
    weight = network.get_parameter("stem.conv.weight")
    w, g = float(weight.detach().flatten()[0]), 0.25
    momentum = 0.0
    for number in range(2):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, g)
        set_rate(of, 0.5)
        of.step()
        slope = g + 0.1 * w
        momentum = slope if number == 0 else 0.9 * momentum + slope
        w -= 0.5 * (slope + 0.9 * momentum)
    assert float(weight.detach().flatten()[0]) == pytest.approx(w, rel=1e-5)


def test_the_average_weighs_the_weights_it_has_seen_and_not_those_before_the_first_step() -> None:
    network, _ = plif()
    parameter = network.get_parameter("F9.squeeze.conv.bias")
    average, decay = Average(network, 0.9), 0.9
    for value in (1.0, 2.0, 4.0):
        with torch.no_grad():
            parameter.fill_(value)
        average.update()
    expected = (decay**2 * 1 + decay * 2 + 4) / (decay**2 + decay + 1)
    torch.testing.assert_close(average.values["F9.squeeze.conv.bias"], torch.full_like(parameter, expected))
    with average.in_place(network) as own:
        torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, expected))
        assert own["F9.squeeze.conv.bias"].tolist()[0] == 4
    assert parameter.tolist()[0] == 4


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("fused", [True, False])
def test_statistics_taken_anew_are_the_mean_over_the_batches(kind: Kind, fused: bool) -> None:
    plan = plan_for(backbone="squeezenet", mask=("F9",), input_shape=(3, 8, 8), n_classes=3)
    network = Network(plan, RunConfig(mask=("F9",), kind=kind, time_steps=2), fused=fused)
    normalise, pixels = Normaliser(DATASETS["digits"], CPU), images(9).images
    norms = {name: part for name, part in network.named_modules() if isinstance(part, torch.nn.BatchNorm2d)}
    for norm in norms.values():
        norm.running_mean.fill_(9.0)  # whatever was there has no part in it
        norm.running_var.fill_(9.0)
    means: dict[str, list] = {name: [] for name in norms}
    looks = []
    for batch in (pixels[:4], pixels[4:]):  # 4, and 4 + the lone last one
        alone = Network(plan, network.config, fused=False).train()
        for norm in alone.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = 1.0
        alone(normalise(batch))
        for name in norms:
            norm = alone.get_submodule(name)
            means[name].append((norm.running_mean, norm.running_var))
    network.eval()
    take_statistics(network, pixels, normalise, 4, lambda: looks.append(1))
    assert len(looks) == 2 and not network.training
    for name, norm in norms.items():
        for found, of in ((norm.running_mean, 0), (norm.running_var, 1)):
            expected = torch.stack([pair[of] for pair in means[name]]).mean(0)
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        assert norm.momentum == 0.1 and int(norm.num_batches_tracked) == 0


def test_statistics_are_of_a_stratified_part_of_the_training_images_with_classes_mixed(monkeypatch) -> None:
    monkeypatch.setattr("core.engine.average.STATISTICS_IMAGES", 40)
    pixels = torch.arange(200, dtype=torch.uint8).view(200, 1, 1, 1).expand(200, 4, 4, 3).contiguous()
    part = Images(
        images=pixels, labels=torch.arange(200) // 20, index=np.arange(200)
    )  # sorted by class, as folders are
    found = statistics_images(part)[:, 0, 0, 0].long()
    assert (found // 20).bincount().tolist() == [4] * 10
    assert found.tolist() != sorted(found.tolist())
    assert torch.equal(found, statistics_images(part)[:, 0, 0, 0].long())


def test_the_loss_is_that_of_the_time_average() -> None:
    outputs = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]])  # T = 2, N = 1, C = 2; the mean is (1, 0)
    loss = cross_entropy_of_mean(outputs, torch.tensor([0]))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-1)))


@pytest.fixture(scope="module", params=list(Kind))
def network(request) -> Network:
    plan = plan_for(backbone="squeezenet", mask=("F9",), input_shape=(3, 8, 8), n_classes=3)
    return Network(plan, RunConfig(mask=("F9",), kind=request.param, time_steps=2))


def test_gradient_norms_are_those_of_each_convolution(network: Network) -> None:
    norms = GradientNorms(network)
    network.train()
    cross_entropy_of_mean(network(torch.randn(4, 3, 8, 8)), torch.tensor([0, 1, 2, 0])).backward()
    assert norms.layers == ["stem.conv", "F9.squeeze.conv", "F9.expand1.conv", "F9.expand3.conv", "classifier.conv"]
    by_name = dict(network.named_parameters())
    expected = [float(by_name[f"{name}.weight"].grad.double().pow(2).sum().sqrt()) for name in norms.layers]
    assert norms.read().tolist() == pytest.approx(expected, rel=1e-5)


def test_the_firing_rate_is_spikes_over_neurons_and_steps(network: Network) -> None:
    network.eval()
    rate, spikes = FiringRate(network), []

    def collect(node, inputs, out) -> None:
        if node.op == "act":
            spikes.append(out.sum())

    with torch.no_grad(), observe(network, collect), rate.watch():
        for _ in range(2):
            network(torch.randn(3, 3, 8, 8))
    if not network.spiking:
        assert rate.read() is None
        return
    places = network.plan.neurons * 2 * 6  # T = 2, 6 images
    assert rate.read() == pytest.approx(float(sum(spikes)) / places)


def test_examples_are_the_fixed_ones_and_the_first_of_each_error() -> None:
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    answers = np.array([0, 1, 1, 1, 1, 2, 1, 0])
    # fixed 0; cell 0->1 has 1,2,3,4 (the first three are kept), 0->2 has 5, 1->0 has 7
    assert choose_examples(labels, answers, np.array([0])).tolist() == [0, 1, 2, 3, 5, 7]
    # with room for three: the fixed one, then one image a cell, the fullest cell first
    assert choose_examples(labels, answers, np.array([0]), limit=3).tolist() == [0, 1, 5]


def test_a_checkpoint_brings_back_tensors_and_floats_exactly(tmp_path) -> None:
    tensors = {"a.b": torch.randn(3, 4).t(), "n": torch.tensor(7)}
    save_checkpoint(tmp_path, tensors, {"x": 0.1 + 0.2, "best": -1.0, "rows": [[1e-300]]})
    loaded, state = load_checkpoint(tmp_path, CPU)
    assert torch.equal(loaded["a.b"], tensors["a.b"]) and loaded["n"] == 7
    assert state == {"x": 0.1 + 0.2, "best": -1.0, "rows": [[1e-300]]}


def test_a_damaged_checkpoint_is_put_away_and_a_missing_one_is_none(tmp_path, caplog) -> None:
    assert load_checkpoint(tmp_path, CPU) is None
    (tmp_path / FILE).write_bytes(b"\x10\0\0\0\0\0\0\0 not a checkpoint")
    assert load_checkpoint(tmp_path, CPU) is None
    assert "checkpoint.damaged" in caplog.text and caplog.records[-1].file == FILE
    assert not (tmp_path / FILE).exists()


def test_every_byte_of_a_checkpoint_is_watched(tmp_path) -> None:
    save_checkpoint(tmp_path, {"a": torch.arange(3.0), "b": torch.tensor([1])}, {"epoch": 1})
    content = (tmp_path / FILE).read_bytes()
    for at in range(len(content)):
        (tmp_path / FILE).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert load_checkpoint(tmp_path, CPU) is None, f"byte {at}: {content[max(0, at - 20) : at + 20]}"
    (tmp_path / FILE).write_bytes(content)
    assert load_checkpoint(tmp_path, CPU) is not None


def test_the_checkpoint_before_the_last_is_kept_and_taken_where_the_last_is_damaged(tmp_path) -> None:
    for epoch in (1, 2, 3):
        save_checkpoint(tmp_path, {"a": torch.tensor([epoch])}, {"epoch": epoch})
    assert {path.name for path in tmp_path.iterdir()} == {FILE, OLDER}
    assert load_checkpoint(tmp_path, CPU)[1] == {"epoch": 3}
    (tmp_path / FILE).write_bytes(b"")
    assert load_checkpoint(tmp_path, CPU)[1] == {"epoch": 2}
