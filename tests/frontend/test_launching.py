"""The launch form's pure part, and what else pages compute without drawing."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from core.backbones.catalog import BACKBONES
from core.errors import BadValue
from core.paper.printed import printed_rows
from core.recipes.build import build_config, override
from core.recipes.sweep import expand
from core.report.tables import csv_rows as tables
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig
from core.schemas.images import Answer, Example, Examples
from core.schemas.pareto import Pareto, ParetoPoint, PublishedPoint
from core.schemas.request import RunRequest
from core.schemas.results import RunProgress
from core.schemas.run import Kind
from frontend.client.connection import plain
from frontend.pages.launch import advanced, network_stages, presets
from frontend.pages.launch import form as launching
from frontend.parts import architecture, examples
from frontend.parts import run_state as state


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


def form(**changes):
    given = {
        "backbone": "squeezenet", "definition": "small", "kinds": launching.KINDS["twins"], "mask": "F4,F9",
        "dataset": "digits", "recipe": "smoke", "seeds": [0], "overrides": {},
    }  # fmt: skip
    return launching.Form(**(given | changes))


def test_twins_are_one_request_each_and_no_sweep():
    overrides = {"training.lr": " 1e-3 ", "time_steps": "2", "neuron.tau": "  ", "training.train_limit": "null"}
    made = launching.requests(form(seeds=[5], overrides=overrides))
    assert [(request.seed, request.kind) for request in made] == [(5, "snn"), (5, "cnn")]
    assert made[0].overrides == {"training.lr": 0.001, "time_steps": 2, "training.train_limit": "null"}
    assert launching.sweep(form(seeds=[5])) is None


def test_a_study_draws_from_ranges_and_choices_and_takes_one_seed():
    fields = {"training.lr": ("1e-4:1e-2:log",), "neuron.tau": ("1.5", "2")}
    asked = form(kinds=launching.KINDS["snn"], masks=["any"], fields=fields, seeds=[3, 4], sampler="pareto", trials=9)
    made = launching.sweep(asked)
    assert made.axes == {"mask": ["any"], "training.lr": ["1e-4:1e-2:log"], "neuron.tau": [1.5, 2]}
    assert (made.study.sampler, made.study.trials, made.base.seed, made.base.mask) == ("pareto", 9, 3, "F4,F9")
    assert made.base.overrides["training.lr"] == 1e-4  # what is previewed: the low end
    assert launching.sweep(form(sampler="random", trials=9)) is None  # nothing to draw from


def test_a_sweep_varies_what_has_several_values_and_fixes_what_has_one():
    wanted = form(
        seeds=[3, 4],
        masks=["Full", "F8,F9"],
        overrides={"neuron.tau": "1.5"},
        fields={"neuron.tau": ["2", "2.0", "3"], "training.lr": ["1e-3"]},
    )
    made = launching.sweep(wanted)
    assert made.axes == {"mask": ["Full", "F8,F9"], "neuron.tau": [2, 3], "kind": ["snn", "cnn"], "seed": [3, 4]}
    assert list(made.axes) == ["mask", "neuron.tau", "kind", "seed"]  # the last varies fastest
    points = expand(made)
    assert len(points) == 2 * 2 * 2 * 2
    assert {(p.config.neuron.tau, p.config.training.lr) for p in points} == {(2.0, 1e-3), (3.0, 1e-3)}
    assert made.name == "SqueezeNet on Digits: 2 masks, 2 taus, 2 kinds, 2 seeds"
    assert launching.sweep(wanted._replace(name=" mine ")).name == "mine"


def test_the_networks_previewed_are_the_first_of_the_sweep():
    wanted = form(seeds=[3, 4], backbones=["mnasnet", "xception"], masks=["Full"])
    assert [(r.backbone, r.mask, r.seed) for r in launching.requests(wanted)] == [("mnasnet", "Full", 3)] * 2


def test_values_are_parted_by_commas_or_spaces_and_taken_once():
    assert launching.parse_values(" 1e-3, 2e-3;2e-3  4 ") == ["1e-3", "2e-3", "4"]
    assert launching.parse_values(" ") == []
    cells = launching.parse_values("0,1|2,3|5,6; 0,1|3,4|6,7", commas=False)
    assert cells == ["0,1|2,3|5,6", "0,1|3,4|6,7"]


def test_the_idempotency_key_follows_form_and_content():
    one, other = launching.requests(form())
    key = launching.idempotency_key
    assert key("a", one) == key("a", one.model_copy())
    assert len({key("a", one), key("a", other), key("b", one)}) == 3


def site(backbone, input_shape=(3, 32, 32)):
    blocks = BACKBONES[backbone].blocks
    return network_stages.Site(backbone, "small", blocks, input_shape, 10)


def test_the_drawing_has_stem_pools_and_blocks_in_order_by_feature_map():
    drawing = network_stages.draw(site("squeezenet"), ("F3", "F9"))
    shown = [
        (group.size, [(stage.name, stage.shape and stage.shape[0]) for stage in group.stages])
        for group in drawing.groups
    ]
    assert shown == [
        ((32, 32), [("image", 3), ("stem", 128)]),
        ((16, 16), [("pool1", 128), ("F2", None), ("F3", 64 + 64), ("F4", None)]),  # expand 1x1 and 3x3
        ((8, 8), [("pool4", 128), ("F5", None), ("F6", None), ("F7", None), ("F8", None)]),
        ((4, 4), [("pool8", 128), ("F9", 256 + 256), ("classifier", 10)]),
        ((1, 1), [("pool", 10)]),
    ]
    assert drawing.problem is None


def test_a_stride_that_is_left_out_shows_in_the_sizes_behind_it():
    drawing = network_stages.draw(site("xception"), tuple(b for b in BACKBONES["xception"].blocks if b != "E2"))
    by_name = {stage.name: (group.size, stage.shape) for group in drawing.groups for stage in group.stages}
    assert by_name["E2"] == ((16, 16), None)
    size, shape = by_name["E3"]
    assert size == (8, 8) and shape[1:] == (16, 16)  # 32 / 2, since only E3 halves before it


def test_an_impossible_mask_keeps_its_blocks_in_place_and_says_why():
    drawing = network_stages.draw(site("shufflenetv2"), ("S2.2",))
    assert [s.name for g in drawing.groups for s in g.stages if s.is_block] == list(BACKBONES["shufflenetv2"].blocks)
    assert "needs 116 channels" in drawing.problem.fields["trace"][-1]
    assert all(stage.shape is None for group in drawing.groups for stage in group.stages)


def test_a_definition_is_offered_where_the_images_are_large_enough():
    assert network_stages.definitions(site("squeezenet")) == ["small", "imagenet"]
    assert network_stages.definitions(site("squeezenet", (3, 16, 16))) == ["small"]


def test_every_field_of_the_form_is_one_that_a_recipe_allows_to_be_changed():
    config = build_config(RunRequest(dataset="digits"))
    for name in advanced.BY_NAME:
        value = config
        for part in name.split("."):
            value = getattr(value, part)
        assert override(config, {name: value}) == config
        assert not advanced.choices(name) or advanced.text(value) in advanced.choices(name)


def test_a_form_with_options_is_no_printed_row():
    row, backbone = printed_rows()["table1/cifar10/SqueezeNet-P"], BACKBONES["squeezenet"]
    asked = form(dataset="cifar10", mask="Ref-1")
    assert presets.is_row(row, asked, backbone) and presets.is_row(
        row, asked._replace(overrides={"tau": "2"}), backbone
    )
    assert not presets.is_row(row, asked._replace(overrides={"architecture.stem_width": "64"}), backbone)
    assert not presets.is_row(row, asked._replace(fields={"architecture.bypass": ["simple"]}), backbone)


def test_options_are_read_from_texts_and_idle_ones_are_named():
    assert architecture.config({"architecture.stem_width": "64"}) == ArchitectureConfig(stem_width=64)
    for wrong in ("wide", "0", "64.5"):
        assert architecture.config({"architecture.stem_width": wrong}) == AS_DEFINED
    texts = {"architecture.bypass": "simple", "architecture.depth": "32"}
    assert architecture.idle(texts, ArchitectureConfig(depth=32)) == ["architecture.bypass"]


def test_every_option_of_every_definition_has_its_words_on_the_page():
    declared = {
        f"architecture.{one.name}" for e in BACKBONES.values() for options in e.options.values() for one in options
    }
    assert declared == set(architecture.BY_NAME) == {f"architecture.{name}" for name in ArchitectureConfig.model_fields}


def test_a_definition_brings_its_blocks_and_an_impossible_option_is_left_to_the_api():
    small = site("msresnet")
    deep = small.of("small", ArchitectureConfig(depth=32))
    assert len(deep.blocks) == 13 and len(small.of("imagenet").blocks) == 5
    assert small.of("small", ArchitectureConfig(stem_width=64)) == small
    assert network_stages.definitions(site("mnasnet")) == ["small", "paper", "paper-cifar10", "imagenet"]


def test_words_to_choose_from_are_those_of_the_config():
    assert advanced.choices("neuron.model") == ("lif", "if", "plif", "count")
    assert advanced.choices("neuron.decay_input") == ("true", "false")
    assert advanced.choices("encoding") == ("direct", "rate", "latency")
    assert advanced.choices("neuron.tau") == advanced.choices("training.train_limit") == ()


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
    assert [row["from"] for row in rows] == ["own run", "printed, table 1"]
    read = list(csv.DictReader(io.StringIO(tables.as_csv(rows))))
    assert read[0]["network"] == "'=SNN"  # no formula in a spreadsheet
    assert read[1]["profile"] == "as printed" and read[1]["acs"] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "\uff1d"])
def test_the_table_under_the_plot_holds_no_formula_for_its_own_download(start):
    def page(recipe):
        from datetime import UTC, datetime

        from core.schemas.pareto import Pareto, ParetoPoint
        from core.schemas.run import Kind
        from frontend.pages.explore import table as explore_table

        point = ParetoPoint(
            run_id="r1", label="SNN", backbone="squeezenet", kind=Kind.SNN, mask=("F9",), mask_name=None, dataset="digits",
            recipe=recipe, seed=0, accuracy=0.8, f1_macro=0.79, params=10, acs=-2e6, macs=1e6, energy_pj=1.0,
            firing_rate=0.1, time_steps=4, n_train=100, n_test=50, dataset_complete=True, on_front=True,
            finished_at=datetime.now(UTC),
        )  # fmt: skip
        plot = Pareto(dataset="digits", mode="exact", profile="p", points=[point], front=["r1"], published=[])
        explore_table.draw(plot, {}, None)

    recipe = f"{start}cmd|' /C calc'!A0"
    ran = AppTest.from_function(page, args=(recipe,)).run()
    assert not ran.exception
    (row,) = ran.dataframe[0].value.to_dict("records")
    assert (row["recipe"], row["network"], row["acs"]) == (f"'{recipe}", "SNN", -2e6)  # numbers stay numbers


def test_plain_text_is_no_markup():
    assert plain("a *b* [c](d) $x$ :red[e]") == r"a \*b\* \[c\]\(d\) \$x\$ \:red\[e\]"


@pytest.mark.parametrize(
    ("wall_s", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (89.4, "1 min"),
        (95, "2 min"),
        (3212, "54 min"),
        (7000, "1 h 57 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_an_estimated_time_is_no_finer_than_it_is(wall_s, words):
    assert state.roughly(wall_s) == words
