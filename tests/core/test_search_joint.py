"""A search over bits and time steps: its config, its arithmetic, its gradients, and a run that is stopped and goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from training import configs, go, numbers, stop_at

from core.bundle import Bundle
from core.compression import plan_size
from core.engine.compress import quantised
from core.engine.losses import cross_entropy_of_prefixes
from core.engine.network import Network
from core.engine.objective import Objective
from core.errors import BadValue, BundleCorrupt, Interrupted
from core.recipes.build import command, override, plan_of
from core.schemas.base import digest
from core.schemas.search import MEETS, NO_SEARCH, SearchConfig
from core.search_costs import Costs, costs_of, decode, with_bits

#: 3 steps an epoch: 48 of 96 images teach the weights, 48 the architecture.
SMALL = {"train_limit": 96, "batch_size": 16, "max_epochs": 2, "time_steps": 2}
JOINT = {**SMALL, "search.what": "bits+steps", "compression.keep": 0.2}
config = configs(**SMALL)
joint = configs(**JOINT)


def test_a_run_that_searches_nothing_has_the_hash_it_always_had() -> None:
    plain = config()
    assert plain.search == NO_SEARCH and "search" not in plain.identity()
    assert override(plain, {"search.size_kb": 30}).search == NO_SEARCH  # of which nothing is done
    assert plain.config_hash == digest({k: v for k, v in plain.identity().items() if k != "search"})
    assert joint().config_hash != config(**{"compression.keep": 0.2}).config_hash
    assert (
        joint("cnn").config_hash
        == config("cnn", **{"compression.keep": 0.2, "select": "last", "patience": None}).config_hash
    )
    assert (joint().training.select, joint().training.patience) == ("last", None)
    assert "--set search.what=bits+steps" in command(joint())


@pytest.mark.parametrize(
    ("overrides", "field", "expected"),
    [
        ({"search.what": "bit"}, "search.what", "one of 'nothing', 'bits'"),
        ({"search.candidates": "1,9"}, "search.candidates", "from 1 to 8"),
        ({"search.candidates": "0,2"}, "search.candidates", "from 1 to 8"),
        ({"search.candidates": "4,2"}, "search.candidates", "rising"),
        ({"search.candidates": "2"}, "search.candidates", "at least two"),
        ({"search.size_kb": 3}, "search.size_kb", "at least 5.159"),
        ({"search.what": "steps", "search.size_kb": 30}, "search.size_kb", "null unless bits are searched"),
        ({"search.what": "cell"}, "search.what", "cells are litesnn's, not squeezenet's"),
        ({"time_steps": 1}, "time_steps", "at least 2"),
        ({"patience": 3}, "training.patience", "null in a search"),
        ({"select": "best"}, "training.select", "last in a search"),
        ({"loss": "tet"}, "training.loss", "mean in a search"),
        ({"compression.block_bits": "F9:2"}, "compression.block_bits", "empty where they are searched"),
        ({"neuron.model": "count", "neuron.reset": "soft"}, "neuron.model", "in a search"),
        ({"search.held_out": 0.01}, "search.held_out", "leaves both parts of 96 training images a batch of 16"),
    ],
)
def test_what_cannot_be_searched_is_refused(overrides: dict, field: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(BadValue) as refused:
        go(joint(**overrides), tmp_path / "run")
    assert refused.value.fields["field"] == field
    assert expected in refused.value.message


def test_the_smallest_network_of_a_search_is_that_of_the_fewest_bits() -> None:
    wanted = joint()
    plan, least = plan_of(wanted), plan_size(plan_of(wanted), with_bits(wanted, "F9:1"))
    assert costs_of(plan, wanted).size_kb(np.array([1])) == pytest.approx(least.kept_bytes / 1000, abs=1e-3)
    for reading in ("bitmap", "entropy"):
        read = override(wanted, {"search.size_as": reading})
        size = plan_size(plan, with_bits(wanted, "F9:4"))
        assert costs_of(plan, read).size_kb(np.array([4])) == pytest.approx(
            getattr(size, f"{reading}_bytes") / 1000, abs=1e-3
        )


#: Two blocks of 1000 and 3000 weights, 800 bits besides; operations of a step at rate 1; one layer each, one fixed.
TWO = Costs(
    candidates=(1, 2, 4),
    blocks=("A", "B"),
    layers=("stem", "A.conv", "B.conv"),
    once_L=np.array([True, False, False]),
    fixed_bits=800.0,
    kept_B=np.array([1000.0, 3000.0]),
    fixed_L=np.array([4e6, 0.0, 0.0]),
    ops_BL=np.array([[0.0, 1e6, 0.0], [0.0, 0.0, 2e6]]),
)
RATES = np.array([[1.0, 0.0], [0.5, 0.25], [0.1, 0.1]])


def test_costs_by_hand() -> None:
    bits = np.array([4, 2])
    assert TWO.size_kb(bits) == (800 + 4 * 1000 + 2 * 3000) / 8000
    # step 1: the stem's 4 M, A's 4 x 0.5 M, B's 2 x 0.2 M; step 2: A's 4 x 0.25 M and B's 2 x 0.2 M more
    assert TWO.bit_synops(bits, RATES).tolist() == pytest.approx([6.4e6, 7.8e6])


@pytest.mark.parametrize(
    ("budgets", "bits", "steps"),
    [
        ({}, "A:4,B:4", 2),
        ({"size_kb": 1.2}, "A:4,B:1", 2),  # (800 + 4000 + 3000) / 8000 = 0.975; with B at 2 bits 1.35
        (
            {"bit_synops_m": 6.5},
            "A:2,B:2",
            2,
        ),  # 4 + 2 x 0.75 + 2 x 0.4 = 6.3 M; probability 0.7 x 0.3 x 0.3, of 4 and 2 bits at T = 1 0.054
        ({"size_kb": 0.6, "bit_synops_m": 5.2}, "A:1,B:1", 2),
        ({"size_kb": 0.6, "bit_synops_m": 4.0}, "A:1,B:1", 1),  # missed: the stem alone is 4 M
    ],
)
def test_what_is_decoded_is_the_most_probable_within_the_budget(budgets: dict, bits: str, steps: int) -> None:
    search = SearchConfig(what="bits+steps", **budgets)
    p = np.array([[0.1, 0.3, 0.6], [0.2, 0.3, 0.5]])
    found = decode(TWO, search, rates_LT=RATES, p_BC=p, q_T=np.array([0.3, 0.7]))
    assert (found.block_bits, found.time_steps) == (bits, steps)
    over = {name for name, value in budgets.items() if getattr(found, name) > MEETS * value}
    assert set(found.missed) == over == ({"bit_synops_m"} if budgets.get("bit_synops_m") == 4.0 else set())


def test_what_is_left_of_a_budget_is_spent_unless_fewer_bits_are_clearly_better() -> None:
    search = SearchConfig(what="bits", size_kb=2.2)  # all 4 bits are 2.1 kB; 3 bits of A 0.17 budgets, worth 0.51 nats
    for first, bits in (((0.4, 0.35, 0.25), "A:4,B:4"), ((0.99, 0.005, 0.005), "A:1,B:4")):  # log 0.4 / 0.25 = 0.47
        p = np.array([first, (0.4, 0.35, 0.25)])
        assert decode(TWO, search, rates_LT=RATES, p_BC=p, q_T=None).block_bits == bits
    p = np.array([(0.3, 0.25, 0.45), (0.3, 0.25, 0.45)])  # at no price 2 bits are the best of a block
    found = decode(TWO, search.model_copy(update={"size_kb": 1.4}), rates_LT=RATES, p_BC=p, q_T=None)
    assert (found.block_bits, found.size_kb) == ("A:4,B:2", 1.35)


def test_the_loss_of_prefixes_by_hand() -> None:
    outputs, labels = torch.randn(2, 5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])
    losses = cross_entropy_of_prefixes(outputs, labels)
    assert losses[0] == F.cross_entropy(outputs[0], labels)
    assert losses[1] == pytest.approx(float(F.cross_entropy((outputs[0] + outputs[1]) / 2, labels)))
    psi = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    q = psi.softmax(0)
    (q @ losses).backward()
    q = q.detach()
    assert torch.allclose(psi.grad, q * (losses - q @ losses))  # dL/dpsi_t = q_t (L_t - sum_s q_s L_s)


def test_a_mixture_in_training_the_chosen_bits_in_evaluation() -> None:
    network = Network(plan_of(joint()), joint()).train()
    layer, searched = network.get_submodule("F9.squeeze.conv"), network.searched
    with torch.no_grad():
        searched.betas.copy_(torch.tensor([[1.0, 0.0, -1.0]]))
    p = searched.betas.softmax(1)[0]
    kernel, mask = layer.kernel(), layer.mask()
    each = [quantised(layer.weight.detach(), b) for b in (1, 2, 4)]
    assert torch.allclose(kernel, mask * sum(share * level for share, level in zip(p, each, strict=True)))
    onwards = torch.randn_like(kernel)
    by_weight, by_beta = torch.autograd.grad(kernel, [layer.weight, searched.betas], onwards)
    assert torch.allclose(by_weight, onwards * mask)  # straight through, and p sums to 1
    pull = torch.stack([(onwards * mask * level).sum() for level in each])
    assert torch.allclose(by_beta[0], p * (pull - p @ pull), rtol=1e-4, atol=1e-5)
    network.eval()
    with torch.no_grad():
        assert torch.equal(layer.kernel(), mask * each[2])
        searched.chosen.fill_(1)
        assert torch.equal(layer.kernel(), mask * each[0])
        with searched.decided():
            assert torch.equal(network.train().get_submodule("F9.squeeze.conv").kernel(), mask * each[0])
        assert not torch.equal(network.train().get_submodule("F9.squeeze.conv").kernel(), mask * each[0])
    assert network.compression.block_bits == "F9:1"


def test_the_weights_learn_from_prefixes_weighed_by_q() -> None:
    wanted = joint(**{"search.what": "steps"})
    network = Network(plan_of(wanted), wanted).train()
    with torch.no_grad():
        network.searched.psi.copy_(torch.tensor([0.5, -0.5]))
    labels = torch.tensor([0, 1, 2, 3])
    step = Objective(network, wanted)(torch.randn(4, 3, 16, 16), labels)
    q = network.searched.steps()
    assert float(step.loss.detach()) == pytest.approx(
        float(q.detach() @ cross_entropy_of_prefixes(step.outputs_TNC.detach(), labels)), rel=1e-5
    )
    step.loss.backward()
    assert network.searched.psi.grad is None  # a step of the weights leaves it


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Bundle:
    home = tmp_path_factory.mktemp("search")
    go(joint(**{"search.size_kb": 9}), home / "whole")
    return Bundle(home / "whole")


def test_a_search_leaves_its_course_and_what_it_found(searched) -> None:
    found, summary = searched.search(), searched.summary()
    assert (summary.n_train, found.n_held_out, found.blocks) == (48, 48, ["F9"])
    assert [epoch.epoch for epoch in found.epochs] == [1, 2]
    last = found.epochs[-1]
    assert set(last.terms) == {"cross_entropy", "size", "bit_synops"}
    assert last.terms["bit_synops"] > 0 and sum(last.shares.values()) == pytest.approx(1)
    assert last.bits[0] != [1 / 3] * 3 and last.steps != [0.5, 0.5]
    assert last.decoded.budgets["size_kb"].is_met and last.decoded.size_kb <= 9
    (chosen,) = last.decoded.block_bits.split(":")[1:]
    counted = {layer.name: layer.weight_bits for layer in searched.counts().layers}
    assert counted["F9.squeeze.conv"] == int(chosen) and counted["stem.conv"] == 4
    assert summary.best_epoch == 2  # the last, whatever the accuracies


def test_a_stopped_search_ends_as_if_it_had_not_been(searched, tmp_path) -> None:
    wanted = searched.config()
    for look in (2, 3, 4):  # within the first epoch, at its validation, within the second
        with pytest.raises(Interrupted):
            go(wanted, tmp_path / "run", should_stop=stop_at(look))
    events = go(wanted, tmp_path / "run", retell=True)[1]
    resumed = Bundle(tmp_path / "run")
    assert resumed.search() == searched.search()  # psi, bits, terms and prices
    assert numbers(tmp_path / "run") == numbers(searched.path)
    assert [e.search for e in events if e.type == "epoch"] == searched.search().epochs


def test_as_released_both_learn_from_the_same_images(tmp_path) -> None:
    go(joint(**{"search.as_released": True, "max_epochs": 1}), tmp_path / "run")
    found = Bundle(tmp_path / "run").search()
    assert found.n_held_out == 0 and Bundle(tmp_path / "run").summary().n_train == 48


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda found: found["epochs"].pop(), "the number of epochs"),
        (lambda found: found["epochs"][0]["bits"][0].__setitem__(0, 0.9), "probabilities, 1 in sum"),
        (lambda found: found["epochs"][1]["decoded"].update(block_bits="F9:3"), "1, 2, 4 bits"),
        (lambda found: found["epochs"][1]["decoded"].update(time_steps=3), "from 1 to 2"),
        (lambda found: found.update(blocks=["F8"]), "as in config.json"),
        (lambda found: found["search"].update(what="bits"), "as in config.json"),
    ],
)
def test_a_course_that_is_not_the_runs_is_refused(searched, tmp_path, edit, why: str) -> None:
    content = json.loads(searched.read("search.json"))
    edit(content)
    for entry in searched.files():
        (tmp_path / entry.name).write_bytes(searched.read(entry.name))
    (tmp_path / "search.json").write_text(json.dumps(content))
    (tmp_path / "manifest.json").write_bytes(searched.read("manifest.json"))
    with pytest.raises(BundleCorrupt) as refused:
        Bundle(tmp_path).search()
    assert why in refused.value.message
