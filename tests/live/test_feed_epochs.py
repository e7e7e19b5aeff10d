"""After a restore nobody who watches goes on in another history without being told."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import flask_migrate
import pytest

from distributed_config.asgi.direct_events import heartbeat
from distributed_config.client.cli import main
from distributed_config.client.client import Client
from distributed_config.client.http.backoff import Backoff
from distributed_config.client.live.config import Config
from distributed_config.commands import schema
from distributed_config.http.database import db
from distributed_config.models.sqlite import raw_connection
from distributed_config.settings import Settings
from distributed_config.wire import Position, parse_position
from tests.support.server import Api, Server
from tests.support.subscribers import PATH, WAYS, Event, Watcher

QUICK = Backoff(first=0.01, most=0.05)


@dataclass(frozen=True)
class Restored:
    """A server whose database was restored, and grew again beyond where watchers were.

    ``old`` is where they were, ``shared`` a revision that both histories have, and ``now`` where
    the present history stands.
    """

    server: Server
    old: Position
    shared: int
    now: Position


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    folder = tmp_path_factory.mktemp("restored")
    backup = folder / "backup.db"
    with Server(folder / "instance", workers=1) as own:
        own.api.put("web", {"n": 0})
        own.api.put("web", {"n": 1})
        assert own.tell("backup", str(backup)).returncode == 0
        own.api.put("web", {"lost": 2})
        old = parse_position(own.api.http.get(PATH).json()["next"])
        own.stop()
        done = own.tell("restore", str(backup))
        assert done.returncode == 0, done.stderr
        own.start()
        for n in range(2, 6):
            own.api.put("web", {"other": n})
        now = parse_position(own.api.http.get(PATH).json()["next"])
        assert (old.revision, now.revision) == (3, 6)
        assert old.epoch != now.epoch
        yield Restored(own, old, 2, now)


def watching(server: Server, way: str, **rest: Any) -> Watcher:
    return Watcher(server.port, way, **rest)


def first_of(server: Server, way: str, **rest: Any) -> Event:
    with closing(watching(server, way, **rest)) as watcher:
        return watcher.next()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["after", "id", "bare after", "bare id", "shared", "bare shared"])
def test_a_watcher_from_before_a_restore_is_reset_at_once(
    restored: Restored, way: str, form: str
) -> None:
    bare, shared = "bare" in form, "shared" in form
    revision = restored.shared if shared else restored.old.revision
    position = str(Position(revision, None if bare else restored.old.epoch))
    asked: dict[str, Any] = {"after": position}
    if "id" in form:
        # What an event source sends when it comes back: its first address, and the newest id.
        asked = {"after": 0, "headers": {"Last-Event-ID": position}}

    first = first_of(restored.server, way, **asked)

    assert (first.name, first.revision) == ("reset", restored.now.revision)
    assert first.data["epoch"] == restored.now.epoch


@pytest.mark.parametrize("bare", [False, True])
def test_a_held_question_from_before_a_restore_is_gone_at_once(
    restored: Restored, bare: bool
) -> None:
    after = str(restored.old.revision if bare else restored.old)

    for query in ({}, {"wait": 20}):
        gone = restored.server.api.http.get(PATH, params={"after": after, **query}, timeout=10)
        assert (gone.status_code, gone.json()["code"]) == (410, "epoch-changed")


@pytest.mark.parametrize("way", WAYS)
def test_the_id_of_a_stream_after_a_restore_goes_on_without_a_reset(
    restored: Restored, way: str
) -> None:
    here = Position(restored.shared, restored.now.epoch)
    for asked in (
        {"after": str(here)},
        {"after": here.revision, "epoch": here.epoch},
        # The address is from before, the id from after: the id says where the watcher is.
        {
            "after": str(restored.old),
            "epoch": restored.old.epoch,
            "headers": {"Last-Event-ID": str(here)},
        },
    ):
        with closing(watching(restored.server, way, **asked)) as watcher:
            assert watcher.next().name == "hello"
            assert watcher.news().revision == restored.shared + 1


@pytest.mark.parametrize("way", WAYS)
def test_the_beginning_of_every_history_is_revision_0(restored: Restored, way: str) -> None:
    with closing(watching(restored.server, way, after=0)) as watcher:
        assert watcher.next().name == "hello"
        assert [watcher.news().revision for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    assert restored.server.api.http.get(PATH).status_code == 200


def test_the_client_tells_a_reset_and_goes_on_in_the_new_history(restored: Restored) -> None:
    for after in (str(restored.old), restored.old.revision):
        with Client(restored.server.url, backoff=QUICK) as client:
            told = client.changes(after)
            first = next(told)
            assert (first.reset, first.position) == (True, str(restored.now))
            again = next(client.changes(str(Position(5, restored.now.epoch))))
            assert (again.number, again.reset) == (6, False)
            assert again.position == str(restored.now)


def test_the_terminal_says_that_the_database_was_restored(
    restored: Restored, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = Client.changes
    # The command follows for ever: here it ends after what it heard first.
    monkeypatch.setattr(Client, "changes", lambda *a, **k: islice(follow(*a, **k), 1))

    for after in ("3", str(restored.old)):
        assert main.main(["watch", "--url", restored.server.url, "--after", after]) == 0
        assert f"--after {restored.now}" in capfd.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main.main(["watch", "--url", restored.server.url, "--after", "three"])
    assert "41.2b4e3723" in capfd.readouterr().err


def test_a_live_configuration_takes_the_restored_one_under_the_same_number(tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    with Server(tmp_path / "instance", workers=1) as own:
        own.api.put("web", {"n": 0})
        assert own.tell("backup", str(backup)).returncode == 0
        own.api.put("web", {"n": "lost"})
        with Config("web", url=own.url, snapshots=tmp_path / "kept", backoff=QUICK) as cfg:
            assert (cfg["n"], cfg.version) == ("lost", 1)
            own.stop()
            assert own.tell("restore", str(backup)).returncode == 0
            own.start()
            own.api.put("web", {"n": "restored"})
            with cfg._condition:
                assert cfg._condition.wait_for(lambda: cfg["n"] == "restored", 15)
            assert cfg.version == 1


def test_every_message_of_a_websocket_carries_where_to_go_on(
    server: Server, api: Api, name: str
) -> None:
    epoch = api.http.get(PATH).json()["epoch"]
    with closing(watching(server, "websocket", service=name)) as watcher:
        assert watcher.next().data["id"].endswith(f".{epoch}")
        made = int(api.put(name, {}).headers["Config-Revision"])
        assert watcher.news().data["id"] == f"{made}.{epoch}"


def test_an_answer_links_to_what_comes_next(api: Api, name: str) -> None:
    for n in range(3):
        api.put(name, {"n": n})
    asked = {"service": name, "kind": "version.created", "limit": 1, "after": 0}
    answer = api.http.get(PATH, params=asked)
    numbers = []
    while answer.json()["more"]:
        body = answer.json()
        assert body["next"] == f"{body['revision']}.{body['epoch']}"
        numbers += [change["version"] for change in body["changes"]]
        answer = api.http.get(answer.links["next"]["url"])

    assert numbers == [0, 1, 2]
    assert answer.json()["changes"] == []


@pytest.mark.parametrize(
    "given", ["-1", "1.", ".a", "1.a.b", "1.a b", "x", "1" * 20, "9" * 19, "٣", "1.é", " 1", "1.5e"]
)
def test_what_is_no_position_is_refused(api: Api, given: str) -> None:
    answer = api.http.get(PATH, params={"after": given})

    if given == "1.5e":  # one of another epoch
        assert answer.json()["code"] == "epoch-changed"
        return
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["parameter"] == "after"


def test_a_database_of_an_earlier_release_takes_its_epoch_for_the_first(tmp_path: Path) -> None:
    settings = Settings(instance=tmp_path)
    settings.database_path.touch()  # earlier releases began with an empty file
    with schema.migrating_app(settings).app_context():
        flask_migrate.upgrade(revision="0003")
        db.engine.dispose()
    assert schema.upgrade(settings)
    with raw_connection(settings.database_path) as connection:
        epochs = connection.execute("SELECT epoch, first_epoch FROM head").fetchone()

    assert epochs[0] == epochs[1] != ""


def test_a_heartbeat_moves_the_position_with_its_epoch() -> None:
    assert heartbeat(Position(7, "abc")) == b": alive\nid: 7.abc\n\n"
