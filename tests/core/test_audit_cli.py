"""`spikefront audit`: what it prints, as words and as JSON, and how it ends."""

import json
import subprocess
import sys

import pytest

from core.cli.main import main
from core.paper.sources import audit_of
from core.paper.tables import paper_audit
from core.schemas.audit import Audit


@pytest.fixture
def audit(capsys):
    def run(*args: str):
        with pytest.raises(SystemExit) as ended:
            main(["audit", *args])
            raise SystemExit(0)
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return run


def test_json_is_the_whole_audit(audit):
    code, out, _ = audit("--json")
    assert code == 0 and Audit.model_validate_json(out) == paper_audit()


def test_words_show_verdicts_reasons_totals_and_the_rule(audit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    code, out, _ = audit()
    whole = paper_audit()
    assert code == 0
    assert f"Contradicted: {whole.contradicted}" in out and f"Confirmed: {whole.confirmed}" in out
    assert f"Not checkable: {whole.not_checkable}" in out and "not released" in out
    assert "The MACs alone give 0.00233174 mJ" in out and "last printed digit" in " ".join(out.split())


def test_the_text_is_told_with_its_place_once_a_table_of_verdicts(audit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    _, out, _ = audit()
    assert "Text, thesis, abstract: gain in" in out
    assert out.count("Said: The energy of a spiking network is that of its ACs") == 2  # contradicted, confirmed
    assert "Text, paper, abstract: both against one CNN. Said: SNN-SqueezeNet-P is 1 %" in " ".join(out.split())


def test_another_source_by_name(audit, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    code, out, _ = audit("--of", "lite-snn")
    assert code == 0 and "Said: Half of the training images are for" in out and "Prices: none." in out
    code, out, _ = audit("--of", "lite-snn", "--json")
    assert code == 0 and Audit.model_validate_json(out) == audit_of("lite-snn")
    code, _, err = audit("--of", "nobody")
    assert code == 1 and "Known: kabir, lite-snn." in err
    code, _, err = audit("--of", "lite-snn", "--csv", str(tmp_path / "mine.csv"))
    assert code == 1 and "--of is 'lite-snn'; it must be left out beside --csv" in err


def test_a_table_of_ones_own(audit, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    table = tmp_path / "mine.csv"
    table.write_text("model,ac,mac,energy_mj\n[bold]net,1000000,1000000,0.0054\n")
    code, out, _ = audit("--csv", str(table))
    assert code == 0 and "mine.csv, line 2" in out and "[bold]net:" in out  # markup is text
    code, out, _ = audit("--csv", str(table), "--json")
    assert code == 0 and json.loads(out)["contradicted"] == 1


def test_a_bad_table_ends_in_one_sentence_and_code_1(audit, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("model,ac,mac,energy_mj\nnet,many,1,1\n")
    code, out, err = audit("--csv", str(table), "--json")
    assert code == 1 and json.loads(out)["fields"]["field"] == "mine.csv, line 2, ac"
    assert err.startswith("spikefront: mine.csv, line 2, ac is 'many'; it must be a plain number")


def test_help_names_every_column_and_its_unit(audit):
    code, out, _ = audit("--help")
    for word in ("ac_k", "mac_m", "energy_uj", "params_k", "accuracy_pct", "operations per inference"):
        assert code == 0 and word in " ".join(out.split()), word


def test_it_brings_in_no_torch():
    code = (
        "import sys; from core.cli.main import main\n"
        "try: main(['audit', '--json'])\n"
        "except SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'spikingjelly', 'syops'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
