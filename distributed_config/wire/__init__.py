"""Formats of what is sent and stored: names, documents, pointers, numbers, tags, cursors, times.

No input or output, and the standard library alone: the client imports this too.
"""

from distributed_config.wire.cursors import decode_cursor, encode_cursor
from distributed_config.wire.documents import (
    MASK,
    SECRET_KEY,
    Document,
    DocumentLimits,
    decode_utf8,
    digest_of,
    in_order,
    make_document,
    make_object,
    parse_json,
    parse_stored,
    repeated_keys,
    require_unambiguous,
)
from distributed_config.wire.etags import (
    absent_etag,
    etag_matches,
    parse_etags,
    stamp_of,
    version_etag,
)
from distributed_config.wire.hashing import HashField, length_prefixed
from distributed_config.wire.names import (
    NAME_LENGTH,
    check_name,
    check_note,
    environment_problem,
    name_problem,
)
from distributed_config.wire.numbers import exact_float
from distributed_config.wire.pointers import (
    Location,
    child_of,
    escape_pointer,
    parse_pointer,
    pointer_of,
    unescape_pointer,
)
from distributed_config.wire.positions import MOST_REVISION, Position, parse_position
from distributed_config.wire.times import format_time, now, parse_time

__all__ = [
    "MASK",
    "MOST_REVISION",
    "NAME_LENGTH",
    "SECRET_KEY",
    "Document",
    "DocumentLimits",
    "HashField",
    "Location",
    "Position",
    "absent_etag",
    "check_name",
    "check_note",
    "child_of",
    "decode_cursor",
    "decode_utf8",
    "digest_of",
    "encode_cursor",
    "environment_problem",
    "escape_pointer",
    "etag_matches",
    "exact_float",
    "format_time",
    "in_order",
    "length_prefixed",
    "make_document",
    "make_object",
    "name_problem",
    "now",
    "parse_etags",
    "parse_json",
    "parse_pointer",
    "parse_position",
    "parse_stored",
    "parse_time",
    "pointer_of",
    "repeated_keys",
    "require_unambiguous",
    "stamp_of",
    "unescape_pointer",
    "version_etag",
]
