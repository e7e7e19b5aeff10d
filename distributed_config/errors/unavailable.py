"""What cannot be done now, and can later, with or without somebody's help.

``retry_after`` becomes the header Retry-After, in seconds: one second where waiting is enough, and
longer where a person has to act first.
"""

from distributed_config.errors.base import DistconfError


class Unavailable(DistconfError):
    """Try again after ``retry_after`` seconds."""

    code = "unavailable"
    retry_after = 1


class DatabaseBusy(Unavailable):
    code = "database-busy"

    def __init__(self) -> None:
        super().__init__(
            "The database is busy, or another program holds it. "
            "Nothing was written; try again in a moment."
        )


class StorageFull(Unavailable):
    code = "storage-full"
    retry_after = 10

    def __init__(self) -> None:
        super().__init__(
            "There is no space left where the database is. Nothing was written, and reads go on; "
            "free some space and try again."
        )


class StorageFailed(Unavailable):
    code = "storage-failed"
    retry_after = 30

    def __init__(self) -> None:
        super().__init__(
            "The disk under the database failed. If that was during a commit, nothing more is "
            "written. Check the disk, run `distconf check`, and restart the server."
        )


class DocumentDamaged(Unavailable):
    code = "document-damaged"
    retry_after = 30

    def __init__(self) -> None:
        super().__init__(
            "The stored document is not what was written, so it is not served. "
            "`distconf check` names what is damaged; restore a backup."
        )


class DatabaseUnverified(Unavailable):
    code = "database-unverified"
    retry_after = 5

    def __init__(self) -> None:
        super().__init__(
            "The server has just started and is still verifying its database; until that is done "
            "nothing of it is served. Try again in a few seconds; the log says when it is done."
        )


class DatabaseDamaged(Unavailable):
    code = "database-damaged"
    retry_after = 60

    def __init__(self) -> None:
        super().__init__(
            "The database is damaged, and nothing of it is served. The log says what is wrong; "
            "stop the server and restore a backup with `distconf restore FILE`."
        )


class DatabaseMoved(Unavailable):
    code = "database-moved"
    retry_after = 60

    def __init__(self) -> None:
        super().__init__(
            "The database file was moved away or replaced while the server ran. Nothing is read "
            "or written; stop the server, put the right file in place with `distconf restore "
            "FILE`, and start it again."
        )


class SecretUnreadable(Unavailable):
    code = "secret-unreadable"
    retry_after = 30

    def __init__(self) -> None:
        super().__init__(
            "The keys that this server has cannot read, or cannot write, a secret. Put the right "
            "key file where DISTCONF_SECRET_KEY_FILE says; the server's log says more."
        )


class Overloaded(Unavailable):
    code = "overloaded"
    limit = "DISTCONF_QUEUE"

    def __init__(self) -> None:
        super().__init__("Too many requests are waiting already. Try again in a moment.")


class TooManyRequests(Unavailable):
    """``limit`` is the name of the setting, ``allowed`` its value, ``retry_after`` in seconds."""

    code = "too-many-requests"

    def __init__(self, limit: str, allowed: str, retry_after: int) -> None:
        super().__init__(f"More than {limit} allows ({allowed}). Try again in {retry_after} s.")
        self.retry_after = retry_after
        self.limit = limit


class TooManyWatchers(Unavailable):
    """``most`` is how many streams one process holds."""

    code = "too-many-watchers"
    limit = "DISTCONF_WATCHERS"
    retry_after = 5

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} streams are open in this process already (DISTCONF_WATCHERS), and nobody has "
            "more of them than you. Try again; another process may have room."
        )


class ProviderUnavailable(Unavailable):
    code = "provider-unavailable"
    retry_after = 5

    def __init__(self) -> None:
        super().__init__(
            "Your identity provider does not answer as it should. Try again in a moment, or log in "
            "with a password: POST /auth/login. The server's log says what was wrong."
        )


class RevisionNotReached(Unavailable):
    code = "revision-not-reached"

    def __init__(self, requested: int, reached: int) -> None:
        super().__init__(
            f"This server is at revision {reached}, and the request needs {requested}. "
            "Try again, or send the request without min_revision."
        )
