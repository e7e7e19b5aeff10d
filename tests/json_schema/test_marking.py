"""Revisions that keep every mark, and those that do not: unmarking needs a right of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributed_config.json_schema import covers
from distributed_config.services import secrets
from distributed_config.services.access import tokens
from distributed_config.services.access.grants import Grant
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.settings import Settings
from distributed_config.store.database import open_writer
from tests.support.schemas import DRAFT_7, DRAFT_2020_12, NAMES, SchemaMaker
from tests.support.server import Api, Server

SECRET = {"x-secret": True}
OPEN: dict[str, Any] = {}
VAULT = {"additionalProperties": SECRET}
SHADOWED = {"patternProperties": {"^p": OPEN}, "additionalProperties": SECRET}


def text(schema: Any) -> str:
    return json.dumps(schema)


UNMARKING = {
    "a pattern": (SHADOWED, VAULT),
    "a property": ({"properties": {"p": OPEN}, **VAULT}, VAULT),
    "a pattern for the same names": (
        {"patternProperties": {"^p": SECRET, "^pa": OPEN}, "additionalProperties": OPEN},
        {"patternProperties": {"^p[^a]": SECRET}, "additionalProperties": SECRET},
    ),
    "deep in properties": ({"properties": {"db": SHADOWED}}, {"properties": {"db": VAULT}}),
    "deep in additionalProperties": (
        {"additionalProperties": SHADOWED},
        {"additionalProperties": VAULT},
    ),
    "below the same pattern": (
        {"patternProperties": {"^d": SHADOWED}},
        {"patternProperties": {"^d": VAULT}},
    ),
    "below another pattern": (
        {"patternProperties": {"^d": OPEN, "^e": VAULT}},
        {"patternProperties": {"^d": VAULT, "^e": VAULT}},
    ),
    "in allOf": ({"allOf": [SHADOWED]}, {"allOf": [VAULT]}),
    "in anyOf": ({"anyOf": [SHADOWED, {}]}, {"anyOf": [VAULT, {}]}),
    "in oneOf": ({"oneOf": [SHADOWED, False]}, {"oneOf": [VAULT, False]}),
    "in not": ({"not": SHADOWED}, {"not": VAULT}),
    "in then": ({"if": {}, "then": SHADOWED}, {"if": {}, "then": VAULT}),
    "in if": ({"if": SHADOWED}, {"if": VAULT}),
    "moved from allOf": (SHADOWED, {"allOf": [VAULT]}),
    "by a reference": (
        {"$ref": "#/$defs/v", "$defs": {"v": SHADOWED}},
        {"$ref": "#/$defs/v", "$defs": {"v": VAULT}},
    ),
    "by a reference to itself": (
        {"properties": {"next": {"$ref": "#"}}, **SHADOWED},
        {"properties": {"next": {"$ref": "#"}}, **VAULT},
    ),
    "by an anchor": (
        {"$ref": "#v", "$defs": {"v": {"$anchor": "v", **SHADOWED}}},
        {"$ref": "#v", "$defs": {"v": {"$anchor": "v", **VAULT}}},
    ),
    "in dependentSchemas": (
        {"dependentSchemas": {"a": SHADOWED}},
        {"dependentSchemas": {"a": VAULT}},
    ),
    "in dependencies": (
        {"$schema": DRAFT_7, "dependencies": {"a": SHADOWED}},
        {"$schema": DRAFT_7, "dependencies": {"a": VAULT}},
    ),
    "in items": ({"items": SHADOWED}, {"items": VAULT}),
    "in prefixItems": ({"prefixItems": [{}, SHADOWED]}, {"prefixItems": [{}, VAULT]}),
    "by a place of its own": ({"prefixItems": [{}], "items": SECRET}, {"items": SECRET}),
    "by one place more": (
        {"prefixItems": [SECRET, SECRET], "items": OPEN},
        {"prefixItems": [SECRET], "items": SECRET},
    ),
    "in contains": ({"contains": SHADOWED}, {"contains": VAULT}),
    "in unevaluatedProperties": (
        {"unevaluatedProperties": SHADOWED},
        {"unevaluatedProperties": VAULT},
    ),
    "from unevaluatedProperties": (
        {"patternProperties": {"^p": OPEN}, "additionalProperties": SECRET},
        {"unevaluatedProperties": SECRET},
    ),
    "in unevaluatedItems": ({"unevaluatedItems": SHADOWED}, {"unevaluatedItems": VAULT}),
    "in propertyNames": (OPEN, {"propertyNames": SECRET}),
    "by another draft": (
        {"$schema": DRAFT_7, "$ref": "#/definitions/a", "definitions": {"a": {}}, **VAULT},
        {"$ref": "#/definitions/a", "definitions": {"a": {}}, **VAULT},
    ),
}


@pytest.mark.parametrize("how", UNMARKING)
def test_a_schema_that_can_unmark_something_is_seen(how: str) -> None:
    new, old = map(text, UNMARKING[how])

    assert not covers(new, old)
    assert covers(old, new) or how in {
        "a pattern for the same names",
        "moved from allOf",
        "from unevaluatedProperties",
        "by one place more",
    }


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ({**SHADOWED, "title": "words"}, SHADOWED),
        ({"patternProperties": {"^p": SECRET}, **VAULT}, VAULT),
        ({"patternProperties": {"^p": SECRET, "^q": {}}}, {"patternProperties": {"^p": SECRET}}),
        ({"allOf": [SHADOWED, VAULT]}, VAULT),
        ({"allOf": [{"patternProperties": {"^q": {}}}, VAULT]}, VAULT),
        ({"unevaluatedProperties": SECRET}, SHADOWED),
        (SECRET, SHADOWED),
        ({"items": SECRET}, {"prefixItems": [SECRET, {}], "items": VAULT}),
        ({"properties": {"p": OPEN, "q": SECRET}}, {"properties": {"q": SECRET}}),
        ({"properties": {"p": SECRET}, **VAULT}, VAULT),
        (OPEN, {"$defs": {"unused": SECRET}}),
    ],
)
def test_a_schema_that_keeps_every_mark_is_seen(new: Any, old: Any) -> None:
    assert covers(text(new), text(old))


def test_a_comparison_that_takes_too_long_ends_with_no() -> None:
    """A schema of 20 parts with 200 patterns each has 200^20 ways to mark one key."""
    patterns = {f"^{i}": SECRET for i in range(10)}
    parts = [{"patternProperties": patterns, "additionalProperties": SECRET} for _ in range(20)]

    assert not covers(text({"allOf": parts}), text({"unevaluatedProperties": SECRET, "title": ""}))


# --- marks of random schemas


def full(shape: str) -> Any:
    """Return a value with every key or position at each level: objects for ``o``, else arrays."""
    if not shape:
        return 1
    inner = full(shape[1:])
    return dict.fromkeys((*NAMES, "x-2", "other"), inner) if shape[0] == "o" else [inner] * 3


DOCUMENTS = [full("o" + rest) for rest in ("oo", "oa", "ao", "aa")]


def test_places_that_are_said_to_stay_marked_stay_marked(drill: bool) -> None:
    @settings(max_examples=10_000 if drill else 600, deadline=None, database=None)
    @given(st.integers(0, 2**64))
    def check(seed: int) -> None:
        maker = SchemaMaker(Random(seed), DRAFT_2020_12, marks=True)
        old = maker.whole()
        new = maker.edited(maker.edited(old))
        if not covers(text(new), text(old)):
            return
        before, after = (secrets.marks_by(text(schema), "[]") for schema in (old, new))
        for value in DOCUMENTS:
            marked = {path for path, _ in secrets.find_secrets(value, after)}
            for path, _ in secrets.find_secrets(value, before):
                inside = (path[:length] in marked for length in range(len(path) + 1))
                assert any(inside), (old, new, path)

    check()


def test_the_same_marks_in_other_words_are_seen(drill: bool) -> None:
    for seed in range(2_000 if drill else 100):
        schema = SchemaMaker(Random(seed), DRAFT_2020_12, marks=True).whole()

        assert covers(text({**schema, "title": "words"}), text(schema)), schema


# --- at the door


@pytest.fixture
def people(tmp_path: Path) -> Iterator[dict[str, Api]]:
    """Requests of a publisher without the right to read secrets, and of an administrator."""
    with Server(tmp_path / "instance", auth="token") as server:
        apis = {}
        for role in ("publisher", "organisation-administrator"):
            with open_writer(Settings(instance=server.instance)) as writer:
                token = writer.write(
                    LOCAL_OPERATOR,
                    lambda transaction, role=role: tokens.create_machine(
                        transaction, role, Grant(role)
                    ),
                )
            apis[role] = Api(server.url)
            apis[role].http.headers["Authorization"] = f"Bearer {token.secret}"
        yield apis
        for api in apis.values():
            api.close()


def test_unmarking_needs_the_right_to_read_secrets(people: dict[str, Api]) -> None:
    publisher, administrator = people.values()
    for number, (new, old) in enumerate(UNMARKING.values()):
        name = f"d{number}"
        assert publisher.define(name, old).status_code == 201, old
        refused = publisher.define(name, new)
        assert refused.status_code == 403, (old, new, refused.text)
        assert "config:read-secret" in refused.text
        assert administrator.define(name, new).status_code == 200
