"""The docs say what the program has: settings, routes, problems, names and commands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from apis import document
from commands import called

from backend.problems import ROUTING, STATUS
from core.backbones.catalog import BACKBONES, FIRE_MASKS, SMALL, layout_of
from core.cli.main import COMMANDS
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.recipes.catalog import RECIPES
from core.schemas.run import NeuronConfig, RunConfig, TrainingConfig
from core.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = {path: path.read_text() for path in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *ROOT.glob("docs/*.md")]}
SPAN = re.compile(r"`([^`\n]+)`")


def page(name: str) -> str:
    return DOCS[ROOT / name]


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of the same rank or a higher one."""
    rank = len(heading) - len(heading.lstrip("#"))
    below = re.split(rf"^{re.escape(heading)}$", text, flags=re.MULTILINE)
    assert len(below) == 2, f"{len(below) - 1} headings {heading!r}"
    return re.split(rf"^#{{1,{rank}}} ", below[1], flags=re.MULTILINE)[0]


def first_table(text: str) -> list[list[str]]:
    """Rows of cells, the header first, without the line of dashes."""
    lines = re.search(r"(?:^\|.*\n)+", text, flags=re.MULTILINE).group().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


def leading(text: str) -> list[str]:
    """Code spans in the first cells of the first table."""
    return [name for row in first_table(text)[1:] for name in SPAN.findall(row[0])]


def setting_names() -> list[str]:
    return [
        str(field.validation_alias or f"SPIKEFRONT_{name.upper()}") for name, field in Settings.model_fields.items()
    ]


#: Problems that are no class of an error: what does not fit a model, faults of ours.
OURS = ("invalid-request", "internal")

#: What is named -> (where its table stands, the names that the program has). The first cell of a row is its name.
TABLES = {
    "setting": ("README.md", "## Settings", setting_names()),
    "command": ("README.md", "## Commands", [f"spikefront {name}" for name, row in COMMANDS.items() if not row.hidden]),
    "mode": ("docs/accounting.md", "## Modes", list(MODES)),
    "profile": ("docs/accounting.md", "## Profiles", list(profiles())),
    "data set": ("docs/data.md", "## The published sets", list(DATASETS.built_in)),
    "backbone": ("docs/backbones.md", "# Backbones", list(BACKBONES)),
    "masked backbone": ("docs/backbones.md", "## Masks", list(BACKBONES)),
    "problem": (
        "docs/api.md",
        "## Problems",
        [*(kind.code for kind in STATUS), *(row[0] for row in ROUTING.values()), *OURS],
    ),
}


@pytest.mark.parametrize("what", TABLES)
def test_every_name_is_a_row_of_its_table_and_every_row_a_name(what):
    where, heading, names = TABLES[what]
    assert sorted(leading(section(page(where), heading))) == sorted(names)


def test_every_problem_stands_with_its_status_and_title():
    rows = dict(first_table(section(page("docs/api.md"), "## Problems"))[1:])
    assert {kind: rows[f"`{kind.code}`"] for kind in STATUS} == {
        kind: f"{status} {title}" for kind, (status, title) in STATUS.items()
    }


def test_a_row_that_is_taken_out_is_missed():
    """The check above sees names in first cells alone, however often they stand elsewhere."""
    for where, heading, names in TABLES.values():
        text = section(page(where), heading)
        for name in names:
            without = re.sub(rf"^\|[^|]*`{re.escape(name)}`[^|]*\|", "| x |", text, flags=re.MULTILINE)
            assert name not in leading(without), name


def routes_of(text: str) -> list[str]:
    """`METHOD /path`, as the rows of the table begin with it."""
    rows = first_table(section(text, "## Routes"))[1:]
    return [re.match(r"`((?:GET|POST|PATCH|PUT|DELETE) /\S*)`", row[0]).group(1) for row in rows]


def test_every_route_is_a_row_with_its_method_and_every_row_a_route():
    there = [
        f"{method.upper()} {re.sub(r'{[a-z]+_id}', '{id}', path.removeprefix('/api/v1'))}"
        for path, methods in document()["paths"].items()
        for method in methods
    ]
    assert len(there) > 40
    told = routes_of(page("docs/api.md"))
    assert sorted(route for route in told if route != "GET /s/{token}") == sorted(there)
    assert told.count("GET /s/{token}") == 1  # a page, which OpenAPI does not list


def test_every_recipe_is_a_column_and_what_it_decides_are_rows():
    header, *rows = first_table(section(page("docs/training.md"), "## Recipes"))
    assert [name for cell in header[1:] for name in SPAN.findall(cell)] == list(RECIPES)
    assert all(len(row) == len(header) for row in rows)
    named = {name for row in rows for name in SPAN.findall(row[0])}
    setups = [recipe.setup("cifar10").training.model_dump() for recipe in RECIPES.values()]
    differing = {name for name in setups[0] if any(setup[name] != setups[0][name] for setup in setups)}
    assert differing <= named, differing - named


def test_every_named_mask_stands_in_its_backbones_row():
    rows = {row[0].strip("`"): row[2] for row in first_table(section(page("docs/backbones.md"), "## Masks"))[1:]}
    for backbone, cell in rows.items():
        masks = layout_of(backbone, SMALL)[1]
        assert cell.rpartition(": ")[2].split(", ") == list(masks), backbone
    assert rows["squeezenet"].rpartition(": ")[2].split(", ") == list(FIRE_MASKS)


def fields() -> list[str]:
    """Every field of a run's config by its last name, with the group that it stands in."""
    inner = [("training.", TrainingConfig), ("neuron.", NeuronConfig), ("", RunConfig)]
    return [f"{group}{name}" for group, model in inner for name in model.model_fields]


@pytest.mark.parametrize("field", fields())
def test_every_field_of_a_config_is_a_code_span_of_the_docs(field):
    """As `lr`, `training.lr`, `loss=probability`, or `architecture.stem_width`; examples in blocks do not count."""
    prose = "\n".join(re.sub(r"```.*?```", "", text, flags=re.DOTALL) for text in DOCS.values())
    spellings = {field, field.rpartition(".")[2]}
    assert any(re.split(r"[=.]", span)[0] in spellings or span.partition("=")[0] in spellings
               for span in SPAN.findall(prose)), field  # fmt: skip


def marked_snippets() -> list[list[str]]:
    """Shell lines of each block that follows the mark `<!-- runs -->`."""
    blocks = []
    for text in DOCS.values():
        for block in re.findall(r"<!-- runs -->\n```sh\n(.*?)```", text, flags=re.DOTALL):
            blocks.append([line for line in block.replace("\\\n", " ").splitlines() if line.strip()])
    return blocks


#: What a line that trains is run with besides its own words: the images of a set change nothing of what is said there.
FEW = ("--set", "train_limit=64")


@pytest.mark.parametrize("block", marked_snippets(), ids=lambda block: block[0])
def test_every_marked_snippet_runs(block, tmp_path):
    """In this process: `test_the_page_of_results_is_that_of_the_gallery` starts one of its own."""
    for line in block:
        command, *arguments = shlex.split(line, comments=True)
        assert command == "spikefront"
        few = FEW if arguments[0] == "train" and "train_limit" not in line else ()
        result = called(*arguments, *few, cwd=tmp_path, SPIKEFRONT_HOME=str(tmp_path / "home"))
        assert result.returncode == 0, f"{line}\n{result.stderr}"


def test_some_snippets_are_marked():
    assert len(marked_snippets()) >= 4


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_local_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", DOCS[path]):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


def test_the_page_of_results_is_that_of_the_gallery(tmp_path):
    made = tmp_path / "results.md"
    subprocess.run([sys.executable, "-m", "core.cli", "results", "--out", str(made)], check=True, capture_output=True)
    assert made.read_text() == page("docs/results.md")
