"""The table of settings: each with its name, type, default and help.

The environment variable of a setting is its name in capitals after ``DISTCONF_``. A secret setting
may also be the content of a file, whose path is in the variable of the same name with ``_FILE`` at
its end. The manual and ``distconf settings`` are generated from this table.
"""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from distributed_config.settings.addresses import is_loopback

PREFIX = "DISTCONF_"
_INSTANCE = Path("instance")


def _setting(
    default: Any,
    help_text: str,
    *,
    choices: tuple[str, ...] = (),
    least: int = 0,
    most: int | None = None,
    secret: bool = False,
) -> Any:
    return field(
        default=default,
        metadata={
            "help": help_text,
            "choices": choices,
            "least": least,
            "most": most,
            "secret": secret,
        },
    )


DIALECTS = ("tartarus", "unified")
"""The dialects that can be served. Only names: loading them would load Flask."""


@dataclass(frozen=True)
class Settings:
    """The settings of one process. ``load`` is the way to make one from the environment."""

    bind: str = _setting("127.0.0.1:5000", "Address and port to listen on.")
    instance: Path = _setting(_INSTANCE, "Folder of the data.")
    database_url: str = _setting(
        "",
        "Database, as sqlite:////absolute/path.db; empty: distconf.db in the instance folder.",
        secret=True,
    )
    secret_key_file: Path = _setting(
        Path(),
        "File of the keys that secrets are encrypted under, one `id:base64` in a line, the newest "
        "first, readable by the server's user alone; empty: secret-keys in the instance folder, "
        "created when it is needed.",
    )
    bootstrap: Path = _setting(
        Path(),
        "File of {service: document}, or folder with a file for each service, that a new database "
        "begins with when `distconf serve` starts; empty: none.",
    )
    auth: str = _setting(
        "",
        "Access control. open: none, on a loopback address only. token: a token or a session with "
        "each request. Empty: open on a loopback address, token on any other.",
        choices=("", "open", "token"),
    )
    admin_email: str = _setting(
        "",
        "In the token mode, while there is neither a user nor a token: the address of the first "
        "administrator; empty: a token is created instead, and printed once.",
    )
    admin_password: str = _setting(
        "", "The first administrator's password; at least 12 characters.", secret=True
    )
    admin_token: str = _setting(
        "",
        "The first administrator's token, as `distconf generate-token` prints one; empty: a new "
        "one, if there is no DISTCONF_ADMIN_EMAIL.",
        secret=True,
    )
    session_seconds: int = _setting(
        12 * 3600, "How long a log-in lasts.", least=60, most=90 * 24 * 3600
    )
    secure_cookies: bool = _setting(
        False,
        "Have browsers send the session's cookie over HTTPS only, where TLS ends before this "
        "server; requests from web pages are accepted from HTTPS pages only as well.",
    )
    oidc_issuer: str = _setting(
        "",
        "Identity provider for log-ins by OpenID Connect, as https://login.example.org; "
        "empty: none.",
    )
    oidc_client_id: str = _setting("", "Client ID of this server at the identity provider.")
    oidc_client_secret: str = _setting(
        "", "Client secret of this server at the identity provider; empty: none.", secret=True
    )
    oidc_role: str = _setting(
        "",
        "Role in the organisation `default` for users who log in with the identity provider for "
        "the first time; empty: only existing users may log in.",
    )
    oidc_claim: str = _setting(
        "email", "Claim of the identity provider that holds the email address of a user."
    )
    public_url: str = _setting(
        "",
        "Address at which browsers reach this server, as https://config.example.org; needed for "
        "log-ins with an identity provider, and after a proxy that ends TLS.",
    )
    hosts: tuple[str, ...] = _setting(
        (),
        "Further host names, separated by commas, that requests may name in their Host header. "
        "Loopback names and the bound address are always allowed; * allows all.",
    )
    dialects: tuple[str, ...] = _setting(
        DIALECTS,
        "Other config servers whose APIs are served as well, separated by commas; empty: none.",
        choices=DIALECTS,
    )
    workers: int = _setting(2, "Server processes.", least=1, most=64)
    threads: int = _setting(
        12,
        "Threads in each process for requests that need the database; a third of them only read.",
        least=2,
        most=256,
    )
    queue: int = _setting(
        1_000,
        "Requests in each process that may wait for a thread; more are refused with 503.",
        least=1,
    )
    log_format: str = _setting(
        "auto", "auto: text on a terminal, JSON elsewhere.", choices=("auto", "json", "text")
    )
    log_level: str = _setting(
        "info", "Lowest level that is logged.", choices=("debug", "info", "warning", "error")
    )
    log_requests: bool = _setting(True, "Log one line for each request.")
    document_bytes: int = _setting(
        1 << 20, "Size of one document as stored.", least=64, most=16 << 20
    )
    document_depth: int = _setting(64, "Nesting of one document.", least=1, most=200)
    document_keys: int = _setting(10_000, "Keys in one document, over all its objects.", least=1)
    schema_bytes: int = _setting(
        512 << 10, "Size of the schema of a definition as stored.", least=64, most=2 << 20
    )
    body_bytes: int = _setting(2 << 20, "Size of one request body.", least=64, most=256 << 20)
    text_bytes: int = _setting(
        256 << 10,
        "Size of one YAML or TOML text. YAML may have three keys, values and brackets for each "
        "five bytes of it.",
        least=64,
        most=16 << 20,
    )
    header_seconds: int = _setting(
        10,
        "Time in which the first byte on a connection, and then all headers of a request, must "
        "arrive.",
        least=1,
    )
    body_seconds: int = _setting(30, "Time in which a request body must arrive.", least=1)
    answer_seconds: int = _setting(
        30, "Time in which a client must read all of a response, or the next 64 KiB of it.", least=1
    )
    connections_per_address: int = _setting(
        10_000,
        "Connections from one address (of IPv6, one /64) in each process, and at most three "
        "quarters of those that the limit of open files allows. An idle one is closed for a new "
        "one; where all are in use, the new one is refused with 503.",
        least=1,
    )
    note_length: int = _setting(1_000, "Characters in the note of a change.", least=1)
    answer_bytes: int = _setting(
        64 << 20,
        "Size of one response that holds many documents: all versions of a service, or an export.",
        least=1 << 20,
    )
    import_services: int = _setting(
        2_000, "Services in one import over HTTP; `distconf import` takes any number.", least=1
    )
    changeset_services: int = _setting(500, "Services in one changeset.", least=1)
    page: int = _setting(100, "Entries on a page, unless limit= says otherwise.", least=1)
    page_most: int = _setting(500, "Most entries on a page.", least=1)
    wait_seconds: int = _setting(60, "Longest wait that a client may request.", least=1, most=600)
    watchers: int = _setting(
        20_000,
        "Streams of changes in each process, and at most three quarters of its connections. When "
        "all are taken, each token (without one: each address) gets an equal share, and more are "
        "refused with 503.",
        least=1,
    )
    lock_seconds: int = _setting(
        5, "How long a write waits for a database that another program holds.", least=1, most=60
    )
    verify_bytes: int = _setting(
        256 << 20,
        "Size of a database that is verified before the server listens; a larger one is verified "
        "while requests are answered with 503.",
        least=0,
    )
    lock_work_ms: int = _setting(
        250,
        "Processor time, in milliseconds, for which one write may hold up the others; as much "
        "again for each further 100 changes or 256 KiB, up to four times as much. A longer write "
        "is refused with 422. Commands of `distconf` on the server have no such limit.",
        least=10,
        most=60_000,
    )
    idempotency_hours: int = _setting(24, "How long an idempotency key is remembered.", least=1)
    audit_refusals: int = _setting(
        60,
        "Refusals (401, 403) that each process records in the audit log in one minute; further "
        "ones are only counted.",
        least=1,
    )
    replay_bytes: int = _setting(
        64 << 20, "Memory in each process for the response cache; 0: none.", least=0
    )

    known_requests: bool = _setting(
        True,
        "Answer a read whose bytes are those of an earlier one, and whose cached response is still "
        "valid, before it is parsed. The response is the same; this is only quicker.",
    )

    direct_events: bool = _setting(
        True,
        "Write an event to the connections of all its subscribers at once, where they have taken "
        "what came before. They receive the same; this is only quicker.",
    )

    limit_reads: str = _setting(
        "60000 per minute",
        "Reads by each token, and by each address without one; empty: no limit. "
        "No limits apply in the open mode.",
    )
    limit_writes: str = _setting(
        "6000 per minute", "Writes by each token, and by each address without one; empty: no limit."
    )
    limit_logins: str = _setting(
        "10 per minute",
        "Attempts to log in with one name from one address, and ten times as many from one "
        "address; empty: no limit.",
    )
    limit_storage: str = _setting(
        "",
        "Store of the counters, as redis://host:6379/0 for all servers together; empty: in "
        "the memory of each process, which then has budgets of its own.",
        secret=True,
    )

    @property
    def database_path(self) -> Path:
        """The SQLite file, without links.

        What lies beside it, as the log and the watermarks, must not depend on the link in use.
        """
        if not self.database_url:
            return Path(os.path.realpath(self.instance / "distconf.db"))
        return Path(os.path.realpath(self.database_url.removeprefix("sqlite:///")))

    @property
    def secret_keys(self) -> Path:
        """The file of the keys that secrets are encrypted under."""
        if self.secret_key_file == Path():
            return self.instance.absolute() / "secret-keys"
        return self.secret_key_file.absolute()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of ``bind``."""
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)

    # Cached, because every request asks and the address has to be parsed.
    @cached_property
    def is_open(self) -> bool:
        """Whether there is no access control."""
        return self.auth == "open" or (self.auth == "" and self.on_loopback)

    @cached_property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.address[0])


def variable(name: str) -> str:
    """Return the environment variable of the setting ``name``."""
    return PREFIX + name.upper()
