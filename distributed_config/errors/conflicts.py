"""Requests that contradict what is stored now."""

from distributed_config.errors.base import DistconfError


class StillEnabled(DistconfError):
    code = "still-enabled"


class DefinitionInUse(DistconfError):
    """``services`` is how many conform to it, and ``first`` the name of one of them."""

    code = "definition-in-use"

    def __init__(self, name: str, services: int, first: str) -> None:
        super().__init__(
            f"{services} services conform to the definition {name!r}, {first!r} among them. "
            "Detach them, or say what happens to them with cascade=detach or cascade=delete."
        )


class LastAdministrator(DistconfError):
    code = "last-administrator"

    def __init__(self) -> None:
        super().__init__(
            "This would leave the server without an administrator. Create another one first: a "
            "user who can log in, or a token, with the role administrator and no limits."
        )


class PreconditionFailed(DistconfError):
    """``etag`` is the entity tag that the resource has now; None if it does not exist."""

    code = "precondition-failed"

    def __init__(self, name: str, etag: str | None, what: str = "service") -> None:
        now = f"it is now {etag}" if etag else "there is none"
        super().__init__(
            f"The {what} {name!r} does not match the conditions of the request: {now}. "
            "Look at what is there now, and send its tag with If-Match."
        )


class NotRepresentable(DistconfError):
    code = "not-representable"
