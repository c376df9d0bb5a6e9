"""The shape of the project: which way imports point, and what may import torch."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import core

ROOT = Path(__file__).parents[1]

HEAVY = ("torch", "spikingjelly", "syops", "neurobench", "nir", "onnx", "onnxruntime", "torchvision", "torchaudio")


#: What a process of ours begins with, or imports without the engine.
LIGHT = (
    "import backend.app",
    "import worker.app, worker.supervisor, worker.__main__",
    "import frontend.serving.server, frontend.client.api",
    "import core.cli.main",
    "import core.cli.commands.count, core.cli.commands.data, core.cli.commands.up, core.cli.commands.doctor",
    "import core.cli.commands.bundle, core.cli.commands.train, core.cli.commands.trainer",
    "import core.bundle, core.forecast, core.analysis.pareto, core.energy.price, core.recipes.build",
    "import core.report.charts.pareto, backend.shares.page",
)
ENGINE = "import core.engine.network"


def test_the_package_under_test_is_this_checkout():
    assert Path(core.__file__).resolve() == ROOT / "core" / "__init__.py"


@pytest.fixture(scope="module")
def brought_in() -> dict[str, list[str]]:
    """Heavy modules that a fresh interpreter holds after each of these statements and not before it, one by one."""
    code = f"""
import json, sys
found, seen = {{}}, set()
for statement in {(*LIGHT, ENGINE)!r}:
    exec(statement)
    there = set(sys.modules) & set({HEAVY!r})
    found[statement] = sorted(there - seen)
    seen |= there
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize("statement", LIGHT)
def test_nothing_outside_the_engine_brings_in_torch(brought_in, statement):
    assert brought_in[statement] == []


def test_the_engine_does_bring_in_torch(brought_in):
    """The check above can see torch when it is there."""
    assert "torch" in brought_in[ENGINE]


def test_package_markers_are_empty_and_tests_have_none():
    for package in ("core", "backend", "worker", "frontend"):
        for marker in (ROOT / package).rglob("__init__.py"):
            assert marker.read_text() == "", marker
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_folder_of_modules_is_a_package():
    """One without a marker is in no built distribution, and in none of import-linter's rooms."""
    for package in ("core", "backend", "worker", "frontend"):
        folders = {module.parent for module in (ROOT / package).rglob("*.py")}
        assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


SAYS_NOTHING = re.compile(r"_*(utils?|utilit(y|ies)|helpers?|common|misc|miscellaneous|stuff)_*", re.IGNORECASE)


def says_nothing(name: str) -> bool:
    """Whether a module or a folder may hold anything, by its name: `utils`, `string_helpers`, `common`."""
    return any(SAYS_NOTHING.fullmatch(part) for part in (name, name.rpartition("_")[2], name.partition("_")[0]))


@pytest.mark.parametrize("name", ["utils", "helpers", "helper", "string_utils", "common", "misc", "_util", "utils_io"])
def test_the_names_that_say_nothing_are_known(name):
    assert says_nothing(name)


def test_no_module_and_no_folder_has_a_name_that_says_nothing():
    places = [ROOT / package for package in ("core", "backend", "worker", "frontend", "benchmarks", "scripts", "tests")]
    modules = [path for place in places for path in place.rglob("*.py")]
    assert len(modules) > 300
    names = {path for path in modules if says_nothing(path.stem)} | {
        folder
        for module in modules
        for folder in module.parents
        if ROOT in folder.parents and says_nothing(folder.name)
    }
    assert sorted(str(path.relative_to(ROOT)) for path in names) == []


def test_a_constraint_pins_every_dependency_to_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pinned = {}
    for line in lines:
        name, version = line.split("==")
        pinned[name.lower().replace("_", "-")] = version
    for text in wanted:
        requirement = Requirement(text)
        version = pinned[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(version), f"{text} does not admit the pinned {version}"


QUICK = ("ruff check .", "ruff format --check .", "lint-imports", "deptry .")


def told(target: str, **variables: str) -> list[str]:
    """What `make` would run, a line each, without the folder of the environment."""
    given = [f"{name}={value}" for name, value in {"VENV": "/here", **variables}.items()]
    made = ["make", "-n", target, *given, "-o", "/here/.installed-test"]
    said = subprocess.run(made, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    return [line.replace("/here/bin/", "") for line in said.splitlines() if "/here/bin/" in line and line[:4] != "echo"]


def test_make_runs_every_check_of_the_text_before_any_test_and_types_beside_the_first():
    assert told("lint") == [*QUICK, "mypy"]
    *checks, tests = told("test", ARGS="-x")
    assert checks == [*QUICK, "mypy"] and tests == "python -m pytest -x"
    *checks, first, second = told("test")
    assert tuple(checks) == QUICK
    assert first.startswith("mypy & types=$!; ") and first.endswith("tests=$?; wait $types && exit $tests")
    assert "pytest" in first and "--ignore tests/worker --ignore tests/system" in first
    assert "pytest" in second and second.endswith(" tests/worker tests/system")


@pytest.mark.parametrize(("types", "tests", "well"), [(0, 0, True), (1, 0, False), (0, 1, False)])
def test_a_fault_of_either_side_is_a_fault_of_make(tmp_path, types, tests, well):
    (tmp_path / "bin").mkdir()
    for name, code in (("mypy", types), ("python", tests), ("ruff", 0), ("lint-imports", 0), ("deptry", 0)):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    made = ["make", "test", f"VENV={tmp_path}", "-o", f"{tmp_path}/.installed-test"]
    assert (subprocess.run(made, cwd=ROOT, capture_output=True, timeout=120, check=False).returncode == 0) == well


def test_each_check_is_a_declared_package():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
    declared = {Requirement(text).name for text in extra}
    assert {"ruff", "import-linter", "deptry", "mypy"} <= declared


#: An HTML or SVG tag that begins or ends; `<folder>` and the like are words.
TAG = re.compile(
    r"</?(a|b|body|br|code|details|div|em|figcaption|figure|form|h[1-6]|head|html|i|img|input|label|li|main|meta|ol|option"
    r"|p|path|script|section|select|small|span|strong|style|sub|summary|sup|svg|table|tbody|td|th|thead|title|tr|ul)(?=[\s/>]|$)"
)
#: Plotly's own markup for text in a figure. It is no HTML of a page: `theme.escape` says what Plotly makes of signs.
PLOTLY = {"b", "br", "sup"}
#: File and tag that stay in Python, with the reason.
BY_HAND = {("core/report/charts/legend.py", "span"): "a line of a picture's legend, which is Plotly's markup too"}


def formatted(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of each string that something is put into: f-string, format, %, + or join."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=parts):
                told = parts
            case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
                told = [left, right]
            case ast.Call(func=ast.Attribute(value=ast.Constant() as told_to, attr="format" | "join")):
                told = [told_to]
            case _:
                continue
        for part in told:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.lineno, part.value


def html_by_hand(source: str, *, allowed: set[str] = frozenset()) -> list[tuple[int, str]]:
    """(line, tag) of the HTML that a module puts together itself."""
    return [
        (line, tag) for line, text in formatted(ast.parse(source)) for tag in TAG.findall(text) if tag not in allowed
    ]


def test_html_is_made_by_templates_that_escape_and_not_put_together_in_python():
    found, used = [], set()
    for package in ("core", "backend", "worker", "frontend"):
        for module in sorted((ROOT / package).rglob("*.py")):
            place = str(module.relative_to(ROOT))
            allowed = PLOTLY if place.startswith("core/report/charts/") else set()
            for line, tag in html_by_hand(module.read_text(), allowed=allowed):
                if (place, tag) in BY_HAND:
                    used.add((place, tag))
                else:
                    found.append(f"{place}:{line} <{tag}>")
    assert found == []
    assert used == set(BY_HAND), "an exception that is needed no more"


@pytest.mark.parametrize(
    "source",
    [
        "f'<td>{x}</td>'",
        "'<p>{}</p>'.format(x)",
        "'<b>%s</b>' % x",
        "'<div class=\"a\">' + x",
        "'</li><li>'.join(x)",
        "f'<svg width={x}>'",
    ],
)
def test_the_check_above_sees_html_in_every_way_of_putting_it_together(source):
    assert html_by_hand(source)


def test_the_check_above_lets_words_in_angle_brackets_and_whole_constants_be():
    assert html_by_hand("f'--out <folder> {x}'; '<style>p{}</style>'; f'{x} < y'") == []


def test_every_template_is_packaged():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in ("core", "backend", "frontend", "worker"):
        packaged = {file for glob in data.get(package, ()) for file in (ROOT / package).glob(glob)}
        for folder in (ROOT / package).rglob("templates"):
            assert {file for file in folder.iterdir() if file.is_file()} <= packaged, folder
