"""The store that speaks S3: what it keeps, what it says when it cannot, and what it never says."""

from __future__ import annotations

import pytest
import s3

from backend.store.objects import Objects
from core.errors import ArtifactsDown, BadValue


@pytest.fixture
def server():
    with s3.serving() as server:
        yield server


@pytest.fixture
def objects(server, monkeypatch):
    return Objects(s3.named(monkeypatch, server))


def test_what_is_put_is_listed_read_copied_and_deleted(objects, server, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (48 << 10))  # 12 MiB: sent in parts
    for number in range(5):
        objects.put(f"run/teacher/{number} ü.json", str(number).encode())
    objects.put("run/weights", large)
    objects.put("runner/other", b"")
    assert [one.key for one in objects.below("run")] == [*(f"run/teacher/{n} ü.json" for n in range(5)), "run/weights"]
    assert objects.folders() == ["run", "runner"]
    assert objects.fetch("run/weights", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == large.read_bytes() == server.objects["installation/run/weights"]
    objects.copy("run/teacher/3 ü.json", "other/3")
    assert (objects.get("other/3"), objects.get("other/4")) == (b"3", None)
    assert not objects.fetch("nothing", tmp_path / "none") and not (tmp_path / "none").exists()
    objects.delete([one.key for one in objects.below("run")] + ["never"])
    assert list(server.objects) == ["installation/runner/other", "installation/other/3"]


def test_a_store_that_is_broken_gone_or_refuses_is_said_in_one_sentence_without_a_secret(server, monkeypatch):
    url = s3.named(monkeypatch, server)
    for why, change in {
        "it answers with status 503.": lambda: setattr(server, "down", True),
        "it refuses these credentials.": lambda: monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER"),
        "there is no such bucket.": lambda: None,
        "it does not answer.": lambda: monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    }.items():
        server.down = False
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.KEY_ID)
        change()
        there = Objects("s3://elsewhere" if "bucket" in why else url)
        asks = [there.check, lambda: there.put("a/b", b""), lambda: there.below("a")]  # noqa: B023
        if "bucket" not in why:  # of an object that is not there it is not told why
            asks.append(lambda: there.get("a/b"))  # noqa: B023
        for ask in asks:
            with pytest.raises(ArtifactsDown) as caught:
                ask()
            assert caught.value.fields["why"] == why
            assert s3.SECRET not in caught.value.message and "127.0.0.1" not in caught.value.message


def test_without_credentials_or_with_another_address_it_is_said_what_would_be_right(server, monkeypatch, tmp_path):
    url = s3.named(monkeypatch, server)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(BadValue, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file of these"):
        Objects(url)
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = {s3.KEY_ID}\naws_secret_access_key = {s3.SECRET}\n"
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert Objects(url).below("") == []
    for wrong in ("s3://", "s3://lab/../other", "s3:lab", "s3://id:secret@lab/x"):
        with pytest.raises(BadValue, match="s3://bucket"):
            Objects(wrong)
