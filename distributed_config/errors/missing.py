"""What does not exist, or does not exist any more.

What an actor may not know of is missing in the same words: a refusal would confirm that it exists.
"""

from collections.abc import Sequence

from distributed_config.errors.base import DistconfError


class NotFound(DistconfError):
    code = "not-found"


class ServiceNotFound(NotFound):
    code = "service-not-found"

    def __init__(self, name: str, environment: str = "default") -> None:
        where = "" if environment == "default" else f" in the environment {environment!r}"
        super().__init__(f"There is no service {name!r}{where}. Create it with POST or PUT.")


class EnvironmentNotFound(NotFound):
    """``known`` are the environments that the actor may know of."""

    code = "environment-not-found"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        others = f"There are: {', '.join(known)}." if known else "You may use none."
        super().__init__(f"There is no environment {name!r}. {others}")


class VersionNotFound(NotFound):
    """``which`` ends "has no version …": a number, or "that was current then"."""

    code = "version-not-found"

    def __init__(self, name: str, which: str) -> None:
        super().__init__(
            f"The service {name!r} has no version {which}. "
            "GET /api/v1/versions?service=… lists the versions that it has."
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
    """``what`` is "organisation", "user", "membership", "role", "token" or "session"."""

    code = "account-not-found"

    def __init__(self, what: str, name: object) -> None:
        super().__init__(f"There is no {what} {name!r}. Check the spelling, or list them all.")


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
            "GET /api/v1/definitions/revisions?definition=… lists the revisions that it has."
        )


class NoDeviceFlow(NotFound):
    """``why`` is a sentence about the identity provider."""

    code = "no-device-flow"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why} Log in with a password: POST /auth/token, or in a browser at /auth/oidc/login."
        )


class Gone(DistconfError):
    code = "gone"


class VersionDeleted(Gone):
    code = "version-deleted"

    def __init__(self, name: str, number: int) -> None:
        super().__init__(
            f"The document of version {number} of {name!r} was deleted; its number stays taken. "
            "GET /api/v1/versions?service=… lists the versions that remain."
        )


class EpochChanged(Gone):
    code = "epoch-changed"

    def __init__(self) -> None:
        super().__init__(
            "This position in the journal is from before the database was restored, as is every "
            "revision without an epoch. Read everything again, and continue from the `next` of "
            "that response."
        )
