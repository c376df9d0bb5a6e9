"""The page Settings: data sets, what is stored, versions, and price files that cannot be used."""

from __future__ import annotations

import re
import shutil
from html import unescape
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.schemas.run import RunState
from core.schemas.share import ShareRequest
from core.settings import Settings
from frontend.keys import Key
from frontend.pages.settings.page import size, token_in_words


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (999_600, "1 MB"), (36_128_586, "36.1 MB"), (5e15, "5e+03 TB")],
)
def test_sizes_have_three_digits_and_a_fitting_unit(n_bytes, text):
    assert size(n_bytes) == text


def test_settings_say_what_is_stored_which_versions_run_and_which_price_file_is_faulty(stack, visit, words):
    profiles = stack.settings.home / "profiles"
    profiles.mkdir()
    (profiles / "mine.toml").write_text("name = ")
    stack.lifecycle.worker_seen("box:1", queue="cpu", slots=2, busy=0)
    stack.queued("snn")
    said = words(visit("settings"))
    here = stack.client.installation()
    assert "Left out." in said and "mine.toml" in said
    assert "box:1 takes the queue cpu · 0 of 2 slots busy" in said
    assert all(version in said for version in here.versions.values())
    assert all(item.path in said for item in here.stored)
    assert "1 run." in said
    assert "spikefront data add NAME PATH" in said


def test_the_line_for_a_shell_says_where_this_installation_s_token_is(tmp_path):
    kept = Settings(home=tmp_path)
    assert token_in_words(kept, "/a b")[1] == "$(cat '/a b/token')"
    elsewhere = kept.model_copy(update={"token_file_override": Path("/run/secrets/token")})
    words, shell = token_in_words(elsewhere, "/a")
    assert "SPIKEFRONT_TOKEN_FILE" in words and shell == "$(cat /run/secrets/token)"
    given = kept.model_copy(update={"token": SecretStr("s3cret-s3cret-s3cret")})
    assert token_in_words(given, "/a")[1] == "$SPIKEFRONT_TOKEN"


def test_runs_that_the_database_lost_are_listed_again_by_a_button(stack, visit, words):
    found = stack.settings.home / "runs" / ("f" * 16)
    shutil.copytree(stack.trained["cnn"], found)
    page = visit("settings")
    assert "1 run in the folder of runs cannot be found in the database" in words(page)
    page.button(key=Key.TAKE_UP).click().run()
    assert "cannot be found" not in words(page)
    assert stack.client.run("f" * 16).state is RunState.SUCCEEDED


def test_every_profile_stands_with_its_prices_and_their_source(visit, words, stack):
    said = unescape(words(visit("settings")))
    for profile in stack.client.catalog().profiles:
        row = re.search(rf'<th scope="row">{re.escape(profile.title)}<br>.*?</tr>', said)[0]
        assert f"<td>{profile.ac_pj:g}</td><td>{profile.mac_pj:g}</td>" in row and profile.source in row


def test_what_frozen_links_take_stands_beside_the_bundles_until_they_are_withdrawn(stack, visit, words):
    def taken() -> str:
        return re.search(r"Frozen shares<br>.*?<td>(.*?)</td>", words(visit("settings")))[1]

    run = stack.succeeded("snn")
    assert taken() == "0 B"
    share = stack.client.share(ShareRequest(run_id=run.id, frozen=True))
    manifest = stack.settings.home / "runs" / "shares" / share.id / "manifest.json"
    assert taken() == size(share.bytes + manifest.stat().st_size)  # the files, and the list of them
    stack.client.revoke(share.id)
    assert taken() == "0 B"
