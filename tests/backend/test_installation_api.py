"""What runs here and what it has stored."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from backend.installation.service import folder_bytes
from core.schemas.installation import Installation
from core.settings import Settings


def test_sizes_are_those_of_the_files_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 700)
    (tmp_path / "two").write_bytes(b"x" * 50)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "one")
    link = (tmp_path / "link").lstat().st_size
    assert folder_bytes(tmp_path) == 700 + 50 + link
    assert folder_bytes(tmp_path, but=tmp_path / "a") == 50 + link
    assert folder_bytes(tmp_path / "nowhere") == 0


def test_the_installation_says_what_is_stored_and_which_price_file_is_left_out(
    client: TestClient, settings: Settings
) -> None:
    bundle = settings.home / "runs" / "some" / "weights"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(b"x" * 1234)
    frozen = settings.home / "runs" / "shares" / "some" / "offline.html"
    frozen.parent.mkdir(parents=True)
    frozen.write_bytes(b"x" * 77)
    profiles = settings.home / "profiles"
    profiles.mkdir()
    (profiles / "mine.toml").write_text("name = ")
    client.post("/api/v1/runs", json={"mask": "F9"})
    deleted = client.post("/api/v1/runs", json={"mask": "F8"}).json()["id"]
    client.post(f"/api/v1/runs/{deleted}/cancel")
    client.delete(f"/api/v1/runs/{deleted}")

    here = Installation.model_validate_json(client.get("/api/v1/installation").content)
    stored = {item.name: item for item in here.stored}
    assert stored["Bundles of runs"].bytes == 1234 and stored["Frozen shares"].bytes == 77
    assert stored["Frozen shares"].path == str(settings.home / "runs" / "shares")
    assert stored["Database"].bytes > 0 and here.free_bytes > 0
    assert (here.n_runs, here.n_in_bin) == (1, 1)
    assert list(here.faulty_profiles) == ["mine.toml"]
    assert {"Python", "spikefront", "torch", "streamlit"} <= set(here.versions)
