"""What differs in the configs of compared runs, as a table."""

from __future__ import annotations

from core.recipes.build import build_config
from core.report.tables import config_differences
from core.schemas.compare import ComparedRun, Comparison
from core.schemas.request import RunRequest


def compared(
    place: int, *, kind: str = "snn", n_train: int = 1000, digest: str | None = "", **overrides
) -> ComparedRun:
    config = build_config(RunRequest(kind=kind, mask="Ref-1", dataset="digits", recipe="smoke", overrides=overrides))
    return ComparedRun.model_construct(
        id=f"run-{place}", label="SNN-SqueezeNet Ref-1", kind=config.kind, mask_name="Ref-1", config=config,
        n_train=n_train, n_test=360, dataset_complete=True, data_digest=digest,
    )  # fmt: skip


def table_of(*runs: ComparedRun) -> dict[str, list[str]]:
    return dict(config_differences.rows(Comparison.model_construct(runs=list(runs))))


def test_only_what_differs_is_in_the_table_the_images_too():
    found = table_of(
        compared(1),
        compared(2, n_train=300, **{"training.max_epochs": 2, "training.train_limit": 300, "neuron.tau": 4.0}),
    )
    assert found["Epochs"][1] == "2" and found["tau"][1] == "4"
    assert found["Training images"] == ["all", "300 at most"] and found["Images trained on"] == ["1,000", "300"]
    assert not {"Network", "Seed", "Recipe", "Test images", "Images there"} & set(found)


def test_equal_configs_have_no_table():
    runs = Comparison.model_construct(runs=[compared(1), compared(2)])
    assert config_differences.rows(runs) == [] and config_differences.html(runs) == ""


def test_other_images_under_the_same_name_are_told_apart():
    assert table_of(compared(1), compared(2, digest="ab" * 32)) == {
        "Images there": ["the published set", "digest abababababab"]
    }


def test_a_cnn_has_no_time_steps_to_differ_in():
    found = table_of(compared(1, time_steps=8), compared(2, kind="cnn"))
    assert found["Network"] == ["SNN", "CNN"] and found["Time steps T"] == ["8", "–"]


def test_of_twins_no_field_is_told_that_only_the_spiking_one_has():
    twins = [compared(1), compared(2, kind="cnn")]
    assert set(table_of(*twins)) == {"Network", "Time steps T"}
    assert "left out" in config_differences.note(Comparison.model_construct(runs=twins))
    other = compared(3, **{"neuron.tau": 4.0})
    assert table_of(*twins, other)["tau"][2] == "4"  # the spiking ones differ in it
    assert config_differences.note(Comparison.model_construct(runs=[compared(1), other])) == ""


def test_what_a_config_holds_is_text_in_the_table():
    run = compared(2)
    named = run.model_copy(update={"config": run.config.model_copy(update={"recipe": "<script>"})})
    assert "<script>" not in config_differences.html(Comparison.model_construct(runs=[compared(1), named]))
