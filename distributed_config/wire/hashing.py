"""Fields of a hash, framed so that different lists of fields are different bytes."""

from collections.abc import Iterable

HashField = str | int | bytes | None


def length_prefixed(fields: Iterable[HashField]) -> bytes:
    """Return ``fields`` in a row, each after its length, as in ``3:web``; None is ``-``.

    Without the lengths ("ab", "c") and ("a", "bc") would be the same bytes.
    """
    parts = []
    for field in fields:
        if field is None:
            parts.append(b"-")
        else:
            data = field if isinstance(field, bytes) else str(field).encode()
            parts.append(b"%d:%b" % (len(data), data))
    return b"".join(parts)
