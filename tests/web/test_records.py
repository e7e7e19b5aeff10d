"""Definitions, people, tokens and the audit log, as pages."""

from tests.support.callers import Caller
from tests.support.pages import Visitor
from tests.support.server import Api
from tests.web.conftest import People


def test_a_definition_shows_its_schema_its_revisions_and_who_conforms(
    visitor: Visitor, api: Api, name: str
) -> None:
    api.define(name, {"properties": {"port": {"type": "integer"}}}, query={"note": "First"})
    api.define(name, {"properties": {"port": {"type": "number"}}}, query={"note": "Wider"})
    api.put(f"{name}/x", {"port": 1}, definition=name)
    visitor.open(f"/ui/definitions?q={name}")
    visitor.follow(name)
    text = visitor.page.text

    assert '"type": "number"' in text.replace(" :", ":")
    assert '/properties/port/type "integer" → becomes "number"' in text
    assert "Wider" in text
    assert "First" in text
    visitor.follow("Revision 0")
    assert "becomes" not in visitor.page.text
    visitor.follow(f"{name}/x")
    assert visitor.where == f"/ui/service?service={name}/x"


def test_access_shows_people_tokens_and_roles_and_never_a_secret(
    people: People, administrator: Caller
) -> None:
    made = administrator.make(
        "tokens", {"name": "the deployer", "role": "publisher", "services": ["shop/"]}
    )
    visitor = people("organisation-administrator")
    text = visitor.open("/ui/access").text

    assert "organisation-administrator-" in text
    assert "the deployer" in text
    assert "shop/" in text
    assert "config:publish" in text
    assert made["token"] not in visitor.response.text
    assert "the deployer" in visitor.open("/ui/access?q=deployer").text
    assert "No token is called so." in visitor.open("/ui/access?q=nobody-at-all").text


def test_the_audit_log_shows_who_did_what_from_where_and_its_newest_hash(
    people: People, administrator: Caller
) -> None:
    administrator.put("audited/a", {})
    administrator.put("elsewhere/b", {})
    visitor = people("organisation-administrator")
    text = visitor.open("/ui/audit?service=audited/").text
    newest = administrator.ask("GET", "/api/v1/audit/head").json()

    assert "audited/a version 0 published" in text
    assert "elsewhere/b" not in text
    assert "from 127.0.0.1" in text
    assert newest["hash"] in visitor.open("/ui/audit").text
    assert visitor.http.get(visitor.page.links["CSV"]).status_code == 200


def test_the_audit_log_pages_without_a_gap(visitor: Visitor, api: Api, name: str) -> None:
    for number in range(60):
        api.put(name, {"n": number})
    visitor.open(f"/ui/audit?service={name}")
    first = visitor.page.text.count(f"{name} version")
    visitor.follow("Older")

    assert first + visitor.page.text.count(f"{name} version") == 60


def test_who_may_not_see_a_page_has_no_link_to_it_and_is_refused(people: People) -> None:
    reader = people("reader")
    reader.open("/ui/")
    assert {"Services", "Live", "Definitions"} <= reader.page.links.keys()
    assert reader.page.links.keys() & {"Access", "Audit"} == set()
    for path in ("/ui/access", "/ui/audit"):
        reader.open(path)
        assert reader.response.status_code == 403
        assert "it needs the permission" in reader.page.text
