"""The shape of the project: which way imports point, and what may import torch."""

import subprocess
import sys
from pathlib import Path

import pytest

import core

ROOT = Path(__file__).parents[1]

HEAVY = ("torch", "spikingjelly", "syops", "neurobench", "nir", "onnx", "onnxruntime", "torchvision", "torchaudio")


def modules_after(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after `statement`."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(result.stdout.split())


def test_the_package_under_test_is_this_checkout():
    assert Path(core.__file__).resolve() == ROOT / "core" / "__init__.py"


@pytest.mark.parametrize(
    "statement",
    [
        "import backend.app",
        "import worker.app, worker.supervisor, worker.__main__",
        "import frontend.serving.server, frontend.client.api",
        "import core.cli.main",
        "import core.cli.commands.count, core.cli.commands.data, core.cli.commands.up, core.cli.commands.doctor",
        "import core.cli.commands.bundle, core.cli.commands.train, core.cli.commands.trainer",
        "import core.bundle, core.forecast, core.analysis.pareto, core.energy.price, core.recipes.build",
        "import core.report.charts.pareto, backend.shares.page",
    ],
)
def test_nothing_outside_the_engine_brings_in_torch(statement):
    assert not modules_after(statement) & set(HEAVY)


def test_the_engine_does_bring_in_torch():
    """The check above can see torch when it is there."""
    assert "torch" in modules_after("import core.engine.network")


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


def test_no_module_is_called_utils():
    for package in ("core", "backend", "worker", "frontend", "benchmarks"):
        assert not list((ROOT / package).rglob("utils.py"))


def test_a_constraint_pins_every_dependency_to_one_version():
    import tomllib

    from packaging.requirements import Requirement

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
