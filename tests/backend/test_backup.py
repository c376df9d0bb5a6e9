"""A backup of an installation that runs, and another installation made from it."""

import json
import shutil
import tarfile

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from stores import postgres_database
from twins import TINY

from backend.app import create_app
from backend.store.__main__ import main
from backend.store.backup import back_up, manifest_in
from backend.store.db import Database
from backend.store.models import RunEventRow, RunRow
from backend.store.restore import restore
from core.errors import BackupFailed, RestoreFailed
from core.settings import Settings


@pytest.fixture
def lab(finisher, settings):
    """A run with tags and a note, a frozen link to it, a sweep that takes it over, and a profile of one's own."""
    run_id = finisher.succeeded("snn")
    client = finisher.client
    client.patch(f"/api/v1/runs/{run_id}", json={"tags": ["kept"], "note": "of the lab"}).raise_for_status()
    share = client.post("/api/v1/shares", json={"run_id": run_id, "frozen": True}).json()
    base = {name: value for name, value in TINY.items() if name != "mask"}
    asked = {"name": "masks", "base": base, "axes": {"mask": [TINY["mask"]]}}
    sweep = client.post("/api/v1/sweeps", json=asked).json()
    (settings.home / "profiles").mkdir()
    (settings.home / "profiles" / "own.toml").write_text("# broken, and kept as it is")
    return run_id, share["url"].rpartition("/")[2], sweep["id"]


def opened_again(settings, run_id, share, sweep):
    """What the restored installation answers, asked as people ask it."""
    app = create_app(settings)
    with TestClient(
        app, base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {app.state.context.token}"}
    ) as client:
        run = client.get(f"/api/v1/runs/{run_id}").json()
        assert (run["state"], run["tags"], run["note"]) == ("succeeded", ["kept"], "of the lab")
        assert client.get(f"/api/v1/runs/{run_id}/layers").status_code == 200
        assert client.get(f"/api/v1/shared/{share}").status_code == 200
        assert client.get(f"/api/v1/sweeps/{sweep}").json()["name"] == "masks"
        app.state.context.artifacts.bundle(run_id).verify()
        return app.state.context.token


def test_a_restored_installation_opens_runs_links_and_sweeps_with_its_old_key(lab, settings, tmp_path):
    made = back_up(settings, tmp_path / "copy", data=False, token=True)
    assert made.left_out == []
    new = Settings(home=tmp_path / "new")
    restore(new, tmp_path / "copy")
    assert opened_again(new, *lab) == (settings.home / "token").read_text().strip()
    assert (new.home / "token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "copy" / "token").stat().st_mode & 0o777 == 0o600
    assert (new.home / "profiles" / "own.toml").read_text().startswith("# broken")


def test_a_second_backup_into_the_same_folder_copies_no_bundle_again(lab, settings, tmp_path, finisher):
    folder = tmp_path / "copy"
    first = back_up(settings, folder, data=False, token=False)
    again = back_up(settings, folder, data=False, token=False)
    assert (again.n_new, again.new_bytes) == (0, 0)  # not a row has changed either
    finisher.client.patch(f"/api/v1/runs/{lab[0]}", json={"note": "changed"}).raise_for_status()
    third = back_up(settings, folder, data=False, token=False)
    assert third.n_new == 1
    assert first.manifest.database != third.manifest.database
    assert [file.name for file in folder.glob("database-*")] == [third.manifest.database]


def test_bundles_are_links_where_that_is_possible_and_copies_on_request(lab, settings, tmp_path):
    back_up(settings, tmp_path / "links", data=False, token=False)
    back_up(settings, tmp_path / "copies", data=False, token=False, link=False)
    name = f"runs/{lab[0]}/weights.safetensors"
    live = (settings.home / name).stat()
    assert (tmp_path / "links" / name).stat().st_ino == live.st_ino
    assert (tmp_path / "copies" / name).stat().st_ino != live.st_ino


def test_an_archive_is_a_backup_too_and_without_the_key_a_new_one_is_made(lab, settings, tmp_path):
    archive = tmp_path / "copy.tar.gz"
    back_up(settings, archive, data=False, token=False)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
    new = Settings(home=tmp_path / "new")
    restore(new, archive)
    assert opened_again(new, *lab) != (settings.home / "token").read_text().strip()


def test_sqlite_becomes_postgresql_and_back(lab, settings, tmp_path):
    back_up(settings, tmp_path / "one", data=False, token=False)
    with postgres_database() as url:
        served = Settings(home=tmp_path / "served", database_url_override=url)
        restore(served, tmp_path / "one")
        opened_again(served, *lab)
        made = back_up(served, tmp_path / "two", data=False, token=False)
        assert made.manifest.came_from == "postgresql"
        other = Settings(home=tmp_path / "other", database_url_override=url)
        with pytest.raises(RestoreFailed, match="has rows in"):
            restore(other, tmp_path / "two")
    new = Settings(home=tmp_path / "new")
    restore(new, tmp_path / "two")
    opened_again(new, *lab)


def test_nothing_is_restored_into_a_home_with_something_in_it(lab, settings, tmp_path):
    back_up(settings, tmp_path / "copy", data=False, token=False)
    new = Settings(home=tmp_path / "new")
    new.home.mkdir()
    (new.home / "mine").write_text("mine")
    with pytest.raises(RestoreFailed, match="not empty"):
        restore(new, tmp_path / "copy")
    assert [one.name for one in new.home.iterdir()] == ["mine"]


@pytest.mark.parametrize("wrong", ["changed", "missing", "link", "outside", "cut"])
def test_a_damaged_backup_is_refused_whole(lab, settings, tmp_path, wrong):
    folder = tmp_path / "copy"
    back_up(settings, folder, data=False, token=False, link=False)
    victim = folder / "runs" / lab[0] / "weights.safetensors"
    if wrong == "changed":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    elif wrong == "missing":
        victim.unlink()
    elif wrong == "link":
        victim.rename(tmp_path / "elsewhere")
        victim.symlink_to(tmp_path / "elsewhere")
    elif wrong == "cut":
        (folder / "backup.json").write_bytes((folder / "backup.json").read_bytes()[:-100])
    else:
        listed = json.loads((folder / "backup.json").read_text())
        listed["files"][0]["name"] = "runs/../../escaped"
        (folder / "backup.json").write_text(json.dumps(listed))
    new = Settings(home=tmp_path / "new")
    with pytest.raises(RestoreFailed):
        restore(new, folder)
    assert not new.home.exists() or list(new.home.iterdir()) == []


def test_a_damaged_bundle_is_left_out_and_said_so(lab, settings, tmp_path, monkeypatch, capsys):
    weights = settings.home / "runs" / lab[0] / "weights.safetensors"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    monkeypatch.setenv("SPIKEFRONT_HOME", str(settings.home))
    assert main(["backup", "--path", str(tmp_path / "copy")]) == 1
    assert f"left out: Run {lab[0]}" in capsys.readouterr().err


def test_a_folder_with_other_things_is_no_place_for_a_backup(settings, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    with pytest.raises(BackupFailed, match="something else"):
        back_up(settings, tmp_path / "photos", data=False, token=False)


def test_what_is_written_meanwhile_is_whole_or_not_there(lab, settings, tmp_path, database):
    """A transaction that is open while the copy is made is no part of it."""
    with database.write() as session:
        session.execute(update(RunRow).values(note="half"))
        session.flush()
        back_up(settings, tmp_path / "copy", data=False, token=False)
    copied = Database(f"sqlite:///{tmp_path / 'copy' / manifest_in(tmp_path / 'copy').database}")
    with copied.read() as session:
        assert list(session.scalars(select(RunRow.note))) == ["of the lab"]
        assert session.scalars(select(RunEventRow.id)).first() is not None
    copied.close()


def test_an_archive_that_was_cut_off_is_refused(lab, settings, tmp_path):
    archive = tmp_path / "copy.tar"
    back_up(settings, archive, data=False, token=False)
    archive.write_bytes(archive.read_bytes()[:20_000])
    new = Settings(home=tmp_path / "new")
    with pytest.raises(RestoreFailed):
        restore(new, archive)
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(RestoreFailed, match="no backup"):
        restore(new, tmp_path / "empty.tar")


def test_a_data_set_of_ones_own_comes_along_where_asked(settings, tmp_path, monkeypatch):
    folder = settings.data / "pets"
    folder.mkdir(parents=True)
    (folder / "train images.npy").write_bytes(b"pixels")
    (folder / "cache").mkdir()
    (folder / "cache" / "x").write_bytes(b"")
    monkeypatch.setattr("backend.store.backup.user_specs", lambda data: {"pets": None})
    made = back_up(settings, tmp_path / "copy", data=True, token=False)
    assert [one.name for one in made.manifest.files[1:]] == ["data/pets/train images.npy"]
    new = Settings(home=tmp_path / "new")
    restore(new, tmp_path / "copy")
    assert (new.data / "pets" / "train images.npy").read_bytes() == b"pixels"
    shutil.rmtree(new.home)
