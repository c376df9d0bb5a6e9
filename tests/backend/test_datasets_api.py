"""Data sets through the API: an archive is taken or refused as by `spikefront data add`, and shown class by class."""

from __future__ import annotations

import base64
import io
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.datasets import service
from core.datasets import fetch as fetching
from core.datasets.load import load
from core.errors import FetchFailed
from core.settings import Settings

from .conftest import wait_until

SETS = "/api/v1/datasets"
COLOURS = {"red": (200, 20, 20), "blue": (20, 20, 200)}


@pytest.fixture(autouse=True)
def _one_data_folder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of data sets looks where the settings of the environment say."""
    monkeypatch.setenv("SPIKEFRONT_HOME", str(settings.home))


def drawn(colour: tuple[int, int, int], n: int, side: int = 20) -> bytes:
    """A picture of its own for each n."""
    pixels = np.full((side, side, 3), colour, np.uint8)
    pixels[n % side] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def files(n: int = 10) -> dict[str, bytes]:
    return {f"{name}/{i}.png": drawn(colour, i) for name, colour in COLOURS.items() for i in range(n)}


def zipped(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return buffer.getvalue()


def tarred(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def send(client: TestClient, content: object, **query: object):
    return client.post(SETS, params={"file": "colours.zip", **query}, content=content)


def left(client: TestClient) -> list[str]:
    """What lies in the data folder, without the locks."""
    folder = client.app.state.context.settings.data
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock")) if folder.exists() else []


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_of_class_folders_becomes_a_data_set(client: TestClient, pack) -> None:
    answer = send(client, pack({**files(), "extra.txt": b"x"}), name="colours", size=16, mirrors=True)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert found["classes"] == ["blue", "red"]
    assert (found["dataset"]["n_train"], found["dataset"]["n_test"]) == (16, 4)
    assert found["dataset"]["image_shape"] == [3, 16, 16]
    assert "colours" in [row["name"] for row in client.get("/api/v1/catalog").json()["datasets"]]
    assert left(client) == ["colours"]
    work = client.get(f"{SETS}/colours/work").json()
    assert (work["kind"], work["state"], work["problem"]) == ("add", "done", None)


@pytest.mark.parametrize(
    ("content", "query", "code", "says"),
    [
        ({"a.txt": b"x"}, {}, "no-class-folders", "path is 'colours.zip'"),
        ({**files(), "red/broken.png": b"no picture"}, {}, "dataset-corrupt", "red/broken.png"),
        ({**files(), "../out.png": b"x"}, {}, "unsafe-archive", "out.png"),
        (files(), {"size": 999}, "bad-value", "size is 999; it must be from 16 to 256"),
        (files(), {"name": "My Set"}, "bad-value", "beginning with a letter"),
        (files(), {"name": "digits"}, "bad-value", "this one always is there"),
        (files(), {"name": "cifar10"}, "bad-value", "a copy of CIFAR-10"),
        (files(), {"name": "cifar10", "mirrors": True}, "bad-value", "mirrors is"),
    ],
)
def test_what_the_command_line_refuses_is_refused_and_nothing_stays(
    client: TestClient, content: dict[str, bytes], query: dict, code: str, says: str
) -> None:
    answer = send(client, zipped(content), **{"name": "colours", **query})
    assert (answer.status_code >= 400, answer.json()["code"]) == (True, code), answer.text
    assert says in answer.json()["detail"], answer.json()["detail"]
    assert ".import" not in answer.text and "--" not in answer.json()["detail"]
    assert left(client) == []


def test_half_an_archive_and_no_archive_leave_nothing(client: TestClient) -> None:
    whole = zipped(files())
    for content in (whole[: len(whole) // 2], b"", b"just text"):
        answer = send(client, content, name="colours")
        assert answer.status_code in (409, 422), answer.text
        assert "colours.zip" in answer.json()["detail"]
        assert left(client) == []


def test_a_longer_archive_than_the_limit_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped(files())
    monkeypatch.setitem(service.UPLOADS, SETS, len(content) - 1)
    told = send(client, content, name="colours")
    streamed = send(client, iter([content]), name="colours")
    assert [told.json()["code"], streamed.json()["code"]] == ["body-too-large"] * 2
    assert left(client) == []


def test_a_set_that_is_there_is_exchanged_only_when_asked_to(client: TestClient) -> None:
    assert send(client, zipped(files()), name="colours").status_code == 201
    again = send(client, zipped(files(20)), name="colours")
    assert again.status_code == 422 and "`replace` exchanges them" in again.json()["detail"]
    exchanged = send(client, zipped(files(20)), name="colours", replace=True)
    assert exchanged.json()["dataset"]["n_train"] == 32


def test_of_two_uploads_of_one_name_one_wins_and_the_api_answers_meanwhile(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    add = service.add

    def slow(*args: object, **named: object):
        entered.set()
        assert go_on.wait(20)
        return add(*args, **named)

    monkeypatch.setattr(service, "add", slow)
    answers = []
    first = threading.Thread(target=lambda: answers.append(send(client, zipped(files()), name="colours")))
    first.start()
    assert entered.wait(20)
    try:
        assert client.get(f"{SETS}/colours/work").json()["state"] == "running"
        second = send(client, zipped(files()), name="colours")
        assert second.status_code == 422 and "under way" in second.json()["detail"]
    finally:
        go_on.set()
        first.join()
    assert answers[0].status_code == 201


def test_pictures_are_training_images_of_their_class(client: TestClient) -> None:
    send(client, zipped(files()), name="colours")
    wall = client.get(f"{SETS}/colours/pictures", params={"limit": 3}).json()
    assert [(each["name"], each["n_train"], each["n_test"]) for each in wall["classes"]] == [
        ("blue", 8, 2),
        ("red", 8, 2),
    ]
    dataset = load("colours", client.app.state.context.settings.data)
    for label, each in enumerate(wall["classes"]):
        assert len(set(each["pictures"])) == 3
        for picture in each["pictures"]:
            content = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
            pixels = np.asarray(Image.open(io.BytesIO(content)))
            assert (dataset.train_images[dataset.train_labels == label] == pixels).all(axis=(1, 2, 3)).any()
    one = client.get(f"{SETS}/colours/pictures", params={"class": "red", "limit": 48}).json()
    assert [len(each["pictures"]) for each in one["classes"]] == [8]
    assert one["class_names"] == ["blue", "red"]


def test_pictures_that_cannot_be_shown_say_why(client: TestClient) -> None:
    asked = {
        "digits/pictures?class=ten": "unknown-name",
        "nothing/pictures": "unknown-name",
        "cifar10/pictures": "dataset-missing",
        "imagenet/pictures": "dataset-missing",
        "digits/pictures?limit=0": "invalid-request",
        "digits/pictures?limit=49": "invalid-request",
        "digits/work": "not-found",
    }
    assert {path: client.get(f"{SETS}/{path}").json()["code"] for path in asked} == asked
    assert len(client.get(f"{SETS}/digits/pictures").json()["classes"]) == 10


def test_a_fetch_runs_in_the_background_can_be_cancelled_and_begun_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, tries = threading.Event(), []

    def endless(remote: object, file: Path, progress) -> None:
        tries.append(remote)
        started.set()
        for done in range(1, 10_000):
            progress("downloading", done, 10_000)
            threading.Event().wait(0.01)

    monkeypatch.setattr(fetching, "download", endless)
    assert client.post(f"{SETS}/cifar10/fetch").status_code == 202
    assert started.wait(20)
    wait_until(lambda: client.get(f"{SETS}/cifar10/work").json()["done"] > 0)
    assert client.post(f"{SETS}/cifar10/fetch").json()["state"] == "running"  # a second click begins no second one
    client.delete(f"{SETS}/cifar10/fetch")
    wait_until(lambda: client.get(f"{SETS}/cifar10/work").json()["state"] == "cancelled")
    assert len(tries) == 1
    client.post(f"{SETS}/cifar10/fetch")
    wait_until(lambda: len(tries) == 2)


def test_a_fetch_that_fails_says_why(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(remote, file: Path, progress) -> None:
        raise FetchFailed(url=remote.url, why="no route. What came is kept.")

    monkeypatch.setattr(fetching, "download", failing)
    client.post(f"{SETS}/cifar100/fetch")
    wait_until(lambda: client.get(f"{SETS}/cifar100/work").json()["state"] == "failed")
    problem = client.get(f"{SETS}/cifar100/work").json()["problem"]
    assert problem["code"] == "fetch-failed" and "no route" in problem["detail"]
    refused = client.post(f"{SETS}/imagenet/fetch")
    assert refused.status_code in (409, 422) and "address" in refused.json()["detail"]
