"""The services, and what has happened to them."""

from typing import Any

from flask import request

from distributed_config.http import auth
from distributed_config.http.database import reader_connection
from distributed_config.http.request import exchange_of_request
from distributed_config.http.response import ResponseData
from distributed_config.services import catalogue, versions
from distributed_config.services.journal.changes import Change, newest_changes
from distributed_config.services.journal.head import read_head
from distributed_config.services.journal.kinds import ChangeKind
from distributed_config.services.layers import environments
from distributed_config.web import texts
from distributed_config.web.pages import (
    READ,
    environment,
    is_fragment,
    number,
    page,
    reader,
    render,
)

_PAGE, _TICKER, _FEED = 50, 8, 50


@page("GET", "/", READ)
def services() -> ResponseData:
    """Show the services of an environment, and the newest changes beside them."""
    # Also where no service is shown that would fail for it.
    environments.require(reader(), environment())
    search = request.args.get("q", "").strip()
    tag, after = request.args.get("tag", ""), request.args.get("after", "")
    # One more than is shown: it tells whether there are more.
    found = catalogue.services(
        reader(),
        after=after,
        limit=_PAGE + 1,
        search=search,
        tags=(tag,) if tag else (),
        environment=environment(),
    )
    values: dict[str, Any] = {
        "services": found[:_PAGE],
        "more": found[_PAGE - 1].name if len(found) > _PAGE else "",
        "q": search,
        "tag": tag,
        "after": after,
    }
    # While somebody types only the rows change; the filter keeps its focus.
    if is_fragment():
        return render("_services.html", **values)
    changes = _once(_newest(2 * _TICKER))[:_TICKER]
    return render(
        "home.html", **values, total=versions.count_services(reader()), changes=changes, **_stream()
    )


@page("GET", "/live", READ)
def live() -> ResponseData:
    """Show the newest changes; those that follow arrive by themselves."""
    service = request.args.get("service", "").strip()
    before = number("before")
    found = _newest(_FEED, before, service)
    more = None
    if len(found) == _FEED:
        # A revision is not cut: what there is of the last one is left to the next page. One that
        # fills a page has to be cut, though.
        whole = [change for change in found if change.revision > found[-1].revision]
        found = whole or found
        more = found[-1].revision
    changes = _once(found)
    return render(
        "live.html", changes=changes, service=service, before=before, more=more, **_stream()
    )


def _newest(limit: int, before: int | None = None, service: str = "") -> list[Change]:
    return newest_changes(
        reader_connection(),
        auth.actor(),
        limit=limit,
        before=before,
        services=(service,) if service else (),
    )


def _once(changes: list[Change]) -> list[Change]:
    """Leave out that a service was created where its version 0 says so too."""
    first = {(change.revision, change.service) for change in changes if change.number == 0}
    return [
        change
        for change in changes
        if change.kind != ChangeKind.SERVICE_CREATED
        or (change.revision, change.service) not in first
    ]


def _stream() -> dict[str, Any]:
    """Return from where a page goes on to hear of changes, and in which words it tells them."""
    # Of the same snapshot as the page: between the two nothing can be lost or shown twice.
    head = read_head(reader_connection())
    return {
        "position": f"{head.revision}.{head.epoch}",
        "events": texts.EVENTS,
        "streams": exchange_of_request().can_stream,
    }
