"""Words: names, documents, pointers, numbers, tags, cursors, times. No input, no output."""

from distributed_config.wire.cursors import decode_cursor, encode_cursor
from distributed_config.wire.documents import (
    MASK,
    SECRET_KEY,
    Document,
    DocumentLimits,
    decode,
    digest_of,
    document_of,
    in_order,
    object_of,
    parse_json,
    parse_stored,
    refuse_ambiguous,
    repeated_keys,
)
from distributed_config.wire.etags import (
    no_version_etag,
    parse_etags,
    same_version,
    stamp_of,
    version_etag,
)
from distributed_config.wire.hashing import Field, framed
from distributed_config.wire.names import NAME_LENGTH, check_name, check_note, fault_of_name
from distributed_config.wire.numbers import exact_float
from distributed_config.wire.pointers import Place, escape_pointer, inside, pointer_to
from distributed_config.wire.positions import MOST_REVISION, Position, parse_position
from distributed_config.wire.times import now, parse_time, rfc3339

__all__ = [
    "MASK",
    "MOST_REVISION",
    "NAME_LENGTH",
    "SECRET_KEY",
    "Document",
    "DocumentLimits",
    "Field",
    "Place",
    "Position",
    "check_name",
    "check_note",
    "decode",
    "decode_cursor",
    "digest_of",
    "document_of",
    "encode_cursor",
    "escape_pointer",
    "exact_float",
    "fault_of_name",
    "framed",
    "in_order",
    "inside",
    "no_version_etag",
    "now",
    "object_of",
    "parse_etags",
    "parse_json",
    "parse_position",
    "parse_stored",
    "parse_time",
    "pointer_to",
    "refuse_ambiguous",
    "repeated_keys",
    "rfc3339",
    "same_version",
    "stamp_of",
    "version_etag",
]
