"""Logging in and out, and what each role finds."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.callers import PASSWORD, Caller
from tests.support.pages import Visitor
from tests.support.server import Server
from tests.web.conftest import People


def controls(visitor: Visitor) -> set[str]:
    """Return where the page's writing controls lead: forms that post, and links to such pages."""
    writing = ("/ui/edit", "/ui/new", "/ui/undo", "/ui/turn", "/ui/restore", "/ui/publish")
    posts = {form.action for form in visitor.page.forms if form.method == "post"}
    links = {href for href in visitor.page.links.values() if href.startswith(writing)}
    return (posts | links) - {"/ui/theme", "/ui/logout"}


def test_who_is_not_logged_in_comes_to_the_log_in_and_then_to_where_they_wanted(
    guarded: Server, accounts: Callable[..., dict[str, Any]]
) -> None:
    visitor = Visitor(guarded.url)
    visitor.open("/ui/live?service=a/b")
    assert visitor.where.startswith("/ui/login?next=")
    visitor.send("Log in", email=accounts("reader")["email"], password=PASSWORD)

    assert visitor.where == "/ui/live?service=a/b"
    visitor.close()


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/ui/\\evil", "javascript:alert(1)", "/config", ""],
)
def test_a_log_in_leads_nowhere_but_into_the_interface(
    guarded: Server, accounts: Callable[..., dict[str, Any]], target: str
) -> None:
    visitor = Visitor(guarded.url)
    visitor.open(f"/ui/login?next={target}")
    visitor.send("Log in", email=accounts("reader")["email"], password=PASSWORD)

    assert visitor.where == "/ui/"
    visitor.close()


def test_a_wrong_password_is_said_in_the_form_and_shows_nothing(guarded: Server) -> None:
    visitor = Visitor(guarded.url)
    visitor.open("/ui/login")
    visitor.send("Log in", email="nobody@example.org", password="not this one at all")

    assert visitor.response.status_code == 401
    assert "The address or the password is wrong." in visitor.page.text
    assert "not this one" not in visitor.response.text
    visitor.close()


def test_logging_out_ends_the_session_and_empties_the_cache(people: People) -> None:
    visitor = people("reader")
    cookie = visitor.http.cookies["distconf_session"]
    visitor.send("Log out")
    assert visitor.where.startswith("/ui/login")
    visitor.http.cookies.set("distconf_session", cookie)

    assert visitor.open("/ui/").text.count("Log in") > 0
    assert visitor.where.startswith("/ui/login")


def test_whoever_follows_a_link_from_another_site_is_not_asked_to_log_in_again(
    people: People,
) -> None:
    visitor = people("reader")
    cookies = dict(visitor.http.cookies)
    visitor.http.cookies.clear()  # SameSite=Strict: the first request comes without
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    visitor.open("/ui/live?service=x", **foreign)
    assert visitor.response.status_code == 200
    assert visitor.response.headers["Refresh"] == "0; url=/ui/live?service=x&from_elsewhere=1"
    again = visitor.response.headers["Refresh"].partition("url=")[2]
    for name, value in cookies.items():
        visitor.http.cookies.set(name, value)

    assert "Live" in visitor.open(again, **foreign).text
    visitor.http.cookies.clear()
    visitor.open(again, **foreign)
    assert visitor.where.startswith("/ui/login")


def test_a_reader_finds_no_control_that_writes_and_is_refused_all_the_same(
    people: People, administrator: Caller
) -> None:
    administrator.put("roles/a", {"n": 0})
    administrator.put("roles/a", {"n": 1})
    reader = people("reader")
    for path in (
        "/ui/",
        "/ui/live",
        "/ui/service?service=roles/a",
        "/ui/history?service=roles/a",
        "/ui/history?service=roles/a&v=0",
        "/ui/explain?service=roles/a",
        "/ui/compare?service=roles/a",
        "/ui/?q=nothing",
        "/ui/service?service=unknown",
    ):
        reader.open(path)
        assert controls(reader) == set(), path
    for path in (
        *("edit", "review", "publish", "merge", "check", "new"),
        *("undo", "turn", "restore", "promote"),
    ):
        reader.post(f"/ui/{path}?service=roles/a&v=1", {"document": "{}", "basis": "none"})
        assert reader.response.status_code == 403, path
        assert "it needs the permission" in reader.page.text
    assert administrator.get("roles/a").json() == {"n": 1}


def test_an_editor_may_publish_a_draft_and_finds_no_way_to_undo(
    people: People, administrator: Caller
) -> None:
    administrator.put("roles/b", {"n": 0})
    editor = people("editor")
    editor.open("/ui/service?service=roles/b")
    assert controls(editor) == {"/ui/edit?service=roles/b"}
    editor.follow("Edit")
    editor.send("Review the change", document='{"n": 1}')
    editor.send("Publish version 1")
    assert administrator.get("roles/b").json() == {"n": 1}


def test_who_sees_only_some_services_finds_the_others_nowhere(
    people: People, administrator: Caller
) -> None:
    administrator.put("team/one", {"n": 0})
    administrator.put("other/secret-name", {"n": 0})
    visitor = people("editor", services=["team/"])
    for path in ("/ui/", "/ui/live", "/ui/?q=secret-name"):
        visitor.open(path)
        assert "other/" not in visitor.page.text
    unknown = visitor.open("/ui/service?service=other/absent-too").text
    hidden = visitor.open("/ui/service?service=other/secret-name").text
    assert visitor.response.status_code == 404
    assert hidden.partition("Request")[0] == unknown.partition("Request")[0].replace(
        "absent-too", "secret-name"
    )
    visitor.open("/ui/new")
    visitor.send("Create the service", name="other/mine", document="{}")
    assert visitor.response.status_code == 403


def test_who_has_to_change_the_password_comes_to_that_page_and_then_logs_in_with_the_new_one(
    guarded: Server, administrator: Caller, accounts: Callable[..., dict[str, Any]]
) -> None:
    user = accounts("reader")
    found = administrator.ask("GET", "/api/v1/users", search=user["email"]).json()["users"][0]
    changed = administrator.ask(
        "PATCH",
        "/api/v1/users",
        {"password": "another password 1", "must_change": True},
        id=found["id"],
    )
    assert changed.status_code == 200, changed.text
    visitor = Visitor(guarded.url)
    visitor.open("/ui/login")
    visitor.send("Log in", email=user["email"], password="another password 1")
    assert visitor.where == "/ui/password"
    visitor.send("Change it", old="wrong wrong wrong", new="a third password 1")
    assert visitor.response.status_code == 422
    visitor.send("Change it", old="another password 1", new="a third password 1")
    assert "The password is changed" in visitor.page.text
    visitor.send("Log in", email=user["email"], password="a third password 1")
    assert visitor.where == "/ui/"
    visitor.close()


def test_a_draft_outlives_the_session_in_which_it_was_written(
    people: People, administrator: Caller
) -> None:
    administrator.put("roles/c", {"n": 0})
    editor = people("editor")
    editor.open("/ui/edit?service=roles/c")
    cookies = dict(editor.http.cookies)
    editor.http.cookies.clear()
    typed = '{\n  "n": 1,\n  "text": "<b>long work</b>"\n}'
    editor.send("Review the change", document=typed)
    assert editor.response.status_code == 401
    assert "Nothing of what you sent is lost" in editor.page.text
    for name, value in cookies.items():
        editor.http.cookies.set(name, value)
    editor.send("Send it again")
    editor.send("Publish version 1")

    assert administrator.get("roles/c").json() == {"n": 1, "text": "<b>long work</b>"}


def test_a_check_without_a_session_is_told_so_in_its_place(guarded: Server) -> None:
    visitor = Visitor(guarded.url)
    visitor.post("/ui/check?service=x", {"document": "{}"}, **{"HX-Request": "true"})
    assert visitor.response.status_code == 401
    assert "Log in in another tab" in visitor.page.text
    assert not any(tag == "html" for tag, _ in visitor.page.elements)
    response = visitor.http.get("/ui/?q=x", headers={"HX-Request": "true"})
    assert response.status_code == 401
    assert response.headers["HX-Refresh"] == "true"
    visitor.close()


def test_programs_without_a_token_get_the_refusal_and_no_redirect(guarded: Server) -> None:
    visitor = Visitor(guarded.url)
    response = visitor.http.get("/ui/", headers={"Accept": "*/*"})
    assert response.status_code == 401
    assert json.dumps("services") not in response.text
    visitor.close()
