"""What the database holds as text, and how it is known to be what was written.

Every document and every schema is stored with its digest. Whoever reads one goes through
``intact``: a disk that changes a bit is noticed there, and nothing that it changed is served,
shown as history, or used to check or to mask something else.
"""

from distributed_config.errors import DocumentDamaged
from distributed_config.wire import digest_of


def intact(text: str | None, digest: str) -> str:
    """The stored ``text``, if its digest is ``digest``. Raises DocumentDamaged otherwise."""
    if text is None or digest_of(text) != digest:
        raise DocumentDamaged()
    return text
