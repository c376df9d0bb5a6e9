"""The docs say what the program has: settings, routes, problems, names and commands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from backend.app import create_app
from core import errors
from core.backbones.catalog import BACKBONES, FIRE_MASKS
from core.cli.main import COMMANDS
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.recipes.catalog import RECIPES
from core.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = {path: path.read_text() for path in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *ROOT.glob("docs/*.md")]}
TEXT = "\n".join(DOCS.values())


def setting_names() -> list[str]:
    return [
        str(field.validation_alias or f"SPIKEFRONT_{name.upper()}") for name, field in Settings.model_fields.items()
    ]


@pytest.mark.parametrize("setting", setting_names())
def test_every_setting_is_documented(setting):
    assert f"`{setting}`" in TEXT


def test_every_route_is_documented(tmp_path):
    app = create_app(Settings(home=tmp_path))
    paths = list(app.openapi()["paths"])
    assert len(paths) > 15
    missing = [path for path in paths if re.sub(r"\{\w+_id\}", "{id}", path.removeprefix("/api/v1")) not in TEXT]
    assert not missing


@pytest.mark.parametrize("error", errors.SpikefrontError.__subclasses__(), ids=lambda error: error.code)
def test_every_problem_is_documented(error):
    assert f"`{error.code}`" in DOCS[ROOT / "docs" / "api.md"]


@pytest.mark.parametrize(
    "name",
    [
        *BACKBONES,
        *FIRE_MASKS,
        *DATASETS.built_in,
        *RECIPES,
        *MODES,
        *profiles(),
        *(f"spikefront {name}" for name, row in COMMANDS.items() if not row.hidden),
    ],
)
def test_every_name_is_documented(name):
    assert name in TEXT


def marked_snippets() -> list[list[str]]:
    """Shell lines of each block that follows the mark `<!-- runs -->`."""
    blocks = []
    for text in DOCS.values():
        for block in re.findall(r"<!-- runs -->\n```sh\n(.*?)```", text, flags=re.DOTALL):
            blocks.append([line for line in block.replace("\\\n", " ").splitlines() if line.strip()])
    return blocks


@pytest.mark.parametrize("block", marked_snippets(), ids=lambda block: block[0])
def test_every_marked_snippet_runs(block, tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_HOME", str(tmp_path / "home"))
    for line in block:
        command, *arguments = shlex.split(line, comments=True)
        assert command == "spikefront"
        result = subprocess.run(
            [sys.executable, "-m", "core.cli", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, f"{line}\n{result.stderr}"


def test_some_snippets_are_marked():
    assert len(marked_snippets()) >= 4


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_local_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", DOCS[path]):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target
