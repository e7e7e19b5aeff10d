"""Settings of frameworks, filled from a configuration."""

import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest

import distributed_config.client.integrations.django as into_django
import distributed_config.client.integrations.dynaconf as into_dynaconf
import distributed_config.client.integrations.flask as into_flask
from distributed_config import errors
from distributed_config.client import Client
from distributed_config.client.integrations.levels import follow_levels
from tests.client.conftest import Configs
from tests.support.scripts import threads_of
from tests.support.server import Server
from tests.support.waiting import eventually

pytestmark = pytest.mark.many


NESTED = {"db": {"hosts": ["a", {"b": 1}]}, "n": 0}


def test_frameworks_get_settings_that_they_may_change(
    client: Client, server: Server, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client.put(NESTED)
    monkeypatch.setenv("DISTCONF_URL", server.url)
    monkeypatch.setenv("DISTCONF_SERVICE", name)
    monkeypatch.setenv("DISTCONF_SNAPSHOTS", str(tmp_path))
    django: dict[str, Any] = {}
    dynaconf: dict[str, Any] = {}
    app = flask.Flask("app")

    with into_django.load(django, name), into_flask.init_app(app, name) as cfg:
        into_dynaconf.load(dynaconf)
        for found in (django["DB"], dynaconf["db"], app.config["DB"]):
            assert found == NESTED["db"]
            found["hosts"][1].setdefault("c", 2)
            found["hosts"].append("d")
            found["port"] = 1
        assert cfg == NESTED
    assert eventually(lambda: not threads_of(name))


def test_dynaconf_is_told_what_fails_unless_it_wants_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("DISTCONF_SERVICE", raising=False)
    settings = {"kept": 1}

    into_dynaconf.load(settings, silent=True)
    assert (settings, "DISTCONF_SERVICE" in caplog.text) == ({"kept": 1}, True)
    with pytest.raises(errors.Invalid, match="DISTCONF_SERVICE"):
        into_dynaconf.load(settings, silent=False)


class Settings(dict[str, Any]):
    """An application's, in whose first update something else happens."""

    meanwhile: Callable[[], Any] | None = None

    def update(self, *given: Any, **named: Any) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        super().update(*given, **named)
        if meanwhile is not None:
            meanwhile()


def test_flask_follows_from_the_beginning_and_gets_back_what_it_had(
    client: Client, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put({"testing": 1, "new": 1, "n": 0})
    cfg = configs()
    monkeypatch.setattr(into_flask, "Config", lambda service: cfg)
    app = SimpleNamespace(config=Settings(TESTING=False, N=-1), extensions={})
    app.config.meanwhile = lambda: cfg.wait_for(client.patch({"n": 1}).version, 5)

    assert into_flask.init_app(app, cfg.service) is cfg
    assert eventually(lambda: app.config == {"TESTING": 1, "NEW": 1, "N": 1})
    client.put({"n": 2})

    assert eventually(lambda: app.config == {"TESTING": False, "N": 2})


@pytest.mark.parametrize("key", ["logging", "app.logging", "log/x~y", "dotted.key"])
def test_levels_are_followed_wherever_they_are_and_given_back(
    client: Client, configs: Configs, name: str, key: str
) -> None:
    def document(**levels: Any) -> dict[str, Any]:
        return {"app": {"logging": levels}} if key == "app.logging" else {key: levels}

    root, other = logging.getLogger(), logging.getLogger(name)
    before = root.level
    other.setLevel(35)
    client.put(document(root="ERROR", **{name: "nonsense"}))
    end = follow_levels(configs(), key)
    try:
        assert (root.level, other.level) == (logging.ERROR, 35)
        client.put(document(root="CRITICAL", **{name: "debug"}))
        assert eventually(lambda: (root.level, other.level) == (logging.CRITICAL, logging.DEBUG))
        client.put({})
        assert eventually(lambda: (root.level, other.level) == (before, 35))
    finally:
        end()
        root.setLevel(before)


class Source:
    """What pydantic's settings have as the base of their sources."""

    def __init__(self, settings_cls: Any) -> None:
        self.settings_cls = settings_cls


def test_pydantics_settings_find_a_field_by_each_of_its_names(
    configs: Configs, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = SimpleNamespace(BaseSettings=object, PydanticBaseSettingsSource=Source)
    monkeypatch.setitem(sys.modules, "pydantic_settings", stand_in)
    module = importlib.import_module("distributed_config.client.integrations.pydantic_settings")
    monkeypatch.delitem(sys.modules, module.__name__)
    document = {"port": 1, "db_url": "pg", "db": {}, "list": [{"u": 7}], "alias": 2}
    cfg = configs(url=nowhere, defaults=document, deadline=0)

    def known(alias: Any = None, by: Any = None) -> Any:
        return SimpleNamespace(alias=alias, validation_alias=by)

    def path(*keys: Any) -> Any:
        return SimpleNamespace(path=list(keys))

    def asked(**config: Any) -> Any:
        fields = {
            "port": known(),
            "absent": known(),
            "alias": known("db_url", "db_url"),
            "several": known(by=SimpleNamespace(choices=[path("db", "no"), "first", "db_url"])),
            "inner": known(by=path("list", 0, "u")),
            "gone": known(by=path("list", 1)),
        }
        model = SimpleNamespace(model_fields=fields, model_config=config)
        return module.DistconfSource(model, cfg)()

    by_alias = {"port": 1, "db_url": "pg", "first": "pg", "list": [{"u": 7}]}
    assert asked() == by_alias
    assert asked(populate_by_name=True) == by_alias
    assert asked(validate_by_alias=False) == {"port": 1, "alias": 2}
    asked()["list"][0]["u"] = 8
    assert cfg.get("list") == [{"u": 7}]
