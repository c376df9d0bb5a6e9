"""Names by place: what stands for ids in a link, and what is left of a profile that its maker wrote."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from safetensors.numpy import load, save

from backend.shares.blind import OWN_PROFILE, names, renamed, renamed_plot, without_metadata, without_own_profile
from core.energy.profiles import shipped_profiles
from core.errors import NotFound
from core.report.charts.axes import group_of
from core.schemas.pareto import Pareto, ParetoPoint

IDS = [f"{place:016x}" for place in range(0xA0, 0xA0 + 12)]
SWEEPS = [f"{place:02x}00000000000000" for place in (9, 3, 200, 17, 5, 6, 7, 8, 10, 11, 12, 13)]


def point(place: int, **changes: object) -> ParetoPoint:
    fields = {
        "run_id": IDS[place], "label": "SNN-SqueezeNet F9", "backbone": "squeezenet", "kind": "snn", "mask": ("F9",),
        "mask_name": None, "dataset": "digits", "recipe": "smoke", "seed": 0, "accuracy": 0.5, "f1_macro": 0.4,
        "params": 10, "acs": 10.0, "macs": 5.0, "energy_pj": 2e6, "firing_rate": 0.1, "time_steps": 4, "n_train": 32,
        "n_test": 360, "dataset_complete": True, "on_front": True, "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
        "tags": ["mallory"], "sweep_ids": ["0" * 16, SWEEPS[place]], "repeat": f"{place % 2:016x}", "twin": "f" * 16,
    } | changes  # fmt: skip
    return ParetoPoint(**fields)


def plot(*points: ParetoPoint) -> Pareto:
    return Pareto(dataset="digits", mode="exact", profile="p", points=list(points), front=[IDS[0]], published=[])


def test_numbers_of_sweeps_keep_the_order_of_their_names_so_that_each_keeps_its_colour() -> None:
    found = plot(*(point(place) for place in range(12)))
    shown = renamed_plot(found, with_sweeps=True).points
    was, now = ([group_of(one, "sweep") for one in points] for points in (found.points, shown))
    assert np.argsort(was).tolist() == np.argsort(now).tolist()
    assert not [name for name in now if any(sweep[:8] in name for sweep in SWEEPS)]
    assert group_of(renamed_plot(plot(point(0, sweep_ids=[])), with_sweeps=True).points[0], "sweep") == "in no sweep"


def test_without_them_no_sweep_and_never_a_tag_is_left() -> None:
    (one,) = renamed_plot(plot(point(0)), with_sweeps=False).points
    assert (one.run_id, one.tags, one.sweep_ids) == ("run-1", [], [])


def test_what_is_alike_stays_alike_under_another_name() -> None:
    shown = renamed_plot(plot(*(point(place) for place in range(4))), with_sweeps=False)
    repeats = [one.repeat for one in shown.points]
    assert repeats[0] == repeats[2] != repeats[1] == repeats[3]
    assert shown.front == ["run-1"] and not any(run_id in shown.model_dump_json() for run_id in IDS)


def test_a_run_that_was_not_shared_has_no_name() -> None:
    with pytest.raises(NotFound, match=IDS[1]):
        bare = {"sweep_ids": [], "repeat": "", "twin": ""}
        renamed(Pareto, plot(point(0, **bare), point(1, **bare)), names([IDS[0]]))


def test_of_a_profile_of_ones_own_the_prices_stay_and_the_words_go() -> None:
    shipped = shipped_profiles()
    info = shipped["loihi"].model_dump(mode="json") | {"name": "mine", "title": "Mallory's chip"}
    info["constants"] += [{"name": "mallory-add", "pj": 1.0, "source": "Mallory"}]
    content = {
        "prices": info | {"mac_from": "mallory-host"},
        "plot": {"profile": "mine", "runs": [{"profile": "other"}]},
    }
    left = without_own_profile(content, "mine", known=shipped)
    assert "mallory" not in str(left).lower() and left["prices"]["ac_pj"] == info["ac_pj"]
    assert left["plot"] == {"profile": OWN_PROFILE, "runs": [{"profile": "other"}]}
    assert {one["name"]: one["pj"] for one in left["prices"]["constants"]} == {
        name: constant.pj for name, constant in shipped["loihi"].constants.items()
    }


def test_weights_keep_every_tensor_and_lose_the_text_beside_them() -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3, dtype=np.int64)}
    left = without_metadata(save(tensors, {"by": "mallory"}))
    assert b"mallory" not in left and left == save(tensors)
    assert {name: (one.dtype, one.tolist()) for name, one in load(left).items()} == {
        name: (one.dtype, one.tolist()) for name, one in tensors.items()
    }
