"""Noise, blur and fewer bits of a weight: what each does, and that nothing else changes a finished run's figures."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import DIGITS, IMAGES, LABELS, N, made
from commands import called
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from core.analysis.predictions import predict
from core.analysis.robustness import FILE, keep, kept, priced, wilson
from core.bundle import FILES, MANIFEST, Bundle, Manifest, ManifestEntry, Predictions
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles
from core.engine.robustness import blurred, measure, noisy, rounded, rounded_weights
from core.engine.sources import trained
from core.errors import BadValue, BundleCorrupt
from core.report.robustness_words import COLUMNS, rows
from core.schemas.robustness import STRENGTHS, Robustness

TESTED = dataclasses.replace(DIGITS, test_images=IMAGES, test_labels=LABELS)  # the whole test set of these bundles
PRICES = (MODES["exact"], profiles()["horowitz-45nm"])
NETWORKS = {
    "snn": {},
    "cnn": {"kind": "cnn"},
    "drawn spikes": {"encoding": "rate"},
    "learned leak": {"neuron": {"model": "plif"}},
    "counts": {"neuron": {"model": "count"}},
}


def bundle_of(folder: Path, **config) -> Bundle:
    """A bundle whose weights its manifest names, as a measurement asks for them."""
    bundle = made(folder, **config)
    bundle.write_model(
        MANIFEST, Manifest(files=(ManifestEntry(name="weights.safetensors", bytes=1, sha256="ab" * 32),))
    )
    return bundle


@pytest.mark.parametrize("name", NETWORKS)
def test_undisturbed_it_is_the_run_s_own_test_and_eight_bits_change_hardly_anything(tmp_path, name):
    bundle = bundle_of(tmp_path, **NETWORKS[name])
    seen = []
    found = measure(bundle, TESTED, progress=lambda done, total: seen.append((done, total)))
    stored = bundle.predictions()
    assert (found.n, found.n_test, found.answers_equal) == (N, N, N)
    assert found.undisturbed.correct == int((predict(stored.outputs) == stored.label).sum())
    assert found.undisturbed.counts == bundle.counts()
    assert found.undisturbed.counts.time_steps == (1 if name == "cnn" else 3)
    assert [(point.kind, point.strength) for point in found.points] == [
        (kind, strength) for kind, strengths in STRENGTHS.items() for strength in strengths
    ]
    shown = priced(found, *PRICES)
    assert shown.undisturbed.energy_pj == price(PRICES[0].tally(bundle.counts()), PRICES[1])
    eight = next(point for point in shown.points if point.kind == "weight_bits")
    assert eight.strength == 8 and abs(eight.change) <= 2 / N
    assert eight.energy_pj == pytest.approx(shown.undisturbed.energy_pj, rel=0.05)
    assert all((point.firing_rate is None) is (name == "cnn") for point in shown.points)
    assert seen[-1] == (16 * N, 16 * N)  # 1 + 5 + 5 + 5 times
    assert [len(cells) for _, cells in rows(shown)] == [len(COLUMNS)] * 16


def test_it_repeats_by_its_seed_and_a_seed_moves_the_noise_alone(tmp_path):
    bundle = bundle_of(tmp_path)
    one, same, other = (measure(bundle, TESTED, n=6, seed=seed) for seed in (1, 1, 2))
    assert one == same and one.n == 6
    moved = {a.kind for a, b in zip(one.points, other.points, strict=True) if a != b}
    assert moved == {"noise"} and one.undisturbed == other.undisturbed


def test_another_test_set_is_refused_by_name(tmp_path):
    with pytest.raises(BadValue, match="digits"):
        measure(bundle_of(tmp_path), DIGITS)


def test_no_noise_is_no_change_and_an_image_s_noise_hangs_on_nothing_but_its_place():
    images, places = torch.from_numpy(IMAGES).float(), np.arange(N)
    assert torch.equal(noisy(images, 0.0, 3, places), images)
    all_of_them = noisy(images, 0.1, 3, places)
    assert torch.equal(noisy(images[4:6], 0.1, 3, places[4:6]), all_of_them[4:6])
    assert not torch.equal(noisy(images, 0.1, 4, places), all_of_them)
    assert all_of_them.min() == 0 and all_of_them.max() == 255  # clipped: these images have black and white
    grey = torch.full((4, 64, 64, 3), 127.5)
    error = (noisy(grey, 0.1, 0, np.arange(4)) - grey) / 255
    assert float(error.std()) == pytest.approx(0.1, rel=0.02) and abs(float(error.mean())) < 0.002


@pytest.mark.parametrize("sigma", STRENGTHS["blur"])
def test_blur_is_scipy_s_gaussian_filter(sigma):
    wanted = gaussian_filter(IMAGES.astype(np.float64), (0, sigma, sigma, 0), mode="nearest", truncate=4.0)
    assert np.allclose(blurred(torch.from_numpy(IMAGES).float(), sigma).numpy(), wanted, atol=1e-3)


@given(
    bits=st.sampled_from(STRENGTHS["weight_bits"]), values=st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=60)
)
def test_a_rounded_weight_is_within_half_a_step_of_at_most_so_many_values(bits, values):
    weight = torch.tensor(values, dtype=torch.float32)
    found, most = rounded(weight, int(bits)), float(weight.abs().max())
    step = most / (2 ** (int(bits) - 1) - 1)
    assert (found - weight).abs().max() <= step / 2 * (1 + 1e-5) + 1e-12
    assert len(set(found.tolist())) <= 2 ** int(bits) - 1
    assert torch.all(found[weight == 0] == 0)
    assert float(found.abs().max()) == pytest.approx(most, rel=1e-6)


def test_weights_of_convolutions_alone_are_rounded_and_come_back(tmp_path):
    network = trained(bundle_of(tmp_path))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with rounded_weights(network, 2):
        during = {name: value.clone() for name, value in network.state_dict().items()}
    changed = {name for name, value in before.items() if not torch.equal(value, during[name])}
    assert changed == {name for name in before if name.endswith("conv.weight")}
    assert all(len(during[name].unique()) <= 3 for name in changed)  # 2 bits: -s, 0, s
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_it_is_kept_beside_the_bundle_and_is_of_those_weights_alone(tmp_path):
    bundle = bundle_of(tmp_path)
    assert kept(bundle) is None
    found = measure(bundle, TESTED, n=2)
    keep(bundle, found)
    assert kept(bundle) == found and FILE not in [entry.name for entry in bundle.files()]
    keep(bundle, found.model_copy(update={"weights_sha256": "cd" * 32}))
    assert kept(bundle) is None  # measured of another network
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(BundleCorrupt, match=FILE):
        kept(bundle)


def test_the_command_prints_what_it_leaves_beside_the_bundle_whose_manifest_stands(tmp_path):
    bundle = made(tmp_path)
    n = len(DIGITS.test_labels)
    labels = DIGITS.test_labels.astype(np.int64)
    classes = [str(digit) for digit in range(10)]
    outputs = np.zeros((n, 3, 10), np.float32)
    bundle.write_predictions(Predictions(index=np.arange(n), label=labels, outputs=outputs, classes=classes))
    for name in FILES:
        if not (tmp_path / name).exists():
            bundle.write_json(name, {})  # a measurement reads none of these
    bundle.seal()
    done = called("bundle", "robustness", str(tmp_path), "--images", "4", "--seed", "7", "--json")
    assert done.returncode == 0, done.stderr
    shown, found = json.loads(done.stdout), kept(bundle)
    assert (found.n, found.n_test, found.seed) == (4, n, 7)
    assert shown == priced(found, *PRICES).model_dump(mode="json")
    bundle.verify()
    people = called("bundle", "robustness", str(tmp_path), "--images", "1")
    assert (
        people.stdout.count("Blur  ") == 5
        and "σ 0.04 " in people.stdout
        and "n = 1 test images of 360" in people.stdout
    )
    missing = called("bundle", "robustness", str(tmp_path), "--images", "0")
    assert missing.returncode == 2


def test_figures_that_contradict_each_other_are_refused(tmp_path):
    found = measure(bundle_of(tmp_path), TESTED, n=2)
    whole = found.model_dump(mode="json")
    for change in ({"n": 3}, {"undisturbed": whole["undisturbed"] | {"correct": 3}}, {"points": [whole["points"][0] | {"gained": 2}]}):  # fmt: skip
        with pytest.raises(ValidationError):
            Robustness.model_validate(whole | change)


def test_the_interval_is_wilson_s():
    # 8 of 10: (0.8 + 0.19207 -+ 1.95996 sqrt(0.016 + 0.0096036)) / 1.384146
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == pytest.approx(1.0) and wilson(10, 10)[0] < 0.8
