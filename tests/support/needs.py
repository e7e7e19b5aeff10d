"""What a test needs of the machine that it runs on."""

import os

import pytest


def need(present: bool, what: str) -> None:
    """Skip the test, and say why, where the machine lacks something; fail in CI.

    A test that silently never runs anywhere would hold no promise.
    """
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is needed, and this is CI")
    pytest.skip(f"{what} is needed")
