"""A series: what every verb about versions is told."""

from dataclasses import dataclass

from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT


@dataclass(frozen=True)
class Series:
    """The versions of one service in one environment.

    The organisation is not a part of it: that is the reader's or the transaction's, so that a verb
    cannot be told to reach into another one.
    """

    service: str
    environment: str = DEFAULT_ENVIRONMENT
