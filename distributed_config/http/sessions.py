"""Sessions of people: opened with a password, carried in a cookie, ended by another password."""

from functools import partial

from flask import request

from distributed_config.errors import Invalid, Problem, Unauthenticated
from distributed_config.http import auditing, auth, database, rate_limits
from distributed_config.http.database import reader_connection
from distributed_config.services.access import logins, tokens, users
from distributed_config.services.access.logins import Login
from distributed_config.services.access.passwords import hash_password
from distributed_config.services.access.tokens import IssuedToken
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.policy.actor import LOCAL_OPERATOR

_WRONG = "The address or the password is wrong."


def open_session(email: str, password: str) -> IssuedToken:
    """Return a new session. Raises Unauthenticated, in the same words whatever was wrong.

    Other words for an unknown address would tell a stranger who has an account.
    """
    rate_limits.limit_login(request.remote_addr or "", email)
    login = logins.authenticate(reader_connection(), email, password)
    # Checking takes long, on purpose; nobody else should wait for this connection.
    database.release()
    if login is None:
        auditing.record_refused_login(email, "wrong address or password")
        raise Unauthenticated(_WRONG)
    seconds = database.of().settings.session_seconds
    session = database.write(LOCAL_OPERATOR, partial(_open_session, login=login, seconds=seconds))
    auditing.record_login(email, login.organisation)
    return session


def _open_session(transaction: Transaction, login: Login, seconds: int) -> IssuedToken:
    # The password was checked outside the transaction: it may have been changed since.
    if not logins.is_still_valid(transaction.connection, login):
        raise Unauthenticated(_WRONG)
    return tokens.open_session(transaction, login.user_id, login.organisation, seconds)


def session_cookie(secret: str, seconds: int, *, https: bool = False) -> str:
    """Return the session's cookie (RFC 6265): for this server alone, and out of reach of scripts.

    It lives ``seconds``; 0 deletes it. ``https`` says that the browser came by HTTPS where a
    proxy hides that from this server.
    """
    https = https or request.is_secure or database.of().settings.secure_cookies
    # Without HTTPS the browser would not send a Secure cookie back, and nobody could log in.
    secure = "; Secure" if https else ""
    return f"{auth.COOKIE}={secret}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"


def change_password(user_id: int, old: str, new: str) -> None:
    """Change the actor's own password, which ends all of their sessions.

    Raises Invalid, with a pointer to ``old`` or ``new``.
    """
    email = auth.actor().name
    # A stolen session must not be a way to guess the password.
    rate_limits.limit_login(request.remote_addr or "", email)
    is_right = logins.has_password(reader_connection(), user_id, old)
    # Checking takes long, on purpose; nobody else should wait for this connection.
    database.release()
    if not is_right:
        auditing.record_refused_login(email, "wrong present password", auth.actor().organisation)
        raise Invalid.from_problems(
            [Problem("/old", "It is not your present password.", "password")]
        )
    # A forced change has to be one; somebody else may know the old password.
    if old == new:
        raise Invalid.from_problems([Problem("/new", "It is the old one. Choose another.", "same")])
    hashed = hash_password(new, "/new")
    database.write(auth.actor(), partial(users.set_own_password, user_id=user_id, hashed=hashed))
