"""Requests that are refused before their body is read as anything."""

from distributed_config.errors.base import DistconfError


class HostMissing(DistconfError):
    code = "host-missing"

    def __init__(self) -> None:
        super().__init__("An HTTP/1.1 request needs a Host header (RFC 9112). Send one.")


class UnsupportedEncoding(DistconfError):
    code = "unsupported-content-encoding"

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"This server does not read Content-Encoding {encoding!r}. Send the body uncompressed."
        )


class PartialBody(DistconfError):
    code = "partial-body"

    def __init__(self) -> None:
        super().__init__(
            "Content-Range says that the body is only a part, and a part is never stored as the "
            "whole. Send all of it, without Content-Range."
        )


class TooLarge(DistconfError):
    """``limit`` is the name of the setting, and ``most`` its value in bytes."""

    code = "too-large"

    def __init__(self, limit: str, most: int) -> None:
        super().__init__(f"The body is larger than {limit} allows ({most} bytes). Send less.")
        self.limit = limit


class TooSlow(DistconfError):
    code = "body-incomplete"

    def __init__(self) -> None:
        super().__init__("The body did not arrive whole and in time. Send it again.")
