"""Listeners: which changes they get, and how often."""

import gc
import sys
import time
import weakref
from typing import Any

import pytest

import distributed_config.client.live.config as config_module
from distributed_config import errors
from distributed_config.client import Client, Config
from tests.client.conftest import QUICK, Configs
from tests.support.scripts import threads_of
from tests.support.server import Api, Server, free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


def test_listeners_are_told_each_change_once_and_in_order(client: Client, configs: Configs) -> None:
    client.put({"n": 0, "other": 0})
    cfg = configs()
    whole: list[Any] = []
    part: list[Any] = []
    cfg.on_change(lambda new, old: whole.append((new["n"], old["n"], cfg["n"])))
    cfg.on_change(lambda new, old: part.append((new, old)), pointer="/n")

    for n in (1, 2, 3):
        written = client.put({"n": n, "other": 0})
        assert cfg.wait_for(written.version, 5)
    client.put({"n": 3, "other": 1})

    assert eventually(lambda: len(whole) == 4)
    assert whole == [(1, 0, 1), (2, 1, 2), (3, 2, 3), (3, 3, 3)]
    assert part == [(1, 0), (2, 1), (3, 2)]


def test_a_listener_that_fails_stops_neither_the_others_nor_the_next_change(
    client: Client, configs: Configs, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    cfg = configs()
    told: list[Any] = []

    def fail(new: Any, old: Any) -> None:
        raise LookupError("mine")

    cfg.on_change(fail)
    cfg.on_change(lambda new, old: told.append(new["n"]))
    for n in (1, 2):
        assert cfg.wait_for(client.put({"n": n}).version, 5)

    assert eventually(lambda: told == [1, 2])
    assert cfg.problem is None
    assert sum("mine" in str(each.exc_info) for each in caplog.records) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_listener_that_asks_to_exit_does_not_end_the_updates(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    cfg = configs()
    cfg.on_change(lambda new, old: sys.exit(1))
    for n in (1, 2):
        client.put({"n": n})
        cfg.wait_for(n, 2)

    assert cfg["n"] == 2


def test_nobody_is_told_of_the_first_load_nor_of_what_stayed(
    client: Client, configs: Configs, api: Api, name: str
) -> None:
    client.put({"n": 0})
    cfg = configs()
    told: list[Any] = []
    cfg.on_change(lambda new, old: told.append(("whole", new)))
    cfg.on_change(lambda new, old: told.append(("n", new)), pointer="/n")

    client.put({"n": 1})
    assert eventually(lambda: len(told) == 2)
    client.rollback(1)  # another version with the same document
    assert cfg.wait_for(2, 5)
    client.put({"n": 2})
    assert eventually(lambda: len(told) == 4)

    assert told == [("whole", {"n": 1}), ("n", 1), ("whole", {"n": 2}), ("n", 2)]


POINTERS: dict[str, tuple[str, Any, Any]] = {
    "inner": ("/in/a", 1, 2),
    "of a list": ("/list/1", "y", "z"),
    "escaped": ("/a~1b/c~0d", 1, 2),
    "an empty key": ("/", 1, 2),
    "a key that goes": ("/gone", 1, None),
    "a key that comes": ("/new", None, 1),
    "a whole object": ("/in", {"a": 1}, {"a": 2}),
}


@pytest.mark.parametrize(("pointer", "old", "new"), POINTERS.values(), ids=POINTERS)
def test_a_pointer_says_what_is_listened_to(
    client: Client, configs: Configs, pointer: str, old: Any, new: Any
) -> None:
    client.put({"in": {"a": 1}, "list": ["x", "y"], "a/b": {"c~d": 1}, "": 1, "gone": 1})
    cfg = configs()
    told: list[Any] = []
    cfg.on_change(lambda *both: told.append(both), pointer=pointer)

    client.put({"in": {"a": 2}, "list": ["x", "z"], "a/b": {"c~d": 2}, "": 2, "new": 1})
    assert eventually(lambda: told)

    assert told == [(new, old)]


@pytest.mark.parametrize("pointer", ["db.host", "db", "db/host"])
def test_a_pointer_that_is_none_is_refused(client: Client, configs: Configs, pointer: str) -> None:
    client.put({"db": {"host": 1}})
    cfg = configs()

    with pytest.raises((errors.DistconfError, ValueError)):
        cfg.on_change(lambda new, old: None, pointer=pointer)


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True])])
def test_a_change_of_type_alone_is_a_change(
    client: Client, configs: Configs, old: Any, new: Any
) -> None:
    client.put({"a": old, "n": 0})
    cfg = configs()
    told: list[Any] = []
    cfg.on_change(lambda *both: told.append(repr(both)), pointer="/a")

    assert client.put({"a": new, "n": 0}).changed
    assert cfg.wait_for(1, 5)
    cfg.on_change(lambda *both: told.append("end"), pointer="/n")
    client.put({"a": new, "n": 1})
    assert eventually(lambda: "end" in told)

    assert told == [repr((new, old)), "end"]


def test_who_unsubscribed_is_told_no_more_and_nobody_else_is_touched(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    cfg = configs()
    told: list[Any] = []

    def listen(new: Any, old: Any) -> None:
        told.append(new["n"])

    end = cfg.on_change(listen)
    cfg.on_change(listen)
    client.put({"n": 1})
    assert eventually(lambda: told == [1, 1])
    end()
    end()  # once more does no harm
    client.put({"n": 2})
    assert cfg.wait_for(2, 5)

    assert eventually(lambda: told == [1, 1, 2])


def test_a_listener_may_close_what_it_listens_to(client: Client, configs: Configs) -> None:
    client.put({"n": 0})
    cfg = configs()
    cfg.on_change(lambda new, old: cfg.close())

    client.put({"n": 1})

    assert eventually(lambda: not threads_of(cfg.service))
    assert cfg["n"] == 1


@pytest.mark.parametrize("wrong", [None, "reconnect", 5])
def test_a_listener_that_cannot_be_called_is_refused(configs: Configs, wrong: Any) -> None:
    cfg = configs(url=f"http://127.0.0.1:{free_port()}", defaults={}, deadline=0)

    with pytest.raises(errors.Invalid, match="cannot be called"):
        cfg.on_change(wrong, "/db")


def test_a_listener_that_waits_for_a_version_is_told_so_and_following_goes_on(
    client: Client, configs: Configs, caplog: pytest.LogCaptureFixture
) -> None:
    client.put({"n": 0})
    cfg = configs()
    there: list[bool] = []

    def wait(new: Any, old: Any) -> None:
        there.append(cfg.wait_for(new["n"]))  # that one is there
        cfg.wait_for(new["n"] + 1)

    cfg.on_change(wait)
    for n in (1, 2):
        assert cfg.wait_for(client.put({"n": n}).version, 5)

    assert eventually(lambda: there == [True, True])
    assert eventually(lambda: "cannot wait" in caplog.text)


@pytest.mark.parametrize("how", ["ended", "closed"])
def test_a_listener_keeps_what_it_listens_to_until_it_ends(
    client: Client, name: str, server: Server, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(config_module, "_LONG_POLL", 0.3)
    client.put({"n": 0})
    told: list[int] = []
    cfg = Config(name, url=server.url, snapshots=False, backoff=QUICK)
    gone = weakref.ref(cfg)
    ends = [cfg.on_change(lambda new, old: told.append(new["n"])) for _ in range(2)]
    if how == "closed":
        ends.clear()
    del cfg
    for n in (1, 2):
        gc.collect()
        time.sleep(0.4)  # longer than a question is held
        client.put({"n": n})
        assert eventually(lambda n=n: told[-2:] == [n, n])

    if how == "closed":
        gone().close()
    while ends:
        ends.pop()()

    assert eventually(lambda: not threads_of(name))
    gc.collect()
    assert gone() is None
