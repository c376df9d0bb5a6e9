"""Text files that people edit: with a byte order mark as without, wherever one is read."""

import codecs
import shutil

import pytest

from core.datasets.add import add
from core.datasets.catalog import find
from core.energy.profiles import faulty_profiles, profiles
from core.search.space import read_toml
from core.text import text_of

MARKED = {
    "plain": lambda text: text.encode(),
    "utf-8": lambda text: codecs.BOM_UTF8 + text.encode(),
    "utf-16-le": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "utf-16-be": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
}
PROFILE = """
name = "mine"
title = "Mine"
source = "a paper"
process = "45 nm"
status = "measured"
ac = "ac"
mac = "mac"
[[constants]]
name = "ac"
pj = 1.0
source = "a paper"
[[constants]]
name = "mac"
pj = 2.5
source = "a paper"
"""


@pytest.mark.parametrize("mark", MARKED)
def test_a_mark_is_no_part_of_the_text(mark):
    assert text_of(MARKED[mark]("name = 'café'\r\n")) == "name = 'café'\r\n"
    assert text_of(MARKED[mark]("")) == ""


@pytest.mark.parametrize("content", [b"\xe9", b"\xff\xfe\x00", b"\xef\xbb\xbf\xff"])
def test_what_is_no_text_is_refused(content):
    with pytest.raises(UnicodeDecodeError):
        text_of(content)


@pytest.mark.parametrize("mark", MARKED)
def test_a_hardware_profile_may_have_a_mark(tmp_path, mark):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_bytes(MARKED[mark](PROFILE))
    assert profiles(tmp_path)["mine"].mac_pj == 2.5 and faulty_profiles(tmp_path) == {}


@pytest.mark.parametrize("mark", MARKED)
def test_the_table_of_a_data_set_may_have_a_mark(tmp_path, class_folders, mark):
    add("pets", class_folders(tmp_path / "s", {"cat": 5, "dog": 5}), tmp_path)
    table = tmp_path / "pets" / "dataset.toml"
    table.write_bytes(MARKED[mark](table.read_text().replace('title = "Pets"', 'title = "Größe"')))
    assert find("pets", tmp_path).title == "Größe"
    shutil.rmtree(tmp_path / "pets")


@pytest.mark.parametrize("mark", MARKED)
def test_a_file_of_a_search_space_may_have_a_mark(tmp_path, mark):
    (tmp_path / "space.toml").write_bytes(MARKED[mark]("[space]\nrecipe = ['fast', 'best']\n"))
    assert read_toml(tmp_path / "space.toml")[0].field == "recipe"
