"""The list of those that may do something with one service."""

from itertools import chain
from operator import attrgetter
from typing import Any

from distributed_config import wire
from distributed_config.api.v1.account_routes import list_route
from distributed_config.http import auth
from distributed_config.http.database import reader_connection
from distributed_config.http.pagination import after_key, next_cursor, page_response, page_size
from distributed_config.http.response import ResponseData
from distributed_config.http.series import series_of
from distributed_config.schemas import account_answers as answers
from distributed_config.schemas import version_queries
from distributed_config.services import versions
from distributed_config.services.access import holders
from distributed_config.services.access.holders import Holder
from distributed_config.services.documents.series import Series
from distributed_config.services.journal import head


@list_route(
    "/access",
    permission=auth.AUTHENTICATED,
    query=version_queries.AccessQuery,
    answers={200: answers.AccessAnswer},
)
def list_access(query: dict[str, Any]) -> ResponseData:
    """List who may do what with a service in an environment: users by address, then tokens.

    Each with its role, the permissions that hold there, and the entries of the scopes through which
    they do. Users are listed with `user:manage`, and tokens with `token:manage`; it takes one of
    them. Administrators of the server, who may act everywhere, are listed where they are members.
    """
    if not auth.actor().may("token:manage"):
        auth.require("user:manage")
    series = series_of(query)
    versions.require(auth.reader(), series)
    epoch = head.read_head(reader_connection()).epoch
    after, size = after_key(query, epoch, str) or "", page_size(query["limit"])
    # Not cut in SQL: which of them may do anything here is known only after their scopes.
    found = [holder for holder in _holders(series) if holder.key > after]
    body = {
        "service": series.service,
        "environment": series.environment,
        "access": answers.HolderAnswer.render_all(found[:size]),
    }
    return page_response(body, next_cursor(query, epoch, found, size, attrgetter("key")))


def _holders(series: Series) -> list[Holder]:
    """Return those that the actor may list, in the order of their keys."""
    reader, actor = auth.reader(), auth.actor()
    users = holders.users(reader, series) if actor.may("user:manage") else ()
    tokens = holders.tokens(reader, series, wire.now()) if actor.may("token:manage") else ()
    return sorted(chain(users, tokens), key=attrgetter("key"))
