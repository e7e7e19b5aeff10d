"""One rule of paths, for the client, the terminal, templates and indexes."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed_config.client import Client, Config
from distributed_config.client.cli import main
from distributed_config.errors import Invalid
from distributed_config.wire.paths import (
    MISSING,
    find,
    first,
    locate,
    may_lead_into,
    parts_of,
    pointer_of,
)
from tests.support.server import Api, Server
from tests.support.shells import DONE, REFUSED, Shell, error_sentences

DOTTED = {"log.root": "INFO", "a": {"b.c": 1, "b": {"d": 2}}, "hosts": ["x", {"y": 3}], "n": None}
BOTH = {"log.root": "INFO", "log": {"root": "DEBUG"}}


@pytest.fixture
def shell(server: Server, tmp_path: Any) -> Shell:
    return Shell(tmp_path, server.url)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("log.root", "INFO"),
        (r"log\.root", "INFO"),
        ("/log.root", "INFO"),
        ("a.b.c", 1),
        (r"a.b\.c", 1),
        ("/a/b.c", 1),
        ("a.b.d", 2),
        ("/a/b/d", 2),
        ("n", None),
        ("/hosts/1/y", 3),
        ("/hosts/0", "x"),
        ("/hosts", ["x", {"y": 3}]),
    ],
)
def test_a_path_finds_the_one_value_that_it_can_mean(path: str, found: Any) -> None:
    assert find(DOTTED, path) == found
    assert first(DOTTED, path) == found


@pytest.mark.parametrize(
    "path",
    [
        *("", "log", "log.root.x", r"a\.b\.c", "/log/root", "hosts.0", "a.b.e", "n.x", ".", "/"),
        *("/hosts/00", "/hosts/²", "/hosts/2", "/hosts/-", "/hosts/" + "9" * 5_000),
    ],
)
def test_a_path_to_nothing_finds_nothing(path: str) -> None:
    assert find(DOTTED, path) is MISSING
    assert first(DOTTED, path) is MISSING


@pytest.mark.parametrize("path", ["log.root"])
def test_two_readings_are_refused_and_each_can_be_written(path: str) -> None:
    with pytest.raises(Invalid) as refused:
        find(BOTH, path)

    assert "/log.root" in refused.value.detail
    assert "/log/root" in refused.value.detail
    assert (find(BOTH, "/log.root"), find(BOTH, "/log/root")) == ("INFO", "DEBUG")
    assert find(BOTH, r"log\.root") == "INFO"
    assert first(BOTH, path) == "INFO"


@pytest.mark.parametrize(
    ("document", "path", "keys"),
    [
        ({"log.root": 1}, "log.root", ("log.root",)),
        ({"log": {}}, "log.root", ("log", "root")),
        ({}, "log.root", ("log", "root")),
        ({}, r"log\.root", ("log.root",)),
        ({}, r"a\\.b\c", ("a\\", r"b\c")),
        ({"log.root": {}}, "log.root.level", ("log.root", "level")),
        ({"log.root": {}, "log": {}}, "log.root.level", ("log.root", "level")),
        ({"a": {"b.c": {}}}, "a.b.c.d.e", ("a", "b.c", "d", "e")),
        ({"log": "x"}, "log.root", ("log", "root")),
        ({"log": {"root": 1}}, "/log.root", ("log.root",)),
        ({"log.root": 1}, "/log/root", ("log", "root")),
        ({}, "/a~1b/c~0d", ("a/b", "c~d")),
    ],
)
def test_what_is_written_goes_to_what_exists(document: Any, path: str, keys: Any) -> None:
    assert locate(document, path) == keys


@pytest.mark.parametrize(
    ("document", "path", "told"),
    [
        (BOTH, "log.root", "/log/root"),
        ({"a.b": {}, "a": {"b": {}}}, "a.b.c", "/a.b/c"),
        ({"hosts": ["x"]}, "/hosts/0", "/hosts is a list"),
        ({"hosts": ["x"]}, "hosts.0", "/hosts is a list"),
        ({"a": {"hosts": [{}]}}, "a.hosts.0.b", "/a/hosts is a list"),
    ],
)
def test_what_cannot_be_written_to_one_place_is_refused(
    document: Any, path: str, told: str
) -> None:
    with pytest.raises(Invalid, match=told):
        locate(document, path)


keys = st.text("ab.\\/~", max_size=4)
trees = st.dictionaries(
    keys, st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3))
)


@settings(deadline=None, max_examples=200)
@given(trees)
def test_every_value_can_be_named_by_its_pointer(document: dict[str, Any]) -> None:
    waiting = [((key,), value) for key, value in document.items()]
    while waiting:
        place, value = waiting.pop()
        escaped = ".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in place)
        assert find(document, pointer_of(place)) is value
        assert locate(document, pointer_of(place)) == place
        if not escaped.startswith("/"):
            assert parts_of(escaped) == place
            # A dot between two keys may also be one inside of a third.
            with suppress(Invalid):
                assert find(document, escaped) is value
        if isinstance(value, dict):
            waiting += [((*place, key), each) for key, each in value.items()]


def intricate(depth: int) -> dict[str, Any]:
    """Two ways on at every level, and all end in nothing."""
    return {"a": intricate(depth - 1), "a.a": intricate(depth - 2)} if depth > 0 else {}


@pytest.mark.parametrize("path", [".".join("a" * 24), "x." * 100, "x" * 3_000])
def test_a_path_that_would_be_tried_for_long_is_refused(path: str) -> None:
    document = intricate(16)
    began = time.process_time()

    with pytest.raises(Invalid):
        find(document, path)
    assert first(document, path) is MISSING
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("path", "tokens", "leads"),
    [
        ("log.root", ("log.root",), True),
        ("log.root", ("log",), True),
        ("log.root", ("*",), True),
        ("log.root", ("log", "*"), True),
        ("log.root", ("root",), False),
        ("log.root", ("log", "root", "x"), False),
        (r"log\.root", ("log",), False),
        ("/log/root", ("log.root",), False),
        ("/log/root", ("*", "root"), True),
    ],
)
def test_a_mark_covers_a_path_in_whatever_reading(path: str, tokens: Any, leads: bool) -> None:
    assert may_lead_into(path, tokens) is leads


# --- the client


def test_the_client_reads_by_the_rule(server: Server, api: Api, name: str, tmp_path: Any) -> None:
    api.put(name, {**DOTTED, "log": {"root": "DEBUG"}})

    with Config(name, url=server.url, snapshots=tmp_path) as cfg:
        assert (cfg.get("a.b.c"), cfg.get("/a/b.c"), cfg.get("/hosts/1/y")) == (1, 1, 3)
        assert cfg.get("a.b.x", "absent") == "absent"
        with pytest.raises(Invalid, match=r"/log\.root"):
            cfg.get("log.root", "default")
        assert cfg.get("/log/root") == "DEBUG"


# --- the terminal


def test_a_key_with_dots_is_read_and_changed(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"log.root": "INFO", "db": {"host": "a"}, "hosts": [1, 2]})

    assert shell.output("get", name, "log.root") == "INFO\n"
    assert shell.output("get", name, "/hosts/1") == "2\n"
    shell.output("patch", name, "log.root=DEBUG", "db.host=b", r"new\.key=1", "a.b=2")

    after = {"log.root": "DEBUG", "db": {"host": "b"}, "hosts": [1, 2], "new.key": 1, "a": {"b": 2}}
    assert api.get(name, version="current").json() == after


def test_a_key_with_dots_is_removed(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"log.root": "INFO", "n": 1})

    shell.output("patch", name, "log.root=null")

    assert api.get(name, version="current").json() == {"n": 1}


def test_the_terminal_refuses_what_is_ambiguous_and_changes_nothing(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {**BOTH, "hosts": [1]})

    for words in (("get", name, "log.root"), ("patch", name, "log.root=x", "hosts.0=2")):
        ran = shell.run(*words)
        assert ran.returncode == REFUSED
        assert all(each in error_sentences(ran) for each in ("/log.root", "/log/root"))
    assert "/hosts is a list" in ran.stderr
    assert api.get(name).json() == {**BOTH, "hosts": [1]}
    shell.output("patch", name, "/log/root=x")
    assert api.get(name, version="current").json()["log"] == {"root": "x"}


def test_patches_of_one_service_at_once_are_all_done(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": {}})

    ran = shell.run_all(*(("patch", name, f"a.k{number}={number}") for number in range(3)))

    assert [each.returncode for each in ran] == [DONE] * 3
    assert api.get(name, version="current").json() == {"a": {"k0": 0, "k1": 1, "k2": 2}}


def test_what_changes_between_the_look_and_the_patch_is_looked_at_again(
    server: Server, api: Api, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(name, {"n": 1})
    get = Client.get

    def overtaken(self: Client, service: str) -> Any:
        found = get(self, service)
        monkeypatch.setattr(Client, "get", get)
        api.put(name, {"log.root": "INFO"})
        return found

    monkeypatch.setattr(Client, "get", overtaken)

    assert main.main(["patch", name, "log.root=DEBUG", "--url", server.url]) == DONE
    assert api.get(name, version="current").json() == {"log.root": "DEBUG"}


def test_a_tag_of_the_users_own_is_heeded(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": {"b": 1}})
    etag = api.get(name).headers["etag"]
    api.put(name, {"a": {"b": 2}})

    assert shell.run("patch", name, "a.b=3", "--if-match", etag).returncode == REFUSED
    assert api.get(name, version="current").json() == {"a": {"b": 2}}


# --- templates


def test_a_template_reads_by_the_rule(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {**DOTTED, "x.y": 1, "x": {"y": 2}})
    template, file = shell.home / "app.tmpl", shell.home / "app.conf"
    target = {"service": name, "file": str(file), "template": str(template)}
    template.write_text(r"${log.root} ${a.b.c} ${x\.y} ${/x/y} ${/hosts/0} ${log.x:-no}")

    assert shell.once(target).returncode == DONE
    assert file.read_text() == "INFO 1 1 2 x no"

    template.write_text("${x.y} ${absent} ${log.root}")
    ran = shell.once(target)
    assert ran.returncode == REFUSED
    assert all(each in ran.stderr for each in ("/x.y", "/x/y", "absent"))
    assert file.read_text() == "INFO 1 1 2 x no"


# --- indexes


def test_an_index_finds_a_key_with_dots_in_any_spelling(api: Api, name: str) -> None:
    schema = {"properties": {"log.root": {}, "a": {"properties": {"b.c": {}}}}}
    api.define(name, schema, indexes=["log.root", "a.b.c"])
    api.put(f"{name}/x", {"log.root": "INFO", "a": {"b.c": 1}}, definition=name)
    api.put(f"{name}/y", {"log.root": "DEBUG", "a": {"b.c": 2}}, definition=name)

    for where in ("log.root=INFO", r"log\.root=INFO", "/log.root=INFO", "a.b.c<2", "/a/b.c in 1"):
        assert api.conforming(name, where=where) == [f"{name}/x"]
    assert api.conforming(name, sort=r"a.b\.c", order="desc") == [f"{name}/y", f"{name}/x"]


def test_a_reading_that_the_schema_does_not_have_is_no_index(api: Api, name: str) -> None:
    api.define(name, {"properties": {"log.root": {}}}, indexes=["log.root"])

    for where in ("/log/root=INFO", "x.y=1", f"{'x.' * 100}=1"):
        asked = {"definition": name, "where": where}
        assert api.http.get("/api/v1/definitions/services", params=asked).status_code == 422


def test_an_index_that_could_be_two_properties_is_refused_with_both(api: Api, name: str) -> None:
    schema = {"properties": {"log.root": {}, "log": {"properties": {"root": {}}}}}
    body = {"schema": schema, "indexes": ["log.root"]}

    asked = {"params": {"definition": name}, "json": body}
    refused = api.http.put("/api/v1/definitions", **asked)

    assert refused.status_code == 422
    [problem] = refused.json()["problems"]
    assert problem["pointer"] == "/indexes/0"
    assert "/log.root" in problem["message"]
    assert "/log/root" in problem["message"]
    body["indexes"] = ["/log.root", "/log/root"]
    assert api.http.put("/api/v1/definitions", **asked).status_code == 201
    api.put(f"{name}/x", {"log.root": 1, "log": {"root": 2}}, definition=name)
    assert api.conforming(name, where="/log/root=2") == [f"{name}/x"]
    assert api.conforming(name, where="/log/root=1") == []


def test_a_secret_key_with_dots_cannot_be_indexed(api: Api, name: str) -> None:
    schema = {"properties": {"log.root": {"x-secret": True}}}

    refused = api.http.put(
        "/api/v1/definitions",
        params={"definition": name},
        json={"schema": schema, "indexes": ["log.root"]},
    )

    assert refused.status_code == 422
    assert json.dumps(refused.json()).count("secret") >= 1
