"""Data sets in the browser, the first visit, and what a tab is called."""

from __future__ import annotations

import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from frontend.keys import Key
from frontend.parts import data_sets, first_visit


def archive(n: int = 6, broken: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for label, name in enumerate(("cats", "dogs")):
            for i in range(n):
                pixels = np.full((20, 20, 3), 60 + 120 * label, np.uint8)
                pixels[i] = 255
                picture = io.BytesIO()
                Image.fromarray(pixels).save(picture, format="PNG")
                file.writestr(f"{name}/{i}.png", picture.getvalue())
        if broken:
            file.writestr(broken, b"no picture")
    return buffer.getvalue()


def add(page, content: bytes, name: str):
    page.file_uploader(key=Key.DATA_FILE).upload("pets.zip", content, "application/zip").run()
    asked = "Give the data set a name, then add it." in [caption.value for caption in page.caption]
    assert asked is not bool(page.text_input(key=Key.DATA_NAME).value)
    page.text_input(key=Key.DATA_NAME).set_value(name).run()
    return page.button(key=Key.DATA_ADD).click().run()


def test_a_first_visit_says_what_this_is_and_where_to_begin(visit, words):
    said = words(visit("explore"))
    assert first_visit.WHAT in said and "1. **Launch**" in said
    assert "No run of yours has finished on Digits yet. The first one takes about a minute." in said


@pytest.mark.parametrize(
    ("imported", "total", "begun"),
    [([], 0, False), ([True, True], 2, False), ([True, False], 2, True), ([False], 1, True), ([True] * 20, 21, True)],
)
def test_the_first_words_stay_open_beside_runs_that_came_with_the_product(imported, total, begun):
    runs = [SimpleNamespace(imported=one) for one in imported]
    assert first_visit.begun(lambda limit: SimpleNamespace(items=runs[:limit], total=total)) is begun


def test_explore_says_what_is_true_of_a_set_without_results(visit, words):
    page = visit("explore")
    page.selectbox(key=Key.EXPLORE_DATASET).set_value("cifar10").run()
    assert "CIFAR-10 is not on this machine yet" in words(page)
    page.selectbox(key=Key.EXPLORE_DATASET).set_value("imagenet").run()
    said = words(page)
    assert "can be counted here, but not trained" in said and "The first one takes" not in said


def test_launch_takes_the_data_set_of_the_address(visit):
    page = visit("launch", dataset="cifar10")
    assert page.selectbox(key=Key.LAUNCH_DATASET).value == "cifar10"
    assert "dataset" not in page.query_params
    page.selectbox(key=Key.LAUNCH_DATASET).set_value("digits").run()
    assert page.selectbox(key=Key.LAUNCH_DATASET).value == "digits"


def test_the_papers_own_network_is_named_where_the_mask_is_chosen(visit):
    page = visit("launch")
    assert "SqueezeNet-P (Ref-1)" in page.pills(key=Key.LAUNCH_MASK_NAME).options
    assert page.pills(key=Key.LAUNCH_MASK_NAME).value == "Ref-1"


def test_an_archive_is_refused_with_its_file_and_then_added_and_seen(visit, words, stack):
    page = add(visit("settings"), archive(broken="cats/x.png"), "pets")
    said = words(page)
    assert "cats/x.png" in said and "Nothing was added." in said
    assert "pets" not in [info.name for info in stack.client.catalog().datasets]
    page = add(page, archive(), "pets")
    (said,) = [item.value.replace("\\", "") for item in page.success]
    assert said.startswith("**Pets is here**: 2 classes (cats, dogs), 10 training and 2 test images of 20×20 pixels.")
    assert "split" in said or "test" in said
    page.toggle(key=Key.DATA_WALL.of("pets")).set_value(True).run()
    said = words(page)
    assert said.count('alt="cats"') == said.count('alt="dogs"') == 5
    assert not page.success  # told once


def test_pictures_stand_in_launch_before_anything_is_trained(visit, words):
    page = visit("launch")
    page.toggle(key=Key.DATA_WALL.of("launch")).set_value(True).run()
    assert words(page).count('alt="7"') == data_sets.WALL


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_fetch_is_followed_cancelled_and_begun_again(visit, words, stack, monkeypatch, state):
    def endless(remote, file, progress):
        from core.errors import FetchFailed

        for done in range(1, 2_000):
            progress("downloading", done * 10_000, 170_498_071)
            if state == "failed" and done == 5:
                raise FetchFailed(url=remote.url, why="no route.")

    monkeypatch.setattr("core.datasets.fetch.download", endless)
    page = visit("settings")
    page.button(key=Key.DATA_FETCH.of("settings_cifar100")).click().run()
    if state == "cancelled":
        stack.client.cancel_fetch("cifar100")
    said = words(visit("settings"))
    assert "Download failed" in said if state == "failed" else "Download failed" not in said


def test_every_tab_says_its_page_and_its_subject(visit, monkeypatch):
    import streamlit as st

    titles = []
    real = st.set_page_config

    def noted(**named):
        titles.append(named.get("page_title"))
        real(**named)

    monkeypatch.setattr(st, "set_page_config", noted)
    found = {}
    for name in ("explore", "launch", "runs", "compare", "audit", "tryit", "shares", "settings"):
        visit(name)
        found[name] = titles[-1]
    assert found["explore"] == "Digits · Explore · Spikefront"
    assert found["launch"] == "SqueezeNet on Digits · Launch · Spikefront"
    assert found["settings"] == "Settings · Spikefront"
    assert len(set(found.values())) == len(found)
