"""What holds for all tests."""

import gc
import os

import pytest
from hypothesis import settings

ALL = bool(os.environ.get("SPIKEFRONT_TEST_ALL"))  # read before tests take variables of this prefix away

# Of what a property is tried with; a test that needs a number of its own says it. A busy machine is no wrong answer.
# The brief ones are the same each time: a check of one change shall not fail for what was there before it.
settings.register_profile("brief", deadline=None, max_examples=30, derandomize=True)
settings.register_profile("all", deadline=None, max_examples=100)
settings.load_profile("all" if ALL else "brief")


def pytest_configure() -> None:
    gc.disable()  # while the tests' modules, and all that they import, are loaded: nothing of it is ever garbage


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """What is loaded by now is never searched for cycles, and the rest as rarely as a server does it."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without SPIKEFRONT_TEST_ALL, those tests are left out that only repeat at length what shorter ones beside them show."""
    long = [] if ALL else [item for item in items if item.get_closest_marker("exhaustive")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]
