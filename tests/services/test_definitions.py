"""Definitions: what conforms gets in, what does not gets nowhere, by any door and at any time."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.support.server import JSON, Api, Server

PORT = {
    "type": "object",
    "properties": {
        "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 8080},
        "tier": {"enum": ["gold", "silver"]},
        "db": {"type": "object", "properties": {"host": {"type": "string"}}},
    },
    "required": ["tier"],
    "additionalProperties": False,
}
GOOD = {"tier": "gold"}
BAD = {"tier": "gold", "prot": 1, "port": "x"}
BAD_PLACES = [("/port", "type"), ("/prot", "additionalProperties")]


@pytest.fixture
def web(api: Api, name: str) -> str:
    """A definition, named as the service that conforms to it."""
    assert api.define(name, PORT, indexes=["port", "tier", "db.host"]).status_code == 201
    assert api.put(name, GOOD, definition=name).status_code == 200
    return name


def places(response: httpx2.Response) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.text
    return sorted((each["pointer"], each["rule"]) for each in response.json()["problems"])


def current(api: Api, name: str) -> Any:
    return api.get(name, version="current").json()


def narrowed(**properties: Any) -> dict[str, Any]:
    """The schema with some of its properties changed."""
    return {**PORT, "properties": {**PORT["properties"], **properties}}


# --- definitions


def test_a_definition_is_created_read_and_revised(api: Api, name: str) -> None:
    made = api.http.post(
        "/api/v1/definitions",
        params={"definition": name, "note": "first"},
        json={"schema": PORT, "policy": "backward", "indexes": ["port"]},
    )
    assert made.status_code == 201
    wider = narrowed(port={"type": "integer"})
    revised = api.define(name, wider).json()

    assert (revised["changed"], revised["definition"]["number"]) == (True, 1)
    newest = api.http.get("/api/v1/definitions/one", params={"definition": name}).json()
    assert (newest["number"], newest["schema"], newest["policy"]) == (1, wider, "backward")
    first = api.http.get("/api/v1/definitions/one", params={"definition": name, "number": 0}).json()
    assert (first["schema"], first["note"], first["indexes"]) == (PORT, "first", ["port"])
    history = api.http.get("/api/v1/definitions/revisions", params={"definition": name}).json()
    assert [each["number"] for each in history["revisions"]] == [1, 0]


def test_a_definition_is_created_once(api: Api, web: str) -> None:
    again = api.http.post("/api/v1/definitions", params={"definition": web}, json={"schema": PORT})

    assert (again.status_code, again.json()["code"]) == (422, "definition-exists")


def test_the_schema_that_is_there_makes_no_revision(api: Api, web: str) -> None:
    revision = api.get(web).headers["Config-Revision"]

    assert api.define(web, PORT).json()["changed"] is False
    assert api.http.get("/api/v1/changes", params={"after": revision}).json()["changes"] == []


def test_what_is_left_out_stays(api: Api, web: str) -> None:
    changed = api.define(web, policy="full").json()

    assert changed["definition"]["policy"] == "full"
    assert changed["definition"]["indexes"] == ["port", "tier", "db.host"]
    assert changed["definition"]["number"] == 0


@pytest.mark.parametrize("path", ["one", "revisions", "services"])
def test_a_definition_that_is_not_there_is_a_404(api: Api, name: str, path: str) -> None:
    answer = api.http.get(f"/api/v1/definitions/{path}", params={"definition": name})

    assert (answer.status_code, answer.json()["code"]) == (404, "definition-not-found")


def test_a_revision_that_is_not_there_is_a_404(api: Api, web: str) -> None:
    answer = api.http.get("/api/v1/definitions/one", params={"definition": web, "number": 7})

    assert (answer.status_code, answer.json()["code"]) == (404, "revision-not-found")


def test_definitions_are_listed_by_name_searched_and_paged(api: Api, name: str) -> None:
    for letter in "abc":
        api.define(f"{name}-{letter}", {})
    query: Any = {"search": name.upper(), "limit": 2}
    page = api.http.get("/api/v1/definitions", params=query)
    rest = api.http.get(page.links["next"]["url"])

    found = [each["name"] for each in page.json()["definitions"] + rest.json()["definitions"]]
    assert found == [f"{name}-{letter}" for letter in "abc"]
    assert "schema" not in page.json()["definitions"][0]


@pytest.mark.parametrize(
    ("schema", "pointer", "rule"),
    [
        ({"type": "objec"}, "/schema/type", "anyOf"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, "/schema/properties/a", "$ref"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "/schema/properties/a/pattern", "pattern"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "/schema/$schema", "draft"),
        ({"$ref": "#"}, "/schema", "$ref"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(
    api: Api, name: str, schema: Any, pointer: str, rule: str
) -> None:
    assert places(api.define(name, schema)) == [(pointer, rule)]
    gone = api.http.get("/api/v1/definitions/one", params={"definition": name})
    assert gone.status_code == 404


def test_all_that_is_wrong_with_a_definition_is_told_at_once(api: Api, web: str, name: str) -> None:
    bad = {"properties": {"t": {"type": "foo"}, "u": {"minimum": "x"}}}
    secret = {**PORT, "x-secret": True}
    rest = {"policy": "all", "what": 1, "indexes": ["t", "nope", "t"]}
    beside = [("/indexes/1", "index"), ("/indexes/2", "repeated")]
    shape = [("/policy", "schema"), ("/what", "schema")]

    def told(method: str, definition: str, body: Any) -> list[tuple[str, str]]:
        query = {"definition": definition}
        return places(api.http.request(method, "/api/v1/definitions", params=query, json=body))

    faults = [("/schema/properties/t/type", "anyOf"), ("/schema/properties/u/minimum", "type")]
    for method in ("POST", "PUT"):
        found = told(method, f"{name}/new", {"schema": bad, **rest})
        assert found == sorted([*beside, *shape, *faults])
        assert told(method, f"{name}/new", {"schema": bad, "indexes": ["t", "nope"]}) == sorted(
            [("/indexes/1", "index"), *faults]
        )
    assert told("POST", f"{name}/new", {"policy": "all"}) == [
        ("/policy", "schema"),
        ("/schema", "schema"),
    ]
    marked = {"schema": secret, "indexes": ["nope"]}
    both = [("/indexes/0", "index"), ("/schema/x-secret", "secret")]
    assert told("PUT", web, marked) == both
    assert told("PUT", web, {**marked, "policy": "all"}) == sorted([*both, ("/policy", "schema")])
    # Without a schema it is the one that is there that the indexes must go with.
    assert told("PUT", web, {"policy": "all", "indexes": ["nope"]}) == [
        ("/indexes/0", "index"),
        ("/policy", "schema"),
    ]


def test_a_schema_can_be_written_in_yaml_and_toml(api: Api, name: str) -> None:
    yaml = "schema:\n  properties:\n    port: {type: integer}\nindexes: [port]\n"
    toml = 'indexes = ["port"]\n[schema.properties.port]\ntype = "integer"\n'
    for kind, text in (("yaml", yaml), ("toml", toml)):
        answer = api.http.put(
            "/api/v1/definitions",
            params={"definition": name},
            content=text,
            headers={"Content-Type": f"application/{kind}"},
        )
        assert answer.status_code in {200, 201}, answer.text
    assert answer.json()["changed"] is False


def test_of_two_who_revise_the_same_revision_one_wins(api: Api, web: str) -> None:
    etag = api.http.get("/api/v1/definitions/one", params={"definition": web}).headers["ETag"]

    def revise(most: int) -> int:
        with httpx2.Client(base_url=api.url, trust_env=False) as http:
            schema = narrowed(port={"type": "integer", "maximum": most})
            return http.put(
                "/api/v1/definitions",
                params={"definition": web},
                json={"schema": schema},
                headers={"If-Match": etag},
            ).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(revise, range(9000, 9008))) == [200] + [412] * 7


# --- every door that writes


def test_post_refuses_what_does_not_conform(api: Api, web: str) -> None:
    refused = api.post(f"{web}-new", BAD, definition=web)

    assert places(refused) == BAD_PLACES
    assert refused.json()["code"] == "not-conforming"
    assert api.get(f"{web}-new").status_code == 404


def test_put_refuses_what_does_not_conform(api: Api, web: str) -> None:
    assert places(api.put(web, BAD)) == BAD_PLACES
    assert current(api, web) == GOOD


def test_patch_with_a_whole_document_refuses_what_does_not_conform(api: Api, web: str) -> None:
    assert places(api.patch(web, BAD)) == BAD_PLACES
    assert current(api, web) == GOOD


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge-patch", {"port": "x", "prot": 1}),
        (
            "json-patch",
            [{"op": "add", "path": f"/{key}", "value": "x"} for key in ("port", "prot")],
        ),
    ],
)
def test_a_patch_whose_result_does_not_conform_is_refused(
    api: Api, web: str, kind: str, patch: Any
) -> None:
    refused = api.http.patch(
        "/config",
        params={"service": web},
        content=json.dumps(patch),
        headers={"Content-Type": f"application/{kind}+json"},
    )

    assert places(refused) == BAD_PLACES
    assert current(api, web) == GOOD


@pytest.fixture
def outgrown(api: Api, web: str) -> str:
    """A service of which version 0 does not conform any more, and version 1 does."""
    api.put(web, {"tier": "gold", "port": 90})
    stricter = {**PORT, "required": ["tier", "port"]}
    assert api.define(web, stricter).status_code == 200
    return web


def test_a_rollback_to_what_does_not_conform_is_refused(api: Api, outgrown: str) -> None:
    refused = api.http.post("/api/v1/rollback", params={"service": outgrown, "to": 0})

    assert places(refused) == [("", "required")]
    assert len(api.versions(outgrown)) == 2


def test_disabling_what_would_uncover_what_does_not_conform_is_refused(
    api: Api, outgrown: str
) -> None:
    refused = api.enable(outgrown, 1, False)

    assert places(refused) == [("", "required")]
    assert refused.json()["detail"].startswith("Version 0, which would become current,")
    assert current(api, outgrown) == {"tier": "gold", "port": 90}


def test_enabling_what_does_not_conform_is_refused_only_where_it_becomes_current(
    api: Api, outgrown: str
) -> None:
    assert api.enable(outgrown, 0, False).status_code == 200
    assert api.enable(outgrown, 0, True).status_code == 200  # version 1 stays current
    assert api.enable(outgrown, 0, False).status_code == 200
    assert api.enable(outgrown, 1, False).status_code == 200  # nothing is current

    assert places(api.enable(outgrown, 0, True)) == [("", "required")]
    assert api.enable(outgrown, 1, True).status_code == 200


@pytest.mark.parametrize(
    ("action", "pointers"),
    [
        ({"document": BAD}, ["/changes/1/document/port", "/changes/1/document/prot"]),
        ({"merge": {"port": "x"}}, ["/changes/1/merge"]),
        ({"rollback": 0}, ["/changes/1/rollback"]),
        ({"disable": 1}, ["/changes/1/disable"]),
    ],
)
def test_a_changeset_is_refused_whole_with_pointers_into_it(
    api: Api, outgrown: str, action: Any, pointers: list[str]
) -> None:
    changes = [{"service": f"{outgrown}-other", "document": {}}, {"service": outgrown, **action}]
    refused = api.http.post("/api/v1/changesets", json={"changes": changes})

    assert [pointer for pointer, _ in places(refused)] == pointers
    assert api.get(f"{outgrown}-other").status_code == 404


def test_an_import_is_refused_whole_with_the_problems_of_all(api: Api, web: str) -> None:
    api.put(f"{web}-b", GOOD, definition=web)
    given = {web: BAD, f"{web}-b": {"tier": 3}, f"{web}-free": {"anything": 1}}
    refused = api.http.post("/api/v1/import", json=given)

    assert [pointer for pointer, _ in places(refused)] == [
        f"/{web}-b/tier",
        f"/{web}/port",
        f"/{web}/prot",
    ]
    assert api.get(f"{web}-free").status_code == 404


def test_a_rehearsal_tells_the_same_and_writes_nothing(api: Api, web: str) -> None:
    assert places(api.put(web, BAD, dry_run="true")) == BAD_PLACES
    good = api.put(web, {"tier": "silver"}, dry_run="true")

    assert good.json() == {"success": True, "version": 1, "current": 1, "changed": True}
    assert current(api, web) == GOOD
    assert api.conforming(web, where="tier=silver") == []


def test_versions_keep_the_revision_they_were_checked_against(api: Api, outgrown: str) -> None:
    api.patch(outgrown, {"tier": "silver", "port": 1})
    api.put(f"{outgrown}-free", {})

    checked = [(each["number"], each["definition_revision"]) for each in api.versions(outgrown)]
    assert checked == [(0, 0), (1, 0), (2, 1)]
    assert {each["definition"] for each in api.versions(outgrown)} == {outgrown}
    assert api.versions(f"{outgrown}-free")[0]["definition"] is None


def test_check_stores_nothing(api: Api, web: str) -> None:
    def check(document: Any) -> Any:
        query = {"definition": web}
        return api.http.post("/api/v1/definitions/check", params=query, json=document).json()

    revision = api.get(web).headers["Config-Revision"]
    assert check(GOOD) == {"valid": True, "problems": []}
    assert [each["pointer"] for each in check(BAD)["problems"]] == ["/prot", "/port"]
    assert "did you mean" in check(BAD)["problems"][0]["message"]
    assert api.get(web).headers["Config-Revision"] == revision


# --- attaching


def attach(api: Api, service: str, definition: str) -> httpx2.Response:
    return api.http.put(
        "/api/v1/services/definition", params={"service": service}, json={"definition": definition}
    )


def test_a_service_is_attached_only_if_it_conforms(api: Api, web: str) -> None:
    api.put(f"{web}-old", BAD)

    assert places(attach(api, f"{web}-old", web)) == BAD_PLACES
    api.put(f"{web}-old", {"tier": "silver"})
    assert attach(api, f"{web}-old", web).json()["changed"] is True
    assert attach(api, f"{web}-old", web).json()["changed"] is False
    assert api.conforming(web) == [web, f"{web}-old"]
    assert places(api.put(f"{web}-old", BAD)) == BAD_PLACES


def test_a_service_conforms_to_one_definition(api: Api, web: str) -> None:
    api.define(f"{web}-2", {})

    assert attach(api, web, f"{web}-2").status_code == 422
    assert api.put(web, GOOD, definition=f"{web}-2").status_code == 422
    assert attach(api, web, f"{web}-none").status_code == 404


def test_a_detached_service_may_be_anything(api: Api, web: str) -> None:
    done = api.http.delete("/api/v1/services/definition", params={"service": web})

    assert done.json() == {"success": True, "changed": True, "definition": None}
    assert api.put(web, BAD).status_code == 200
    assert api.conforming(web) == []


def test_a_definition_in_use_is_not_deleted_by_accident(api: Api, web: str) -> None:
    refused = api.http.delete("/api/v1/definitions", params={"definition": web})

    assert (refused.status_code, refused.json()["code"]) == (409, "definition-in-use")
    query = {"definition": web, "cascade": "detach"}
    assert api.http.delete("/api/v1/definitions", params=query).json()["services"] == [web]
    assert current(api, web) == GOOD
    assert (
        api.http.get("/api/v1/services/one", params={"service": web}).json()["definition"] is None
    )


def test_a_definition_can_take_its_services_with_it(api: Api, web: str) -> None:
    query = {"definition": web, "cascade": "delete"}

    assert api.http.delete("/api/v1/definitions", params=query).status_code == 200
    assert api.get(web).status_code == 404
    assert api.put(web, BAD).status_code == 200  # a new service, that conforms to nothing


def test_the_journal_has_it_all(api: Api, name: str) -> None:
    after = api.http.get("/api/v1/changes").json()["revision"]
    api.define(name, PORT)
    api.put(name, GOOD, definition=name)
    api.define(name, policy="backward")
    narrow = narrowed(tier={"enum": ["silver"]})
    api.define(name, narrow, query={"force": "true", "note": "gold is over"})
    api.define(name, {})
    api.http.delete("/api/v1/services/definition", params={"service": name})
    api.http.delete("/api/v1/definitions", params={"definition": name})

    mine = [each for each in api.changes(after) if name in {each["service"], each["definition"]}]
    assert [each["kind"] for each in mine] == [
        "definition.created",
        "service.created",
        "version.created",
        "service.attached",
        "definition.changed",
        "definition.forced",
        "definition.revised",
        "service.detached",
        "definition.deleted",
    ]
    forced = mine[5]
    assert (forced["note"], forced["version"]) == ("gold is over", 1)


# --- defaults


def test_defaults_are_filled_in_where_they_are_asked_for(api: Api, web: str) -> None:
    plain, filled = api.get(web), api.get(web, defaults="true")

    assert plain.json() == GOOD
    assert filled.json() == {**GOOD, "port": 8080}
    assert plain.headers["ETag"] != filled.headers["ETag"]
    assert api.get(web, defaults="true", format="yaml").text == "tier: gold\nport: 8080\n"
    assert [each["size"] for each in api.versions(web)] == [len(json.dumps(GOOD))]
    # Its tag is good for a compare-and-set.
    etag = {"If-Match": filled.headers["ETag"]}
    assert api.put(web, {"tier": "silver"}, headers=etag).status_code == 200


def test_another_default_is_seen_at_once(api: Api, web: str) -> None:
    for port in range(1, 20):
        api.define(web, narrowed(port={"type": "integer", "default": port}))
        for _ in range(4):  # on any worker
            assert api.get(web, defaults="true").json()["port"] == port


def test_a_service_without_a_definition_has_no_defaults(api: Api, name: str) -> None:
    api.put(name, {"a": 1})

    assert api.get(name, defaults="true").text == '{"a": 1}'


# --- evolution


def test_a_revision_that_breaks_a_current_document_is_refused_unless_forced(
    api: Api, web: str
) -> None:
    silver = narrowed(tier={"enum": ["silver"]})
    refused = api.define(web, silver)

    assert refused.json()["code"] == "breaking-revision"
    assert web in refused.json()["problems"][0]["message"]
    unexplained = api.define(web, silver, query={"force": "true"})
    assert unexplained.json()["problems"][0]["parameter"] == "note"
    forced = api.define(web, silver, query={"force": "true", "note": "we say so"}).json()
    assert forced["definition"]["forced"] is True
    assert forced["review"]["unfit_services"][0]["problems"][0]["pointer"] == "/tier"
    assert current(api, web) == GOOD
    assert places(api.patch(web, GOOD)) == [("/tier", "enum")]


def test_a_refused_revision_tells_all_that_is_wrong_with_each_document(api: Api, web: str) -> None:
    api.put(f"{web}/b", GOOD, definition=web)
    narrow = {**narrowed(tier={"enum": ["silver"]}), "required": ["tier", "port"]}
    api.define(web, policy="backward")

    problems = api.define(web, narrow).json()["problems"]

    documents = [each for each in problems if each["rule"] == "conformance"]
    told = [(each["pointer"], each["message"].partition(":")[0]) for each in documents]
    assert sorted(told[:2]) == [("", f"'{web}', version 0"), ("/tier", f"'{web}', version 0")]
    assert sorted(told[2:]) == [("", f"'{web}/b', version 0"), ("/tier", f"'{web}/b', version 0")]
    rest = [each["pointer"] for each in problems if each["rule"] == "backward"]
    assert sorted(rest) == ["/schema/properties/tier/enum", "/schema/required"]


@pytest.mark.parametrize(
    ("policy", "edit", "allowed"),
    [
        ("none", narrowed(port={"type": "integer", "maximum": 9}), True),
        ("backward", narrowed(port={"type": "integer", "maximum": 9}), False),
        ("backward", narrowed(port={"type": "number"}), True),
        ("forward", narrowed(port={"type": "number"}), False),
        ("forward", {**PORT, "required": ["tier"], "maxProperties": 2}, True),
        ("full", narrowed(port={"type": "number"}), False),
        ("full", {**PORT, "title": "only words"}, True),
    ],
)
def test_a_policy_says_which_revisions_are_allowed(
    api: Api, web: str, policy: str, edit: Any, allowed: bool
) -> None:
    api.define(web, policy=policy)
    query = {"definition": web}
    told = api.http.post("/api/v1/definitions/review", params=query, json={"schema": edit}).json()
    done = api.define(web, edit)

    assert told["allowed"] is allowed
    assert done.status_code == (200 if allowed else 422)
    if not allowed:
        assert all(pointer.startswith("/schema/") for pointer, _ in places(done))


def test_a_review_tells_who_would_not_conform_and_why(api: Api, web: str) -> None:
    for number in range(3):
        api.put(f"{web}-{number}", {"tier": "silver"}, definition=web)
    told = api.http.post(
        "/api/v1/definitions/review",
        params={"definition": web},
        json={"schema": narrowed(tier={"enum": ["gold"]})},
    ).json()

    assert (told["checked"], told["unfit"], told["allowed"]) == (4, 3, False)
    assert [each["service"] for each in told["unfit_services"]] == [f"{web}-{n}" for n in range(3)]
    assert told["compatibility"]["backward"] is False
    assert told["compatibility"]["forward"] is True
    [reason] = told["compatibility"]["reasons"]
    assert (reason["pointer"], reason["breaks"]) == ("/properties/tier/enum", ["backward"])


def test_two_revisions_are_compared(api: Api, web: str) -> None:
    api.define(web, narrowed(port={"type": "integer", "minimum": 1, "default": 1}))
    answer = api.http.get(
        "/api/v1/definitions/diff", params={"definition": web, "from": 0, "to": 1}
    ).json()

    assert {"op": "remove", "path": "/properties/port/maximum"} in answer["patch"]
    assert answer["compatibility"]["backward"] is True


def test_an_index_whose_property_goes_is_named(api: Api, web: str) -> None:
    schema = {**PORT, "properties": {"tier": PORT["properties"]["tier"]}}

    assert places(api.define(web, schema)) == [("/indexes/0", "index"), ("/indexes/2", "index")]
    assert api.define(web, schema, indexes=["tier"]).status_code == 200


# --- while others write


def test_nothing_that_does_not_conform_becomes_current_while_the_schema_is_revised(
    own_server: Server, drill: bool
) -> None:
    """Writers and revisers race over two workers; the journal then tells the order of events."""
    api = own_server.api
    schemas = [{"properties": {"n": {"enum": list(range(low, low + 8))}}} for low in (0, 2)]
    api.define("d", schemas[0])
    names = [f"s{number}" for number in range(4)]
    for service in names:
        api.put(service, {"n": 4}, definition="d")
    stop = threading.Event()

    def write(service: str) -> int:
        accepted = 0
        with httpx2.Client(base_url=own_server.url, trust_env=False, timeout=30) as http:
            for turn in range(400 if drill else 80):
                query: Any = {"service": service}
                if turn % 5 == 4:
                    query |= {"version": max(0, turn // 3), "enabled": str(turn % 2 == 0).lower()}
                    http.patch("/config", params=query)
                    continue
                body = json.dumps({"n": turn * 7 % 10, "turn": turn})
                answer = http.put("/config", params=query, content=body, headers=JSON)
                assert answer.status_code in {200, 422}, answer.text
                accepted += answer.status_code == 200
        return accepted

    def revise() -> int:
        done = 0
        with httpx2.Client(base_url=own_server.url, trust_env=False, timeout=30) as http:
            while not stop.is_set():
                for schema in (schemas[1], schemas[0]):
                    query = {"definition": "d"}
                    answer = http.put("/api/v1/definitions", params=query, json={"schema": schema})
                    assert answer.status_code in {200, 422}, answer.text
                    done += answer.status_code == 200 and answer.json()["changed"]
        return done

    with ThreadPoolExecutor(6) as pool:
        revisers = [pool.submit(revise) for _ in range(2)]
        accepted = list(pool.map(write, names))
        stop.set()
        revised = sum(each.result() for each in revisers)

    assert all(accepted)
    assert revised > 2, "no revision ever fell between the writes"
    allowed = _schemas_in_force(api)
    documents = {
        service: [each["document"]["n"] for each in api.versions(service)] for service in names
    }
    for change in api.changes():
        if change["service"] in documents and change["current"] is not None:
            value = documents[change["service"]][change["current"]]
            assert value in allowed(change["revision"]), change


def _schemas_in_force(api: Api) -> Callable[[int], set[int]]:
    """Which values the schema of definition ``d`` allowed, by the journal's revision."""
    revised = [each for each in api.changes() if each["kind"].startswith("definition.")]
    history: list[dict[str, Any]] = []
    url: str | None = "/api/v1/definitions/revisions"
    query: Any = {"definition": "d", "schemas": "true", "limit": 500}
    while url:
        page = api.http.get(url, params=query)
        history += page.json()["revisions"]
        url, query = page.links.get("next", {}).get("url"), None
    values = {each["number"]: set(each["schema"]["properties"]["n"]["enum"]) for each in history}

    def allowed(revision: int) -> set[int]:
        return values[max(each["version"] for each in revised if each["revision"] <= revision)]

    return allowed


def test_what_changes_between_the_review_and_the_revision_is_looked_at_again(
    own_server: Server,
) -> None:
    """Of one who writes a 9, and one who allows at most 8, only one can succeed."""
    api = own_server.api
    api.define("d", {"properties": {"n": {"maximum": 9}}})
    for number in range(300):
        api.put(f"s{number:03}", {"n": 1}, definition="d")

    def write(number: int) -> bool:
        return api.put(f"s{number:03}", {"n": 9}).status_code == 200

    def revise(_: int) -> bool:
        return api.define("d", {"properties": {"n": {"maximum": 8}}}).status_code == 200

    with ThreadPoolExecutor(2) as pool:
        for number in range(30):
            revising = pool.submit(revise, number)
            wrote = pool.submit(write, number).result()
            assert wrote != revising.result()
            api.put(f"s{number:03}", {"n": 1})
            api.define("d", {"properties": {"n": {"maximum": 9}}})
