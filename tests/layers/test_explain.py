"""Where values come from, how environments differ, and what is promoted."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.layered import NOTHING, merged, text_of
from tests.support.layers_api import LayersApi
from tests.support.secrets import world_in
from tests.support.server import Api, Server


@pytest.fixture(scope="module")
def layered_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("layered") / "instance") as running:
        yield running


@pytest.fixture
def layers(layered_server: Server) -> LayersApi:
    return LayersApi(layered_server.api)


def put_together(values: list[dict[str, Any]]) -> Any:
    """Return the document that has these values at their pointers."""
    document: Any = {}
    for one in values:
        tokens = [
            token.replace("~1", "/").replace("~0", "~") for token in one["pointer"].split("/")[1:]
        ]
        if not tokens:
            return one["value"]
        here = document
        for token in tokens[:-1]:
            here = here.setdefault(token, {})
        here[tokens[-1]] = one["value"]
    return document


def origins(values: list[dict[str, Any]]) -> dict[str, str]:
    """Return where each value comes from, by its pointer."""
    return {one["pointer"]: _layer(one["from"]) for one in values}


def _layer(origin: dict[str, Any]) -> str:
    return f"{origin['service']}@{origin['environment']}:{origin['version']}"


def random_document(random: Random, depth: int = 3) -> dict[str, Any]:
    keys = random.sample(["x", "y", "z", "~", "/", ""], random.randint(0, 4))
    return {key: random_value(random, depth - 1) for key in keys}


def random_value(random: Random, depth: int) -> Any:
    if depth and random.random() < 0.5:
        return random_document(random, depth)
    return random.choice((None, None, 1, "é", [1, {"a": None}], {}, []))


def test_what_explain_tells_put_together_is_the_resolved_document(
    layers: LayersApi, name: str, drill: bool
) -> None:
    layers.environment(name)
    layers.put(name, {})
    layers.put(f"{name}/base", {})
    layers.extend(name, f"{name}/base")
    for seed in range(400 if drill else 40):
        random = Random(seed)
        parts = [random_document(random) for _ in range(3)]
        layers.put(f"{name}/base", parts[0])
        layers.put(name, parts[1])
        layers.put(name, parts[2], name)
        told, value = layers.explain(name, name), layers.value(name, name)

        assert text_of(put_together(told)) == text_of(value), parts
        assert value == merged(merged(*parts[:2]), parts[2])
        for one in told:
            # A value stands as it is in the document that it is said to come from, unless it is
            # an object of which everything was removed or replaced later.
            number = [f"{name}/base@default", f"{name}@default", f"{name}@{name}"].index(
                _layer(one["from"]).rpartition(":")[0]
            )
            there = _at(parts[number], one["pointer"])
            assert there == one["value"] or (one["value"] == {} and isinstance(there, dict)), one
            # No later layer has anything else there.
            for later in parts[number + 1 :]:
                assert _at(later, one["pointer"]) in ({}, NOTHING) or one["value"] == {}, one


def _at(value: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, dict) or key not in value:
            return NOTHING
        value = value[key]
    return value


def test_an_object_that_lost_all_its_keys_is_explained_too(layers: LayersApi, name: str) -> None:
    layers.environment(name)
    layers.put(name, {"a": {"b": 1}, "c": 2})
    layers.put(name, {"a": {"b": None}}, name)

    assert layers.value(name, name) == {"a": {}, "c": 2}
    assert put_together(layers.explain(name, name)) == {"a": {}, "c": 2}


def test_an_empty_object_in_a_later_layer_overrides_nothing(layers: LayersApi, name: str) -> None:
    layers.environment(name)
    layers.put(name, {"a": {"b": 1}})
    layers.put(name, {"a": {}}, name)

    assert origins(layers.explain(name, name)) == {"/a/b": f"{name}@default:0"}


def test_the_origin_of_what_a_reference_led_to_is_the_layer_that_has_it(
    layers: LayersApi, name: str
) -> None:
    source = f"{name}/source"
    layers.environment(name)
    layers.put(source, {"db": {"host": "a", "port": 1}, "hosts": ["x", "y"]})
    layers.put(source, {"db": {"host": "b"}}, name)
    layers.put(name, {"db": {"$use": f"{source}#/db"}, "second": {"$use": f"{source}#/hosts/1"}})

    told = layers.explain(name, name)
    assert origins(told) == {
        "/db/host": f"{source}@{name}:0",
        "/db/port": f"{source}@default:0",
        "/second": f"{source}@default:0",
    }
    assert put_together(told) == layers.value(name, name)
    assert [one["use"] for one in told] == [f"{source}#/db"] * 2 + [f"{source}#/hosts/1"]
    assert [len(one["overrides"]) for one in told] == [1, 0, 0]


def test_what_a_value_overrides_is_told_the_last_one_first(layers: LayersApi, name: str) -> None:
    low, high = f"{name}.low", f"{name}.high"
    layers.environment(low)
    layers.environment(high, low)
    for number, place in enumerate(("default", low, high)):
        layers.put(name, {"x": number}, place)

    [one] = layers.explain(name, high)
    assert one["value"] == 2
    assert [(each["value"], _layer(each)) for each in one["overrides"]] == [
        (1, f"{name}@{low}:0"),
        (0, f"{name}@default:0"),
    ]


def test_overridden_secrets_are_masked_too(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        boss = LayersApi(world.boss)
        boss.environment("prod")
        boss.put("base", {"password": world.canary(), "whole": {"inner": world.canary()}})
        boss.put("s", {"n": 1})
        marked = {"pointers": ["/password", "/whole"]}
        boss.http.put("/api/v1/services/secrets", params={"service": "s"}, json=marked)
        boss.put("s", {"password": world.canary()})
        boss.put("s", {"password": world.canary(), "whole": {"inner": world.canary()}}, "prod")
        boss.extend("s", "base")

        for api in (boss, LayersApi(world.reader)):
            for place in ("default", "prod"):
                told = api.explain("s", place)
                assert world.found_in(text_of(told)) == []
                assert put_together(told) == LayersApi(world.reader).value("s", place)
                assert "/whole/inner" not in text_of(told)


def test_of_layers_that_a_reader_may_not_read_only_what_is_served_is_told(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        boss = LayersApi(world.boss)
        unserved, served, note = world.canary(), world.canary(), world.canary()
        boss.environment("prod")
        query = {"service": "base", "note": note}
        boss.http.put("/config", params=query, json={"x": unserved, "y": served})
        boss.put("s", {"x": unserved, "z": 1})
        boss.put("s", {"x": 2, "z": 2}, "prod")
        boss.extend("s", "base")
        body = {"name": "s", "role": "reader", "services": ["s"], "environments": ["prod"]}
        token = boss.http.post("/api/v1/tokens", json=body).json()["token"]
        with closing(Api(world.server.url)) as api:
            api.http.headers["Authorization"] = f"Bearer {token}"
            told = LayersApi(api).explain("s", "prod")
            assert put_together(told) == LayersApi(api).value("s", "prod")

        assert world.found_in(text_of(told)) == [served]
        assert {one["pointer"]: one["overrides"] for one in told} == {"/x": [], "/y": [], "/z": []}
        # Whoever may read them is told.
        assert world.found_in(text_of(boss.explain("s", "prod"))) == [unserved, served, note]


# --- the difference of environments


def test_the_difference_of_two_environments_leads_from_one_to_the_other(
    layers: LayersApi, name: str
) -> None:
    layers.environment(name)
    layers.put(name, {"a": 1, "b": {"c": [1]}})
    layers.put(name, {"a": None, "b": {"d": 2}}, name)

    resolved = layers.diff(name, "default", name)
    assert resolved["patch"] == [
        {"op": "remove", "path": "/a"},
        {"op": "add", "path": "/b/d", "value": 2},
    ]
    stored = layers.diff(name, "default", name, resolved="false")
    assert {"op": "replace", "path": "/a", "value": None} in stored["patch"]
    assert {"op": "remove", "path": "/b/c"} in stored["patch"]
    assert layers.diff(name, name, name)["patch"] == []


# --- promotions


def test_a_promotion_of_several_is_one_revision_or_nothing(layers: LayersApi, name: str) -> None:
    layers.environment(name)
    one, two = f"{name}/one", f"{name}/two"
    layers.put(one, {"x": 1})
    layers.put(two, {"x": 2})
    head = layers.resolved(one).headers["Config-Revision"]

    for services, problem in (
        ([one, f"{name}/none"], 404),
        ([one, one], 422),
    ):
        assert layers.promote(services, "default", name).status_code == problem
        assert layers.layers(one, name) == f"{one}@default:0"
    done = layers.promote([one, two], "default", name)
    assert int(done.headers["Config-Revision"]) == int(head) + 1
    assert layers.layers(one, name) == f"{one}@default:0, {one}@{name}:0"
    again = layers.promote([one, two], "default", name)
    assert [change["changed"] for change in again.json()["changes"]] == [False, False]


def test_parts_are_promoted_into_what_is_there(layers: LayersApi, name: str) -> None:
    layers.environment(name, None)
    layers.put(name, {"a": {"b": {"c": 1}, "x": 0}, "/": {"~": [None]}, "null": None})
    layers.put(name, {"own": 1, "a": {"mine": 2}}, name)

    done = layers.promote([name], "default", name, ["/a/b", "/~1/~0", "/null"])
    assert done.status_code == 200, done.text
    assert layers.value(name, name) == {
        "own": 1,
        "a": {"mine": 2, "b": {"c": 1}},
        "/": {"~": [None]},
        "null": None,
    }
    for wrong in (["/a", "/nothing"], ["a"], ["/a/b/c/d"]):
        assert layers.promote([name], "default", name, wrong).status_code == 422
    layers.put(name, {"a": [1]}, name)
    assert layers.promote([name], "default", name, ["/a/b"]).status_code == 422


def test_promoted_secrets_are_sealed_again_and_can_be_read_there(tmp_path: Path) -> None:
    with world_in(tmp_path) as world:
        boss, editor, reader = (
            LayersApi(each) for each in (world.boss, world.editor, world.reader)
        )
        secret, other = world.canary(), world.canary()
        assert boss.environment("prod", None).status_code == 200
        boss.put("s", {"password": secret, "n": 1})
        marked = {"pointers": ["/password"]}
        boss.http.put("/api/v1/services/secrets", params={"service": "s"}, json=marked)
        boss.put("s", {"password": secret, "n": 2})
        boss.put("s", {"password": other, "n": 0}, "prod")

        # Whoever may not read a secret copies whole documents, and no parts with secrets.
        assert editor.promote(["s"], "default", "prod", ["/password"]).status_code == 403
        assert boss.value("s", "prod") == {"password": other, "n": 0}
        done = editor.promote(["s"], "default", "prod")
        assert done.status_code == 200, done.text
        assert boss.value("s", "prod") == {"password": secret, "n": 2}
        assert world.found_in(reader.resolved("s", "prod").content) == []

        boss.put("s", {"password": other, "n": 3})
        done = boss.promote(["s"], "default", "prod", ["/password"])
        assert done.status_code == 200, done.text
        assert boss.value("s", "prod") == {"password": other, "n": 2}
        world.server.stop()
        # At rest: the first version was written before the mark.
        assert other.encode() not in world.server.database.read_bytes()
        world.server.start()


def test_a_word_that_is_no_pointer_is_refused(layered_server: Server, name: str) -> None:
    layered_server.api.put(name, {"a": 1})

    refused = layered_server.api.http.get(
        "/api/v1/explain", params={"service": name, "pointer": "a"}
    )

    assert refused.status_code == 422
    assert "begins with a slash" in refused.text
