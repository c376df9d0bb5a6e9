"""Names of modes and profiles are looked up at the edge: what counts and prices takes the things themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import core
from core.energy.profiles import profiles
from core.schemas.prices import Profile

ROOMS = ("energy", "analysis")
FILES = [file for room in ROOMS for file in sorted((Path(core.__file__).parent / room).glob("*.py"))]


def parameters(tree: ast.AST) -> list[tuple[str, str]]:
    """(name, annotation) of every parameter of every function."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    each = [arg for one in functions for arg in (*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs)]
    return [(arg.arg, ast.unparse(arg.annotation)) for arg in each if arg.annotation is not None]


def test_modes_and_profiles_are_objects_in_every_room_that_computes() -> None:
    found = [(file.name, *one) for file in FILES for one in parameters(ast.parse(file.read_text()))]
    chosen = [(file, name, said) for file, name, said in found if name in ("mode", "profile", "prices")]
    assert len(chosen) > 15  # so many there are: the search finds them
    assert [one for one in chosen if "str" in one[2]] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_room_that_computes_reads_the_profiles_of_whoever_runs_it(file: Path) -> None:
    if file.name == "profiles.py":
        pytest.skip("it is the one that reads them")
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    assert "profiles" not in [ast.unparse(call.func) for call in calls]


def test_a_profile_travels_whole() -> None:
    """Whatever a profile has comes back from JSON: word_bits and the constants by name."""
    for name, profile in profiles().items():
        assert Profile.model_validate_json(profile.model_dump_json()) == profile, name
    assert {profile.word_bits for profile in profiles().values()} == {8, 16, 32}
