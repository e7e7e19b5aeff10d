"""Requests that contradict what is stored now."""

from collections.abc import Sequence

from distributed_config.errors.base import DistconfError, Problem


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


class EnvironmentInUse(DistconfError):
    """``why`` is the rest of a sentence that begins with the environment."""

    code = "environment-in-use"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"The environment {name!r} {why}")


class ServiceInUse(DistconfError):
    """``first`` is one of the services that rest on it; None: the actor may see none of them."""

    code = "service-in-use"

    def __init__(self, name: str, first: str | None) -> None:
        if first is None:
            super().__init__(
                f"Services that you may not see extend the service {name!r}, or refer to it. Ask "
                "somebody who may change them, so that nothing rests on what goes."
            )
            return
        super().__init__(
            f"{first!r} extends the service {name!r}, or refers to it. "
            f"Change {first!r} first, so that nothing rests on what goes."
        )


class LastAdministrator(DistconfError):
    code = "last-administrator"

    def __init__(self) -> None:
        super().__init__(
            "This would leave the server without an administrator. Create another one first: a "
            "user who can log in, or a token, with the role administrator and no limits."
        )


class NotResolvable(DistconfError):
    """``problems`` have pointers into the resolved document."""

    code = "not-resolvable"

    def __init__(self, service: str, environment: str, problems: Sequence[Problem]) -> None:
        place = problems[0].pointer
        super().__init__(
            f"The layers of {service!r} in {environment!r} cannot be put together. "
            f"{place + ': ' if place else ''}{problems[0].message} Read the stored documents "
            "without resolved=true, and mend what refers to it.",
            problems,
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
