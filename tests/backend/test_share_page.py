"""The share's page: what it says, what it must never say, and that its content cannot become code."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from backend.shares import layout as sheets
from backend.shares import page
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.report.run_words import charged, compare, energy_note, facts, headlines
from core.schemas.bill import LayerBill, Layers
from core.schemas.compare import Paired
from core.schemas.diagnostics import Confusion
from core.schemas.images import Answer, Example, Examples
from core.schemas.recount import SharedRecount
from core.schemas.results import Gradients, Metrics
from core.schemas.run import Kind, NeuronConfig, RunConfig
from core.schemas.share import SharedRun, SharedSummary, SharedTwin

PNG = "data:image/png;base64,iVBORw0KGgo="
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
MASK = ("F4", "F6", "F8", "F9")


def summary_of(kind="snn", **changes):
    snn = kind == "snn"
    fields = {
        "accuracy": 0.78 if snn else 0.82, "f1_macro": 0.77, "params": 549_114, "acs": 16.1e6 if snn else 0.0,
        "macs": 4.23e6 if snn else 54.8e6, "energy_pj": 30e6 if snn else 240e6, "mode": "paper",
        "profile": "horowitz-45nm", "firing_rate": 0.112 if snn else None, "seed": 5, "dataset": "digits",
        "dataset_complete": True, "kind": kind, "backbone": "squeezenet", "mask": MASK, "recipe": "smoke",
        "time_steps": 4 if snn else 1, "n_train": 1000, "n_train_available": 1149, "n_validation": 288, "n_test": 360,
        "best_epoch": 2, "best_validation_accuracy": 0.8, "epochs_run": 2, "train_wall_s": 12.0,
        "train_images_per_s": 80.0, "evaluate_wall_s": 1.0, "device": "secret-host-gpu7", "config_hash": "ab" * 32,
    } | changes  # fmt: skip
    return SharedSummary(**fields)


def shared(*, label="SNN-SqueezeNet Ref-1", classes=("zero", "one"), twin=True, image=PNG, **changes):
    answer = Answer(run_id="run-secret-id", kind="snn", prediction=classes[1], confidence=0.9, correct=False,
                    confidence_per_step=[0.5, 0.9])  # fmt: skip
    right = answer.model_copy(
        update={"kind": Kind.CNN, "prediction": classes[0], "correct": True, "confidence_per_step": [0.9]}
    )
    bills = [
        LayerBill(name="stem.conv", kind="conv", block=None, output_shape=(8, 4, 4), params=9, dense_ops=90, acs=0, macs=90,
                  energy_pj=414, firing_rate=None, firing_rate_per_step=None),
        LayerBill(name="stem.act", kind="neuron", block=None, output_shape=(8, 4, 4), params=0, dense_ops=0, acs=10, macs=0,
                  energy_pj=9, firing_rate=0.1, firing_rate_per_step=[0.05, 0.1, 0.1, 0.15]),
    ]  # fmt: skip
    fields = {
        "label": label,
        "config": RunConfig(mask=MASK, kind="snn", seed=5),
        "summary": summary_of(),
        "metrics": Metrics(epoch=[1, 2], lr=[1e-3] * 2, train_loss=[2.0, 1.0], train_accuracy=[0.4, 0.7],
                           validation_loss=[1.9, 1.2], validation_accuracy=[0.5, 0.8], firing_rate=[0.1, None],
                           wall_s=[6.0, 6.0]),
        "layers": Layers(mode="paper", profile="horowitz-45nm", n_samples=360, time_steps=4, layers=bills, total_acs=10,
                         total_macs=90, total_energy_pj=423),
        "confusion": Confusion(classes=list(classes), matrix=[[150, 30], [20, 160]], n=360, precision=[0.88, 0.84],
                               recall=[150 / 180, 160 / 180], f1=[0.857, 0.865], support=[180, 180]),
        "examples": Examples(which="disagree", twin_run_id="twin-secret-id", n_test=360, items=[
            Example(index=7, label=classes[0], image=image, answer=answer, twin_answer=right if twin else None)]),
        "gradients": Gradients(layers=["stem.conv", "classifier.conv"], epochs=[1, 2], norm=[[0.0, 1.0], [0.001, 1.0]]),
        "twin": SharedTwin(label="CNN-SqueezeNet Ref-1", summary=summary_of("cnn")) if twin else None,
        "shared_at": datetime(2026, 3, 1, tzinfo=UTC),
        "expires_at": datetime(2026, 3, 31, tzinfo=UTC),
        "version": "0.1.0",
    } | changes  # fmt: skip
    return SharedRun(**fields)


class Elements(HTMLParser):
    """All elements of a page with their attributes, and its print."""

    def __init__(self, html):
        super().__init__()
        self.found, self.print = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.print += data

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture(scope="module")
def html():
    return page.render(shared())


def test_the_headline_says_each_figure_with_what_it_rests_on(html):
    said = Elements(html).print
    for words in ("78.0 %", "n = 360 test images, one seed", "30 µJ", "mode paper, one time step of T = 4", "16.1 M AC",
                  "4.23 M MAC", "549,114", "0.112", "1,000 of 1,149 training images", "horowitz-45nm"):  # fmt: skip
        assert words in said, words


RECOUNT = SharedRecount(
    counter="spikingjelly", counter_version="2.0.0", recounted_images=64, recounted_equal=64, equal=True, faults=[]
)


def test_it_says_that_another_tool_counted_the_same_or_what_differs_in_red_or_nothing(html):
    assert "ecounted" not in html
    good = page.render(shared(recount=RECOUNT))
    assert "Recounted by SpikingJelly 2.0.0: 64 of 64 answers and all operations equal." in Elements(good).print
    assert not [attrs for attrs in Elements(good).all("p") if attrs.get("class") == "fault"]
    said = f"stem.conv has 3 AC by our values, and 4 AC by {EVIL}."
    bad = page.render(shared(recount=RECOUNT.model_copy(update={"equal": False, "faults": [said]})))
    assert "Recounted by SpikingJelly 2.0.0: not all is equal." in Elements(bad).print and said in Elements(bad).print
    assert [attrs for attrs in Elements(bad).all("p") if attrs.get("class") == "fault"]
    assert len(Elements(bad).all("script")) == len(Elements(good).all("script"))


def test_no_id_host_path_or_user_is_in_the_page(html):
    for secret in ("run-secret-id", "twin-secret-id", "secret-host", "/root", "/home", "/work", "http://", "https://"):
        # The icon's namespace is a name, not an address that anything loads.
        assert secret not in html.replace("http://www.w3.org/2000/svg", ""), secret


def test_class_names_and_labels_stay_print_wherever_they_stand():
    html = page.render(shared(label=EVIL, classes=(EVIL, "=cmd|' /C calc'!A1")))
    page_now, page_before = Elements(html), Elements(page.render(shared()))
    assert [tag for tag, _ in page_now.found] == [tag for tag, _ in page_before.found]
    assert not [name for _, attrs in page_now.found for name in attrs if name.startswith("on")]
    text = data_of(html)["figures"]["confusion"]["layout"]["xaxis"]["ticktext"][0]
    assert text.startswith("&lt;/script&gt;"[:10])  # and within the figures it is print for Plotly too


def test_an_example_whose_image_is_no_png_data_is_left_out():
    html = page.render(shared(image="https://elsewhere.example/pixel.png"))
    assert not Elements(html).all("img") and "elsewhere.example" not in html


def test_scripts_and_styles_come_from_the_page_s_own_assets_and_none_is_inline(html):
    elements = Elements(html)
    scripts = [attrs for attrs in elements.all("script") if attrs.get("type") != "application/json"]
    assert len(scripts) == 1 and all(attrs.get("src") for attrs in scripts)
    links = [attrs["src"] for attrs in scripts] + [
        attrs["href"] for attrs in elements.all("link") if attrs["rel"] == "stylesheet"
    ]
    for link in [*links, data_of(html)["plotly"]]:
        content, media_type = page.asset(link.removeprefix("assets/"))
        assert content and media_type.split(";")[0] in {"text/css", "text/javascript"}
    assert not elements.all("style") and not [attrs for _, attrs in elements.found if "style" in attrs]
    script_src = next(part for part in page.CSP.split("; ") if part.startswith("script-src"))
    assert script_src == "script-src 'self'"
    assert page.CSP.startswith("default-src 'none'") and "connect-src 'none'" in page.CSP


@pytest.mark.parametrize("name", ["", "share.css", "../page.py", "plotly.min.js", "share.html", "%2e%2e/page.py"])
def test_any_other_name_is_no_asset(name):
    assert page.asset(name) is None


def test_an_asset_changes_its_name_with_its_content():
    css = next(name for name in page._assets() if name.endswith(".css"))
    assert re.fullmatch(r"share-[0-9a-f]{12}\.css", css)
    assert "immutable" in page.ASSET_CACHE


def test_search_engines_and_referrers_are_kept_out(html):
    for document in (html, page.gone()):
        meta = {attrs.get("name"): attrs.get("content") for attrs in Elements(document).all("meta")}
        assert "noindex" in meta["robots"] and meta["referrer"] == "no-referrer"


def test_the_data_block_holds_the_figures_and_both_grounds(html):
    data = data_of(html)
    assert set(data["figures"]) == {"curves", "confusion", "gradients", "firing", "energy"}
    assert set(data["templates"]) == {"light", "dark"}
    assert all("template" not in figure["layout"] for figure in data["figures"].values())


def test_a_figure_keeps_its_words_for_pictures_and_the_page_prints_them_over_it(html):
    elements, figures = Elements(html), data_of(html)["figures"]
    for figure in figures.values():
        title, layout = figure["layout"]["title"], figure["layout"]
        assert title["text"] in elements.print
        lines = title["subtitle"]["text"].split("<br>")
        said = [words for line in lines for words in re.split("<span[^>]*>.</span>", line)]  # between a legend's marks
        assert all(words.strip("\u00a0· ") in elements.print for words in said)
        assert 34 + 15 * len(lines) - 26 == figure["lift_px"] < layout["margin"]["t"] < layout["height"] / 2
    assert "--lift" in page._files()["share.js"].decode() and "g-gtitle" in page._files()["share.css"].decode()


def test_no_text_can_end_the_data_block():
    block = page._data_block({"any": {"data": [EVIL, "\u2028", "a & b"]}})
    assert not set(block) & set("<>&\u2028")
    assert json.loads(block)["figures"]["any"]["data"] == [EVIL, "\u2028", "a & b"]


def test_each_number_of_a_figure_also_stands_in_a_table(html):
    elements = Elements(html)
    assert {attrs["data-csv"] for attrs in elements.all("table") if "data-csv" in attrs} == {
        "classes",
        "epochs",
        "gradients",
        "layers",
    }
    cells = {attrs.get("data-v") for attrs in elements.all("td")}
    assert {"1.9", "0.8333333", "414", "0.001"} <= cells


def test_an_epoch_that_was_not_validated_has_a_dash_in_the_table():
    metrics = shared().metrics.model_copy(update={"validation_loss": [None, 1.2], "validation_accuracy": [None, 0.8]})
    table = page.render(shared(metrics=metrics)).partition('data-csv="epochs"')[2].partition("</table>")[0]
    first, second = re.findall('<tr><th scope="row">(.*?)</tr>', table)
    assert first.count('<td data-v="">–</td>') == 2 and "1.2000" in second and "80.0" in second


def test_an_error_is_marked_by_a_sign_and_a_word_beside_the_colour(html):
    said = re.sub(r"\s+", " ", Elements(html).print)
    assert "✗ wrong: one" in said and "✓ right: zero" in said


def paired_of(low, high):
    return Paired(n=360, accuracy=-0.04, low=low, high=high, gained=3, lost=17, gained_indices=[], lost_indices=[])


@pytest.mark.parametrize(
    "fields, steps, neuron",
    [
        ({}, "T = 4, direct coding", "LIF, tau 2, v_threshold 1, surrogate atan (alpha 2)"),
        (
            {"decay_input": False, "learn_threshold": True, "detach_reset": True},
            "T = 4, direct coding",
            "LIF, tau 2 (leak alone), v_threshold 1 (learned), detached reset, surrogate atan (alpha 2)",
        ),
        (
            {"model": "if", "reset": "soft", "v_start": "half"},
            "T = 4, direct coding",
            "IF, v_threshold 1, V from v_threshold / 2, surrogate atan (alpha 2)",
        ),
        (
            {"model": "count", "v_threshold": 0.5},
            "T = 4, direct coding, layer-synchronous",
            "counts of up to T spikes, a step learned per layer, from v_threshold 0.5",
        ),
    ],
)
def test_the_facts_say_what_the_neuron_is_and_where_layers_wait(fields, steps, neuron):
    found = dict(facts(summary_of(), RunConfig(mask=("F9",), neuron=NeuronConfig(**fields))))
    assert (found["Time steps"], found["Neuron"]) == (steps, neuron)


def test_the_twin_is_compared_in_points_with_the_paired_interval_and_in_energy():
    """78 % against 82 %: -4 points; 240 µJ against 30 µJ: 8 times."""
    text = " ".join(compare(summary_of(), summary_of("cnn"), paired_of(-0.07, -0.01)).sentences)
    assert text.startswith(
        "The spiking network is 4.00 points less accurate than the CNN (95 % interval -7.00 to -1.00, n = 360); "
        "the CNN needs 8 times the energy of the spiking network."
    )
    assert "one of the spiking network's 4 time steps" in text and "another seed moves both" in text
    unsure = " ".join(compare(summary_of(), summary_of("cnn"), paired_of(-0.07, 0.01)).sentences)
    assert "-7.00 to +1.00, n = 360, so these images do not tell them apart" in unsure


def test_the_comparison_is_the_same_from_the_cnn_s_side():
    pair = paired_of(-0.07, -0.01)
    assert compare(summary_of("cnn"), summary_of(), pair) == compare(summary_of(), summary_of("cnn"), pair)


def test_without_an_interval_the_page_says_why():
    other = page.render(shared(prices=profiles()["horowitz-45nm"]))
    assert "(other test images, so no interval)" in Elements(other).print
    assert "(no interval was stored with this link)" in Elements(page.render(shared(prices=None))).print


def test_where_the_cnn_is_cheaper_the_words_say_so():
    said = compare(summary_of(energy_pj=300e6, mode="exact"), summary_of("cnn", energy_pj=150e6, mode="exact"), None)
    assert "the spiking network needs 2 times the energy of the CNN." in said.sentences[0]


def test_energies_of_different_modes_are_not_compared():
    said = compare(summary_of(), summary_of("cnn", mode="exact"), None)
    assert "times" not in said.sentences[0] and not said.same_accounting
    assert "Energy per inference" not in str(sheets.comparison_rows(shared(), said))


def test_without_a_twin_the_page_has_no_comparison():
    assert "Against its twin" not in page.render(shared(twin=False))


@pytest.mark.parametrize(
    ("changes", "warned"),
    [({}, True), ({"n_train": 1149}, False), ({"n_train": 1149, "dataset_complete": False}, True)],
)
def test_less_than_the_full_benchmark_is_said_above_the_figures(changes, warned):
    html = page.render(shared(summary=summary_of(**changes)))
    assert ("Not the full benchmark" in html) is warned


def test_the_energy_note_names_the_one_step_only_where_it_applies():
    assert "one of the 4 time steps" in energy_note(summary_of())
    assert "time steps" not in energy_note(summary_of(mode="exact"))
    assert "time steps" not in energy_note(summary_of("cnn"))


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "paper"])
def test_every_other_mode_charges_all_steps_and_the_words_say_so(mode):
    assert charged(summary_of(mode=mode)) == f"mode {mode}, all T = 4 time steps"
    assert "time steps" not in energy_note(summary_of(mode=mode))
    said = compare(summary_of(mode=mode), summary_of("cnn", mode=mode), None)
    assert "8 times" in said.sentences[0] and not any("over all steps" in line for line in said.sentences)


def test_a_cnn_has_no_firing_rate_among_its_headlines():
    assert "Firing rate" not in [item.name for item in headlines(summary_of("cnn"))]


def test_the_page_repeats_the_run_without_a_path_of_this_machine(html):
    said = Elements(html).print
    line = next(line for line in said.splitlines() if "spikefront train" in line)
    assert "--mask F4,F6,F8,F9" in line and "--seed 5" in line and "/" not in line


def test_a_page_of_a_typical_run_is_small(html):
    assert len(html.encode()) < 100_000


def test_the_page_of_a_dead_link_says_nothing_of_what_was_there():
    html = page.gone()
    assert "does not lead anywhere" in html and not Elements(html).all("script")
