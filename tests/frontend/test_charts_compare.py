"""A comparison's figures and tables: what they show must be the numbers they got."""

import csv
import io

import pytest

from core.analysis.ensemble import default_pair, partners
from core.report import ensemble_words
from core.report.charts import compare, ensemble
from core.report.charts.comparison_names import names
from core.report.tables import compare_latex, compare_tables, ensemble_tables
from core.report.tables.csv_rows import as_csv
from core.schemas.compare import ComparedRun, Comparison, Difference, Gain, Paired, TwinRatio
from core.schemas.ensemble import ComparedEnsemble
from core.schemas.images import Answer, Example
from core.schemas.results import Gradients, Metrics
from core.schemas.run import Kind, RunConfig
from frontend.pages.compare import images as compare_images

EVIL = "<img src=x onerror=alert(1)>"


def compared(
    run_id, *, accuracy, energy_pj, label="SNN-SqueezeNet Ref-1", kind="snn", seed=0, dataset="digits", epochs=2
):
    mask = ("F4", "F9")
    config = RunConfig(backbone="squeezenet", kind=kind, mask=mask, dataset=dataset, recipe="smoke", seed=seed)
    metrics = Metrics(
        epoch=list(range(1, epochs + 1)), lr=[1e-3] * epochs, train_loss=[1.0] * epochs, train_accuracy=[0.5] * epochs,
        validation_loss=[0.9, 0.4][:epochs], validation_accuracy=[0.6, 0.8][:epochs], firing_rate=[None] * epochs,
        wall_s=[1.0] * epochs,
    )  # fmt: skip
    gradients = Gradients(layers=["stem.conv", "F4.squeeze.conv"], epochs=[1, 2], norm=[[0.1, 0.2], [0.3, 0.0]])
    return ComparedRun(
        id=run_id, label=label, kind=kind, mask_name=None, config=config, accuracy=accuracy, f1_macro=0.7, params=549_114,
        model_bytes=4 * 549_114, firing_rate=0.1 if kind == "snn" else None, acs=1e6, macs=2e6, energy_pj=energy_pj,
        n_train=1000, n_test=360, dataset_complete=True, metrics=metrics, gradients=gradients,
    )  # fmt: skip


def pair(accuracy=0.05, low=0.01, high=0.09):
    return Paired(n=360, accuracy=accuracy, low=low, high=high, gained=20, lost=2, gained_indices=[1], lost_indices=[2])


def some(**changes):
    runs = [
        compared("one", accuracy=0.80, energy_pj=40e6, kind="cnn", label="CNN-SqueezeNet Ref-1"),
        compared("two", accuracy=0.85, energy_pj=10e6),
    ]
    differences = [
        Difference(run_id="two", against="one", accuracy=0.05, f1_macro=0.0, energy_ratio=0.25, paired=pair())
    ]
    twins = [TwinRatio(snn_id="two", cnn_id="one", accuracy=0.05, energy_ratio=0.25)]
    fields = {"mode": "exact", "profile": "horowitz-45nm", "interval": "95 %", "runs": runs, "differences": differences,
              "twins": twins} | changes  # fmt: skip
    return Comparison(**fields)


def three(paired=None):
    runs = [compared(name, accuracy=0.8 + place / 10, energy_pj=10e6, seed=place) for place, name in enumerate("abc")]
    differences = [
        Difference(run_id=name, against="a", accuracy=place / 10, f1_macro=0.0, energy_ratio=1.0, paired=paired)
        for place, name in ((1, "b"), (2, "c"))
    ]
    return some(runs=runs, differences=differences, twins=[])


def test_runs_are_told_apart_by_a_letter_and_by_what_differs():
    assert names(some()) == {"one": "A · CNN-SqueezeNet Ref-1", "two": "B · SNN-SqueezeNet Ref-1"}
    assert names(three())["c"] == "C · SNN-SqueezeNet Ref-1, seed 2"


def test_the_bars_of_the_differences_are_the_paired_intervals_in_points():
    (mark,) = compare.differences(some()).data
    assert list(mark.x) == [pytest.approx(5.0)]  # 0.85 - 0.80
    assert list(mark.error_x.array) == [pytest.approx(9 - 5)] and list(mark.error_x.arrayminus) == [
        pytest.approx(5 - 1)
    ]


def test_a_difference_on_other_images_is_hollow_and_has_no_bar():
    figure = compare.differences(three())
    assert all(mark.marker.symbol.endswith("-open") and mark.error_x.array is None for mark in figure.data)
    assert "no interval" in figure.layout.meta["caption"]


def test_every_run_has_its_curves_and_its_own_look():
    figure = compare.curves(three())
    assert len(figure.data) == 2 * 3  # loss and accuracy of each
    assert [trace.y for trace in figure.data[:2]] == [(0.9, 0.4), (60.0, 80.0)]
    looks = {(trace.line.color, trace.line.dash, trace.marker.symbol) for trace in figure.data}
    assert len(looks) == 3 and len(set(compare.LOOKS)) == 10


def test_a_long_name_in_a_legend_takes_several_lines():
    found = some()
    long = found.runs[0].model_copy(
        update={"label": "SNN-SqueezeNet Ref-1, start bundle, learning rate 0.01, epochs 9"}
    )
    runs = [long, *found.runs[1:]]
    for figure in (compare.curves, compare.gradients):
        short, listed = figure(found), figure(found.model_copy(update={"runs": runs}))
        assert max(map(len, listed.data[0].name.split("<br>"))) <= compare.LISTED_SIGNS
        assert listed.layout.height > short.layout.height


def test_gradients_are_those_of_the_chosen_epoch_and_a_zero_is_a_cross_at_the_edge():
    last, first = (compare.gradients(some(), last=choice).data[0] for choice in (True, False))
    assert list(first.x) == [0.1, 0.2] and list(first.marker.symbol) == ["circle", "circle"]
    assert list(last.x) == [0.3, 0.3 / 4] and list(last.marker.symbol) == ["circle", "x"]


def test_layers_of_two_masks_share_one_order():
    assert compare.merged([["stem", "F4", "head"], ["stem", "F2", "F4", "F5", "head"]]) == [
        "stem",
        "F2",
        "F4",
        "F5",
        "head",
    ]
    assert compare.merged([["a", "c"], ["a", "b", "x"]]) == ["a", "c", "b", "x"]


def test_the_sentence_says_accuracy_interval_and_energy():
    said = compare_tables.summary(some())
    assert (
        said
        == "B is 5.00 points more accurate than A (95 % interval +1.00 to +9.00, n = 360); A needs 4 times the energy of B."
    )
    for ratio, words in ((1.16, "; B needs 1.16 times the energy of A."), (1.0001, "; both need the same energy.")):
        priced = some(differences=[some().differences[0].model_copy(update={"energy_ratio": ratio})])
        assert compare_tables.summary(priced).endswith(words)
    unsure = some(differences=[some().differences[0].model_copy(update={"paired": pair(low=-0.01)})])
    assert "do not tell them apart" in compare_tables.summary(unsure)


def test_of_many_runs_the_sentence_names_the_best_and_those_that_are_told_apart():
    assert compare_tables.summary(three(pair())).endswith(
        "Accuracies that differ from A's beyond the 95 % interval: B, C."
    )
    assert "C is the most accurate (100.00 %)" in compare_tables.summary(three())
    assert "No accuracy differs from A's" in compare_tables.summary(three(pair(low=-0.1)))


def test_a_ratio_is_said_both_ways():
    assert compare_tables.ratio_words(0.25) == "0.25 (CNN: 4 times as much)"
    assert compare_tables.ratio_words(1.8) == "1.8 times as much"
    assert compare_tables.ratio_words(None) == "no energy to compare with"


def test_labels_are_content_in_every_table():
    evil = some(runs=[compared("one", accuracy=0.8, energy_pj=4e6, label=EVIL), some().runs[1]])
    assert EVIL not in compare_tables.html(evil) and "&lt;img" in compare_tables.html(evil)
    assert EVIL not in compare_tables.twins_html(evil, names(evil))
    card = Example(index=1, label=EVIL, image="https://elsewhere/x.png", answer=Answer(
        run_id="one", kind=Kind.SNN, prediction=EVIL, confidence=0.5, correct=False, confidence_per_step=[0.5]))  # fmt: skip
    drawn = compare_images.cards([card], wrong="A", right="B")
    assert EVIL not in drawn and "elsewhere" not in drawn
    assert ">50 %<" in drawn


def test_the_csv_holds_the_differences_in_their_own_units():
    one, two = csv.DictReader(io.StringIO(as_csv(compare_tables.rows(some()))))
    assert (one["accuracy_minus_first"], float(two["accuracy_minus_first"])) == ("", 0.05)
    assert float(two["energy_mj"]) == 10e6 / 1e9 and float(two["energy_over_first"]) == 0.25
    assert len(compare_tables.curve_rows(some())) == 2 * 2  # runs x epochs
    assert len(compare_tables.gradient_rows(some())) == 2 * 2 * 2  # runs x epochs x layers


def test_moved_prices_stand_in_every_table_that_leaves_the_page():
    moved, own = some(ac=2, memory=0.5), some()
    words = " with its price of AC ×2, of memory ×0.5"
    assert moved.moved_prices == words and own.moved_prices == ""
    for text in (compare_latex.table(moved), compare_latex.twins(moved, names(moved))):
        assert r"profile horowitz-45nm with its price of AC $\times$2, of memory $\times$0.5." in text
    assert "profile horowitz-45nm." in compare_latex.table(own)
    for row in (compare_tables.rows(moved)[0], compare_tables.twin_rows(moved, names(moved))[0]):
        assert (row["ac_price_times"], row["mac_price_times"], row["memory_price_times"]) == (2, 1, 0.5)


def test_latex_is_a_table_whose_words_are_no_commands():
    evil = some(runs=[compared("one", accuracy=0.8, energy_pj=40e6, label=r"50%_\evil{x}&$"), some().runs[1]])
    text = compare_latex.table(evil)
    assert r"50\%\_\textbackslash{}evil\{x\}\&\$" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "&" in line]
    assert len(rows) == 1 + 2 and {line.replace(r"\&", "").count("&") for line in rows} == {7}  # eight columns
    assert "$+5.00$ [$+1.00$, $+9.00$]" in rows[2] and "& 0.25 &" in rows[2]
    assert text.count(r"\begin{") == text.count(r"\end{") == 2


def test_latex_of_twins_gives_the_ratio():
    text = compare_latex.twins(some(), names(some()))
    assert r"$+5.00$ & 0.25 \\" in text and "horowitz-45nm" in text


def together():
    """B answers first, A is asked on 90 of 360 images; at 0 on none, at 1 on all."""

    def gain(accuracy):
        return Gain(n=360, accuracy=accuracy, low=accuracy - 0.01, high=accuracy + 0.01, gained=9, lost=0)

    def way(accuracy, energy_pj):
        return {"accuracy": accuracy, "energy_pj": energy_pj, "against_first": gain(accuracy - 0.85),
                "against_second": gain(accuracy - 0.80)}  # fmt: skip

    cascade = [
        {"threshold": threshold, "asked": asked, **way(accuracy, (10 + asked / 360 * 40) * 1e6)}
        for threshold, asked, accuracy in ((0.0, 0, 0.85), (0.9, 90, 0.9), (1.0, 360, 0.8))
    ]
    return ComparedEnsemble(
        first_id="two", second_id="one", mode="paper", profile="horowitz-45nm", n=360, by_image=False, ac=2,
        first={"accuracy": 0.85, "energy_pj": 10e6}, second={"accuracy": 0.8, "energy_pj": 40e6}, mean=way(0.88, 50e6),
        overlap={"both": 270, "first_only": 36, "second_only": 18, "neither": 36}, cascade=cascade,
    )  # fmt: skip


def test_two_that_answer_together_are_a_curve_between_one_network_and_both():
    figure = ensemble.figure(together(), some())
    curve, *alone = figure.data
    assert list(curve.x) == pytest.approx([10, 20, 50]) and list(curve.y) == pytest.approx([85, 90, 80])
    assert "A asked where B's confidence is at most 0.9" in curve.hovertext[1] and "90 of 360" in curve.hovertext[1]
    assert [(mark.name, mark.x[0], mark.y[0]) for mark in alone] == [
        ("B alone", 10, 85),
        ("A alone", 40, 80),
        ("mean of both", 50, 88),
    ]
    caption = figure.layout.meta["caption"]
    assert caption.startswith("B · SNN-SqueezeNet Ref-1; A · CNN-SqueezeNet Ref-1")
    assert "picked on the test set" in caption and "with its price of AC ×2" in caption


def test_two_that_answer_together_are_told_in_sentences_and_in_tables_for_a_paper():
    mean, cascade, alike = ensemble_words.sentences(together(), "B", "A")
    assert mean.startswith("The mean of both is 3.00 points more accurate than B (95 % interval +2.00 to +4.00")
    assert mean.endswith("the mean of both needs 5 times the energy of B.")  # 50 over 10
    assert (
        "asks A where B is at most 90 % sure asks it on 90 of 360 images. The cascade is 10.00 points more" in cascade
    )
    assert cascade.endswith("A needs 2 times the energy of the cascade.")  # 40 over 20
    assert "36 with neither" in alike and "at most 90.00 % are right" in alike  # 324 of 360
    assert "has no energy of one image" in ensemble_words.energy_note(together(), "A")
    rows = list(csv.DictReader(io.StringIO(as_csv(ensemble_tables.csv_rows(together(), "B", "A")))))
    assert [row["answer"] for row in rows][:3] == ["B alone", "A alone", "Mean of both"] and len(rows) == 3 + 3
    assert (rows[4]["threshold"], rows[4]["asked"], rows[4]["ac_price_times"]) == ("0.9", "90", "2.0")
    assert float(rows[4]["energy_mj"]) == pytest.approx(0.02) and rows[0]["accuracy_minus_first"] == ""
    latex = compare_latex.ensemble(together(), some())
    assert (
        r"Asked at 0.9 or less & 90 & 90.00 & $+5.00$ [$+4.00$, $+6.00$]" in latex and r"label{tab:ensemble}" in latex
    )
    assert r"First: B \, SNN-SqueezeNet Ref-1; second: A" in latex and "none was chosen on others" in latex


@pytest.mark.parametrize(
    ("kinds", "energies", "pair"),
    [
        (("cnn", "snn"), (1, 2), ("two", "one")),  # the spiking one first, whatever it needs
        (("snn", "snn"), (2, 1), ("two", "one")),  # of one kind the cheaper one
        (("snn", "snn"), (1, 2), ("one", "two")),
    ],
)
def test_who_answers_first_where_nobody_chose(kinds, energies, pair):
    runs = [
        compared(name, accuracy=0.8, energy_pj=energy, kind=kind, seed=place)
        for place, (name, kind, energy) in enumerate(zip(("one", "two"), kinds, energies, strict=True))
    ]
    assert default_pair(runs) == pair
    elsewhere = compared("else", accuracy=0.8, energy_pj=1, kind="cnn", dataset="cifar10")
    assert default_pair([runs[0], elsewhere]) is None and "else" not in partners([*runs, elsewhere])
    twin = compared("twin", accuracy=0.8, energy_pj=9, kind=Kind(kinds[1]).twin, seed=1)
    assert {"two", "twin"} == set(default_pair([*runs, twin]))  # twins before others


def test_energies_of_one_table_share_a_unit():
    runs = [compared(name, accuracy=0.8, energy_pj=energy_pj) for name, energy_pj in (("one", 0.9e9), ("two", 1.1e9))]
    html = compare_tables.html(some(runs=runs))
    assert "0.9 mJ" in html and "1.1 mJ" in html and "µJ" not in html


def test_accuracies_on_two_data_sets_are_not_subtracted():
    runs = [
        compared("one", accuracy=0.80, energy_pj=1e6),
        compared("two", accuracy=0.85, energy_pj=1e6, dataset="cifar10"),
    ]
    apart = Difference(run_id="two", against="one", accuracy=0.05, f1_macro=0.0, energy_ratio=1.0, paired=None)
    found = some(runs=runs, differences=[apart], twins=[])
    assert "other data set" in compare_tables.html(found) and "+5.00" not in compare_tables.html(found)
    assert "5.00 points" not in compare_tables.summary(found) and "other data sets" in compare_tables.summary(found)
    assert not compare.differences(found).data or all(not len(trace.x) for trace in compare.differences(found).data)
    assert "+5.00" not in compare_latex.table(found)


def test_names_beside_the_differences_are_in_short_lines_so_that_a_phone_has_room_for_the_plot():
    axis = compare.differences(three(pair())).layout.yaxis
    assert list(axis.tickvals) == ["B · SNN-SqueezeNet Ref-1, seed 1", "C · SNN-SqueezeNet Ref-1, seed 2"]
    assert all(len(line) <= compare.NAME_SIGNS for name in axis.ticktext for line in name.split("<br>"))
    assert [name.replace("<br>", " ") for name in axis.ticktext] == list(axis.tickvals)
