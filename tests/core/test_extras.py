"""The command that brings an extra's packages is one that can be typed where Spikefront was installed from."""

from __future__ import annotations

from core.errors import PackageMissing
from core.extras import with_extra


def test_an_installed_product_is_found_by_its_name(tmp_path):
    assert with_extra("server", source=tmp_path, prefix=str(tmp_path / "venv")) == "pip install 'spikefront[server]'"


def test_a_clone_is_installed_again_in_place_by_its_own_environment(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    own = with_extra("server", source=tmp_path, prefix=str(tmp_path / ".venv"))
    assert own == ".venv/bin/pip install -c constraints.txt -e '.[server]' in the folder of the clone"
    other = with_extra("server", source=tmp_path, prefix="/somewhere/else")
    assert other == "pip install -c constraints.txt -e '.[server]' in the folder of the clone"


def test_an_error_says_it_without_a_path_of_the_machine():
    """These tests run from a clone."""
    said = PackageMissing(package="argon2-cffi", extra="server", why="A password").message
    assert said.startswith("A password needs the package argon2-cffi, which is not installed. ")
    assert said.endswith("pip install -c constraints.txt -e '.[server]' in the folder of the clone brings it.")
    assert " /" not in said
