"""Printed rows trained again, and the page of all networks: real runs on a CIFAR-10 of 100 images, and arithmetic."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest

from core.backbones.catalog import BACKBONES, FIRE_MASKS
from core.cli.commands.table import page, static_part
from core.cli.main import main
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.errors import BundleCorrupt, NotFound
from core.measured import Bill, largest_group, read_runs
from core.paper.measured import measured_rows
from core.paper.networks import network_rows
from core.paper.printed import MODELS, printed_for, printed_rows
from core.paper.reproduce import caveats
from core.paper.tables import paper_audit
from core.schemas.prices import DEFAULT_PROFILE
from core.schemas.run import Kind

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
ROW = "table2/cifar10/SqueezeNet-P"
SHORT = ["--recipe", "smoke", "--set", "max_epochs=1", "--set", "train_limit=40", "--set", "time_steps=2"]
SHORT += ["--set", "batch_size=20", "--set", "validation_share=0.25", "--threads", "1", "--device", "cpu"]
MADE = "`spikefront table --out docs/tables.md` writes the page anew"


@pytest.fixture
def spikefront(capsys):
    def call(*words):
        code = 0
        try:
            main(words)
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reproduced")


@pytest.fixture
def reproduced(folder, small_cifar10, cifar10_files, spikefront):
    """The folder of bundles and what the command printed; the first test trains, the others find finished runs."""
    if not (folder / "data").exists():
        cifar10_files(folder / "data" / "cifar10", train=4)
    words = ["reproduce", ROW, "--out", str(folder / "runs"), "--data", str(folder / "data"), *SHORT]
    code, out, err = spikefront(*words, "--json")
    assert code == 0, err
    return folder / "runs", json.loads(out), words


# Rows


def test_every_printed_row_can_be_named_and_is_about_the_network_it_prints():
    rows = printed_rows()
    assert len(rows) == 18 + 6 + 9
    pruned = rows["table1/cifar10/SqueezeNet-P"]
    assert (pruned.backbone, pruned.mask, pruned.kind) == ("squeezenet", ("F4", "F6", "F8", "F9"), Kind.SNN)
    assert (pruned.acs, pruned.macs, pruned.params, pruned.accuracy) == (11_200_000, 4_230_000, 599_100, 0.81)
    assert pruned.energy_pj == pytest.approx(0.0295e9)
    assert rows["table3/Alt-2"].mask == FIRE_MASKS["Alt-2"] and rows[ROW].kind is Kind.CNN
    for row in rows.values():
        assert {finding.row for finding in paper_audit().findings} >= {row.id}


def test_a_network_finds_its_printed_rows():
    found = printed_for(backbone="squeezenet", mask=FIRE_MASKS["Ref-1"], kind=Kind.SNN, dataset="cifar10")
    assert [row.id for row in found] == ["table1/cifar10/SqueezeNet-P", "table3/Ref-1"]
    assert printed_for(backbone="squeezenet", mask=("F2",), kind=Kind.SNN, dataset="cifar10") == []
    assert printed_for(backbone="squeezenet", mask=FIRE_MASKS["Full"], kind=Kind.CNN, dataset="cifar100") == []


def test_a_recovered_network_and_the_guess_before_it_find_the_same_row():
    ask = {"backbone": "mnasnet", "kind": Kind.SNN, "dataset": "cifar100"}
    row = printed_rows()["table1/cifar100/MnasNet"]
    assert (row.definition, row.recovered, len(row.mask)) == ("paper", True, 7)
    assert printed_for(**ask, mask=row.mask, definition="paper") == [row]
    assert printed_for(**ask, mask=BACKBONES["mnasnet"].blocks) == [row]
    assert printed_for(**ask, mask=row.mask, definition="paper-cifar10") == []
    assert not printed_rows()["table1/cifar100/MixNet"].recovered


def test_rows_are_listed_and_a_wrong_one_suggests_near_ones(spikefront):
    code, out, _ = spikefront("reproduce", "--list", "--json")
    assert code == 0
    assert {row["row"] for row in json.loads(out)} == {r.id for r in printed_rows().values() if r.backbone in BACKBONES}
    code, _, err = spikefront("reproduce", "table1/cifar10/SqueezNet-P")
    assert code == 1 and "table1/cifar10/SqueezeNet-P" in err
    code, _, err = spikefront("reproduce")
    assert code == 1 and "--list" in err


# A row, trained


def test_a_row_shows_printed_recomputed_and_measured(reproduced):
    folder, content, _ = reproduced
    found = {figure["name"]: figure for figure in content["figures"]}
    energy = found["energy, Paper: one step"]
    # the CNN's MACs do not depend on data: 37,880,128 at 4.6 pJ, where 0.168 mJ is printed
    assert energy["measured"] == pytest.approx(37_880_128 * 4.6) == pytest.approx(energy["recomputed"])
    assert energy["printed"] == pytest.approx(0.168e9) and "does not round to 0.168" in energy["note"]
    assert f"x{37_880_128 * 4.6 / 0.168e9:.2f}" in energy["note"]
    runs = {
        run.config.kind: run for run in read_runs([folder], modes=MODES.values(), profile=profiles()[DEFAULT_PROFILE])
    }
    assert set(runs) == {Kind.CNN, Kind.SNN} and len(content["bundles"]) == len(content["commands"]) == 2
    assert found["accuracy"]["measured"] == runs[Kind.CNN].summary.accuracy and found["accuracy"]["printed"] == 0.82
    assert found["SNN accuracy"]["measured"] == runs[Kind.SNN].summary.accuracy
    for mode, accounting in MODES.items():
        ratio = runs[Kind.CNN].bills[mode].energy_pj / runs[Kind.SNN].bills[mode].energy_pj
        assert found[f"CNN / SNN energy, {accounting.title}"]["measured"] == pytest.approx(ratio)


def test_it_says_where_the_run_is_not_the_papers(reproduced):
    _, content, _ = reproduced
    said = " ".join(content["caveats"])
    assert "Recipe smoke, at most 1 epochs" in said and "One seed (0), n = 1" in said
    left = 4 * 20 - 20  # four of five files of 20 images, a quarter of them for validation
    assert f"A subset of the data set: {left} training images" in said and f"Trained on 40 of {left}" in said


def test_people_get_a_table_and_nothing_is_trained_again(reproduced, spikefront):
    folder, _, words = reproduced
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    code, out, _ = spikefront(*words)
    assert code == 0 and "recomputed" in out and "Printed energies are of one time step" in " ".join(out.split())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")} == before


def test_a_row_of_table_1_explains_its_counts(reproduced):
    from core.paper.reproduce import figures

    folder, _, _ = reproduced
    run = next(
        r
        for r in read_runs([folder], modes=MODES.values(), profile=profiles()[DEFAULT_PROFILE])
        if r.config.kind is Kind.SNN
    )
    row = printed_rows()["table1/cifar10/SqueezeNet-P"]
    found = {figure.name: figure for figure in figures(row, run)}
    params, macs, acs = found["params"], found["macs, one step"], found["acs, one step"]
    assert (params.printed, params.recomputed, params.measured) == (599_100, 549_114, 549_114)
    assert "With F5 built but never run" in params.note
    assert macs.recomputed == macs.measured == 4_227_232 and "of one step, while the network runs 4" in macs.note
    assert acs.measured == run.bills["paper"].acs and f"x{acs.measured / 11_200_000:.2f} of the printed" in acs.note
    syops = found["energy, syops: all T steps"]
    assert syops.measured == pytest.approx(2 * found["energy, Paper: one step"].measured)  # T = 2 here
    rest = run.bills["paper"].energy_pj / 0.0295e9
    assert "printed is one step, here are 2; by this mode's rules x2.00 of one step" in syops.note
    assert syops.note.startswith(f"x{2 * rest:.2f}: ") and f"times x{rest:.2f} for the network itself." in syops.note
    assert any("Recipe smoke" in sentence for sentence in caveats(row, run))


# The page


def test_the_static_part_of_the_page_is_what_the_command_makes():
    assert static_part(network_rows()) in PAGE.read_text(encoding="utf-8"), MADE


def measured_lines(text):
    return [line for line in text.partition("## Measured")[2].splitlines() if line.startswith("| ")][2:]


def test_the_page_has_a_line_for_each_network_and_no_run():
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(network_rows()) / 2 and not measured_lines(text)
    pruned = next(line for line in lines if line.startswith("| SqueezeNet-P | CIFAR-10 |"))
    for figure in ("549,114", "599,100", "37,044,224", "4,227,232", "3,393,024", "37,880,128"):
        assert f" {figure} " in pruned
    assert "CNN: energy 0.174 mJ" in pruned


def test_every_backbone_kind_and_data_set_has_a_row():
    rows = network_rows()
    networks = {(row.backbone, row.mask) for row in rows}
    assert networks == {(name, kept or BACKBONES[name].blocks) for name, kept in MODELS.values()}
    assert ("squeezenet", FIRE_MASKS["Ref-1"]) in networks
    assert len(rows) == len(networks) * 2 * 3
    by = {(row.network, row.kind, row.dataset): row for row in rows}
    full = by["SqueezeNet", Kind.SNN, "cifar10"]
    assert (full.params, full.macs["paper"], full.macs["syops"]) == (736_458, 4_466_848, 4 * 4_466_848)
    assert full.difference.startswith("Parameters 736,458, as printed. MACs of one step 4,466,848, as printed.")
    pruned = by["SqueezeNet-P", Kind.SNN, "cifar10"]
    assert "With F5 built but never run it is 599,130, as printed." in pruned.difference
    assert f"{1 - 549_114 / 599_100:.1%} below the printed" in pruned.difference
    assert "Energy 0.252 mJ, as printed." in by["SqueezeNet", Kind.CNN, "cifar10"].difference
    for model, (backbone, _) in MODELS.items():
        if backbone in BACKBONES and backbone != "squeezenet":
            assert by[model, Kind.SNN, "cifar10"].difference.startswith("Reconstruction.")


def test_measured_rows_join_seeds_and_explain_each_mode(reproduced):
    folder, _, _ = reproduced
    runs = read_runs([folder], modes=MODES.values(), profile=profiles()[DEFAULT_PROFILE])
    snn = next(run for run in runs if run.config.kind is Kind.SNN)
    bills = {mode: Bill(acs=3 * b.acs, macs=b.macs, energy_pj=3 * b.energy_pj) for mode, b in snn.bills.items()}
    other = dataclasses.replace(
        snn,
        config=snn.config.model_copy(update={"seed": 1}),
        summary=snn.summary.model_copy(update={"accuracy": snn.summary.accuracy + 0.1}),
        bills=bills,
    )
    rows = [row for row in measured_rows([*runs, other], DEFAULT_PROFILE) if row.kind is Kind.SNN]
    assert [row.mode for row in rows] == list(MODES) and all(row.seeds == (0, 1) for row in rows)
    paper = rows[0]
    assert paper.accuracy.mean == pytest.approx(snn.summary.accuracy + 0.05) and paper.accuracy.n == 2
    assert paper.energy_pj.mean == pytest.approx(2 * snn.bills["paper"].energy_pj)
    assert paper.printed == "table1/cifar10/SqueezeNet-P" and not paper.dataset_complete
    assert f"ACs x{2 * snn.bills['paper'].acs / 11_200_000:.2f}" in paper.difference
    shown = page(network_rows(), rows)
    assert "2 (seeds 0, 1)" in shown and "CIFAR-10 (subset)" in shown and "horowitz-45nm" in shown and " ± " in shown


def test_the_command_writes_the_page_json_and_csv(reproduced, spikefront, tmp_path):
    folder, _, _ = reproduced
    code, out, _ = spikefront("table", "--runs", str(folder), "--json")
    content = json.loads(out)
    assert code == 0 and len(content["measured"]) == 2 * len(MODES)
    code, out, _ = spikefront("table", "--runs", str(folder), "--csv")
    lines = list(csv.DictReader(io.StringIO(out)))
    energies = [line for line in lines if (line["source"], line["figure"]) == ("measured", "energy")]
    assert code == 0 and len(energies) == 2 * len(MODES) and all(None not in line for line in lines)
    code, _, _ = spikefront("table", "--runs", str(folder), "--out", str(tmp_path / "page.md"))
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert code == 0 and static_part(network_rows()) in text and "| smoke, 1 epochs | 40 of " in text
    code, _, err = spikefront("table", "--json", "--csv")
    assert code == 1 and "--csv" in err


def test_rows_of_runs_that_are_not_at_hand_stay_when_asked_for(reproduced, spikefront, tmp_path):
    folder, _, _ = reproduced
    target = tmp_path / "page.md"
    runs = {run.config.kind: path for path in folder.rglob("manifest.json") for run in read_runs(
        [path.parent], modes=[MODES["exact"]], profile=profiles()[DEFAULT_PROFILE])}  # fmt: skip
    code, _, _ = spikefront("table", "--runs", str(runs[Kind.CNN].parent), "--out", str(target))
    before = measured_lines(target.read_text(encoding="utf-8"))
    assert code == 0 and len(before) == len(MODES)
    for _ in range(2):  # the second time the new rows are there already, and each stands once
        code, _, _ = spikefront("table", "--runs", str(runs[Kind.SNN].parent), "--out", str(target), "--keep")
        after = measured_lines(target.read_text(encoding="utf-8"))
        assert code == 0 and set(before) < set(after) and len(after) == len(before) + len(MODES)
    code, _, err = spikefront("table", "--out", str(tmp_path / "other.md"), "--keep")
    assert code == 1 and "--keep" in err


# Runs from folders


def test_equal_runs_count_once_and_broken_ones_are_named(reproduced, tmp_path):
    import shutil

    folder, _, _ = reproduced
    shutil.copytree(folder, tmp_path / "copy")
    assert len(read_runs([folder, tmp_path / "copy"], modes=[MODES["exact"]], profile=profiles()[DEFAULT_PROFILE])) == 2
    broken = next((tmp_path / "copy").rglob("counts.json"))
    broken.write_text("{}")
    with pytest.raises(BundleCorrupt, match=str(broken)):
        read_runs([tmp_path / "copy"], modes=[MODES["exact"]], profile=profiles()[DEFAULT_PROFILE])
    with pytest.raises(NotFound):
        read_runs([tmp_path / "nothing"], modes=[MODES["exact"]], profile=profiles()[DEFAULT_PROFILE])


def test_only_runs_that_share_all_but_mask_and_seed_are_compared(reproduced):
    folder, _, _ = reproduced
    snn = next(
        r
        for r in read_runs([folder], modes=[MODES["exact"]], profile=profiles()[DEFAULT_PROFILE])
        if r.config.kind is Kind.SNN
    )

    def like(**changes):
        return dataclasses.replace(snn, config=snn.config.model_copy(update=changes))

    seeds = [like(seed=seed, time_steps=3) for seed in range(5)]
    masks = [like(mask=("F2",)), like(mask=("F3",)), snn]
    assert largest_group([*seeds, *masks]) == masks  # three masks tell more than five seeds of one
    part = dataclasses.replace(snn, summary=snn.summary.model_copy(update={"n_train": 39}))
    assert largest_group([part, like(mask=("F2",)), snn]) == [like(mask=("F2",)), snn]
