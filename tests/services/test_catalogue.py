"""The list of services: filtered, paged, and limited to what a reader may see."""

from typing import Any

import pytest

from distributed_config.errors import ServiceNotFound
from distributed_config.services import catalogue, definitions, versions
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.changes import read_changes
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from tests.support.database import Database, actor, document, schema

NAMES = ["Web", "api", "team/100%", "team/100x", "team/a", "web"]


@pytest.fixture
def services(database: Database) -> Database:
    """Services by the names in NAMES; "api" has three versions and nothing current."""
    with database.transaction() as transaction:
        for name in reversed(NAMES):
            versions.put(transaction, Series(name), document({"n": 0}))
        for number in (1, 2):
            versions.put(transaction, Series("api"), document({"n": number}))
        versions.disable_service(transaction, Series("api"))
    return database


def names(database: Database, **filters: Any) -> list[str]:
    filters.setdefault("limit", 100)
    with database.reader() as reader:
        return [entry.name for entry in catalogue.services(reader, **filters)]


def test_services_are_in_the_order_of_code_points_and_paged_after_a_name(
    services: Database,
) -> None:
    assert names(services) == NAMES
    assert names(services, limit=2) == NAMES[:2]
    assert names(services, after="api", limit=2) == NAMES[2:4]
    assert names(services, after="web") == []


def test_a_search_is_a_part_of_the_name_in_any_case(services: Database) -> None:
    assert names(services, search="WE") == ["Web", "web"]
    assert names(services, search="0%") == ["team/100%"]
    assert names(services, search="_") == []


def test_a_prefix_is_a_beginning_in_the_same_case(services: Database) -> None:
    assert names(services, prefix="we") == ["web"]
    assert names(services, prefix="team/100%") == ["team/100%"]


def test_a_service_must_have_all_tags(services: Database) -> None:
    with services.transaction() as transaction:
        catalogue.set_tags(transaction, Series("web"), ("prod", "eu"))
        catalogue.set_tags(transaction, Series("api"), ("prod",))

    assert names(services, tags=("prod",)) == ["api", "web"]
    assert names(services, tags=("prod", "eu")) == ["web"]
    assert names(services, tags=("none",)) == []


def test_tags_are_sorted_once_each_and_only_a_change_is_recorded(services: Database) -> None:
    web = Series("web")
    with services.transaction() as transaction:
        assert catalogue.set_tags(transaction, web, ("b", "a", "b")) is True
        first = transaction.revision
    with services.transaction() as transaction:
        assert catalogue.set_tags(transaction, web, ("a", "b")) is False
        assert not transaction.wrote

    with services.reader() as reader:
        assert catalogue.service(reader, web).tags == ("a", "b")
        [change] = read_changes(reader.connection, LOCAL_OPERATOR, after=first - 1, limit=9)
    assert (change.kind, change.note) == ("service.tagged", "a, b")


def test_an_entry_tells_what_is_current_and_how_many_versions_there_were(
    services: Database,
) -> None:
    with services.reader() as reader:
        web = catalogue.service(reader, Series("web"))
        api = catalogue.service(reader, Series("api"))
        current = versions.current(reader, Series("web"))

    assert (web.versions, web.current, web.digest) == (1, 0, current.digest)
    assert (api.versions, api.current, api.digest) == (3, None, None)
    assert web.updated_at == current.created_at


def test_an_entry_names_the_definition(services: Database) -> None:
    with services.transaction() as transaction:
        definitions.create(transaction, "d", schema({}), "none", [])
        definitions.attach(transaction, Series("web"), "d")

    with services.reader() as reader:
        assert catalogue.service(reader, Series("web")).definition == "d"
        assert catalogue.service(reader, Series("Web")).definition is None


def test_services_by_id_are_in_the_order_of_the_ids(services: Database) -> None:
    with services.reader() as reader:
        ids = [catalogue.service(reader, Series(name)).id for name in ("web", "api")]
        assert [entry.name for entry in catalogue.services_by_id(reader, ids)] == ["web", "api"]
        assert catalogue.services_by_id(reader, []) == []


def test_served_names_are_those_with_something_current(services: Database) -> None:
    with services.reader() as reader:
        assert catalogue.served_names(reader) == [name for name in NAMES if name != "api"]
        assert catalogue.served_names(reader, "team/1") == ["team/100%", "team/100x"]


def test_what_a_reader_may_not_see_is_not_there(services: Database) -> None:
    limited = actor("config:read", services=("team/", "web"))
    with services.reader(limited) as reader:
        listed = catalogue.services(reader, limit=100)
        assert [entry.name for entry in listed] == ["team/100%", "team/100x", "team/a", "web"]
        assert catalogue.served_names(reader, "W") == []
        with pytest.raises(ServiceNotFound):
            catalogue.service(reader, Series("Web"))


def test_the_digest_of_a_secret_is_another_for_those_who_may_not_read_it(
    services: Database,
) -> None:
    web = Series("web")
    with services.transaction() as transaction:
        definitions.set_secret_pointers(transaction, web, ["/n"])
    with services.reader() as reader:
        stored = catalogue.service(reader, web).digest
    with services.reader(actor("config:read")) as reader:
        entry = catalogue.service(reader, web)
        assert entry.digest not in {None, stored}
        assert entry.digest == versions.current(reader, web).digest
