"""A search on disk: it goes on where it stopped, trains nothing twice, and Optuna itself can read it."""

import optuna
import pytest
from optuna.trial import TrialState

from core.bundle import Bundle
from core.errors import BadValue, BundleBusy, DatasetMissing, Interrupted, NonFiniteLoss, NotFound, UnknownName
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import Counts, LayerCounts, Summary
from core.search.space import PAPER_SPACE, Choice, Range, changed, read, read_toml
from core.search.study import Search, ended, open_study, outcomes, search

BASE = build_config(RunRequest(dataset="digits", mask="Ref-1"))


def wanted(**changes) -> Search:
    settings = {
        "base": BASE, "space": PAPER_SPACE[:2], "masks": False, "sampler": "nsga2", "seed": 1, "population": 4,
        "mode": "exact", "profile": "horowitz-45nm",
    }  # fmt: skip
    return Search(**(settings | changes))


class Trainer:
    """Stands in for a training: its accuracy and its operations follow from the config alone."""

    def __init__(self, errors=()):
        self.trained = []
        self.errors = dict(errors)  # call -> what it raises

    def __call__(self, config, out):
        bundle = Bundle(out)
        if bundle.complete:
            return bundle.summary()
        self.trained.append(config)
        if (error := self.errors.get(len(self.trained))) is not None:
            raise error
        layer = LayerCounts(
            name="l", kind="conv", output_shape=(1, 1, 1), input_is_spikes=True, ac=(1000 * len(config.mask),)
        )
        bundle.write_model("counts.json", Counts(kind="snn", time_steps=1, n_samples=1, layers=(layer,)))
        summary = Summary(
            accuracy=0.0, f1_macro=0.0, params=len(config.mask), acs=0, macs=0, energy_pj=0, mode="exact",
            profile="horowitz-45nm", firing_rate=0.1, seed=config.seed, dataset="digits", dataset_complete=True,
            kind="snn", backbone="squeezenet", mask=config.mask, recipe="smoke", time_steps=4, n_train=1,
            n_train_available=1, n_validation=1, n_test=1, best_epoch=1,
            best_validation_accuracy=min(1.0, len(config.mask) / 10 + config.neuron.tau / 100), epochs_run=1,
            train_wall_s=1, train_images_per_s=1, evaluate_wall_s=1, device="cpu", config_hash=config.config_hash,
        )  # fmt: skip
        bundle.write_model("summary.json", summary)
        bundle.write_json("manifest.json", {})  # its being there says that the run has ended
        return summary


def chosen(folder):
    return [row.chosen for row in outcomes(open_study(folder)[0])]


def test_each_trial_maximises_validation_accuracy_and_minimises_energy(tmp_path):
    trainer = Trainer()
    search(wanted(masks=True, space=PAPER_SPACE), folder=tmp_path, trials=4, train=trainer)
    rows = outcomes(open_study(tmp_path)[0])
    assert len(rows) == len(trainer.trained) == 4
    for row, config in zip(rows, trainer.trained, strict=True):
        assert row.energy_pj == pytest.approx(1000 * len(config.mask) * 0.9)  # ACs at 0.9 pJ
        assert row.validation_accuracy == pytest.approx(len(config.mask) / 10 + config.neuron.tau / 100)
        assert (tuple(row.mask), row.config_hash) == (config.mask, config.config_hash)
        assert row.bundle == f"runs/{config.config_hash[:12]}" and (tmp_path / row.bundle / "counts.json").exists()
    for row in (row for row in rows if row.on_front):
        assert not any(o.energy_pj <= row.energy_pj and o.validation_accuracy > row.validation_accuracy for o in rows)


def test_an_equal_config_is_trained_once_and_read_from_its_bundle_again(tmp_path):
    trainer = Trainer()
    one_point = wanted(space=(Choice(field="neuron.tau", values=(1.5,)),), sampler="random")
    search(one_point, folder=tmp_path, trials=3, train=trainer)
    rows = outcomes(open_study(tmp_path)[0])
    assert len(rows) == 3 and len(trainer.trained) == 1
    assert {(row.bundle, row.validation_accuracy, row.reason) for row in rows} == {(rows[0].bundle, 0.4 + 0.015, None)}


@pytest.mark.parametrize("name", ["C# lab", "what?", "%23"])
def test_a_search_lies_in_the_folder_of_that_name(tmp_path, name):
    search(wanted(), folder=tmp_path / name, trials=1, train=Trainer())
    assert len(chosen(tmp_path / name)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_optunas_own_tools_open_the_storage(tmp_path):
    search(wanted(), folder=tmp_path, trials=2, train=Trainer())
    study = optuna.load_study(study_name="spikefront", storage=f"sqlite:///{tmp_path / 'optuna.db'}")
    assert len(study.trials) == 2 and len(study.best_trials) >= 1
    assert study.metric_names == ["validation accuracy", "energy in pJ, exact, horowitz-45nm"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]


@pytest.mark.parametrize("sampler", ["random", "nsga2", "tpe"])
def test_a_search_that_was_stopped_chooses_what_an_unbroken_one_chooses(tmp_path, sampler):
    plan = wanted(sampler=sampler, population=2)
    search(plan, folder=tmp_path / "whole", trials=6, train=Trainer())
    with pytest.raises(Interrupted):
        search(plan, folder=tmp_path / "broken", trials=6, train=Trainer({4: Interrupted(epoch=1, step=1)}))
    assert len(chosen(tmp_path / "broken")) == 3
    again = Trainer()
    search(plan, folder=tmp_path / "broken", trials=6, train=again)
    assert chosen(tmp_path / "broken") == chosen(tmp_path / "whole")
    assert len(again.trained) <= 3  # the interrupted one and the two after it


def test_a_trial_of_a_killed_process_is_run_first(tmp_path):
    search(wanted(), folder=tmp_path, trials=1, train=Trainer())
    study, _ = open_study(tmp_path)
    left = study.ask()
    for dimension in PAPER_SPACE[:1]:
        left.suggest_float(dimension.field, dimension.low, dimension.high, log=dimension.log)
    lr = left.params["training.lr"]  # and here the process was killed
    trainer = Trainer()
    search(wanted(), folder=tmp_path, trials=2, train=trainer)
    assert [config.training.lr for config in trainer.trained] == [lr]
    assert len(ended(study)) == 2 and not study.get_trials(states=(TrialState.RUNNING,))


def test_the_same_command_again_does_nothing_more(tmp_path):
    search(wanted(), folder=tmp_path, trials=3, train=Trainer())
    again = Trainer()
    search(wanted(), folder=tmp_path, trials=3, train=again)
    assert again.trained == [] and len(chosen(tmp_path)) == 3


def test_a_run_that_fails_is_a_failed_trial_with_its_reason_and_is_not_tried_again(tmp_path):
    one_point = wanted(masks=False, space=(Choice(field="neuron.tau", values=(1.5,)),), sampler="random")
    trainer = Trainer({1: NonFiniteLoss(epoch=2, step=3, loss="nan", term="cross-entropy")})
    search(one_point, folder=tmp_path, trials=3, train=trainer)
    rows = outcomes(open_study(tmp_path)[0])
    assert len(trainer.trained) == 1  # the other two trials have an equal config
    assert all(row.reason.startswith("non-finite-loss: The loss became nan at epoch 2, step 3") for row in rows)
    assert all(row.validation_accuracy is None and not row.on_front for row in rows)


def test_a_mask_of_nothing_is_a_failed_trial(tmp_path):
    trainer = Trainer()
    study = wanted(space=(), masks=True)
    search(study, folder=tmp_path, trials=1, train=trainer)
    opened, _ = open_study(tmp_path)
    opened.enqueue_trial({f"keep.{block}": False for block in ("F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9")})
    search(study, folder=tmp_path, trials=2, train=trainer)
    assert outcomes(opened)[1].reason.startswith("impossible-mask: ") and len(trainer.trained) == 1


def test_what_would_fail_every_trial_ends_the_search(tmp_path):
    with pytest.raises(DatasetMissing):
        search(wanted(), folder=tmp_path, trials=3, train=Trainer({1: DatasetMissing(name="x", folder="y", how="z")}))
    assert chosen(tmp_path) == []


def test_a_folder_holds_one_search(tmp_path):
    search(wanted(), folder=tmp_path, trials=1, train=Trainer())
    with pytest.raises(BadValue, match="differs in seed, mode"):
        search(wanted(mode="paper", seed=2), folder=tmp_path, trials=1, train=Trainer())
    with pytest.raises(NotFound):
        open_study(tmp_path / "nothing")


def test_two_searches_at_once_in_a_folder_are_refused(tmp_path):
    def intrude(config, out):
        with pytest.raises(BundleBusy):
            search(wanted(), folder=tmp_path, trials=2, train=Trainer())
        return Trainer()(config, out)

    search(wanted(), folder=tmp_path, trials=1, train=intrude)
    assert len(chosen(tmp_path)) == 1


# The space


def test_every_end_of_the_papers_space_is_a_valid_config():
    fields = {dimension.field for dimension in changed(PAPER_SPACE, [], BASE)}
    assert fields == {"training.lr", "neuron.tau", "neuron.v_threshold", "neuron.surrogate"}


def test_a_dimension_is_read_as_it_is_written():
    assert read("tau=1.1:2") == Range(field="tau", low=1.1, high=2)
    assert read("lr = 1e-4 : 1e-2 : log") == Range(field="lr", low=1e-4, high=1e-2, log=True)
    assert read("time_steps=2,4") == Choice(field="time_steps", values=(2, 4))
    assert read("reset=hard,soft").values == ("hard", "soft")


def test_a_short_name_replaces_the_same_dimension_and_a_new_one_is_added():
    space = {d.field: d for d in changed(PAPER_SPACE, ["lr=1e-3:2e-3", "time_steps=2:8"], BASE)}
    assert space["training.lr"].high == 2e-3 and space["time_steps"].high == 8 and len(space) == 5


@pytest.mark.parametrize(
    "text", ["tau", "tau=", "=1:2", "tau=2:1", "tau=a:b", "tau=1.1:2:lin", "lr=0:1:log", "tau=0.5:2", "tau=1.1:nan"]
)
def test_a_dimension_that_cannot_be_is_refused(text):
    with pytest.raises(BadValue):
        changed(PAPER_SPACE, [text], BASE)


def test_an_unknown_field_suggests_near_ones():
    with pytest.raises(UnknownName, match="v_threshold"):
        changed((), ["v_treshold=1:2"], BASE)


def test_a_space_is_read_from_a_file(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text(
        '[space]\n"training.lr" = {low = 1e-4, high = 1e-3, log = true}\n"neuron.reset" = ["hard", "soft"]\n'
    )
    assert read_toml(file) == (
        Range(field="training.lr", low=1e-4, high=1e-3, log=True),
        Choice(field="neuron.reset", values=("hard", "soft")),
    )
    for wrong in ("", "[space]", "[space\n", "[space]\nlr = 3\n", "[space]\nlr = {low = 1}\n", "[space]\nlr = []\n"):
        file.write_text(wrong)
        with pytest.raises(BadValue):
            read_toml(file)
    with pytest.raises(BadValue):
        read_toml(tmp_path / "missing.toml")
