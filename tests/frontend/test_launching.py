"""The launch form's pure part, and what else pages compute without drawing."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from core.errors import BadValue
from core.schemas.api import Answer, Example, Examples, LayerPreview, Pareto, ParetoPoint, PublishedPoint, RunProgress
from core.schemas.run import Kind
from frontend import launching
from frontend.connection import plain
from frontend.elements import examples, state, tables


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        ("0,1,2", [0, 1, 2]),
        (" 3 , 1 ", [3, 1]),
        ("0-4", [0, 1, 2, 3, 4]),
        ("1,1,0-1", [1, 0]),
        ("2 5;7", [2, 5, 7]),
    ],
)
def test_seeds_are_read_in_the_order_written_and_each_once(text, seeds):
    assert launching.parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", " ", "x", "1.5", "-1", "4-1", "0-999999999", "0-20", "2147483648", "1,,x", "0--3"]
)
def test_other_seeds_are_refused_in_words(text):
    with pytest.raises(BadValue, match="whole numbers such as"):
        launching.parse_seeds(text)


def test_twins_and_seeds_make_one_request_each_twins_side_by_side():
    made = launching.requests(
        backbone="squeezenet", kinds=launching.KINDS["twins"], mask=("F4", "F9"), dataset="digits", recipe="smoke",
        seeds=[5, 6], overrides={"training.lr": " 1e-3 ", "time_steps": "2", "neuron.tau": "  ", "training.train_limit": "null"},
    )  # fmt: skip
    assert [(request.seed, request.kind) for request in made] == [(5, "snn"), (5, "cnn"), (6, "snn"), (6, "cnn")]
    assert made[0].overrides == {"training.lr": 0.001, "time_steps": 2, "training.train_limit": "null"}


def test_the_idempotency_key_follows_form_and_content():
    one, other = launching.requests(
        backbone="squeezenet", kinds=[Kind.SNN, Kind.CNN], mask=("F9",), dataset="digits", recipe="smoke", seeds=[0],
        overrides={},
    )  # fmt: skip
    key = launching.idempotency_key
    assert key("a", one) == key("a", one.model_copy())
    assert len({key("a", one), key("a", other), key("b", one)}) == 3


def layer(name, kind, block, channels, side=8):
    return LayerPreview(name=name, kind=kind, block=block, output_shape=(channels, side, side), params=0, dense_macs=0)


def test_the_row_draws_stem_pools_and_modules_in_order_with_their_channels():
    full = SimpleNamespace(
        layers=[
            layer("stem.conv", "conv", None, 128), layer("stem.bn", "bn", None, 128),
            layer("pool1", "maxpool", None, 128, 4), layer("F2.squeeze.conv", "conv", "F2", 16),
            layer("F2.expand1.conv", "conv", "F2", 64), layer("F2.expand3.conv", "conv", "F2", 64),
            layer("classifier.conv", "conv", None, 10),
        ]
    )  # fmt: skip

    assert [tuple(stage) for stage in launching.stages(full, ("F2",))] == [
        ("stem", False, "128 ch"), ("pool", False, "4×4"), ("F2", True, "128 ch"),  # 64 + 64 expanded
        ("classifier", False, "10 ch"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("progress", "share"),
    [
        (RunProgress(phase="waiting"), 0.0),
        (RunProgress(phase="training", epoch=1, max_epochs=4, step=0, steps=10), 0.0),
        (RunProgress(phase="training", epoch=3, max_epochs=4, step=5, steps=10), (2 + 0.5) / 4),
        (RunProgress(phase="validating", epoch=3, max_epochs=4, step=1, steps=2), 3 / 4),
        (RunProgress(phase="testing", epoch=4, max_epochs=4), 0.99),
        (RunProgress(phase="done", epoch=2, max_epochs=4), 1.0),
    ],
)
def test_progress_is_the_share_of_epochs_that_lies_behind(progress, share):
    assert state.share_done(progress) == pytest.approx(share)


def test_an_error_is_marked_and_names_of_classes_are_no_markup():
    right = Answer(
        run_id="a", kind=Kind.SNN, prediction="cat", confidence=0.9, correct=True, confidence_per_step=[0.5, 0.9]
    )
    wrong = Answer(
        run_id="b", kind=Kind.CNN, prediction="<script>", confidence=0.6, correct=False, confidence_per_step=[0.6]
    )
    item = Example(index=3, label='"><img src=x>', image="javascript:alert(1)", answer=wrong, twin_answer=right)
    made = examples.html(Examples(items=[item], which="first", twin_run_id="a", n_test=10))
    assert "<script>" not in made and "<img src=x>" not in made and "javascript:" not in made
    assert made.index("SNN") < made.index("CNN")  # the same order whichever run is looked at
    assert '<div class="sf-answer wrong"' in made and "✗" in made
    assert made.count("<i ") == 2  # bars for the two steps of the SNN, none for the CNN's one


def test_the_table_holds_own_runs_and_printed_points_and_the_csv_all_of_it():
    own = ParetoPoint(
        run_id="r1", label="=SNN", backbone="squeezenet", kind=Kind.SNN, mask=("F4", "F9"), mask_name=None,
        dataset="cifar10", recipe="fast", seed=0, accuracy=0.8, f1_macro=0.79, params=10, acs=2e6, macs=1e6,
        energy_pj=0.9 * 2e6 + 4.6 * 1e6, firing_rate=0.1, time_steps=4, n_train=100, n_test=50, dataset_complete=True,
        on_front=True, finished_at=datetime.now(UTC),
    )  # fmt: skip
    printed = PublishedPoint(model="P", kind=Kind.SNN, table="table 1", accuracy=0.81, f1_macro=None, params=599_100,
                             acs=None, macs=None, energy_pj=29.5e6)  # fmt: skip
    rows = tables.pareto_rows(
        Pareto(dataset="cifar10", mode="exact", profile="p", points=[own], front=["r1"], published=[printed])
    )
    assert [row["run"] for row in rows] == ["r1", None]
    assert rows[0]["energy_mj"] == pytest.approx((0.9 * 2 + 4.6) * 1e-3)  # 6.4e6 pJ = 6.4e-3 mJ
    read = list(csv.DictReader(io.StringIO(tables.as_csv(rows))))
    assert read[0]["network"] == "'=SNN"  # no formula in a spreadsheet
    assert read[1]["profile"] == "as printed" and read[1]["acs"] == ""


def test_plain_text_is_no_markup():
    assert plain("a *b* [c](d) $x$ :red[e]") == r"a \*b\* \[c\]\(d\) \$x\$ \:red\[e\]"
