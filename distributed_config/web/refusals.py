"""Errors as pages: what happened, and what to do next, in the words that the API has for it."""

from flask import Flask, Response, g, request

from distributed_config import errors
from distributed_config.errors import DistconfError, ServiceNotFound, Unauthenticated, Unavailable
from distributed_config.http import auth, problems
from distributed_config.http.request import exchange_of_request
from distributed_config.http.response import ResponseData, to_response
from distributed_config.web.pages import (
    address,
    allow_document,
    blueprint,
    is_fragment,
    redirect,
    render,
)

_AGAIN = "from_elsewhere"


@blueprint.errorhandler(Exception)
def _answer(error: Exception) -> Response:
    return to_response(_page_of(problems.to_domain_error(error)))


def _page_of(error: DistconfError) -> ResponseData:
    # Before anything is rendered: the answer is thrown away.
    if exchange_of_request().must_block:
        # The gateway asks again on another thread: nobody sees this answer.
        return ResponseData(status=problems.status_of(error))
    # Every page leads there, as the API refuses every call.
    if _must_change_password():
        return redirect(address("password"))
    if isinstance(error, Unauthenticated) and _is_browser() and _is_page():
        return _ask_to_log_in()
    response = render(
        "_refusal.html" if is_fragment() else "problem.html",
        problems.status_of(error),
        error=error,
        title=_title(error),
        again=_sent(error),
        service=request.args.get("service", "") if isinstance(error, ServiceNotFound) else "",
        request_id=g.get("request_id", ""),
    )
    if is_fragment() and request.method == "GET":
        # A part of a table cannot ask anybody to log in: the page as a whole does.
        response.headers["HX-Refresh"] = "true"
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _is_page() -> bool:
    return request.method == "GET" and not is_fragment()


def _sent(error: DistconfError) -> list[tuple[str, str]]:
    """Return the fields of a form that came without a session, to be sent again after a log-in.

    The session may have ended while somebody wrote: their draft is in this form and nowhere else.
    """
    if not isinstance(error, Unauthenticated) or request.method != "POST":
        return []
    allow_document()
    return list(request.form.items(multi=True))


def _must_change_password() -> bool:
    identity = g.get("identity")
    is_there = (request.endpoint or "").endswith(("_password", "_log_out"))
    return identity is not None and identity.must_change and not is_there


def _is_browser() -> bool:
    return "text/html" in request.headers.get("Accept", "")


def _ask_to_log_in() -> ResponseData:
    """Return the way to the log-in.

    Whoever follows a link from another site comes without the cookie, which is SameSite=Strict.
    The page is loaded again from here, once, and the cookie comes along.
    """
    here = request.full_path.rstrip("?")
    # The mark ends the way where the browser refuses the cookie the second time as well.
    is_foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
    if is_foreign and auth.COOKIE not in request.cookies and _AGAIN not in request.args:
        mark = "&" if "?" in here else "?"
        response = render("moment.html", target=f"{here}{mark}{_AGAIN}=1")
        response.headers["Refresh"] = f"0; url={here}{mark}{_AGAIN}=1"
        return response
    return redirect(address("login", next=here))


_TITLES: dict[type[DistconfError], str] = {
    errors.Unauthenticated: "Log in to go on",
    errors.Refused: "You may not do this",
    errors.NotFound: "There is nothing here",
    errors.Gone: "It is gone",
    errors.PreconditionFailed: "Somebody was quicker",
    errors.Invalid: "This cannot be understood",
    errors.StorageFull: "The server has no space left",
    errors.TooManyRequests: "Too many requests",
    errors.Unavailable: "Not now",
}


def _title(error: DistconfError) -> str:
    known = (_TITLES[kind] for kind in type(error).__mro__ if kind in _TITLES)
    return next(known, "This did not work")


def init_refusals(app: Flask) -> None:
    """Lead browsers that ask for ``/`` to the interface; others are answered as ever."""

    # A hook and no route: a route would change what other methods are answered.
    @app.before_request
    def _lead_to_the_interface() -> Response | None:
        if request.path != "/" or request.method != "GET" or not _is_browser():
            return None
        return to_response(redirect("/ui/", Vary="Accept"))
