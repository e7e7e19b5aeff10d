"""Settings that cannot work, alone or together with another."""

import importlib.util
import re

from distributed_config.errors import Problem
from distributed_config.settings.addresses import is_safe_url
from distributed_config.settings.fields import PREFIX, Settings

_LIMIT = re.compile(
    r"[1-9][0-9]{0,8}\s*(/|per)\s*([1-9][0-9]{0,3}\s*)?(second|minute|hour|day)s?", re.IGNORECASE
)
_LIMIT_STORES = ("redis://", "rediss://", "redis+unix://")


def find_contradictions(settings: Settings) -> list[Problem]:
    """Return every problem of ``settings`` that no value shows by itself."""
    problems = []
    host, _, port = settings.bind.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        problems.append(Problem("", f"{PREFIX}BIND: {settings.bind!r} is not like 127.0.0.1:5000."))
    elif not settings.on_loopback and settings.is_open:
        problems.append(
            Problem(
                "",
                f"Without access control the server listens on a loopback address only, and "
                f"{settings.bind} is not one: leave DISTCONF_AUTH out, or set it to token.",
            )
        )
    url = settings.database_url
    file = url.removeprefix("sqlite:///")
    if url and (file == url or file in {"", ":memory:"}):
        problems.append(
            Problem(
                "",
                f"{PREFIX}DATABASE_URL: only a SQLite file is supported, "
                "as in sqlite:////var/lib/distconf/distconf.db.",
            )
        )
    if settings.oidc_issuer:
        problems += _oidc_problems(settings)
    if settings.page > settings.page_most:
        problems.append(Problem("", f"{PREFIX}PAGE is more than {PREFIX}PAGE_MOST."))
    return problems + _limit_problems(settings)


def _oidc_problems(settings: Settings) -> list[Problem]:
    """Return the problems of the settings for OpenID Connect."""
    problems = []
    for name in ("oidc_issuer", "public_url"):
        url = getattr(settings, name)
        if not is_safe_url(url) or "?" in url or "#" in url:
            message = (
                f"{PREFIX}{name.upper()}: {url!r} is not like https://login.example.org; "
                "http is for loopback addresses alone."
            )
            problems.append(Problem("", message))
    if not settings.oidc_client_id:
        message = f"{PREFIX}OIDC_CLIENT_ID: it is needed with {PREFIX}OIDC_ISSUER."
        problems.append(Problem("", message))
    credentials = settings.oidc_client_id + settings.oidc_client_secret
    # RFC 6749, appendix A: nothing else may stand in them.
    if not (credentials.isascii() and credentials.isprintable()):
        message = f"{PREFIX}OIDC_CLIENT_ID and {PREFIX}OIDC_CLIENT_SECRET are plain ASCII."
        problems.append(Problem("", message))
    if not settings.oidc_claim:
        problems.append(Problem("", f"{PREFIX}OIDC_CLAIM: name the claim, as email."))
    return problems


def _limit_problems(settings: Settings) -> list[Problem]:
    limits = {
        "LIMIT_READS": settings.limit_reads,
        "LIMIT_WRITES": settings.limit_writes,
        "LIMIT_LOGINS": settings.limit_logins,
    }
    problems = [
        Problem("", f"{PREFIX}{name}: {text!r} is not like 600 per minute; empty: no limit.")
        for name, text in limits.items()
        if text and not _LIMIT.fullmatch(text)
    ]
    storage = settings.limit_storage
    if storage and not storage.startswith(_LIMIT_STORES):
        message = "only Redis is supported, as in redis://host:6379/0; empty: memory."
        problems.append(Problem("", f"{PREFIX}LIMIT_STORAGE: {message}"))
    elif storage and importlib.util.find_spec("redis") is None:
        message = "it takes a further package: pip install 'distributed-config[redis]'."
        problems.append(Problem("", f"{PREFIX}LIMIT_STORAGE: {message}"))
    return problems
