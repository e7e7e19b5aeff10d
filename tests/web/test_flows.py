"""What people do with the interface, in a browser without scripts."""

import json

import pytest

from tests.support.pages import Visitor
from tests.support.server import Api


def written(visitor: Visitor, value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def test_a_browser_that_opens_the_server_comes_to_the_services(visitor: Visitor) -> None:
    visitor.open("/")

    assert visitor.where == "/ui/"
    assert "Services" in visitor.page.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_everybody_else_is_answered_at_the_root_as_ever(api: Api, accept: str) -> None:
    response = api.http.get("/", headers={"Accept": accept})

    # One of the dialects has a greeting there; without it this is a 404.
    assert response.json() == {"message": "Welcome to Tartarus API"}


def test_a_service_is_created_edited_reviewed_published_and_undone(
    visitor: Visitor, api: Api, name: str
) -> None:
    visitor.open("/ui/")
    visitor.follow("New service")
    visitor.send("Create the service", name=name, document='{"port": 1}', note="A first try")
    assert "Version 0 is published." in visitor.page.text

    visitor.follow("Edit")
    visitor.send("Review the change", document='{"port": 2}')
    assert "1 value changes" in visitor.page.text
    assert api.get(name, version="current").json() == {"port": 1}
    visitor.send("Publish version 1", note="Two is better")
    assert api.get(name, version="current").json() == {"port": 2}

    visitor.follow("Undo last publish")
    visitor.send("Go back to 0", note="It was not")
    assert "Version 0 is current now." in visitor.page.text
    assert api.get(name, version="current").json() == {"port": 1}
    changes = [(c["kind"], c["note"]) for c in api.changes() if c["service"] == name]
    assert changes[-3:] == [
        ("version.created", "A first try"),
        ("version.created", "Two is better"),
        ("version.disabled", "It was not"),
    ]


def test_a_draft_comes_back_from_its_review_as_it_was_typed(
    visitor: Visitor, api: Api, name: str
) -> None:
    api.put(name, {"a": 1})
    typed = '{\n  "a":   2,\n\n  "text": "ä <b> & \\n"\n}'
    visitor.open(f"/ui/edit?service={name}")
    visitor.send("Review the change", document=typed)
    visitor.send("Back to editing", note="Because")

    [form] = [form for form in visitor.page.forms if "document" in form.fields]
    assert form.fields["document"] == typed
    assert form.fields["note"] == "Because"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ('{"a": 1,}', "line 1, column"),
        ("[]", "the document"),
        ('{"a": 1, "a": 2}', "/a"),
        ('{"service": "another"}', "/service"),
    ],
)
def test_what_is_wrong_with_a_text_is_said_with_its_place_and_cannot_be_published(
    visitor: Visitor, api: Api, name: str, typed: str, message: str
) -> None:
    api.put(name, {"a": 1})
    visitor.open(f"/ui/edit?service={name}")
    visitor.send("Review the change", document=typed)

    assert visitor.response.status_code == 422
    assert message in visitor.page.text
    buttons = [button[0] for form in visitor.page.forms for button in form.buttons]
    assert not any(button.startswith("Publish") for button in buttons)


def test_a_document_that_does_not_conform_is_not_published_and_the_place_is_named(
    visitor: Visitor, api: Api, name: str
) -> None:
    api.define(name, {"properties": {"port": {"type": "integer"}}})
    api.put(name, {"port": 1}, definition=name)
    visitor.open(f"/ui/edit?service={name}")
    visitor.send("Review the change", document='{"port": "x"}')

    assert "It cannot be published" in visitor.page.text
    assert "/port" in visitor.page.text
    assert api.get(name, version="current").json() == {"port": 1}


def test_two_people_who_change_different_values_both_keep_their_change(
    visitor: Visitor, api: Api, name: str
) -> None:
    api.put(name, {"mine": 1, "theirs": 1})
    visitor.open(f"/ui/edit?service={name}")
    api.put(name, {"mine": 1, "theirs": 2}, note="quicker")
    visitor.send("Review the change", document='{"mine": 2, "theirs": 1}')

    assert visitor.response.status_code == 412
    assert "published version 1 while you were editing" in visitor.page.text
    assert "quicker" in visitor.page.text
    visitor.send("Merge")
    visitor.send("Publish version 2")
    assert api.get(name, version="current").json() == {"mine": 2, "theirs": 2}


@pytest.mark.parametrize(("choice", "outcome"), [("mine", 2), ("theirs", 3)])
def test_who_changed_the_same_value_chooses_and_nothing_is_overwritten_unseen(
    visitor: Visitor, api: Api, name: str, choice: str, outcome: int
) -> None:
    api.put(name, {"a": {"b": 1}})
    visitor.open(f"/ui/edit?service={name}")
    visitor.send("Review the change", document='{"a": {"b": 2}}')
    # Between the review and the publish: the tag in the form is that of version 0.
    api.put(name, {"a": {"b": 3}})
    visitor.send("Publish version 1")

    assert visitor.response.status_code == 412
    assert "/a/b" in visitor.page.text
    assert api.get(name, version="current").json() == {"a": {"b": 3}}
    visitor.send("Merge", **{"choice:/a/b": choice})
    if choice == "mine":
        visitor.send("Publish version 2")
    assert api.get(name, version="current").json() == {"a": {"b": outcome}}


def test_a_version_is_turned_on_again_and_an_older_one_is_made_current_again(
    visitor: Visitor, api: Api, name: str
) -> None:
    for port in range(3):
        api.put(name, {"port": port})
    api.enable(name, 2, False)
    visitor.open(f"/ui/history?service={name}&v=2")
    visitor.follow("Turn on")
    visitor.send("Turn on version 2")
    assert api.get(name, version="current").json() == {"port": 2}

    visitor.open(f"/ui/history?service={name}&v=0")
    visitor.follow("Make 0 current again")
    visitor.send("Publish a copy of 0")
    assert api.get(name, version="current").json() == {"port": 0}
    assert api.versions(name)[-1]["note"] == "Back to version 0"


def test_an_undo_of_what_is_not_current_any_more_does_nothing(
    visitor: Visitor, api: Api, name: str
) -> None:
    api.put(name, {"port": 0})
    api.put(name, {"port": 1})
    visitor.open(f"/ui/undo?service={name}")
    api.put(name, {"port": 2})
    visitor.send("Go back to 0")

    assert visitor.response.status_code == 412
    assert "It was not done." in visitor.page.text
    assert [version["enabled"] for version in api.versions(name)] == [True, True, True]


def test_the_history_says_who_did_what_why_and_what_differs(
    visitor: Visitor, api: Api, name: str
) -> None:
    api.put(name, {"port": 1, "old": True}, headers={"Config-Actor": "ada"})
    api.put(name, {"port": 2}, headers={"Config-Actor": "grace", "Config-Note": "Moved"})
    text = visitor.open(f"/ui/history?service={name}").text

    assert "grace (unverified)" in text
    assert "ada (unverified)" in text
    assert "Moved" in text
    assert "/port 1 → becomes 2" in text
    assert "/old true → becomes removed" in text
    assert "compared with" in text
    assert "/port 1" not in visitor.open(f"/ui/history?service={name}&v=1&with=1").text


def test_the_environment_stays_in_the_address_and_a_first_version_is_laid_over_what_is_inherited(
    visitor: Visitor, api: Api, name: str
) -> None:
    api.http.post("/api/v1/environments", json={"name": name[-20:], "inherits": "default"})
    api.put(name, {"a": 1, "b": 1})
    visitor.open(f"/ui/service?service={name}")
    visitor.follow(name[-20:])
    assert f"environment={name[-20:]}" in visitor.where
    assert "no version of its own" in visitor.page.text
    visitor.follow("Edit")
    visitor.send("Review the change", document='{"b": 2}')
    visitor.send("Publish version 0")

    assert f"environment={name[-20:]}" in visitor.where
    resolved = api.get(name, environment=name[-20:], version="current", resolved="true")
    assert resolved.json() == {"a": 1, "b": 2}
    visitor.follow("Where each value comes from")
    assert "/a 1" in visitor.page.text
    assert "of " + name + " in default" in visitor.page.text


def test_a_version_is_promoted_after_a_look_at_what_differs(
    visitor: Visitor, api: Api, name: str
) -> None:
    staging, production = f"s-{name[-12:]}", f"p-{name[-12:]}"
    for environment in (staging, production):
        api.http.post("/api/v1/environments", json={"name": environment, "inherits": None})
    api.put(name, {"port": 2}, environment=staging)
    api.put(name, {"port": 1}, environment=production)
    page = visitor.open(f"/ui/compare?service={name}&environment={staging}&to={production}")
    assert "/port 1 → becomes 2" in page.text
    assert api.get(name, version="current", environment=production).json() == {"port": 1}
    visitor.send("Promote version 0", note="It held all night")

    assert f"environment={production}" in visitor.where
    assert api.get(name, version="current", environment=production).json() == {"port": 2}
    assert api.changes()[-1]["note"] == "It held all night"
    visitor.open(f"/ui/compare?service={name}&environment={staging}&to={production}")
    assert "Nothing differs" in visitor.page.text


def test_what_changed_since_the_comparison_is_not_promoted_unseen(
    visitor: Visitor, api: Api, name: str
) -> None:
    production = f"p-{name[-12:]}"
    api.http.post("/api/v1/environments", json={"name": production, "inherits": None})
    api.put(name, {"port": 2})
    visitor.open(f"/ui/compare?service={name}&to={production}")
    api.put(name, {"port": 3})
    visitor.send("Promote version 0")

    assert visitor.response.status_code == 412
    assert "It was not done." in visitor.page.text
    assert api.get(name, environment=production, version="current").status_code == 404


def test_services_are_found_by_a_part_of_their_name_and_by_a_tag(
    visitor: Visitor, api: Api, name: str
) -> None:
    api.put(f"{name}/basket", {})
    api.http.put(
        "/api/v1/services/tags",
        params={"service": f"{name}/basket"},
        json={"tags": [f"tag-{name}"]},
    )
    assert f"{name}/ basket" in visitor.open(f"/ui/?q={name.upper()}").text
    visitor.follow(f"tag-{name}")
    assert "tag=" in visitor.where
    assert f"{name}/ basket" in visitor.page.text
    assert "Nothing is called" in visitor.open(f"/ui/?q={name}-x").text


def test_after_a_full_page_there_are_more_services(visitor: Visitor, api: Api, name: str) -> None:
    api.http.post(
        "/api/v1/changesets",
        json={"changes": [{"service": f"{name}/{n:03}", "document": {}} for n in range(60)]},
    )
    visitor.open(f"/ui/?q={name}")
    assert f"{name}/ 049" in visitor.page.text
    assert f"{name}/ 050" not in visitor.page.text
    visitor.follow("More")
    assert f"{name}/ 050" in visitor.page.text
    assert f"{name}/ 059" in visitor.page.text


def test_htmx_gets_the_rows_alone(visitor: Visitor, api: Api, name: str) -> None:
    api.put(name, {})
    visitor.open(f"/ui/?q={name}", **{"HX-Request": "true"})

    assert name in visitor.page.text
    assert not any(tag == "html" for tag, _ in visitor.page.elements)


def test_live_shows_what_happened_newest_first_and_pages_without_a_gap(
    visitor: Visitor, api: Api, name: str
) -> None:
    for number in range(70):
        api.put(f"{name}/x", {"n": number})
    seen: list[int] = []
    visitor.open(f"/ui/live?service={name}/x")
    while True:
        text = visitor.page.text
        seen += [
            int(word)
            for word, after in zip(text.split(), text.split()[1:], strict=False)
            if after == "published"
        ]
        if "Older" not in visitor.page.links:
            break
        visitor.follow("Older")

    assert seen == list(range(69, -1, -1))
