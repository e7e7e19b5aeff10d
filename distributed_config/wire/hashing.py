"""Fields of a hash, framed so that no two lists of fields look the same."""

from collections.abc import Iterable

HashField = str | int | bytes | None


def length_prefixed(fields: Iterable[HashField]) -> bytes:
    """``fields`` in a row, each with its length before it, as in ``3:web``; None is ``-``.

    Two rows of as many fields that differ come out different.
    """
    parts = []
    for field in fields:
        if field is None:
            parts.append(b"-")
        else:
            text = field if isinstance(field, bytes) else str(field).encode()
            parts.append(b"%d:%b" % (len(text), text))
    return b"".join(parts)
