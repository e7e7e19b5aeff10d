"""The work for one page of history is bounded."""

import pytest

from distributed_config.services import changed_places, versions
from distributed_config.services.documents.series import Series
from tests.support.database import Database, document


def test_versions_after_the_bound_are_not_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = Series("web")
    with database.transaction() as transaction:
        for number in range(5):
            versions.put(transaction, series, document({"n": number}))
    size = len('{"n": 0}')
    monkeypatch.setattr(changed_places, "MOST_BYTES", 2 * size)

    with database.reader() as reader:
        page = versions.history(reader, series, before=None, limit=5, documents=False)
        counts = changed_places.count_changed_places(reader, series, page)

    assert counts == {4: 1, 3: 1}
