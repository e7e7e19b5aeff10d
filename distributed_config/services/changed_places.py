"""How many places of a document each version changed, against the version before it."""

from collections.abc import Sequence

from distributed_config.services.diff import places
from distributed_config.services.documents.series import Series
from distributed_config.services.reader import Reader
from distributed_config.services.secrets.stand_ins import StandIns
from distributed_config.services.versions import Version, each_stored

MOST_BYTES = 4 << 20
"""What is read of documents for one page; the versions after that are not counted."""


def count_changed_places(reader: Reader, series: Series, page: Sequence[Version]) -> dict[int, int]:
    """Return how many places each version of a page of history changed, by its number.

    ``page`` is newest first. A number is left out where that is not known: for the first version,
    where either document is deleted, and after ``MOST_BYTES``. Secrets are not opened; one that
    was written again counts, even if it is the same.
    """
    counts: dict[int, int] = {}
    if not page:
        return counts
    stand_ins = StandIns()
    newest = page[0].number
    # One more than the page: its last version is compared as well.
    documents = each_stored(reader, series, range(newest, page[-1].number - 2, -1))
    after, size = next(documents), 0
    for version, before in zip(page, documents, strict=False):
        size += version.size
        if size > MOST_BYTES:
            break
        if after is not None and before is not None:
            changed = places(stand_ins.replace(before), stand_ins.replace(after))
            counts[version.number] = sum(1 for _ in changed)
        # Each document is read once, as the older side and then as the newer.
        after = before
    return counts
