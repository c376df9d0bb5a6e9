"""Suggestions by HTTP: none of too few masks, then untrained masks with reasons, of comparable runs only."""

from __future__ import annotations

import re
import shutil

from core.bundle import Bundle
from core.schemas.suggestion import MaskSuggestions

MASKS = ("F9", "F8,F9", "F2,F9", "F2,F3,F8,F9")


def ask(client, **query: object) -> MaskSuggestions:
    answer = client.get("/api/v1/suggestions", params=query)
    assert answer.status_code == 200, answer.text
    return MaskSuggestions.model_validate_json(answer.content)


def finish(finisher, mask: str, *, accuracy: float, **changes: object) -> None:
    claim = finisher.claimed("snn", mask=mask, **changes)
    shutil.copytree(finisher.trained["snn"], claim.out)
    summary = Bundle(claim.out).summary().model_copy(update={"best_validation_accuracy": accuracy})
    finisher.lifecycle.succeed(claim, summary)


def test_fewer_than_four_masks_give_no_suggestion_and_say_so(finisher, client) -> None:
    found = ask(client)
    assert (found.n_masks, found.needed, found.items, found.base) == (0, 4, [], None)
    for seed in range(4):
        finish(finisher, "F9", accuracy=0.5, seed=seed)  # four runs, one mask
    for mask in MASKS[1:3]:
        finish(finisher, mask, accuracy=0.5)
    finish(finisher, MASKS[3], accuracy=0.9, overrides={"training.max_epochs": 2})  # another recipe in effect
    found = ask(client)
    assert (found.n_runs, found.n_masks, found.items) == (4 + 2, 3, [])
    assert "at least 4 masks" in found.note and "there are 3" in found.note


def test_four_masks_give_untrained_masks_with_reasons_in_one_mode_and_profile(finisher, client) -> None:
    for place, mask in enumerate(MASKS):
        finish(finisher, mask, accuracy=0.5 + 0.1 * place)
    found = ask(client, mode="exact+neuron", n=2)
    assert (found.mode, found.n_runs, found.n_masks, len(found.items)) == ("exact+neuron", 4, 4, 2)
    assert {",".join(item.mask) for item in found.items}.isdisjoint(MASKS)
    assert len({item.mask for item in found.items}) == 2
    assert all("Expected" in item.reason and item.cost_s > 0 and item.gain >= 0 for item in found.items)
    assert "251 masks without a run" in found.note  # 2^8 - 1 masks of 8 blocks, less the four
    assert ask(client, kind="cnn").items == [] and ask(client, dataset="cifar10").items == []
    cheaper = ask(client, mode="exact", n=2).items[0]
    assert cheaper.energy_pj > 0


def test_masks_of_a_network_with_options_are_those_of_that_network(finisher, client) -> None:
    deep = {"architecture.depth": 32, "training.max_epochs": 1}
    for place, mask in enumerate(("Full", "Alt-1", "Alt-2", "R1.5,R3.5")):
        finish(finisher, mask, accuracy=0.5 + 0.1 * place, backbone="msresnet", overrides=deep)
    finish(finisher, "Full", accuracy=0.9, backbone="msresnet", overrides={"training.max_epochs": 1})  # depth 20
    found = ask(client, backbone="msresnet")
    assert found.n_masks == 4 and found.base.architecture.depth == 32 and found.items
    candidates = int(re.search(r"among ([\d,]+) masks", found.note)[1].replace(",", ""))
    assert candidates > 2**7  # of 13 blocks, more than the 7 of depth 20 have masks


def test_an_unknown_name_is_a_problem(client) -> None:
    for query in ({"backbone": "resnet"}, {"definition": "huge"}, {"dataset": "x"}, {"mode": "x"}, {"profile": "x"}):
        answer = client.get("/api/v1/suggestions", params=query)
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown-name"), query
