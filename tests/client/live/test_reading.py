"""``Config`` as a mapping: what is read, and never half of it."""

import copy
import json
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import distributed_config.client.live.config as config_module
import distributed_config.client.live.state as state_module
from distributed_config.client import Client, Config
from tests.client.conftest import Configs
from tests.support.scripts import in_thread
from tests.support.snapshots import save_snapshot
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


# --- Config: reading


def test_a_live_configuration_reads_like_a_mapping(client: Client, configs: Configs) -> None:
    document = {"db": {"host": "h", "ports": [1, 2]}, "off": False, "none": None, "": 0}
    client.put(document)

    cfg = configs()

    assert cfg == document
    assert dict(cfg) == document == cfg.value
    assert (len(cfg), list(cfg), list(cfg.keys())) == (4, list(document), list(document))
    assert list(cfg.items()) == list(document.items())
    assert cfg["db"]["host"] == "h"
    assert "db" in cfg
    assert "host" not in cfg
    assert isinstance(cfg, Mapping)
    assert {cfg: 1}[cfg] == 1
    with pytest.raises(KeyError):
        cfg["nothing"]
    with pytest.raises(TypeError):
        cfg["x"] = 1  # type: ignore[index]


def test_get_follows_dots_and_tells_null_and_false_from_missing(
    client: Client, configs: Configs
) -> None:
    client.put({"db": {"host": "h", "ports": [1]}, "off": False, "none": None, "text": "abc"})
    cfg = configs()

    for _ in range(2):  # found, and found again
        assert cfg.get("db.host", "x") == "h"
        assert cfg.get("db") == {"host": "h", "ports": [1]}
        assert cfg.get("off", True) is False
        assert cfg.get("none", 1) is None
        assert cfg.get("nothing") is None
        for missing in ("db.nothing", "db.host.x", "off.x", "none.x", "text.0", "db.ports.x", ""):
            assert cfg.get(missing, "default") == "default"


def test_get_finds_whatever_is_there_by_its_key(client: Client, configs: Configs) -> None:
    client.put({"log.level": "debug", "a": {"b.c": 1}})

    cfg = configs()

    assert cfg["log.level"] == "debug"
    assert cfg.get("log.level") == "debug"


@pytest.mark.parametrize("key", [1, None, ("a",), b"a"])
def test_reading_a_key_of_another_type_is_not_an_error(
    client: Client, configs: Configs, key: Any
) -> None:
    client.put({"a": 1})
    cfg = configs()

    assert key not in cfg
    assert cfg.get(key, "default") == "default"


CHANGES: dict[str, Callable[[Any], Any]] = {
    "set": lambda value: value.__setitem__("x", 1),
    "delete": lambda value: value.__delitem__("list"),
    "update": lambda value: value.update(x=1),
    "clear": lambda value: value.clear(),
    "pop": lambda value: value.pop("list"),
    "popitem": lambda value: value.popitem(),
    "setdefault": lambda value: value.setdefault("x", 1),
    "merge": lambda value: value.__ior__({"x": 1}),
    "attribute": lambda value: setattr(value, "x", 1),
    "inner": lambda value: value["in"].update(x=1),
    "inner of a list": lambda value: value["list"][2].update(x=1),
    "list set": lambda value: value["list"].__setitem__(0, 5),
    "list slice": lambda value: value["list"].__setitem__(slice(0, 1), []),
    "list delete": lambda value: value["list"].__delitem__(0),
    "append": lambda value: value["list"].append(1),
    "extend": lambda value: value["list"].extend([1]),
    "insert": lambda value: value["list"].insert(0, 1),
    "remove": lambda value: value["list"].remove(1),
    "list pop": lambda value: value["list"].pop(),
    "list clear": lambda value: value["list"].clear(),
    "sort": lambda value: value["list"].sort(key=str),
    "reverse": lambda value: value["list"].reverse(),
    "add": lambda value: value["list"].__iadd__([1]),
    "multiply": lambda value: value["list"].__imul__(2),
    "list in a list": lambda value: value["list"][1].append(1),
}


@pytest.mark.parametrize("where", ["server", "defaults", "snapshot"])
def test_nothing_of_a_configuration_can_be_changed(
    client: Client, configs: Configs, tmp_path: Path, name: str, where: str
) -> None:
    document = {"in": {"a": 1}, "list": [1, [2], {"b": 3}]}
    if where == "server":
        client.put(document)
    if where == "snapshot":
        save_snapshot(tmp_path, client.transport.url, name, document)
    cfg = configs(defaults=document if where == "defaults" else None, snapshots=tmp_path)
    assert cfg.source == where

    changed = []
    for what, change in CHANGES.items():
        with suppress(TypeError, AttributeError):
            change(cfg.value)
            changed.append(what)

    assert cfg.value == {"in": {"a": 1}, "list": [1, [2], {"b": 3}]}, changed
    assert changed == []


def test_a_second_initialisation_changes_nothing_either(configs: Configs) -> None:
    cfg = configs(defaults={"a": 1, "list": [1]})

    with suppress(TypeError):
        cfg.value.__init__({"a": 2})  # type: ignore[misc]
    with suppress(TypeError):
        cfg["list"].__init__([2])

    assert cfg == {"a": 1, "list": [1]}


def test_defaults_are_a_copy_and_stay_as_they_were_given(configs: Configs) -> None:
    given: dict[str, Any] = {"a": {"b": [1]}}
    cfg = configs(defaults=given)

    given["a"]["b"].append(2)
    given["c"] = 1

    assert cfg == {"a": {"b": [1]}}
    assert (cfg.source, cfg.version) == ("defaults", None)


def test_what_is_read_goes_through_json_pickle_and_copy(client: Client, configs: Configs) -> None:
    document = {"in": {"a": 1}, "list": [1, [2], {"b": 3}]}
    client.put(document)
    value = configs().value

    assert json.loads(json.dumps(value)) == document
    for copied in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert copied == document
        copied["in"]["a"] = 2
        copied["list"][2]["b"] = 4
        copied["list"].append(5)
    shallow = copy.copy(value)
    shallow["new"] = 1
    assert {**value, "x": 1} | {"y": 1} == {**document, "x": 1, "y": 1}
    assert value["list"] + [1] == [1, [2], {"b": 3}, 1]
    assert value == document


def test_age_and_staleness_follow_what_the_server_confirmed(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"n": 0})
    cfg = configs()
    never = configs(f"{cfg.service}/no", defaults={})

    assert cfg.age is not None
    assert 0 <= cfg.age < 5
    assert not cfg.stale
    assert (never.age, never.stale) == (None, True)
    monkeypatch.setattr(config_module, "_STALE_AFTER", 0.0)
    assert cfg.stale


def test_a_new_version_is_read_soon(client: Client, configs: Configs) -> None:
    client.put({"n": 0})
    cfg = configs()
    assert (cfg.version, cfg.source, cfg.problem) == (0, "server", None)
    old = cfg.value

    client.put({"n": 1})

    assert cfg.wait_for(1, 5)
    assert (cfg["n"], cfg.get("n"), cfg.version) == (1, 1, 1)
    assert old == {"n": 0}
    assert "1" in repr(cfg)
    assert cfg.service in repr(cfg)


def test_waiting_for_a_version_ends_when_it_or_a_later_one_is_read(
    client: Client, configs: Configs
) -> None:
    client.put({"n": 0})
    client.put({"n": 1})
    cfg = configs()

    assert cfg.wait_for(1, 0)
    assert cfg.wait_for(1)
    began = time.monotonic()
    assert not cfg.wait_for(2, 0.2)
    assert 0.2 <= time.monotonic() - began < 10
    waiting = [in_thread(lambda: cfg.wait_for(2, 5)) for _ in range(5)]
    client.put({"n": 2})
    for thread, _ in waiting:
        thread.join(6)
    assert [came for _, came in waiting] == [[True]] * 5


def test_the_first_version_can_be_waited_for(client: Client, configs: Configs) -> None:
    client.put({"n": 0})

    assert configs().wait_for(0, 0.2)


def test_nobody_waits_for_a_version_of_what_was_closed(client: Client, configs: Configs) -> None:
    client.put({"n": 0})
    cfg = configs()
    thread, came = in_thread(lambda: cfg.wait_for(5, 4))

    cfg.close()
    thread.join(1)

    assert came == [False]


# --- Config: many threads


def test_readers_during_swaps_see_each_document_whole(client: Client, configs: Configs) -> None:
    def document(n: int) -> dict[str, Any]:
        return {"n": n, "same": [n, {"n": n}], **{f"k{i}": n for i in range(20)}}

    client.put(document(0))
    cfg = configs()
    bound = cfg.bind(Whole)
    stop = threading.Event()

    def read() -> int:
        reads = 0
        while not stop.is_set():
            value = cfg.value
            seen = {value["n"], value["same"][0], value["same"][1]["n"], value["k19"]}
            same = cfg["same"]
            assert len(seen) == 1
            assert same[0] == same[1]["n"]
            whole = bound.value
            assert whole.n == whole.k19 == whole.same[0]
            reads += 1
        return reads

    readers = [in_thread(read) for _ in range(4)]
    for n in range(1, 15):
        client.put(document(n))
    assert cfg.wait_for(14, 5)
    stop.set()
    for thread, _ in readers:
        thread.join(5)

    assert all(came[0] > 10 for _, came in readers if not isinstance(came[0], Exception))
    assert not [came for _, came in readers if isinstance(came[0], Exception)]


@dataclass
class Whole:
    n: int
    same: list[Any]
    k19: int


TRAVERSALS: dict[str, Callable[[Config], Iterator[Any]]] = {
    "items": lambda cfg: iter(cfg.items()),
    "values": lambda cfg: iter(cfg.values()),
}


@pytest.mark.parametrize("through", TRAVERSALS.values(), ids=TRAVERSALS)
def test_going_through_a_configuration_goes_through_one_document(
    client: Client, configs: Configs, through: Callable[[Config], Iterator[Any]]
) -> None:
    client.put({"a": 0, "b": 0, "c": 0})
    cfg = configs()

    going = through(cfg)
    seen = [next(going)]
    client.put({"a": 1, "b": 1})
    assert cfg.wait_for(1, 5)
    seen += going

    assert [each[1] if isinstance(each, tuple) else each for each in seen] == [0, 0, 0]


def at_each_line(code: Callable[..., Any], action: Callable[[int], None]) -> Callable[..., Any]:
    """A trace function that calls ``action`` with the number of each line of ``code``."""
    wanted = code.__code__  # type: ignore[attr-defined]

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            action(frame.f_lineno)
        return local

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        return local if frame.f_code is wanted else None

    return trace


def test_a_swap_in_the_middle_of_a_read_leaves_nothing_old_behind(
    client: Client, configs: Configs
) -> None:
    client.put({"in": {"n": 0}})
    cfg = configs()
    version = 0

    def swap() -> None:
        nonlocal version
        version = client.put({"in": {"n": version + 1}}).version
        assert cfg.wait_for(version, 5)

    swap_at = 0
    done = 0

    def look(_: int) -> None:
        nonlocal done
        done += 1
        if done == swap_at:
            swap()

    while done >= swap_at:  # else the read was over before
        swap()
        swap_at, done = swap_at + 1, 0
        sys.settrace(at_each_line(state_module.look_up, look))
        try:
            cfg.get("in.n")
        finally:
            sys.settrace(None)
        assert cfg.get("in.n") == version, f"after a swap before step {swap_at} of the read"
    assert swap_at > 3


def test_readers_in_the_middle_of_a_swap_never_go_back_to_the_old(
    client: Client, configs: Configs
) -> None:
    client.put({"in": {"n": 0}})
    seen: list[tuple[int, ...]] = []

    begun = threading.Event()

    def look(_: int) -> None:
        if begun.is_set():  # not before: the first load may swap before there is a ``cfg``
            seen.append((cfg["in"]["n"], cfg.get("in.n"), cfg.version or 0))

    threading.settrace(at_each_line(Config._swap, look))
    try:
        cfg = configs(defaults={"in": {"n": -1}}, deadline=0)
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    assert eventually(lambda: cfg.version == 0)
    begun.set()
    assert cfg.get("in.n") == 0
    client.put({"in": {"n": 1}})
    assert cfg.wait_for(1, 5)

    assert seen
    in_time = [n for moment in seen for n in moment[:2]]
    assert in_time == sorted(in_time), f"(by key, by path, version) at each step: {seen}"
