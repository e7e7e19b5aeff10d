"""Requests without valid credentials, and requests that their actor may not make."""

from distributed_config.errors.base import DistconfError


class Refused(DistconfError):
    code = "refused"


class ForeignHost(Refused):
    code = "foreign-host"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"This server does not answer to the host name {host!r}. "
            "Add it to DISTCONF_HOSTS if it should."
        )


class CrossSite(Refused):
    code = "cross-site"

    def __init__(self) -> None:
        super().__init__(
            "A browser sent this request for a web page of another site, and that is not allowed."
        )


class Forbidden(Refused):
    code = "forbidden"


class OutOfScope(Refused):
    code = "out-of-scope"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Your rights are limited to some services, and {name!r} is not among them. "
            "Ask the administrator of your organisation for wider ones."
        )


class Unauthenticated(DistconfError):
    code = "unauthenticated"

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            detail
            or "The request has no valid credentials. Send a token, as in "
            "`Authorization: Bearer …`; `distconf create-token` creates one."
        )


class MethodNotAllowed(DistconfError):
    code = "method-not-allowed"
