"""What answers to writes tell: the keys that a whole document took away, and who wrote."""

import getpass
from typing import Any

import pytest

from tests.support.secrets import world_in
from tests.support.server import JSON, Api, Server

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


def removed(response: Any) -> Any:
    assert response.status_code == 200, response.text
    told = response.json()
    return told.get("removed"), told.get("removed_more")


# --- removed keys


def test_a_whole_document_tells_which_keys_it_took_away(api: Api, name: str) -> None:
    api.post(name, {"host": "db", "a/b": 1, "~": 2, "port": {"host": 5}})

    assert removed(api.patch(name, {"port": {}, "new": {"host": 1}})) == (
        ["/host", "/a~1b", "/~0"],
        None,
    )
    assert removed(api.put(name, {"port": {}})) == (["/new"], None)


@pytest.mark.parametrize("method", ["put", "patch"])
def test_where_nothing_was_taken_away_nothing_is_told(api: Api, name: str, method: str) -> None:
    write = getattr(api, method)
    api.put(name, {"a": 1})

    assert "removed" not in write(name, {"a": 2, "b": 1}).json()
    assert "removed" not in write(name, {"a": {}, "b": None}).json()
    api.enable(name, 1, False)
    api.enable(name, 2, False)
    api.enable(name, 0, False)
    assert "removed" not in write(name, {"z": 1}).json()  # nothing was served
    assert "removed" not in write(f"{name}-new", {"z": 1}).json() or method == "patch"


def test_twenty_are_named_and_the_others_counted(api: Api, name: str) -> None:
    api.put(name, {f"k{number}": number for number in range(45)})

    assert removed(api.put(name, {"k0": 1})) == ([f"/k{number}" for number in range(1, 21)], 24)


def test_patches_say_themselves_what_they_take_away(api: Api, name: str) -> None:
    api.put(name, {"a": 1, "b": 2})

    answer = api.patch(name, {"a": None}, headers=MERGE_PATCH)

    assert "removed" not in answer.json()
    assert api.get(name, version="current").json() == {"b": 2}


def test_a_rehearsal_tells_it_too(api: Api, name: str) -> None:
    api.put(name, {"a": 1, "b": 2})

    assert removed(api.put(name, {"b": 2}, dry_run="true")) == (["/a"], None)
    assert api.get(name).json() == {"a": 1, "b": 2}


def test_who_may_not_read_is_not_told_what_was_there(tmp_path: Any) -> None:
    with world_in(tmp_path) as world:
        boss = world.boss.http
        permissions = {"permissions": ["config:write"]}
        boss.put("/api/v1/roles", params={"name": "dropper"}, json=permissions)
        made = boss.post("/api/v1/tokens", json={"name": "drop", "role": "dropper"}).json()
        world.boss.put("web", {"hidden": 1})
        bearing = {"Authorization": f"Bearer {made['token']}"}

        answer = world.reader.http.put(
            "/config", params={"service": "web"}, json={}, headers=bearing
        )

        assert answer.status_code == 200
        assert "hidden" not in answer.text
        assert removed(world.editor.put("web", {"a": 1})) == (None, None)
        assert removed(world.editor.put("web", {})) == (["/a"], None)


def test_the_terminal_says_it(server: Server, name: str) -> None:
    server.api.put(name, {"a": 1, "b": 2, "c": 3})
    file = server.instance / "new.json"
    file.write_text('{"a": 1}')

    done = server.run("put", "--url", server.url, name, str(file))

    assert done.returncode == 0, done.stderr
    assert "Keys that it no longer has: /b, /c." in done.stdout


# --- who wrote, where nobody has to prove it


def author(api: Api, name: str) -> str:
    version = api.versions(name)[-1]
    change = [each for each in api.changes() if each["service"] == name][-1]
    assert change["actor"] == version["author"]
    found: str = version["author"]
    return found


def test_who_says_who_they_are_is_named_and_marked_as_unverified(api: Api, name: str) -> None:
    api.put(name, {"n": 0}, headers={"Config-Actor": "ada"})
    assert author(api, name) == "ada (unverified)"
    api.put(name, {"n": 1}, headers={b"Config-Actor": "Zoë Ångström".encode()})
    assert author(api, name) == "Zoë Ångström (unverified)"
    api.put(name, {"n": 2})
    assert author(api, name) == "local operator"


@pytest.mark.parametrize("claimed", ["a" * 101, "a\tb", "\u202eada"])
def test_what_can_be_no_name_is_refused(api: Api, name: str, claimed: str) -> None:
    header = {b"Config-Actor": claimed.encode()}
    api.put(name, {"n": 0})
    assert [api.get(name).status_code for _ in range(2)] == [200, 200]
    for refused in (api.put(name, {"n": 1}, headers=header), api.get(name, headers=header)):
        assert refused.status_code == 422
        assert [each["parameter"] for each in refused.json()["problems"]] == ["Config-Actor"]


def test_a_name_is_no_right_and_no_other_ones_key(api: Api, name: str) -> None:
    """An idempotency key stays the local operator's, whatever name comes with it."""
    once = {"Idempotency-Key": name}
    api.put(name, {"n": 0}, headers={**once, "Config-Actor": "ada"})

    again = api.put(name, {"n": 0}, headers={**once, "Config-Actor": "bob"})

    assert again.headers["idempotency-replayed"] == "true"
    assert author(api, name) == "ada (unverified)"


def test_the_audit_log_names_them_as_well(api: Api, name: str) -> None:
    api.put(name, {"n": 0}, headers={"Config-Actor": "ada"})

    [entry] = api.http.get("/api/v1/audit", params={"service": name}).json()["entries"]

    assert entry["actor"] == "ada (unverified)"


def test_the_terminals_user_stands_in_the_journal(server: Server, name: str) -> None:
    url = ["--url", server.url]
    file = server.instance / "document.json"
    file.write_text('{"n": 0}')

    assert server.run("put", *url, name, str(file)).returncode == 0
    assert author(server.api, name) == f"{getpass.getuser()} (unverified)"
    assert server.run("patch", *url, name, "n=1").returncode == 0
    assert author(server.api, name) == f"{getpass.getuser()} (unverified)"


def test_where_access_is_controlled_a_claim_is_ignored(tmp_path: Any) -> None:
    with world_in(tmp_path) as world:
        for claimed in ("mallory", "a" * 5_000):
            world.editor.put("web", {"n": claimed[:1]}, headers={"Config-Actor": claimed})
        authors = {each["author"] for each in world.reader.versions("web")}
        assert authors == {"token editor"}


def test_a_line_of_the_log_names_who_asked_and_no_other(own_server: Server) -> None:
    own_server.api.put("web", {"n": 0})
    for claimed in ("ada", "bob"):
        own_server.api.get("web", headers={"Config-Actor": claimed, "X-Request-ID": claimed})
    own_server.stop()

    for claimed in ("ada", "bob"):
        [line] = [
            each
            for each in own_server.log.read_text().splitlines()
            if f'"request_id": "{claimed}"' in each
        ]
        assert f"{claimed} (unverified)" in line


def test_the_answer_to_a_first_value_stays_as_it_was(api: Api, name: str) -> None:
    created = api.http.post("/config", params={"service": name}, content=b"{}", headers=JSON)

    assert created.json().keys() == {
        "ID",
        "enabled",
        "service",
        "serviceJSONconf",
        "success",
        "total_configs",
    }
