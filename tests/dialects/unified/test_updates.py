"""The WebSocket: every set, delete and bulk update as it happens."""

import time
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.dialects.unified.client import (
    NOT_DELETED,
    Apart,
    Unified,
    Updates,
    entries,
    keys_and_values,
    missing,
    refused,
    same,
    saved,
    value,
)
from tests.support.server import Api, Server

pytestmark = pytest.mark.usefixtures("apart")


# --- updates


def test_every_set_delete_and_bulk_update_is_told_in_order(
    unified: Unified, section: str, updates: Updates
) -> None:
    other = f"{section}-other"
    unified.set(section, "a", 1)
    unified.set(section, "b", {"c": [None]})
    unified.replace(section, {"b": 2, "d": "é"})
    unified.delete(section, key="b")
    unified.bulk({section: {"a": 3}, other: {"x": 4, "y": 5}})
    unified.delete(section)

    assert updates.received() == [
        {f"{section}:a": 1},
        {f"{section}:b": {"c": [None]}},
        {f"{section}:a": None, f"{section}:b": 2, f"{section}:d": "é"},
        {f"{section}:b": None},
        {f"{section}:a": 3, f"{other}:x": 4, f"{other}:y": 5},
        {f"{section}:a": None, f"{section}:d": None},
    ]


def test_every_watcher_hears_every_writer_whichever_worker_they_have(
    server: Server, section: str
) -> None:
    with ExitStack() as held:
        watchers = [held.enter_context(closing(Updates(server.api))) for _ in range(8)]
        writers = [held.enter_context(closing(Api(server.url))) for _ in range(6)]
        for number, writer in enumerate(writers):
            saved(Unified(writer).set(section, "n", number))

        for watcher in watchers:
            assert [watcher.next() for _ in writers] == [{f"{section}:n": i} for i in range(6)]


def test_nothing_is_told_of_what_was_before_or_did_not_happen(
    api: Api, unified: Unified, section: str
) -> None:
    unified.set(section, "a", 1)
    with closing(Updates(api)) as updates:
        refused(unified.set(section, "a", None))
        refused(unified.bulk({section: {"a": 2}, "A": {}}))
        missing(unified.delete(section, key="b"), NOT_DELETED)
        for _ in range(3):
            unified.http.post(
                "/config/set",
                json={"section": section, "key": "a", "value": 3},
                headers={"Idempotency-Key": section},
            )

        assert updates.received() == [{f"{section}:a": 3}]


def test_nothing_else_is_told_in_between(
    api: Api, unified: Unified, section: str, updates: Updates
) -> None:
    unified.set(section, "a", 1)
    api.define(f"{section}-def", {"type": "object"})
    api.http.put("/api/v1/services/tags", params={"service": section}, json={"tags": ["x"]})
    api.put(section, {"a": 1}, definition=f"{section}-def")
    unified.set(section, "a", 2)

    assert updates.received() == [{f"{section}:a": 1}, {f"{section}:a": 2}]


def test_large_sections_are_told_like_small_ones(
    unified: Unified, section: str, updates: Updates
) -> None:
    large = "x" * 100_000
    unified.set(section, "small", 1)
    unified.set(section, "large", large)
    unified.set(section, "small", 2)
    unified.delete(section, key="large")
    unified.set(section, "small", 3)

    assert updates.received() == [
        {f"{section}:small": 1},
        {f"{section}:large": large},
        {f"{section}:small": 2},
        {f"{section}:large": None},
        {f"{section}:small": 3},
    ]


def test_a_large_section_that_is_deleted_is_told(
    unified: Unified, section: str, updates: Updates
) -> None:
    unified.set(section, "large", "x" * 100_000)
    unified.delete(section)

    assert updates.received()[1:] == [{f"{section}:large": None}]


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, True), ([0], [False]), ({"on": 1}, {"on": True}), ([{"n": 1}], [{"n": 1.0}])],
    ids=str,
)
def test_true_in_place_of_one_is_news(
    unified: Unified, section: str, updates: Updates, before: Any, after: Any
) -> None:
    unified.set(section, "a", before)
    unified.set(section, "a", after)

    assert same(value(unified.get(section, key="a")), after)
    assert same(updates.received(), [{f"{section}:a": before}, {f"{section}:a": after}])
    assert same(keys_and_values(unified.history(section)), [("a", after), ("a", before)])


def test_what_is_set_again_after_its_section_was_deleted_is_news(
    unified: Unified, section: str, updates: Updates
) -> None:
    unified.replace(section, {"a": 1, "b": 2})
    unified.delete(section)
    unified.set(section, "a", 1)

    assert value(unified.get(section)) == {"a": 1}
    assert updates.received() == [
        {f"{section}:a": 1, f"{section}:b": 2},
        {f"{section}:a": None, f"{section}:b": None},
        {f"{section}:a": 1},
    ]


def test_what_is_set_again_after_its_section_was_deleted_is_in_the_history(
    unified: Unified, section: str
) -> None:
    unified.replace(section, {"a": 1, "b": 2})
    unified.delete(section)
    unified.set(section, "a", 1)

    found = entries(unified.history(section))

    last = [each for each in found if each["timestamp"] == found[0]["timestamp"]]
    assert [(each["key"], each["new_value"]) for each in last] == [("a", 1)]
    assert found[1]["new_value"] is None


def test_what_is_set_again_after_a_roll_back_is_news(
    api: Api, unified: Unified, section: str, updates: Updates
) -> None:
    unified.set(section, "a", 1)
    unified.set(section, "a", 2)
    api.enable(section, 1, False)
    assert value(unified.get(section, key="a")) == 1
    updates.received()

    saved(unified.set(section, "a", 2))

    assert value(unified.get(section, key="a")) == 2
    assert updates.received() == [{f"{section}:a": 2}]
    assert keys_and_values(unified.history(section)).count(("a", 2)) == 2


def test_only_what_a_set_changed_is_told_after_a_roll_back(
    api: Api, unified: Unified, section: str, updates: Updates
) -> None:
    unified.set(section, "a", 1)
    unified.set(section, "b", 2)
    api.enable(section, 1, False)
    updates.received()

    saved(unified.set(section, "c", 3))

    assert value(unified.get(section)) == {"a": 1, "c": 3}
    [heard] = updates.received()
    assert heard[f"{section}:c"] == 3
    assert f"{section}:a" not in heard


def test_a_page_of_another_site_hears_nothing(api: Api, unified: Unified, section: str) -> None:
    with closing(Updates(api, origin="https://example.org")) as updates:
        saved(unified.set(section, "a", 1))
        if updates.status == 101:
            assert updates.frame()[0] == 0x8
        else:
            assert 400 <= updates.status < 500


# --- last, because it takes what is left of its time


def test_a_quiet_time_is_quiet(apart: Apart) -> None:
    """Longer than the ten seconds after which other streams say that they are alive."""
    apart.updates.received()
    time.sleep(max(0.0, apart.since + 11 - time.monotonic()))

    assert apart.updates.received() == []
