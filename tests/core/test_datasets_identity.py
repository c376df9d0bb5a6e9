"""A digest tells data sets of one name apart: replaced ones of one's own, and parts of published ones."""

from __future__ import annotations

import pytest

from core.datasets.add import add
from core.datasets.identity import WHOLE, data_digest, present_digest
from core.datasets.load import load


def test_a_whole_published_set_needs_none(tmp_path, cifar10_files, small_cifar10):
    assert present_digest("digits", tmp_path) == data_digest(load("digits", tmp_path)) == WHOLE
    cifar10_files(tmp_path / "cifar10")
    assert present_digest("cifar10", tmp_path) is None  # not read yet: nobody knows
    assert data_digest(load("cifar10", tmp_path)) == WHOLE == present_digest("cifar10", tmp_path)


def test_two_parts_of_a_published_set_are_two_sets(tmp_path, cifar10_files):
    found = []
    for place, train in (("a", 2), ("b", 3), ("c", 2)):
        cifar10_files(tmp_path / place / "cifar10", train=train)
        found.append(data_digest(load("cifar10", tmp_path / place)))
        assert present_digest("cifar10", tmp_path / place) == found[-1]
    assert found[0] == found[2] != found[1] and WHOLE not in found


@pytest.mark.parametrize(
    ("classes", "size", "same"),
    [
        ({"cat": 5, "dog": 5}, 16, True),
        ({"cat": 5, "owl": 5}, 16, False),
        ({"cat": 5, "dog": 6}, 16, False),
        ({"cat": 5, "dog": 5}, 24, False),
    ],
)
def test_a_set_of_ones_own_is_its_classes_and_its_images(tmp_path, class_folders, classes, size, same):
    data = tmp_path / "data"
    add("pets", class_folders(tmp_path / "a", {"cat": 5, "dog": 5}), data, size=16)
    before = present_digest("pets", data)
    assert before == data_digest(load("pets", data))
    add("pets", class_folders(tmp_path / "b", classes), data, size=size, replace=True)
    assert (present_digest("pets", data) == before) is same


def test_other_pictures_of_the_same_classes_are_another_set(tmp_path, class_folders):
    data, source = tmp_path / "data", class_folders(tmp_path / "a", {"cat": 5, "dog": 5})
    add("pets", source, data)
    before = present_digest("pets", data)
    (source / "cat" / "0.png").write_bytes((source / "dog" / "0.png").read_bytes())
    add("pets", source, data, replace=True)
    assert present_digest("pets", data) != before


def test_a_title_makes_no_other_set_and_what_is_not_there_has_none(tmp_path, class_folders):
    add("pets", class_folders(tmp_path / "a", {"cat": 5, "dog": 5}), tmp_path)
    before, table = present_digest("pets", tmp_path), tmp_path / "pets" / "dataset.toml"
    table.write_text(table.read_text().replace('title = "Pets"', 'title = "My pets"'))
    assert present_digest("pets", tmp_path) == before
    table.write_text("no table")
    for name in ("pets", "nothing", "cifar10", "imagenet"):
        assert present_digest(name, tmp_path) is None
