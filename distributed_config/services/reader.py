"""The reader: a snapshot of the database, limited to what an actor may see."""

from dataclasses import dataclass

from sqlalchemy import Connection

from distributed_config.services.policy.visibility import Visibility


@dataclass(frozen=True)
class Reader:
    """The first argument of every verb that reads.

    ``connection`` has one snapshot of the database, so that several reads of one request agree.
    ``visibility`` limits what is found in it: what the actor may not know of does not exist.
    """

    connection: Connection
    visibility: Visibility
