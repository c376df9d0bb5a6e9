"""What holds for all tests."""

import gc

import pytest


def pytest_configure() -> None:
    gc.disable()  # while the tests' modules, and all that they import, are loaded: nothing of it is ever garbage


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """What is loaded by now is never searched for cycles, and the rest as rarely as a server does it."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()
