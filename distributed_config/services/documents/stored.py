"""The digest of stored text: how a document or a schema is known to be what was written.

Every document and every schema is stored with its digest, and every read goes through ``intact``.
A disk that changes a bit is noticed there, and nothing that it changed is served, shown as
history, or used to check or to mask something else.
"""

from distributed_config.errors import DocumentDamaged
from distributed_config.wire import digest_of


def intact(text: str | None, digest: str) -> str:
    """Return the stored ``text`` if its digest is ``digest``.

    Raises DocumentDamaged otherwise, and where there is no text.
    """
    if text is None or digest_of(text) != digest:
        raise DocumentDamaged()
    return text
