"""Errors of the client and of the commands, which no server answers with."""

from distributed_config.errors.base import DistconfError


class CannotStart(DistconfError):
    code = "cannot-start"


class ClientError(DistconfError):
    code = "client-error"


class Unreachable(ClientError):
    code = "unreachable"
    at_once = False
    """True if it was known at once, as when nothing listens: waiting would not have helped."""


class NeverLoaded(ClientError):
    code = "never-loaded"
    reason: DistconfError | None = None
    """The error of the last attempt; None if nothing answered in time."""


class Rejected(ClientError):
    code = "rejected"
