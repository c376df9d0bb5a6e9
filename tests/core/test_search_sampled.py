"""The trials of a study: ranges and choices as configs, decided by the seed and the results."""

import pytest

from core.errors import BadValue
from core.schemas.request import RunRequest
from core.schemas.sweep import Study, SweepRequest
from core.search.sampled import FIRST_AT_RANDOM, Ended, propose

BASE = RunRequest(mask="F9", overrides={"max_epochs": 1})
RATES = {"training.lr": ["1e-4:1e-2:log"], "time_steps": ["2:6"], "neuron.surrogate": ["atan", "sigmoid"]}


def study(axes: dict, **study: object) -> SweepRequest:
    return SweepRequest(name="study", base=BASE, axes=axes, study=Study(**{"trials": 12} | study))


def test_every_trial_is_of_its_range_and_of_the_seed() -> None:
    points, asked = propose(study(RATES), n=12)
    assert len(points) == 12 == len({point.config.config_hash for point in points})
    for point, given in zip(points, asked, strict=True):
        config = point.config
        assert 1e-4 <= config.training.lr <= 1e-2 and config.training.lr == given["training.lr"]
        assert 2 <= config.time_steps <= 6 and isinstance(given["time_steps"], int)
        assert config.neuron.surrogate == given["neuron.surrogate"] and config.training.max_epochs == 1
    assert {point.config.neuron.surrogate for point in points} == {"atan", "sigmoid"}
    assert propose(study(RATES), n=12)[1] == asked
    assert propose(study(RATES, seed=1), n=12)[1] != asked


def test_blocks_are_chosen_one_by_one_and_nothing_twice() -> None:
    points, asked = propose(study({"mask": ["any"], "kind": ["snn", "cnn"]}), n=12)
    assert all(given["keep.F9"] == ("F9" in point.config.mask) for point, given in zip(points, asked, strict=True))
    assert len({point.config.mask for point in points}) > 4
    few = study({"neuron.surrogate": ["atan", "sigmoid"]})
    assert len(propose(few, n=12)[0]) == 2  # there are no more
    after = few.model_copy(update={"study": few.study.model_copy(update={"asked": ({"neuron.surrogate": "atan"},)})})
    assert propose(after, n=12)[1] == [{"neuron.surrogate": "sigmoid"}]


def test_results_guide_a_pareto_study_and_no_random_one() -> None:
    """T at 2 is best in both: a study that has seen it asks for small T."""
    space = {"time_steps": ["2:64"], "training.lr": ["1e-4:1e-2:log"]}
    seen = tuple({"time_steps": t, "training.lr": 1e-3 + t * 1e-6} for t in range(4, 64, 3))
    ended = [Ended(asked=one, found=(1 - one["time_steps"] / 64, 1e6 * one["time_steps"])) for one in seen]
    ended.append(Ended(asked={"time_steps": 3, "training.lr": 1e-3}, found=None))  # it failed
    assert len(ended) > FIRST_AT_RANDOM
    means = {}
    for sampler in ("random", "pareto"):
        asked = propose(study(space, sampler=sampler, trials=64, asked=seen), ended, n=8)[1]
        means[sampler] = sum(one["time_steps"] for one in asked) / 8
    assert means["pareto"] < means["random"] / 2


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"training.lr": ["1:x"]}, "training.lr"),
        ({"training.lr": ["1e-2:1e-4"]}, "below its high end"),
        ({"training.lr": ["0.1:99"]}, "training.lr is 99"),
        ({"time_steps": ["0:4"]}, "time_steps is 0"),
    ],
)
def test_a_range_that_no_run_can_take_is_refused(axes: dict, expected: str) -> None:
    with pytest.raises(BadValue) as refused:
        propose(study(axes), n=2)
    assert expected in refused.value.message
