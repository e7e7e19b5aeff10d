"""What an organisation has besides services: definitions, people and tokens, the audit log."""

from flask import request

from distributed_config import wire
from distributed_config.http import auth
from distributed_config.http.database import reader_connection
from distributed_config.http.response import ResponseData
from distributed_config.services import catalogue, definitions
from distributed_config.services.access import roles, tokens, users
from distributed_config.services.catalogue import Entry
from distributed_config.services.conformance import index_search
from distributed_config.services.conformance.index_search import NameFilter, Order, Query
from distributed_config.services.definitions import Definition
from distributed_config.services.journal import audit
from distributed_config.services.journal.audit import AuditFilter
from distributed_config.web import difference, texts
from distributed_config.web.pages import (
    AUDIT,
    DEFINITIONS,
    PEOPLE,
    READ,
    environment,
    number,
    page,
    reader,
    render,
)

_PAGE = 50
_MOST_LINES = 600


@page("GET", "/definitions", DEFINITIONS)
def list_definitions() -> ResponseData:
    """Show the definitions, by name."""
    search, after = request.args.get("q", "").strip(), request.args.get("after", "")
    found = definitions.definitions(reader(), after=after, limit=_PAGE + 1, search=search)
    more = found[_PAGE - 1].name if len(found) > _PAGE else ""
    return render("definitions.html", definitions=found[:_PAGE], more=more, q=search, after=after)


@page("GET", "/definition", DEFINITIONS)
def show_definition() -> ResponseData:
    """Show a definition's schema at a revision, its history, and the services that conform."""
    name, wanted = request.args.get("definition", ""), number("v")
    definition = definitions.require(reader(), name, wanted)
    revisions = definitions.revisions(reader(), name, before=None, limit=_PAGE)
    text = texts.document(wire.parse_stored(definition.schema))
    # As a document's: a schema may be as long.
    lines = text.splitlines()
    most = len(lines) if "all" in request.args else _MOST_LINES
    return render(
        "definition.html",
        definition=definition,
        revisions=revisions,
        lines=lines[:most],
        more_lines=max(0, len(lines) - most),
        difference=_from_the_one_before(definition),
        services=_conforming(definition),
    )


def _from_the_one_before(definition: Definition) -> difference.Difference | None:
    """Return what a revision changed; None for the first one."""
    if definition.number == 0:
        return None
    # Revisions are never deleted, so the one before is there.
    before = definitions.require(reader(), definition.name, definition.number - 1)
    old, new = wire.parse_stored(before.schema), wire.parse_stored(definition.schema)
    return difference.compare(old, new)


def _conforming(definition: Definition) -> list[Entry]:
    """Return the first services of a definition; none for those who may not read any."""
    if not auth.actor().may(READ):
        return []
    # How many there are is known; a page of them is enough to see what would be concerned.
    names = NameFilter(visibility=reader().visibility)
    query = Query(names=names, environment=environment())
    found = index_search.find(reader_connection(), definition.id, query, Order(), limit=_PAGE)
    ids = [match.service_id for match in found]
    return catalogue.services_by_id(reader(), ids, environment())


@page("GET", "/access", PEOPLE)
def access() -> ResponseData:
    """Show the people, the tokens and the roles of the organisation."""
    search, after = request.args.get("q", "").strip(), request.args.get("after", "")
    people = users.users(reader(), after=after, search=search, limit=_PAGE + 1)
    # Whoever manages people need not manage tokens: then only their own are listed.
    owner = None if auth.actor().may("token:manage") else auth.identity().user_id or 0
    listed = tokens.tokens(reader(), user_id=owner, search=search, limit=_PAGE + 1)
    return render(
        "access.html",
        people=people[:_PAGE],
        more=people[_PAGE - 1].email if len(people) > _PAGE else "",
        tokens=listed[:_PAGE],
        has_more_tokens=len(listed) > _PAGE,
        roles=roles.roles(reader()),
        now=wire.now(),
        q=search,
        after=after,
    )


@page("GET", "/audit", AUDIT)
def show_audit() -> ResponseData:
    """Show the audit log, newest first, and the hash that everything in it hangs on."""
    service, person = (request.args.get(name, "").strip() for name in ("service", "person"))
    conditions = AuditFilter(actor=person or None, service=service or None)
    found = audit.page(
        reader_connection(), auth.actor(), conditions, before=number("before"), limit=_PAGE + 1
    )
    return render(
        "audit.html",
        entries=found[:_PAGE],
        more=found[_PAGE - 1].id if len(found) > _PAGE else None,
        newest=audit.head(reader_connection(), auth.actor()),
        service=service,
        person=person,
        before=number("before"),
    )
