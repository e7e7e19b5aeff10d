"""`distconf login` where the server has an identity provider with the device flow."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distributed_config.client.cli.device_login import wait_until_confirmed
from distributed_config.client.http.messages import Response
from tests.support.callers import PASSWORD, Caller
from tests.support.identity_provider import ADMINISTRATOR, WORDS, Provider, serving
from tests.support.server import Server
from tests.support.shells import Shell
from tests.support.stubs import Recorder
from tests.support.terminals import DOOR, Terminal

ADA = "ada@example.org"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Provider]]:
    with Provider() as provider, serving(tmp_path_factory.mktemp("device"), provider) as server:
        caller = Caller(server.url, ADMINISTRATOR)
        caller.make("users", {"email": ADA, "password": PASSWORD, "role": "editor"})
        caller.http.close()
        yield server, provider


@pytest.fixture
def provider(running: tuple[Server, Provider]) -> Provider:
    running[1].begin()
    return running[1]


@pytest.fixture
def person(running: tuple[Server, Provider], tmp_path: Path) -> Terminal:
    """Somebody at a terminal with a screen, whose browser writes down where it is sent."""
    person = Terminal(Shell(tmp_path, running[0].url))
    browser = Path(person.write("browser", '#!/bin/sh\necho "$1" > visited\n'))
    (person.home / browser).chmod(0o755)
    return person


def log_in(person: Terminal, *words: str, **more: Any) -> tuple[int, str]:
    url = person.shell.url
    variables = {"BROWSER": f"{person.home / 'browser'} %s", "SSH_CONNECTION": "", **more}
    answers = variables.pop("answers", ())
    return person.typed("login", "--url", url, *words, answers=answers, **variables)


def test_a_code_is_shown_and_confirmed_in_the_browser(person: Terminal, provider: Provider) -> None:
    provider.device_errors = ["authorization_pending", "authorization_pending"]

    code, shown = log_in(person)

    assert code == 0, shown
    assert f"open {provider.url}/activate in a browser" in shown
    assert "\n    WDJB-MJHT\n" in shown
    assert f"You are {ADA} at {person.shell.url}." in shown
    visited = (person.home / "visited").read_text()
    assert visited == f"{provider.url}/activate?user_code=WDJB-MJHT\n"
    assert person.value("whoami")["name"] == ADA
    assert person.output("logout") == f"You are logged out of {person.shell.url}.\n"


@pytest.mark.parametrize(
    ("words", "variables"),
    [(["--no-browser"], {}), ([], {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})],
    ids=["asked not to", "far away"],
)
def test_no_browser_is_opened_where_it_would_not_be_seen(
    person: Terminal, provider: Provider, words: list[str], variables: dict[str, str]
) -> None:
    code, shown = log_in(person, *words, **variables)

    assert code == 0, shown
    assert not (person.home / "visited").exists()


def test_no_address_of_another_kind_is_opened(person: Terminal) -> None:
    begun = {
        "handle": "h",
        "user_code": "c",
        "verification_uri": "file:///etc/passwd",
        "verification_uri_complete": None,
        "expires_in": 60,
        "interval": 1,
        "access_token": "t",
        "name": "ada",
        "expires_at": None,
    }
    with Recorder(begun) as other:
        person.shell.url = other.url
        code, shown = log_in(person)

    assert code == 0, shown
    assert not (person.home / "visited").exists()


def test_what_is_no_configuration_server_is_told_of(person: Terminal) -> None:
    with Recorder({"handle": "h"}) as other:
        person.shell.url = other.url
        code, shown = log_in(person)

    assert (code, "not a configuration server" in shown) == (3, True), shown


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("access_denied", "was refused at the identity provider"),
        ("expired_token", "Nobody confirmed this log-in in time"),
    ],
)
def test_a_log_in_that_is_refused_or_too_late_is_told_of_and_nothing_is_kept(
    person: Terminal, provider: Provider, error: str, says: str
) -> None:
    provider.device_errors = [error]

    code, shown = log_in(person)

    assert (code, says in shown) == (1, True), shown
    assert "begin again" in shown.lower()
    assert WORDS not in shown
    assert not (person.home / ".config").exists()


def test_the_terminal_gives_up_when_the_code_is_over(person: Terminal, provider: Provider) -> None:
    provider.device = {"expires_in": 2}
    provider.device_errors = ["authorization_pending"] * 9

    code, shown = log_in(person)

    assert (code, "Nobody confirmed this log-in in time" in shown) == (1, True), shown


def test_a_wait_that_got_longer_never_gets_shorter_again() -> None:
    answers = [
        Response(202, {"retry-after": "6"}, b"{}"),
        Response(202, {"retry-after": "1"}, b"{}"),
        Response(200, {}, b'{"access_token": "t"}'),
    ]
    pauses: list[int] = []
    transport = SimpleNamespace(pause=pauses.append, send=lambda _: answers.pop(0))
    begun = {"handle": "h", "interval": 1, "expires_in": 60}

    session = wait_until_confirmed(SimpleNamespace(transport=transport), begun)  # type: ignore[arg-type]

    assert (session.token, session.kind) == ("t", "session")
    assert pauses == [1, 6, 6]


def test_an_address_asks_for_its_password(person: Terminal, provider: Provider) -> None:
    asked = len(provider.asked)

    code, shown = log_in(person, "--email", ADA, answers=[("Password:", PASSWORD)])

    assert code == 0, shown
    assert provider.asked[asked:] == []


def test_where_the_provider_does_not_have_it_a_password_is_asked_for(
    person: Terminal, provider: Provider
) -> None:
    provider.answers["/device"] = (400, {}, b'{"error": "unauthorized_client"}')

    code, shown = log_in(person, answers=[("E-mail", ADA), ("Password:", PASSWORD)])

    assert code == 0, shown
    assert "does not allow this server its device flow" in shown
    assert "Log in with a password, or give a token with --token-file." in shown
    assert f"You are {ADA}" in shown


def test_where_the_provider_fails_a_password_is_asked_for(
    person: Terminal, provider: Provider
) -> None:
    provider.answers["/device"] = (500, {}, b"{}")

    code, shown = log_in(person, answers=[("E-mail", ADA), ("Password:", PASSWORD)])

    assert code == 0, shown
    assert "Your identity provider does not answer as it should." in shown


def test_a_wait_can_be_ended_with_a_key(person: Terminal, provider: Provider) -> None:
    provider.device_errors = ["authorization_pending"] * 99
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", DOOR, "login", "--url", person.shell.url, "--no-browser"],
        env=person.shell.environment(DISTCONF_URL=""),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    while "Waiting" not in shown:
        shown += os.read(ours, 1 << 16).decode()
    process.send_signal(2)

    assert process.wait(15) == 130
    os.close(ours)
