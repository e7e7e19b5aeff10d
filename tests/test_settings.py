"""Settings come from the environment, whole or not at all."""

from pathlib import Path

import pytest

from distributed_config.errors import CannotStart
from distributed_config.settings import Settings, load, table


def test_nothing_needs_to_be_set() -> None:
    assert load({}) == Settings()


@pytest.mark.parametrize("name", ["URL", "TOKEN_FILE", "SERVICE", "SNAPSHOTS", "ENVIRONMENT"])
def test_a_setting_of_the_clients_may_share_the_environment(name: str) -> None:
    assert load({f"DISTCONF_{name}": "x"}) == Settings()


def test_every_problem_is_told_at_once() -> None:
    environ = {
        "DISTCONF_WORKERS": "many",
        "DISTCONF_LOG_FORMAT": "xml",
        "DISTCONF_LOG_REQUESTS": "perhaps",
        "DISTCONF_PGAE": "5",
        "DISTCONF_DATABASE_URL": "postgresql://db/x",
    }

    with pytest.raises(CannotStart) as refused:
        load(environ)

    told = [problem.message for problem in refused.value.problems]
    assert len(told) == 5
    for name in environ:
        assert any(name in message for message in told)


@pytest.mark.parametrize("bind", ["0.0.0.0:5000", "192.0.2.1:80", "[::]:5000", "example.org:80"])
def test_off_the_loopback_everybody_shows_a_token(bind: str) -> None:
    assert not load({"DISTCONF_BIND": bind}).is_open
    with pytest.raises(CannotStart, match="loopback"):
        load({"DISTCONF_BIND": bind, "DISTCONF_AUTH": "open"})


@pytest.mark.parametrize("bind", ["127.0.0.1:5000", "[::1]:5000", "localhost:5000"])
def test_on_the_loopback_nobody_has_to_unless_it_is_asked_for(bind: str) -> None:
    assert load({"DISTCONF_BIND": bind}).is_open
    assert not load({"DISTCONF_BIND": bind, "DISTCONF_AUTH": "token"}).is_open


@pytest.mark.parametrize("bind", ["127.0.0.1:5000", "localhost:1", "[::1]:5000", "127.9.9.9:80"])
def test_on_the_loopback_nothing_has_to_be_said(bind: str) -> None:
    assert load({"DISTCONF_BIND": bind}).on_loopback


def test_a_secret_may_come_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("sqlite:///" + str(tmp_path / "x.db") + "\n")
    environ = {"DISTCONF_DATABASE_URL_FILE": str(file)}

    settings = load(environ)

    assert settings.database_path == tmp_path / "x.db"
    row = next(row for row in table(settings, environ) if row.name == "DISTCONF_DATABASE_URL")
    assert row.source == "file"
    secret = Settings(database_url="sqlite://user:hunter2@host/x")
    assert "hunter2" not in str(table(secret, {}))


def test_what_kubernetes_sets_for_a_service_called_distconf_is_no_mistake() -> None:
    load(
        {
            "DISTCONF_SERVICE_HOST": "10.0.0.1",
            "DISTCONF_SERVICE_PORT": "5000",
            "DISTCONF_SERVICE_PORT_HTTP": "5000",
            "DISTCONF_PORT": "tcp://10.0.0.1:5000",
            "DISTCONF_PORT_5000_TCP": "tcp://10.0.0.1:5000",
            "DISTCONF_PORT_5000_TCP_ADDR": "10.0.0.1",
        }
    )


def test_every_setting_has_help_and_a_type() -> None:
    for row in table(Settings(), {}):
        assert row.help.endswith((".", "all.")), row.name
        assert row.type
