"""A search ends: when its time is over, and when there is no room for more."""

from distributed_config.services import search, versions
from distributed_config.services.documents.series import Series
from tests.support.database import Database, document


def test_a_search_ends_when_its_time_is_over(database: Database) -> None:
    with database.transaction() as transaction:
        for number in range(600):
            versions.put(transaction, Series(f"s{number:03d}"), document({"v": f"needle{number}"}))
    now = [0.0]

    def clock() -> float:
        now[0] += 0.6
        return now[0]

    with database.reader() as reader:
        whole = search.search(reader, "needle599", "default", limit=5)
        ended = search.search(reader, "needle599", "default", limit=5, clock=clock)
        few = search.search(reader, "needle", "default", limit=5)

    assert [hit.service for hit in whole.hits] == ["s599"]
    assert not whole.truncated
    assert (ended.hits, ended.truncated) == ([], True)
    assert [hit.service for hit in few.hits] == [f"s00{number}" for number in range(5)]
    assert few.truncated
