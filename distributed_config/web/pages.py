"""What every page has in common: who may open it, its headers, its frame, and its address."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, render_template, request

from distributed_config.errors import (
    CrossSite,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooMuchWork,
    Unauthenticated,
)
from distributed_config.http import auth, database
from distributed_config.http import request as http_request
from distributed_config.http.response import ResponseData, to_response
from distributed_config.services.documents.series import Series
from distributed_config.services.layers import environments
from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT
from distributed_config.services.reader import Reader
from distributed_config.web import assets

blueprint = Blueprint("web", __name__, url_prefix="/ui", template_folder="templates")

READ, WRITE, PUBLISH = "config:read", "config:write", "config:publish"
DEFINITIONS, PEOPLE, AUDIT = "definition:read", "user:manage", "audit:read"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    # With no-referrer a form would send "Origin: null", which is refused.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # A document, and what somebody has just typed, stay out of the browser's cache on disk.
    "Cache-Control": "no-store",
}
THEME = "distconf_theme"

PAGES = (
    ("services", "", "Services", READ),
    ("live", "live", "Live", READ),
    ("definitions", "definitions", "Definitions", DEFINITIONS),
    ("access", "access", "Access", PEOPLE),
    ("audit", "audit", "Audit", AUDIT),
)
"""The pages in the bar: key, path, label, and the permission that each needs."""

MENDABLE = (Invalid, Forbidden, PreconditionFailed, NotFound, TooMuchWork)
"""What a person can mend on the page that they sent; anything else is an error page."""

View = Callable[..., ResponseData]


@dataclass(frozen=True)
class Frame:
    """What the frame around a page shows of the person who looks at it."""

    name: str
    is_open: bool
    is_person: bool
    permissions: frozenset[str]


def page(method: str, path: str, permission: str) -> Callable[[View], View]:
    """Register a view of a page, and the permission that it needs."""

    def register(view: View) -> View:
        @auth.requires(permission)
        @wraps(view)
        def endpoint(**path_values: Any) -> Response:
            if method == "POST":
                _require_own_page()
                allow_document()
            # The access log names the service, whatever becomes of the request.
            http_request.exchange_of_request().service = request.args.get("service", "")
            return to_response(view(**path_values))

        name = f"{method.lower()}_{view.__name__}"
        blueprint.add_url_rule(path, name, endpoint, methods=[method])
        return view

    return register


def _require_own_page() -> None:
    """Raise CrossSite unless the browser says that a page of ours sent the form.

    ``http/csrf.py`` has refused what says otherwise; a form that says nothing is refused here.
    """
    if request.headers.get("Sec-Fetch-Site") != "same-origin" and "Origin" not in request.headers:
        raise CrossSite()


def allow_document() -> None:
    """Let a form be as large as any other body: Flask's own limit is half a document."""
    most = database.of().settings.body_bytes
    request.max_content_length = request.max_form_memory_size = most


def render(template: str, status: int = 200, **values: Any) -> ResponseData:
    """Return a page. Every value in it is escaped by Jinja."""
    # Rendered whole before anything is sent: an error in a template is a page of its own.
    text = render_template(template, **values)
    return ResponseData(text.encode(), status, "text/html; charset=utf-8", dict(HEADERS))


def redirect(address: str, **headers: str) -> ResponseData:
    """Return the redirect after a form, which the browser follows with a GET."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ResponseData(status=303, headers={**HEADERS, "Location": address, **named})


def address(path: str, **query: Any) -> str:
    """Return the address of a page; what is empty, or the default environment, is left out."""
    # One page has one address, so that what was visited is recognised by the browser.
    if query.get("environment") == DEFAULT_ENVIRONMENT:
        query["environment"] = ""
    given = {name: value for name, value in query.items() if value not in {None, ""}}
    return f"/ui/{path}?{urlencode(given, safe='/')}" if given else f"/ui/{path}"


def reader() -> Reader:
    """Return the request's reader, to whom every secret is masked.

    No page has a secret in its source, whatever the person may read.
    """
    # Audit entries of secrets that were read would be wrong too: nobody has seen one here.
    found = auth.reader()
    return Reader(found.connection, replace(found.visibility, reads_secrets=False))


def environment() -> str:
    """Return the environment that the address names."""
    return request.args.get("environment", "") or DEFAULT_ENVIRONMENT


def series() -> Series:
    """Return the series that the address names."""
    return Series(request.args.get("service", ""), environment())


def number(name: str) -> int | None:
    """Return a number in the address; None: there is none."""
    # A link that was cut or typed by hand shows the page without the number, and no error.
    return _to_number(request.args.get(name, ""))


def sent_number(name: str) -> int | None:
    """Return a number in the form; None: there is none."""
    return _to_number(request.form.get(name, ""))


def _to_number(text: str) -> int | None:
    # More digits are no number of ours, and isdigit() alone takes digits that int() refuses.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def sent_note() -> str:
    """Return the note in the form: one line, though it may be typed into several."""
    return " ".join(request.form.get("note", "").split())


def is_fragment() -> bool:
    """Return whether htmx asks for a part of a page."""
    return "HX-Request" in request.headers


def _frame() -> Frame:
    # The pages to log in, and errors before that, have no actor yet.
    try:
        identity = auth.identity()
    except Unauthenticated:
        return Frame("", database.of().settings.is_open, False, frozenset())
    actor = identity.actor
    is_person = identity.user_id is not None
    return Frame(actor.name, database.of().settings.is_open, is_person, actor.permissions)


def _environments() -> list[environments.Environment]:
    return environments.environments(auth.reader())


def _here() -> str:
    """Return the address of this page, with what pages know of the query and nothing else."""
    if request.method != "GET":
        return "/ui/"
    known = {name: request.args[name] for name in _SELECTED if name in request.args}
    return address(request.path.removeprefix("/ui/"), **known)


def _sees(service: str, where: str) -> bool:
    """Return whether the person may see a series: only then there is a link to it."""
    return auth.actor().visibility.shows(service, where)


@blueprint.context_processor
def _values_of_every_page() -> dict[str, Any]:
    return {
        "frame": _frame(),
        "theme": request.cookies.get(THEME, "") if request.cookies.get(THEME) in _THEMES else "",
        "environment": environment(),
        "environments": _environments,
        "sees": _sees,
        "at": address,
        "asset": assets.address,
        "here": _here(),
        "pages": PAGES,
    }


_THEMES = {"light", "dark"}

_SELECTED = (
    *("service", "environment", "v", "with", "on", "layer", "all", "pointer", "to"),
    *("q", "tag", "after", "before", "next", "definition", "person"),
)
"""What can be selected on pages: it stays in the address when the colours change."""
