"""Event loops that complain."""

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Run:
    """Run a coroutine in asyncio's debug mode, where nothing may be left or complained about."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = asyncio.run(asyncio.wait_for(work, 30), debug=True)
            gc.collect()
        # In debug mode asyncio also logs every step that blocks the loop for a tenth of a second.
        assert [each for each in caplog.records if each.name == "asyncio"] == []
        return result

    return run
