"""Current is the highest enabled version of a series, for every verb that asks."""

import pytest

from distributed_config.errors import NoCurrentVersion, ServiceNotFound
from distributed_config.services import bulk, catalogue, versions
from distributed_config.services.documents.current import find_current
from distributed_config.services.documents.load import load_current
from distributed_config.services.documents.series import Series
from distributed_config.services.layers import environment_changes
from distributed_config.services.reader import Reader
from distributed_config.services.versions import Version
from tests.support.database import LIMITS, Database, document, parsed

WEB = Series("web")
STAGING = Series("web", "staging")


@pytest.fixture
def web(database: Database) -> Database:
    """A service with the versions 0, 1 and 2, which hold their numbers; and an environment."""
    with database.transaction() as transaction:
        environment_changes.create(transaction, STAGING.environment)
        for number in range(3):
            versions.put(transaction, WEB, document({"n": number}))
    return database


def enable(database: Database, number: int, enabled: bool, series: Series = WEB) -> None:
    with database.transaction() as transaction:
        versions.set_enabled(transaction, series, number, enabled)


def page(reader: Reader, series: Series) -> list[Version]:
    return versions.history(reader, series, before=None, limit=10, documents=False)


def current_everywhere(database: Database) -> int | None:
    """The number that is current, which every verb gives alike."""
    with database.reader() as reader:
        entry = catalogue.service(reader, WEB)
        exported = dict(bulk.export(reader))
        loaded = load_current(reader.connection, entry.id, WEB.environment)
        key = find_current(reader.connection, entry.id, WEB.environment)
        if entry.current is None:
            with pytest.raises(NoCurrentVersion):
                versions.current(reader, WEB)
            assert (exported, loaded, key) == ({}, None, None)
            assert catalogue.served_names(reader) == []
            assert versions.current_value(reader.connection, entry.id, WEB) is None
            return None
        version = versions.current(reader, WEB)
        assert loaded is not None
        assert key is not None
        assert version.number == entry.current == key.number == loaded.number
        assert version.digest == entry.digest == key.digest == loaded.digest
        assert version.text == exported["web"].text == loaded.text
        assert catalogue.served_names(reader) == ["web"]
        expected = {"n": version.number}
        assert versions.current_value(reader.connection, entry.id, WEB) == expected
        return version.number


def test_the_highest_enabled_version_is_current(web: Database) -> None:
    assert current_everywhere(web) == 2
    enable(web, 2, False)
    assert current_everywhere(web) == 1
    enable(web, 0, False)
    assert current_everywhere(web) == 1
    enable(web, 1, False)
    assert current_everywhere(web) is None
    enable(web, 0, True)
    assert current_everywhere(web) == 0
    enable(web, 2, True)
    assert current_everywhere(web) == 2


def test_a_deleted_version_is_never_current(web: Database) -> None:
    enable(web, 2, False)
    with web.transaction() as transaction:
        versions.delete_version(transaction, WEB, 2)

    assert current_everywhere(web) == 1


def test_a_service_that_does_not_exist_has_nothing_current(database: Database) -> None:
    with database.reader() as reader, pytest.raises(ServiceNotFound):
        versions.current(reader, WEB)
    with database.reader() as reader:
        assert find_current(reader.connection, 1, WEB.environment) is None


def test_every_environment_has_a_series_of_its_own(web: Database) -> None:
    with web.transaction() as transaction:
        first = versions.create(transaction, STAGING, document({"staging": 0}))
        second = versions.put(transaction, STAGING, document({"staging": 1}))
        versions.merge(transaction, STAGING, {"merged": True}, LIMITS)
    assert (first.number, second.number, second.series) == (0, 1, STAGING)
    assert current_everywhere(web) == 2
    with web.reader() as reader:
        assert parsed(versions.current(reader, STAGING).text) == {"staging": 1, "merged": True}
        assert [version.number for version in page(reader, STAGING)] == [2, 1, 0]
        assert [version.number for version in page(reader, WEB)] == [2, 1, 0]

    enable(web, 2, False, STAGING)
    with web.transaction() as transaction:
        assert versions.disable_service(transaction, STAGING) == 1
    with web.reader() as reader, pytest.raises(NoCurrentVersion):
        versions.current(reader, STAGING)
    assert current_everywhere(web) == 2


def test_the_past_of_one_environment_is_not_that_of_another(web: Database) -> None:
    with web.transaction() as transaction:
        revision = transaction.revision
        versions.create(transaction, STAGING, document({"staging": 0}))
    with web.reader() as reader:
        assert versions.as_of_revision(reader, WEB, revision).number == 2
        assert versions.as_of_revision(reader, STAGING, revision).number == 0
        [web_moved] = versions.version_times(reader, WEB)
        [staging_moved] = versions.version_times(reader, STAGING)
        assert staging_moved == web_moved + 1_000_000
        assert versions.current(reader, WEB).moved_at == web_moved
        assert versions.current(reader, STAGING).moved_at == staging_moved
