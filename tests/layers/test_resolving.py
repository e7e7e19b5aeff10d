"""Moments in the life of layers that hardly ever come by chance."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.layers_api import LayersApi, revision_of
from tests.support.server import Server


@pytest.fixture(scope="module")
def layered_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("layered") / "instance") as running:
        yield running


@pytest.fixture
def layers(layered_server: Server) -> LayersApi:
    return LayersApi(layered_server.api)


def use(service: str, pointer: str = "") -> dict[str, str]:
    return {"$use": f"{service}#{pointer}"}


def refused(response: httpx2.Response, *words: str) -> dict[str, Any]:
    """Check that a write was refused because of what it contains, and says these words."""
    assert response.status_code == 422, response.text
    told: dict[str, Any] = response.json()
    for word in words:
        assert word in response.text.replace("\\u2192", "→"), (word, response.text)
    return told


# --- circles


def test_the_way_of_a_circle_of_extensions_is_told(layers: LayersApi, name: str) -> None:
    a, b, c = (f"{name}/{each}" for each in "abc")
    for each in (a, b, c):
        layers.put(each, {})
    layers.extend(a, b)
    layers.extend(b, c)

    refused(layers.extend(c, a), f"{c} → {a} → {b} → {c}")


def test_a_circle_counts_in_whichever_environments_its_parts_are(
    layers: LayersApi, name: str
) -> None:
    a, b = f"{name}/a", f"{name}/b"
    # Nothing comes here from elsewhere: each document could be resolved where it is.
    layers.environment(name, None)
    layers.put(a, {"x": 1})
    layers.put(b, {"x": use(a, "/x")})
    layers.put(b, {"x": 2}, name)

    refused(layers.put(a, {"y": use(b, "/x")}, name), f"{a} → {b} → {a}")
    refused(layers.extend(a, b), f"{a} → {b} → {a}")
    steps = [{"service": a, "environment": name, "document": {"y": use(b, "/x")}}]
    refused(layers.changeset(*steps), f"{a} → {b} → {a}")
    assert layers.resolved(a, name).status_code == 404


def test_a_service_that_refers_to_itself_is_refused(layers: LayersApi, name: str) -> None:
    refused(layers.put(name, {"x": 1, "y": use(name, "/x")}), f"{name} → {name}")


def test_a_changeset_may_turn_a_reference_round_in_any_order(layers: LayersApi, name: str) -> None:
    a, b = f"{name}/a", f"{name}/b"
    layers.put(b, {"x": 1})
    layers.put(a, {"x": use(b, "/x")})
    steps = [
        {"service": b, "document": {"x": use(a, "/x")}},
        {"service": a, "document": {"x": 2}},
    ]

    assert layers.changeset(*steps).status_code == 200
    assert layers.value(b) == {"x": 2}


def test_a_circle_that_a_changeset_leaves_is_refused(layers: LayersApi, name: str) -> None:
    a, b = f"{name}/a", f"{name}/b"
    layers.put(a, {"x": 1})
    layers.put(b, {"x": 1})
    steps = [
        {"service": b, "document": {"x": use(a, "/x")}},
        {"service": a, "document": {"x": use(b, "/x")}},
    ]

    refused(layers.changeset(*steps), " → ")
    assert layers.value(a) == {"x": 1}
    assert layers.value(b) == {"x": 1}


def test_environments_in_a_circle_are_refused_with_the_way(layers: LayersApi, name: str) -> None:
    low, high = f"{name}.low", f"{name}.high"
    layers.environment(low)
    layers.environment(high, low)

    refused(layers.inherit(low, high), " → ")
    refused(layers.inherit(low, low), " → ")


# --- limits


def test_a_chain_has_eight_environments_and_not_nine(layers: LayersApi, name: str) -> None:
    names = [f"{name}.{number}" for number in range(9)]
    parents = [None, *names]
    for each, parent in zip(names[:8], parents, strict=False):
        assert layers.environment(each, parent).status_code == 200
    refused(layers.environment(names[8], names[7]), "9", "8")
    # Nor by a move of the root, from which seven others hang.
    refused(layers.inherit(names[0], "default"), "9", "8")


def test_a_resolved_document_has_32_layers_and_not_33(layers: LayersApi, name: str) -> None:
    for number in range(33):
        layers.put(f"{name}/{number}", {str(number): number})
    first = [f"{name}/{number}" for number in range(31)]
    layers.put(name, {"own": 1})

    assert layers.extend(name, *first).status_code == 200
    assert len(layers.layers(name).split(", ")) == 32
    layers.environment(name)
    refused(layers.put(f"{name}/7", {"seven": 1}, name), "33", "32")
    assert layers.resolved(name, name).headers["Config-Layers"].count(":") == 32
    refused(layers.extend(name, *first, f"{name}/31"), "33", "32")


def test_a_resolved_document_has_500_references_and_not_501(layers: LayersApi, name: str) -> None:
    layers.put(f"{name}/source", {"x": 1})
    many = {str(number): use(f"{name}/source", "/x") for number in range(500)}

    assert layers.put(name, many).status_code == 200
    assert layers.value(name) == dict.fromkeys(many, 1)
    refused(layers.put(name, {**many, "500": use(f"{name}/source", "/x")}), "501", "500")
    refused(layers.put(f"{name}/over", {"all": use(name), "one": use(name, "/1")}), "502")


# --- references


@pytest.mark.parametrize(
    "token", ["01", "-", "2", "+1", " 1", "١", "9" * 5000, "1_0", "1.0"], ids=lambda each: each[:5]
)
def test_a_reference_into_an_array_takes_an_index_as_rfc_6901_has_it(
    layers: LayersApi, name: str, token: str
) -> None:
    source = f"{name}/source"
    layers.put(source, {"array": ["zero", "one"]})

    assert layers.put(name, {"x": use(source, "/array/1")}).status_code == 200
    refused(layers.put(name, {"x": use(source, f"/array/{token}")}))
    assert layers.value(name) == {"x": "one"}


@pytest.mark.parametrize(
    "text", ["s", "", "#/x", "s#x", "s#/~2", "s#/~", None, 1, {}, [], "s#/x#/y", "../s#/x", "s #/x"]
)
def test_what_is_no_reference_is_refused(layers: LayersApi, name: str, text: Any) -> None:
    layers.put("s", {"x": 1})

    refused(layers.put(name, {"a": [{"$use": text}]}), "/a/0")
    refused(layers.put(name, {"a": {"$use": "s#/x", "b": 1}}), "/a")
    assert layers.resolved(name).status_code == 404


def test_a_whole_document_can_be_a_reference_to_an_object_alone(
    layers: LayersApi, name: str
) -> None:
    source = f"{name}/source"
    layers.put(source, {"object": {"b": 1, "a": None}, "array": [1]})

    assert layers.put(name, use(source, "/object")).status_code == 200
    assert layers.value(name) == {"b": 1, "a": None}
    refused(layers.put(name, use(source, "/array")))
    assert layers.put(name, use(source)).status_code == 200
    assert layers.value(name) == layers.value(source)


def test_a_reference_finds_what_its_own_environment_has(layers: LayersApi, name: str) -> None:
    source = f"{name}/source"
    layers.environment(name)
    layers.put(source, {"x": "here"})
    layers.put(source, {"x": "there"}, name)
    layers.put(name, {"list": [use(source, "/x")]})

    assert layers.value(name) == {"list": ["here"]}
    assert layers.value(name, name) == {"list": ["there"]}
    refused(layers.put(source, {"x": None}, name), name)


def test_deleting_what_others_rest_on_is_refused_and_leaves_it_as_it_was(
    layers: LayersApi, name: str
) -> None:
    base, user = f"{name}/base", f"{name}/user"
    layers.put(base, {"x": 1})
    layers.put(user, {"y": use(base, "/x")})
    layers.put(f"{name}/child", {})
    layers.extend(f"{name}/child", user)

    assert layers.delete(base).status_code == 422
    assert layers.delete(user).status_code == 409
    assert layers.value(base) == {"x": 1}


# --- earlier states


def test_an_environment_was_not_there_before_it_came_nor_between_two_lives(
    layers: LayersApi, name: str
) -> None:
    layers.put(name, {"x": 1})
    before = revision_of(layers.put(f"{name}/other", {}))
    layers.environment(name)
    lived = revision_of(layers.put(f"{name}/other", {"n": 1}))
    layers.http.delete("/api/v1/environments", params={"name": name})
    between = revision_of(layers.put(f"{name}/other", {"n": 2}))
    layers.environment(name, None)
    again = revision_of(layers.put(f"{name}/other", {"n": 3}))

    assert layers.resolved(name, name, as_of=before).status_code == 404
    assert layers.value(name, name, as_of=lived) == {"x": 1}
    assert layers.resolved(name, name, as_of=between).status_code == 404
    assert layers.resolved(name, name, as_of=again).status_code == 404


def test_a_layer_that_was_deleted_since_is_said_to_be_missing(layers: LayersApi, name: str) -> None:
    layers.environment(name)
    layers.put(name, {"own": 1})
    both = revision_of(layers.put(name, {"theirs": 2}, name))
    layers.delete(name, name)
    without = revision_of(layers.put(f"{name}/other", {"n": 1}))
    layers.put(name, {"again": 3}, name)

    response = layers.resolved(name, name, as_of=both)
    assert response.status_code == 409
    assert "deleted since" in response.text
    assert layers.value(name, name, as_of=without) == {"own": 1}
    assert layers.value(name, as_of=both) == {"own": 1}


def test_an_extended_service_that_was_deleted_since_is_said_to_be_missing(
    layers: LayersApi, name: str
) -> None:
    base = f"{name}/base"
    layers.put(base, {"theirs": 1})
    layers.put(name, {"own": 1})
    both = revision_of(layers.extend(name, base))
    layers.extend(name)
    assert layers.delete(base).status_code == 200
    alone = revision_of(layers.put(f"{name}/other", {"n": 1}))

    for _ in range(2):
        response = layers.resolved(name, as_of=both)
        assert response.status_code == 409
        assert "deleted since" in response.text
        assert layers.value(name, as_of=alone) == {"own": 1}
        layers.put(base, {"another": 1})


def test_what_was_extended_and_inherited_then_is_what_an_earlier_state_has(
    layers: LayersApi, name: str
) -> None:
    base, child = f"{name}/base", f"{name}/child"
    layers.environment(name)
    layers.put(base, {"b": 1})
    first = revision_of(layers.put(child, {"c": 1}))
    second = revision_of(layers.extend(child, base))
    third = revision_of(layers.inherit(name, None))
    layers.put(child, {"c": 2}, name)

    assert layers.value(child, name, as_of=first) == {"c": 1}
    assert layers.value(child, name, as_of=second) == {"b": 1, "c": 1}
    assert layers.resolved(child, name, as_of=third).status_code == 404
    assert layers.value(child, name) == {"c": 2}
