"""Everything that can go wrong, in the words of the domain.

    DistconfError                  a mistake of ours
    ├── Invalid                    what was asked cannot be understood, or breaks a rule
    │   ├── InvalidDocument        the body is not a document that can be stored
    │   │   └── NotConforming      it is not what the service's definition asks for
    │   ├── UnsupportedMediaType   the body is in a format that is not read here
    │   ├── ServiceExists          the name is taken
    │   ├── AccountExists          the name of a user, role or organisation is taken
    │   ├── DefinitionExists       the name of a definition is taken
    │   ├── BreakingRevision       a schema's revision would break what its policy protects
    │   ├── KeyReused              an idempotency key came back with another request
    │   └── TooMuchWork            one write would hold up all others for too long
    ├── HostMissing                an HTTP/1.1 request does not say which host it is for
    ├── UnsupportedEncoding        the body is compressed
    ├── PartialBody                the body says that it is a part of something
    ├── TooLarge                   more bytes than the limit
    ├── TooSlow                    the body did not arrive in time, or only in part
    ├── NotFound                   there is nothing of that name for this actor
    │   ├── ServiceNotFound        there is no such service
    │   ├── VersionNotFound        the service has no such version
    │   ├── VersionDisabled        it exists, and is not served
    │   ├── NoCurrentVersion       every version is disabled
    │   ├── DefinitionNotFound     there is no such definition
    │   ├── AccountNotFound        there is no such organisation, user, membership, role or token
    │   └── RevisionNotFound       the definition has no such revision
    ├── Gone                       it was there, and will not come back
    │   ├── VersionDeleted         the document was deleted; its number stays taken
    │   └── EpochChanged           a cursor from before the database was restored
    ├── StillEnabled               what is served cannot be deleted
    ├── DefinitionInUse            services conform to what was to be deleted
    ├── LastAdministrator          nobody would administer the server any more
    ├── PreconditionFailed         somebody else was faster
    ├── NotRepresentable           the asked format cannot hold this document
    ├── Unauthenticated            nobody knows who is asking
    ├── Refused                    who is asking may not do this, or not from there
    │   ├── ForeignHost            it names a host that this server is not
    │   ├── CrossSite              a browser sent it for another site
    │   ├── Forbidden              it takes a permission that they do not hold
    │   └── OutOfScope             their rights are limited to other services
    ├── MethodNotAllowed           the path is right, the method is not
    ├── Unavailable                not now
    │   ├── DatabaseBusy           another program holds the database
    │   ├── StorageFull            no space left; reads go on
    │   ├── StorageFailed          the disk failed; nothing is written until a restart
    │   ├── DocumentDamaged        what is stored is not what was written; it is not served
    │   ├── DatabaseUnverified     it was not verified yet since the server started
    │   ├── DatabaseDamaged        it was, and is damaged; nothing of it is served
    │   ├── DatabaseMoved          its file is not where it was when the server started
    │   ├── SecretUnreadable       a secret needs another key than those that this server has
    │   ├── Overloaded             too many requests are waiting already
    │   ├── TooManyRequests        whoever asks has asked too often
    │   ├── TooManyWatchers        too many streams are open already
    │   ├── ProviderUnavailable    the identity provider does not answer as it should
    │   └── RevisionNotReached     the asked revision is not here yet
    ├── CannotStart                the server or a command refuses to begin, and says why
    └── ClientError                what happens on the client's side alone
        ├── Unreachable            no server answered, or not in time
        ├── NeverLoaded            no server, no snapshot and no defaults: there is nothing to give
        └── Rejected               the application does not take the configuration that came

``code`` is stable and documented. ``detail`` says what to do next. ``problems`` lists every
fault, never only the first. The HTTP status of each class is chosen in ``http/problems.py``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

_MOST_PROBLEMS = 100


@dataclass(frozen=True)
class Problem:
    """One fault.

    ``pointer`` is a JSON pointer (RFC 6901) into the body; "" is the whole of it. A fault in the
    query or the headers names what it is about in ``parameter`` instead.
    """

    pointer: str
    message: str
    rule: str = ""
    parameter: str = ""


class DistconfError(Exception):
    """The root. ``detail`` is one or two sentences for the person who has to act on it."""

    code = "internal-error"
    retry_after: float = 0
    """Seconds after which it is worth another try; 0: nobody knows."""
    limit = ""
    """The setting whose limit was reached; "" where it was none."""

    def __init__(self, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)

    @staticmethod
    def from_code(code: str, detail: str, problems: Sequence[Problem] = ()) -> "DistconfError":
        """The error that a server told of: of the class that has its ``code``, where one has."""
        kind = next((each for each in _kinds(DistconfError) if each.code == code), DistconfError)
        error = kind.__new__(kind)
        DistconfError.__init__(error, detail, problems)
        return error


def _kinds(kind: type[DistconfError]) -> Iterator[type[DistconfError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


InvalidT = TypeVar("InvalidT", bound="Invalid")


class Invalid(DistconfError):
    code = "invalid"

    @classmethod
    def from_problems(cls: type[InvalidT], problems: Sequence[Problem]) -> InvalidT:
        """One error that speaks for all ``problems`` (at least one); it tells the first 100."""
        first = problems[0]
        where = first.parameter or first.pointer
        where = f"{where}: " if where else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return cls(f"{where}{first.message}{more}", problems[:_MOST_PROBLEMS])


class InvalidDocument(Invalid):
    code = "invalid-document"


class NotConforming(InvalidDocument):
    code = "not-conforming"

    def __init__(
        self, definition: str, number: int, problems: Sequence[Problem], which: str
    ) -> None:
        first = problems[0]
        where = f"{first.pointer}: " if first.pointer else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            f"{which} does not conform to the definition {definition!r}, revision {number}. "
            f"{where}{first.message}{more}",
            problems[:_MOST_PROBLEMS],
        )


class UnsupportedMediaType(Invalid):
    code = "unsupported-media-type"


class ServiceExists(Invalid):
    code = "service-exists"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The service {name!r} exists already. "
            "Use PATCH to add a version, or PUT to create or update in one step."
        )


class AccountExists(Invalid):
    code = "account-exists"

    def __init__(self, what: str, name: str) -> None:
        message = f"The {what} {name!r} is there already. Change that one, or take another name."
        problem = Problem("", message, "exists")
        super().__init__(message, [problem])


class DefinitionExists(Invalid):
    code = "definition-exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"The definition {name!r} exists already. Use PUT to revise it.")


class BreakingRevision(Invalid):
    """``why`` is the reason alone; ``detail`` says what to do about it, where it can be forced."""

    code = "breaking-revision"

    def __init__(self, why: str, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"Nothing was changed: {why}. Change the documents or the schema, "
            "or force it (force=true, or --force), with a note that says why.",
            problems[:_MOST_PROBLEMS],
        )
        self.why = why


class KeyReused(Invalid):
    code = "idempotency-key-reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for a different request. Use a new key for each write."
        )


class HostMissing(DistconfError):
    code = "host-missing"

    def __init__(self) -> None:
        super().__init__("HTTP/1.1 asks for a Host header in every request. Send it.")


class UnsupportedEncoding(DistconfError):
    code = "unsupported-content-encoding"

    def __init__(self, encoding: str) -> None:
        super().__init__(f"Content-Encoding {encoding!r} is not read here. Send the plain body.")


class PartialBody(DistconfError):
    code = "partial-body"

    def __init__(self) -> None:
        super().__init__(
            "Content-Range says that the body is a part of something, and a part is never stored "
            "as the whole. Send all of it, without Content-Range."
        )


class TooLarge(DistconfError):
    code = "too-large"

    def __init__(self, limit: str, most: int) -> None:
        super().__init__(f"The body is larger than {limit} allows ({most} bytes). Send less.")
        self.limit = limit


class TooSlow(DistconfError):
    code = "body-incomplete"

    def __init__(self) -> None:
        super().__init__("The body did not arrive whole and in time. Send it again.")


class NotFound(DistconfError):
    code = "not-found"


class ServiceNotFound(NotFound):
    code = "service-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no service {name!r}. Create it with POST or PUT.")


class VersionNotFound(NotFound):
    code = "version-not-found"

    def __init__(self, name: str, which: str) -> None:
        super().__init__(
            f"The service {name!r} has no version {which}. "
            "GET /api/v1/versions?service=… lists what it has."
        )


class VersionDisabled(NotFound):
    code = "version-disabled"

    def __init__(self, name: str, number: int) -> None:
        super().__init__(
            f"Version {number} of {name!r} is disabled, so it is not served. Enable it with "
            f"PATCH …&version={number}&enabled=true, or read it with "
            "GET /api/v1/versions?service=…&documents=true."
        )


class NoCurrentVersion(NotFound):
    code = "no-current-version"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Every version of {name!r} is disabled, so nothing is served. "
            "Enable one with PATCH …&version=N&enabled=true, or add a new one."
        )


class AccountNotFound(NotFound):
    """``what`` is an organisation, a user, a membership, a role or a token."""

    code = "account-not-found"

    def __init__(self, what: str, name: object) -> None:
        super().__init__(f"There is no {what} {name!r}. Check it, or list them all.")


class DefinitionNotFound(NotFound):
    code = "definition-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no definition {name!r}. Create it with PUT /api/v1/definitions."
        )


class RevisionNotFound(NotFound):
    code = "revision-not-found"

    def __init__(self, name: str, number: int) -> None:
        super().__init__(
            f"The definition {name!r} has no revision {number}. "
            "GET /api/v1/definitions/revisions?definition=… lists what it has."
        )


class TooMuchWork(Invalid):
    code = "too-much-work"
    limit = "DISTCONF_LOCK_WORK_MS"

    def __init__(self, milliseconds: int) -> None:
        super().__init__(
            "Done at once, this would hold up everybody who writes: it took too long for "
            f"DISTCONF_LOCK_WORK_MS ({milliseconds}). Nothing was written. Send it in smaller "
            "parts, or have the operator do it with `distconf` on the server, where there is no "
            "such limit."
        )


class Gone(DistconfError):
    code = "gone"


class VersionDeleted(Gone):
    code = "version-deleted"

    def __init__(self, name: str, number: int) -> None:
        super().__init__(
            f"The document of version {number} of {name!r} was deleted; its number stays taken."
        )


class EpochChanged(Gone):
    code = "epoch-changed"

    def __init__(self) -> None:
        super().__init__(
            "This position in the journal is from before the database was restored, as every "
            "revision without its epoch is now. Read everything again, and go on from the "
            "`next` you find."
        )


class StillEnabled(DistconfError):
    code = "still-enabled"


class DefinitionInUse(DistconfError):
    code = "definition-in-use"

    def __init__(self, name: str, services: int, first: str) -> None:
        super().__init__(
            f"Services conform to the definition {name!r}: {services}, {first!r} among them. "
            "Detach them, or say what becomes of them with cascade=detach or cascade=delete."
        )


class LastAdministrator(DistconfError):
    code = "last-administrator"

    def __init__(self) -> None:
        super().__init__(
            "Nobody who administers the server would be left. Make another administrator first: a "
            "user who can log in, or a token, with the role administrator and no limits."
        )


class PreconditionFailed(DistconfError):
    code = "precondition-failed"

    def __init__(self, name: str, etag: str | None, what: str = "service") -> None:
        now = f"it is now {etag}" if etag else "there is none"
        super().__init__(
            f"The {what} {name!r} is not as the conditions of the request ask: {now}. "
            "Look at what is there now, and send its tag with If-Match."
        )


class NotRepresentable(DistconfError):
    code = "not-representable"


class Refused(DistconfError):
    code = "refused"


class ForeignHost(Refused):
    code = "foreign-host"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"The host name {host!r} is not one that this server answers to. "
            "Add it to DISTCONF_HOSTS if it should be."
        )


class CrossSite(Refused):
    code = "cross-site"

    def __init__(self) -> None:
        super().__init__("A web page of another site sent this request, and may not.")


class Forbidden(Refused):
    code = "forbidden"


class OutOfScope(Refused):
    code = "out-of-scope"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Your rights are limited to some services, and {name!r} is not among them. "
            "Ask who gave them to you."
        )


class Unauthenticated(DistconfError):
    code = "unauthenticated"

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            detail
            or "Say who you are: send a valid token, as in `Authorization: Bearer …`. "
            "`distconf create-token` makes one."
        )


class MethodNotAllowed(DistconfError):
    code = "method-not-allowed"


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
            "There is no space left where the database is. Nothing was written and reads go on; "
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
            "What is stored is not what was written, so it is not served. "
            "`distconf check` names what is damaged; restore a backup."
        )


class DatabaseUnverified(Unavailable):
    code = "database-unverified"
    retry_after = 5

    def __init__(self) -> None:
        super().__init__(
            "The server has just started, and its database is still being verified; nothing of it "
            "is served before that. Try again in a few seconds; the log says when it is done."
        )


class DatabaseDamaged(Unavailable):
    code = "database-damaged"
    retry_after = 60

    def __init__(self) -> None:
        super().__init__(
            "The database is damaged, and nothing of it is served. The log says what was found; "
            "stop the server and restore a backup with `distconf restore FILE`."
        )


class DatabaseMoved(Unavailable):
    code = "database-moved"
    retry_after = 60

    def __init__(self) -> None:
        super().__init__(
            "The database's file was moved away or replaced while the server ran. Nothing is read "
            "or written; stop the server, put the right file in place with `distconf restore "
            "FILE`, and start it again."
        )


class SecretUnreadable(Unavailable):
    code = "secret-unreadable"
    retry_after = 30

    def __init__(self) -> None:
        super().__init__(
            "A secret cannot be read, or not be written, with the keys that this server has. Put "
            "the right key file where DISTCONF_SECRET_KEY_FILE says; the server's log says more."
        )


class Overloaded(Unavailable):
    code = "overloaded"
    limit = "DISTCONF_QUEUE"

    def __init__(self) -> None:
        super().__init__("Too many requests are waiting already. Try again in a moment.")


class TooManyRequests(Unavailable):
    """``limit`` is the name of the setting, ``allowed`` what it says."""

    code = "too-many-requests"

    def __init__(self, limit: str, allowed: str, retry_after: int) -> None:
        super().__init__(f"More than {limit} allows ({allowed}). Try again in {retry_after} s.")
        self.retry_after = retry_after
        self.limit = limit


class TooManyWatchers(Unavailable):
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

    def __init__(self, asked: int, reached: int) -> None:
        super().__init__(
            f"This server is at revision {reached}, and {asked} was asked for. "
            "Try again, or ask without min_revision."
        )


class ClientError(DistconfError):
    code = "client-error"


class Unreachable(ClientError):
    code = "unreachable"
    at_once = False
    """Whether it was known at once, as where nobody listens: waiting would not have helped."""


class NeverLoaded(ClientError):
    code = "never-loaded"
    reason: DistconfError | None = None
    """Why the last attempt failed; None: nothing answered in time."""


class Rejected(ClientError):
    code = "rejected"


class CannotStart(DistconfError):
    code = "cannot-start"
