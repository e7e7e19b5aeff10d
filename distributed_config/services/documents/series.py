"""A series: the argument of every verb about versions."""

from dataclasses import dataclass

from distributed_config.services.policy.visibility import DEFAULT_ENVIRONMENT


@dataclass(frozen=True)
class Series:
    """The versions of one service in one environment.

    The organisation is not a part of it. It comes from the reader or the transaction, so that no
    argument can make a verb reach into another organisation.
    """

    service: str
    environment: str = DEFAULT_ENVIRONMENT
