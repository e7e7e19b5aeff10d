"""Logging in and out, a new password, the colours, and the files that pages load."""

from functools import partial
from urllib.parse import urlsplit

from flask import request

from distributed_config.errors import Forbidden, Invalid, NotFound, Unauthenticated
from distributed_config.http import auth, database, problems, sessions
from distributed_config.http.response import ResponseData
from distributed_config.services.access import logins
from distributed_config.web import assets
from distributed_config.web.pages import THEME, address, page, redirect, render

_YEAR = 365 * 24 * 3600


@page("GET", "/static/<digest>/<name>", auth.PUBLIC)
def asset(digest: str, name: str) -> ResponseData:
    """Return a file that pages load."""
    return assets.response(digest, name, "gzip" in request.headers.get("Accept-Encoding", ""))


@page("GET", "/<path:rest>", auth.PUBLIC)
def nothing(rest: str) -> ResponseData:
    """Say that there is no such page."""
    raise NotFound(f"There is no page /ui/{rest[:100]}. Begin with the list of services.")


@page("GET", "/login", auth.PUBLIC)
def show_log_in() -> ResponseData:
    """Show the form to log in; in open mode there is nothing to log in to."""
    settings = database.of().settings
    # A bookmark of the log-in, from when this server had one.
    if settings.is_open:
        return redirect(_next())
    return render("login.html", next=_next(), oidc=bool(settings.oidc_issuer), email="", error=None)


@page("POST", "/login", auth.PUBLIC)
def log_in() -> ResponseData:
    """Log in with an address and a password."""
    # Limited by address and name as every log-in is: open_session does it.
    email, settings = request.form.get("email", ""), database.of().settings
    try:
        session = sessions.open_session(email, request.form.get("password", ""))
    except Unauthenticated as error:
        status, oidc = problems.status_of(error), bool(settings.oidc_issuer)
        return render("login.html", status, next=_next(), oidc=oidc, email=email, error=error)
    cookie = sessions.session_cookie(session.secret, settings.session_seconds)
    return redirect(_next(), Set_Cookie=cookie)


@page("POST", "/logout", auth.AUTHENTICATED_PENDING_PASSWORD)
def log_out() -> ResponseData:
    """End the session; the browser forgets what it has kept of it."""
    database.write(auth.actor(), partial(logins.end_session, token_id=auth.identity().token_id))
    cookie = sessions.session_cookie("", 0)
    return redirect(address("login"), Set_Cookie=cookie, Clear_Site_Data='"cache"')


@page("GET", "/password", auth.AUTHENTICATED_PENDING_PASSWORD)
def show_password() -> ResponseData:
    """Show the form for another password."""
    _user_id()
    return render("password.html", error=None, must_change=auth.identity().must_change)


@page("POST", "/password", auth.AUTHENTICATED_PENDING_PASSWORD)
def change_password() -> ResponseData:
    """Change the password, which ends all sessions: the person logs in with the new one."""
    user_id, form = _user_id(), request.form
    try:
        sessions.change_password(user_id, form.get("old", ""), form.get("new", ""))
    except Invalid as error:
        status, must_change = problems.status_of(error), auth.identity().must_change
        return render("password.html", status, error=error, must_change=must_change)
    cookie = sessions.session_cookie("", 0)
    return redirect(address("login", changed="password"), Set_Cookie=cookie)


@page("POST", "/theme", auth.PUBLIC)
def set_theme() -> ResponseData:
    """Choose light or dark colours; the choice is in a cookie, so nothing flashes."""
    theme = "dark" if request.form.get("theme") == "dark" else "light"
    cookie = f"{THEME}={theme}; Max-Age={_YEAR}; Path=/ui; HttpOnly; SameSite=Strict"
    return redirect(_inside(request.form.get("next", "")), Set_Cookie=cookie)


def _user_id() -> int:
    """Return the user who is logged in. Raises Forbidden for a program, which has no password."""
    user_id = auth.identity().user_id
    if user_id is None:
        raise Forbidden("Only people have a password. Log in as one, or change the token instead.")
    return user_id


def _next() -> str:
    return _inside(request.args.get("next", ""))


def _inside(target: str) -> str:
    """Return ``target`` if it is a page of this interface, and its home page otherwise."""
    parts = urlsplit(target)
    # Browsers read a backslash as a slash, and // as another server.
    is_ours = not parts.scheme and not parts.netloc and target.startswith("/ui/")
    is_plain = target.isprintable() and "\\" not in target
    return target if is_ours and is_plain else "/ui/"
