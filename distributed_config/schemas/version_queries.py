"""The parameters of routes about the history of one service."""

from distributed_config.schemas.fields import StrictInteger
from distributed_config.schemas.queries import ServiceQuery


class MergeQuery(ServiceQuery):
    base = StrictInteger(
        required=True, metadata={"description": "The version that the document was made from."}
    )
