"""The newest revisions in memory."""

import pytest

from distributed_config.asgi import recent_events
from distributed_config.asgi.recent_events import RecentEvents
from distributed_config.live.feed import Page, RevisionEvents


def _page(first: int, last: int) -> Page:
    return Page([RevisionEvents(number, []) for number in range(first, last + 1)], last)


def _in_memory(recent: RecentEvents) -> list[int]:
    return [each.revision for each in recent.after(recent.first)]


def test_the_oldest_are_forgotten_when_there_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RevisionEvents, "size", 100)
    monkeypatch.setattr(recent_events, "_MOST_BYTES", 300)
    recent = RecentEvents()

    recent.begin_after(10)
    recent.remember(_page(11, 14))
    recent.remember(_page(15, 15))

    assert (recent.first, recent.last) == (12, 15)
    assert _in_memory(recent) == [13, 14, 15]
    assert [each.revision for each in recent.after(14)] == [15]


def test_what_was_forgotten_for_a_reason_does_not_come_back_when_there_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lacked what a new subscriber needs."""
    monkeypatch.setattr(RevisionEvents, "size", 100)
    monkeypatch.setattr(recent_events, "_MOST_BYTES", 300)
    recent = RecentEvents()

    recent.remember(_page(1, 3))
    recent.begin_after(recent.last)
    recent.remember(_page(4, 4))

    assert recent.first == 3
    assert _in_memory(recent) == [4]
