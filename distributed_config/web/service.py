"""One service: what is current, where each value comes from, and its history."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

from flask import request

from distributed_config import wire
from distributed_config.errors import (
    EnvironmentNotFound,
    NoCurrentVersion,
    NotResolvable,
    ServiceNotFound,
    VersionDeleted,
    VersionNotFound,
)
from distributed_config.http.response import ResponseData
from distributed_config.services import catalogue, definitions, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.layers.explain import Explainer, Origin
from distributed_config.services.layers.resolver import Resolver
from distributed_config.services.versions import ResolvedVersion, Version
from distributed_config.web import difference, texts
from distributed_config.web.pages import READ, number, page, reader, render, series

_MOST_LINES = 600
_MOST_EXPLAINED = 200
_PAGE = 50


@dataclass(frozen=True)
class Heading:
    """What stands above every page of a service."""

    entry: catalogue.Entry
    series: Series
    has_own: bool


def heading() -> Heading:
    """Return the heading of the service that the address names. Raises ServiceNotFound."""
    here = series()
    # A service is there in every environment, also where it has no version of its own.
    entry = catalogue.service(reader(), here)
    return Heading(entry, here, entry.versions > 0)


@page("GET", "/service", READ)
def current() -> ResponseData:
    """Show what programs get, which layers it is made of, and where each value comes from."""
    head = heading()
    resolved, problem = _resolved(head.series)
    own = _own(head.series)
    shows_own = request.args.get("layer") == "own" and own is not None
    version = own if shows_own or resolved is None else resolved.version
    text = "" if version is None else texts.document(wire.parse_stored(version.served))
    lines = text.splitlines()
    # A page with all lines of a megabyte would take browsers seconds to lay out.
    most = len(lines) if "all" in request.args else _MOST_LINES
    # Where there is one layer, all of this would only be in the way.
    is_layered = resolved is not None and (len(resolved.layers) > 1 or bool(resolved.uses))
    return render(
        "current.html",
        head=head,
        tab="current",
        problem=problem,
        own=own,
        shows_own=shows_own,
        is_layered=is_layered or (own is None and resolved is not None),
        resolved=resolved,
        version=version,
        text=text,
        lines=lines[:most],
        more_lines=len(lines) - len(lines[:most]),
        secrets=definitions.secret_pointers(reader(), head.series),
        done=_done(request.args.get("done", "")),
    )


def _done(word: str) -> str:
    """Return what the form before this page did, as a sentence; "" for nothing."""
    what, _, version = word.partition("-")
    # The address may hold anything: only what our forms say is repeated to the person.
    if what in _DONE and ((version.isascii() and version.isdigit()) or not version):
        return _DONE[what].replace("{}", version)
    return ""


_DONE = {
    "published": "Version {} is published.",
    "current": "Version {} is current now.",
    "off": "Nothing is served here any more.",
    "unchanged": "Nothing was written: the document is what is published already.",
}


def _own(here: Series) -> Version | None:
    """Return the current version of the series itself; None where it has none."""
    try:
        return versions.current(reader(), here)
    except (ServiceNotFound, NoCurrentVersion):
        return None


def _resolved(here: Series) -> tuple[ResolvedVersion | None, Exception | None]:
    """Return the resolved document, or why there is none."""
    try:
        return versions.resolved(reader(), here), None
    # A kind of NotFound as the others are, but nothing that this page could show.
    except EnvironmentNotFound:
        raise
    except (ServiceNotFound, NoCurrentVersion, NotResolvable) as error:
        return None, error


@page("GET", "/explain", READ)
def explain() -> ResponseData:
    """Show for each value which layer it comes from, and what it overrides."""
    head = heading()
    resolved, problem = _resolved(head.series)
    wanted = request.args.get("pointer", "")
    found = [] if resolved is None else _origins(head.series, wanted)
    return render(
        "explain.html",
        head=head,
        tab="explain",
        values=found[:_MOST_EXPLAINED],
        is_cut=len(found) > _MOST_EXPLAINED,
        most=_MOST_EXPLAINED,
        layers=() if resolved is None else resolved.layers,
        problem=problem,
        pointer=wanted,
        shown=difference.shown,
    )


def _origins(here: Series, wanted: str) -> list[tuple[str, Origin]]:
    """Return the first values whose pointers have ``wanted`` in them, with their origins."""
    resolver = Resolver(reader().connection, reader().visibility.organisation, reveal=False)
    explainer = Explainer(resolver, reader().visibility)
    origins = (
        (pointer, origin)
        for pointer, origin in explainer.explain(here.service, here.environment)
        if wanted.lower() in pointer.lower()
    )
    return list(islice(origins, _MOST_EXPLAINED + 1))


@page("GET", "/history", READ)
def history() -> ResponseData:
    """Show the versions, newest first, and what one of them changed."""
    head = heading()
    listed = _listed(head) if head.has_own else []
    # Without a choice the newest one: it is what people come for.
    selected = number("v")
    if selected is None and listed:
        selected = listed[0].number
    return render(
        "history.html",
        head=head,
        tab="history",
        history=listed[:_PAGE],
        more=listed[_PAGE - 1].number if len(listed) > _PAGE else None,
        before=number("before"),
        is_picked=number("v") is not None,
        previous=_enabled_below(head),
        **_comparison(head, selected),
    )


def _listed(head: Heading) -> list[Version]:
    before = number("before")
    return versions.history(reader(), head.series, before=before, limit=_PAGE + 1, documents=False)


def _comparison(head: Heading, selected: int | None) -> dict[str, Any]:
    """Return the version that is looked at, and how it differs from another one."""
    if selected is None:
        return {"version": None, "other": None, "difference": None}
    version = _version(head.series, selected)
    other = number("with")
    # Compared with what was there before it, whether or not that was turned on.
    if other is None and selected > 0:
        other = _readable_below(head.series, selected)
    empty: dict[str, Any] = {}
    old = empty if other is None else _value(head.series, other)
    new = _value(head.series, selected)
    compared = None if old is None or new is None else difference.compare(old, new)
    return {"version": version, "other": other, "difference": compared}


def _version(here: Series, wanted: int) -> Version:
    """Return a version without its document, deleted or not. Raises VersionNotFound."""
    # From the history, which has versions that are deleted as well.
    found = versions.history(reader(), here, before=wanted + 1, limit=1, documents=False)
    if not found or found[0].number != wanted:
        raise VersionNotFound(here.service, str(wanted))
    return found[0]


def _value(here: Series, wanted: int) -> dict[str, Any] | None:
    """Return the document of a version; None where it is deleted. Raises VersionNotFound."""
    try:
        return wire.parse_stored(versions.stored(reader(), here, wanted).served)
    except VersionDeleted:
        return None


def _readable_below(here: Series, wanted: int) -> int | None:
    """Return the version before another one that still has its document; None: there is none."""
    before = versions.history(reader(), here, before=wanted, limit=_PAGE, documents=False)
    return next((version.number for version in before if not version.deleted), None)


def _enabled_below(head: Heading) -> int | None:
    return enabled_below(head.series, head.entry.current)


def enabled_below(here: Series, top: int | None) -> int | None:
    """Return the version that would be current without version ``top``; None: none would."""
    if top is None:
        return None
    before = versions.history(reader(), here, before=top, limit=_PAGE, documents=False)
    return next((version.number for version in before if version.enabled), None)
