"""``Client``: reads, writes, and the errors that come out of them."""

import json
import pickle
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from distributed_config import errors
from distributed_config.client import Client, Config, Revision
from distributed_config.client.http.transport import Request
from distributed_config.services.access.token_format import new_token
from tests.client.conftest import QUICK, Configs
from tests.support.proxies import run
from tests.support.server import Api, Server
from tests.support.stubs import FOREIGN, Stub, document_response
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


def test_what_was_put_is_got_byte_for_byte(client: Client, api: Api, name: str) -> None:
    document = {"ö": "€ 😀", "big": 10**40, "none": None, "list": [1, 1.5, True, {"a": []}]}

    written = client.put(document)
    read = client.get()

    answer = api.get(name, version="current")
    assert (written.version, written.current, written.changed) == (0, 0, True)
    assert read.text == answer.text
    assert (read.value, read["ö"], read.service) == (document, "€ 😀", name)
    assert (read.version, read.etag) == (0, answer.headers["ETag"])
    assert read.etag == written.etag
    assert read.revision >= written.revision > 0


def test_a_put_of_what_is_current_changes_nothing(client: Client, api: Api, name: str) -> None:
    client.put({"n": 1})

    assert client.put({"n": 1}).changed is False
    assert len(api.versions(name)) == 1


def test_a_mapping_patches_by_keys_and_a_list_by_operations(client: Client) -> None:
    client.put({"a": 1, "b": {"c": 2, "d": [1]}})

    assert client.patch({"a": None, "b": {"c": 3}}).version == 1
    assert client.get().value == {"b": {"c": 3, "d": [1]}}
    assert client.patch([{"op": "add", "path": "/b/d/-", "value": 2}]).version == 2
    assert client.get().value == {"b": {"c": 3, "d": [1, 2]}}


def test_versions_are_rolled_back_and_switched_on_and_off(client: Client) -> None:
    client.put({"n": 0})
    client.put({"n": 1})

    assert client.rollback(0).current == 2
    assert client.enable(2, False).current == 1
    assert client.get().value == {"n": 1}
    assert client.enable(2).current == 2
    assert client.get().value == {"n": 0}


def test_older_versions_and_moments_are_read(client: Client) -> None:
    first = client.put({"n": 0})
    client.put({"n": 1})

    assert client.get(version=0).value == {"n": 0}
    assert client.get(as_of=first.revision).value == {"n": 0}
    assert client.get(min_revision=first.revision).version == 1


def test_a_rehearsal_does_nothing(client: Client) -> None:
    client.put({"n": 0})
    client.put({"n": 1})

    assert client.put({"n": 2}, dry_run=True).changed
    assert client.patch({"n": 2}, dry_run=True).changed
    assert client.rollback(0, dry_run=True).changed
    assert client.get().version == 1


def test_two_versions_are_compared(client: Client) -> None:
    client.put({"n": 0})
    client.put({"n": 1})

    found = client.diff(0, 1)

    assert found["patch"] == [{"op": "replace", "path": "/n", "value": 1}]
    assert '-  "n": 0\n+  "n": 1' in found["text"]


def test_the_configuration_is_read_in_other_formats(client: Client, api: Api, name: str) -> None:
    client.put({"port": 80})

    assert client.text() == '{"port": 80}'
    assert client.text(format="yaml") == "port: 80\n"
    assert client.text(format="toml") == "port = 80\n"


def test_a_history_of_many_pages_comes_whole_and_newest_first(client: Client) -> None:
    for number in range(205):
        client.put({"n": number})

    found = list(client.history(documents=True))

    assert [each["number"] for each in found] == list(range(204, -1, -1))
    assert [each["document"]["n"] for each in found] == list(range(204, -1, -1))
    assert "document" not in next(client.history())


def test_defaults_of_the_definition_are_filled_in_when_asked(
    client: Client, api: Api, name: str
) -> None:
    api.define(name, {"type": "object", "properties": {"port": {"type": "integer", "default": 1}}})

    client.put({"x": 1}, definition=name)

    assert client.get().value == {"x": 1}
    assert client.get(defaults=True).value == {"x": 1, "port": 1}


NOTES = {
    "any script": "für 😀 — «почему» \u200b ünï",
    "a tab": "a\tb",
    "two lines": "first line\nsecond line",
    "as long as may be": "😀" * 1_000,
    "many lines": "жжжжжжжжж\n" * 99 + "end",
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_a_note_arrives_as_it_was_given(client: Client, note: str) -> None:
    client.put({"n": 0}, note=note)
    client.patch({"n": 1}, note=note)
    client.put({"n": 2})
    client.rollback(0, note=note)

    assert [each["note"] for each in client.history()] == [note, "", note, note]


def test_a_call_names_its_service_or_means_the_one_of_the_client(
    client: Client, server: Server, name: str
) -> None:
    client.put({"n": 1})
    client.put({"n": 2}, f"{name}/ö.b-c")

    assert client.get().value == {"n": 1}
    assert client.get(f"{name}/ö.b-c").value == {"n": 2}
    with Client(server.url) as nameless, pytest.raises(errors.Invalid) as told:
        nameless.get()
    assert told.value.problems[0].parameter == "service"


def test_a_megabyte_goes_there_and_back(client: Client) -> None:
    document = {"text": "ü" * 500_000}

    client.put(document)

    assert client.get().value == document


MAPPINGS: dict[str, Callable[[dict[str, Any]], Mapping[str, Any]]] = {
    "a proxy of a dict": MappingProxyType,
    "one inside another": lambda value: {"a": MappingProxyType(value)},
}


@pytest.mark.parametrize("wrap", MAPPINGS.values(), ids=MAPPINGS)
def test_any_mapping_is_put(client: Client, wrap: Callable[..., Mapping[str, Any]]) -> None:
    client.put(wrap({"n": 1}))

    assert "n" in client.get().text


NOT_JSON = {
    "bytes": b"abc",
    "a set": {1, 2},
    "no number": float("nan"),
    "a path": Path("x"),
    "half a character": "\ud800",
}


@pytest.mark.parametrize("value", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused_and_not_made_into_something_else(
    client: Client, value: Any
) -> None:
    with pytest.raises(errors.Invalid):
        client.put({"a": {"b": value}})


def test_a_live_configuration_is_put_as_another_service(
    client: Client, configs: Configs, name: str
) -> None:
    client.put({"n": {"m": [1]}})

    client.put(configs().value, f"{name}/copy")
    client.put(configs(), f"{name}/copy2")

    assert client.get(f"{name}/copy2").value == {"n": {"m": [1]}}


# --- Client: errors


@pytest.fixture
def troubled(client: Client, api: Api, name: str) -> Client:
    """A client of a service that has one version of each kind."""
    api.define(name, {"type": "object", "properties": {"port": {"type": "integer"}}})
    for number in range(4):
        client.put({"n": number, "none": None}, definition=name)
    client.enable(0, False)
    client.enable(1, False)
    assert api.delete(name, version=0).status_code == 200
    client.put({"n": 1, "none": None}, f"{name}/off")
    client.enable(0, False, f"{name}/off")
    return client


TROUBLE: dict[str, tuple[type[errors.DistconfError], Callable[[Client, str], Any]]] = {
    "no service": (errors.ServiceNotFound, lambda client, name: client.get(f"{name}/no")),
    "no version": (errors.VersionNotFound, lambda client, _: client.get(version=99)),
    "disabled": (errors.VersionDisabled, lambda client, _: client.get(version=1)),
    "deleted": (errors.VersionDeleted, lambda client, _: client.get(version=0)),
    "nothing current": (errors.NoCurrentVersion, lambda client, name: client.get(f"{name}/off")),
    "a bad name": (errors.Invalid, lambda client, _: client.get("a b")),
    "changed meanwhile": (
        errors.PreconditionFailed,
        lambda client, _: client.put({}, if_match='"9.x.y"'),
    ),
    "another's document": (errors.InvalidDocument, lambda client, _: client.put({"service": "x"})),
    "not conforming": (errors.NotConforming, lambda client, _: client.patch({"port": "x"})),
    "no such format": (errors.NotRepresentable, lambda client, _: client.text(format="toml")),
    "too large": (errors.TooLarge, lambda client, _: client.put({"x": "x" * (8 << 20)})),
    "no definition": (
        errors.DefinitionNotFound,
        lambda client, name: client.put({}, definition=f"{name}/no"),
    ),
    "no history": (errors.ServiceNotFound, lambda client, name: list(client.history(f"{name}/no"))),
    "no such kind": (errors.Invalid, lambda client, _: next(client.changes(kinds=["nonsense"]))),
}


@pytest.mark.parametrize(("kind", "ask"), TROUBLE.values(), ids=TROUBLE)
def test_the_servers_errors_come_out_as_the_same_classes(
    troubled: Client, name: str, kind: type[errors.DistconfError], ask: Callable[..., Any]
) -> None:
    with pytest.raises(kind) as told:
        ask(troubled, name)

    assert type(told.value) is kind
    assert told.value.code == kind.code
    assert len(told.value.detail) > 20


def test_every_problem_of_a_document_is_told_with_its_place(troubled: Client, name: str) -> None:
    with pytest.raises(errors.NotConforming) as told:
        troubled.put({"port": "x", "service": name})
    assert [(each.pointer, each.rule) for each in told.value.problems] == [("/port", "type")]

    with pytest.raises(errors.InvalidDocument) as several:
        troubled.put({"service": "other", "x": 10**1500})
    assert {each.pointer for each in several.value.problems} == {"/service", "/x"}
    assert pickle.loads(pickle.dumps(several.value.problems)) == several.value.problems


BAD_URLS = [
    "localhost:5000",
    "ftp://localhost",
    "http://",
    "//localhost:5000",
    "http://localhost:port",
    "http://localhost:99999",
    "http://[::1",
    "http://a b:5000",
    "http://localhost:5000/a b",
    "\x00",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_is_none_is_refused_when_the_client_is_made(url: str) -> None:
    with pytest.raises(errors.Invalid) as told:
        Client(url)

    assert told.value.problems[0].parameter == "url"


def test_the_address_may_have_a_path_and_a_slash_at_its_end() -> None:
    with (
        closing(Stub(document_response(b"{}"))) as stub,
        Client(f"{stub.url}/conf/", backoff=QUICK) as client,
    ):
        client.get("web")

    assert stub.requests[0].startswith(b"GET /conf/config?service=web&version=current HTTP/1.1")


def test_address_and_token_come_from_the_environment_unless_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("from-file\n")
    with closing(Stub(document_response(b"{}"))) as stub:
        monkeypatch.setenv("DISTCONF_URL", stub.url)
        monkeypatch.setenv("DISTCONF_TOKEN_FILE", str(tmp_path / "token"))
        clients = [Client(), Client(token="given"), Client(token="")]
        monkeypatch.setenv("DISTCONF_TOKEN", "from-variable")
        clients.append(Client())
        for each in clients:
            with each:
                each.get("web")
                assert "token" not in repr(each)

    sent = [
        [line for line in request.split(b"\r\n") if line.startswith(b"Authorization")]
        for request in stub.requests
    ]
    assert sent == [
        [b"Authorization: Bearer from-file"],
        [b"Authorization: Bearer given"],
        [],
        [b"Authorization: Bearer from-variable"],
    ]


BAD_TOKENS = ["dcf_one\ndcf_two", "dcf_one dcf_two", "dcf_\u20ac", "dcf_\x00"]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=ascii)
def test_a_token_that_can_be_none_is_refused_and_never_told(token: str, tmp_path: Path) -> None:
    for make in (Client, partial(Config, "web", defaults={}, deadline=0)):
        with pytest.raises(errors.Invalid, match="no token has") as refused:
            make(token=token)
        assert "dcf_" not in str(refused.getrepr())


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "is not there": lambda path: None,
    "is a folder": Path.mkdir,
    "is binary": lambda path: path.write_bytes(b"\x80\xff\x00"),
    "is two": lambda path: path.write_text("dcf_one\ndcf_two"),
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_a_tokens_file_that_cannot_be_read_is_told_in_a_sentence(
    make: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "token")
    monkeypatch.setenv("DISTCONF_TOKEN_FILE", str(tmp_path / "token"))

    with pytest.raises(errors.Invalid, match="token") as refused:
        Config("web", defaults={"n": 1}, deadline=0)

    assert "dcf_" not in str(refused.getrepr())


def test_a_token_that_is_exchanged_in_its_file_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv("DISTCONF_TOKEN_FILE", str(file))
    with ExitStack() as stack:
        server = stack.enter_context(
            Server(tmp_path / "instance", auth="token", admin_token=new_token(), workers=1)
        )
        token = server.environment["DISTCONF_ADMIN_TOKEN"]
        admin = stack.enter_context(Client(server.url, token=token, service="web"))

        def made() -> tuple[str, int]:
            body = json.dumps({"name": str(time.monotonic()), "role": "reader"}).encode()
            headers = {"Content-Type": "application/json"}
            request = Request("POST", "/api/v1/tokens", {}, headers, body)
            told = admin.transport.send(request).json()
            file.write_text(told["token"] + "\n")
            return told["token"], told["id"]

        _, first = made()
        admin.put({"n": 0})
        options: dict[str, Any] = {"url": server.url, "snapshots": False, "backoff": QUICK}
        cfg = stack.enter_context(closing(Config("web", **options)))
        reader = stack.enter_context(Client(server.url, service="web", backoff=QUICK))
        revisions = reader.changes(0)
        assert next(revisions).number
        seen: list[Revision] = []
        heard = run(lambda: seen.append(next(revisions)))
        assert reader.get().version == 0

        made()
        admin.transport.send(Request("DELETE", "/api/v1/tokens", {"id": first}))
        admin.put({"n": 1})

        assert cfg.wait_for(1, 10)
        assert reader.get().version == 1
        heard.join(10)
        assert seen
        assert eventually(lambda: (cfg.problem, cfg.stale) == (None, False))


ASKS: dict[str, Callable[[Client], Any]] = {
    "get": lambda client: client.get("web"),
    "put": lambda client: client.put({}, "web"),
    "history": lambda client: list(client.history("web")),
    "diff": lambda client: client.diff(0, 1, "web"),
    "text": lambda client: client.text("web", format="env"),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_whatever_answers_instead_of_a_server_nothing_but_our_errors_come_out(
    ask: Callable[[Client], Any],
) -> None:
    escaped = {}
    for what, answer in FOREIGN.items():
        with closing(Stub(answer)) as stub, Client(stub.url, retries=1, backoff=QUICK) as client:
            try:
                ask(client)
            except errors.DistconfError:
                continue
            except Exception as error:  # that is what is looked for
                escaped[what] = repr(error)[:100]

    assert escaped == {}
