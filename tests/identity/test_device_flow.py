"""Log-in by the device flow: a real provider, a real server, and a terminal that asks them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from distributed_config.identity.device_flow import Handles, Pace
from distributed_config.settings import Settings
from tests.support.identity_provider import (
    ADMINISTRATOR,
    CLIENT,
    CLIENT_SECRET,
    KEY,
    WORDS,
    Key,
    Provider,
    create_user,
    serving,
    sessions,
)
from tests.support.server import Server

BEGIN, ASK = "/auth/oidc/device", "/auth/oidc/device/token"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Provider]]:
    """A server that knows its users; two processes, so that a log-in goes through both."""
    with Provider() as provider:
        with serving(tmp_path_factory.mktemp("device"), provider) as server:
            create_user(server, provider.email)
            create_user(server, "gone@example.org", active=False)
            yield server, provider
        log = server.log.read_text()
    told = [each for each in (CLIENT_SECRET, WORDS, *provider.seen) if each in log]
    assert not told, "secrets are in the log"


class Waiting:
    """A terminal that somebody logs in at."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = httpx2.Client(base_url=server.url, timeout=30, trust_env=False)
        self.begun: dict[str, Any] = {}

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def begin(self) -> httpx2.Response:
        answer = self.http.post(BEGIN)
        if answer.is_success:
            self.begun = answer.json()
        return answer

    def ask(self, handle: str = "") -> httpx2.Response:
        return self.http.post(ASK, json={"handle": handle or self.begun["handle"]})

    def log_in(self) -> httpx2.Response:
        """The answer to a log-in that is confirmed before anybody asks."""
        assert self.begin().status_code == 200
        return self.ask()

    def refused(self, status: int, answer: httpx2.Response) -> str:
        """The detail of a refusal, which is in our words and shows nothing of the provider's."""
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert WORDS not in answer.text
        return str(answer.json()["detail"])


@pytest.fixture
def terminal(guarded: Server) -> Iterator[Waiting]:
    with Waiting(guarded) as waiting:
        yield waiting


def handles(provider: Provider) -> Handles:
    """What seals as the server does."""
    settings = Settings(
        oidc_issuer=provider.url, oidc_client_id=CLIENT, oidc_client_secret=CLIENT_SECRET
    )
    return Handles(settings)


def logins(server: Server) -> list[dict[str, Any]]:
    """The log-ins in the audit log."""
    headers = {"Authorization": f"Bearer {ADMINISTRATOR}"}
    query = {"kind": "login", "limit": 500}
    found = httpx2.get(f"{server.url}/api/v1/audit", params=query, headers=headers, trust_env=False)
    entries: list[dict[str, Any]] = found.json()["entries"]
    return entries


# --- a log-in


def test_who_confirms_in_a_browser_is_logged_in_at_the_terminal(
    guarded: Server, provider: Provider, terminal: Waiting
) -> None:
    provider.device_errors = ["authorization_pending"]
    answer = terminal.begin()
    begun = answer.json()
    assert begun.keys() == {
        "handle",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    }
    assert begun["user_code"] == "WDJB-MJHT"
    assert begun["verification_uri"] == f"{provider.url}/activate"
    assert begun["verification_uri_complete"].endswith("?user_code=WDJB-MJHT")
    assert (begun["expires_in"], begun["interval"]) == (300, 1)
    assert answer.headers["Cache-Control"] == "no-store"
    assert next(iter(provider.device_codes)) not in answer.text, "the code is sealed"

    pending = terminal.ask()
    assert (pending.status_code, pending.headers["Retry-After"]) == (202, "1")
    assert pending.json() == {"interval": 1}
    time.sleep(1.1)  # the interval
    done = terminal.ask()

    assert done.status_code == 200, done.text
    assert done.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in done.headers
    assert done.json()["token_type"] == "bearer"
    token = done.json()["access_token"]
    provider.seen.append(token)
    me = terminal.http.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["name"] == "ada@example.org"


def test_a_log_in_at_a_terminal_is_in_the_audit_log(
    guarded: Server, provider: Provider, terminal: Waiting
) -> None:
    before = len(logins(guarded))

    terminal.log_in()

    [entry] = logins(guarded)[before:]
    assert entry["actor"] == "ada@example.org"
    assert entry["detail"] == {"way": "identity provider"}


def test_a_client_that_asks_too_often_asks_this_server_and_not_the_provider(tmp_path: Path) -> None:
    with (
        Provider() as provider,
        serving(tmp_path, provider, workers=1) as server,
        Waiting(server) as terminal,
    ):
        provider.device, provider.device_errors = {"interval": 30}, ["authorization_pending"] * 9
        terminal.begin()
        asked = len(provider.asked)

        answers = [terminal.ask() for _ in range(5)]

        assert [answer.status_code for answer in answers] == [202] * 5
        assert 25 < int(answers[-1].headers["Retry-After"]) <= 30
        assert provider.asked[asked:] == ["/token"]


def test_a_provider_that_asks_for_patience_gets_it(provider: Provider, terminal: Waiting) -> None:
    provider.device_errors = ["slow_down"]
    terminal.begin()

    answer = terminal.ask()

    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "6")


def test_the_pace_is_kept_for_each_log_in_and_gets_slower_when_it_has_to() -> None:
    now = [100.0]
    pace = Pace(lambda: now[0])

    assert pace.seconds_left("a", 5) == 0
    assert pace.seconds_left("a", 5) == 6
    assert pace.seconds_left("b", 5) == 0, "each has its own"
    now[0] += 5.1
    assert pace.seconds_left("a", 5) == 0
    assert pace.slow_down("a", 5) == 10
    assert pace.interval("a", 5) == 10
    now[0] += 9
    assert pace.seconds_left("a", 5) == 2
    now[0] += 1.1
    assert pace.seconds_left("a", 5) == 0
    assert pace.interval("a", 5) == 10, "it stays slower"
    for number in range(10_001):
        pace.seconds_left(str(number), 5)
    assert pace.interval("a", 5) == 5, "it forgets the oldest"


# --- refusals


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("access_denied", "was refused at the identity provider"),
        ("authorization_declined", "was refused at the identity provider"),
        ("expired_token", "Nobody confirmed this log-in in time"),
    ],
)
def test_a_log_in_that_is_refused_or_too_late_is_over(
    guarded: Server, provider: Provider, terminal: Waiting, error: str, says: str
) -> None:
    provider.device_errors = [error]
    before = sessions(guarded)

    detail = terminal.refused(401, terminal.log_in())

    assert says in detail
    assert "egin again" in detail
    assert sessions(guarded) == before


def test_a_handle_is_good_for_ten_minutes_and_only_if_this_server_sealed_it(
    provider: Provider, terminal: Waiting
) -> None:
    now = time.time()
    mine = handles(provider)

    def sealed(seconds_ago: int) -> str:
        return mine.seal(str(provider.begin_device(CLIENT)["device_code"]), 1, now - seconds_ago)

    assert "in time" in terminal.refused(401, terminal.ask(sealed(605)))
    asked = len(provider.asked)
    terminal.refused(401, terminal.ask(sealed(-100)))
    terminal.begin()
    good = terminal.begun["handle"]
    other = Handles(Settings(oidc_issuer=provider.url, oidc_client_id=CLIENT))
    code = str(provider.begin_device(CLIENT)["device_code"])
    for forged in (
        "x",
        "é",
        "A" * 5_000,
        good[:-3] + "AAA",
        good[:20] + ("A" if good[20] != "A" else "B") + good[21:],
        other.seal(code, 1, now),
        code,
    ):
        assert "Begin again" in terminal.refused(401, terminal.ask(forged))
    assert "/token" not in provider.asked[asked:], "the provider is asked nothing"
    assert terminal.ask(sealed(500)).status_code == 200


def test_the_code_of_another_client_is_of_no_use(
    guarded: Server, provider: Provider, terminal: Waiting
) -> None:
    code = str(provider.begin_device("another")["device_code"])
    before = sessions(guarded)

    terminal.refused(401, terminal.ask(handles(provider).seal(code, 1, time.time())))

    assert sessions(guarded) == before


def test_a_handle_is_good_for_one_log_in_whatever_the_provider_allows(
    guarded: Server, provider: Provider, terminal: Waiting
) -> None:
    provider.forgetful = True
    before = sessions(guarded)
    assert terminal.log_in().status_code == 200
    time.sleep(1.1)  # the interval

    assert "completed already" in terminal.refused(401, terminal.ask())
    [code] = provider.device_codes
    again = handles(provider).seal(code, 1, time.time())
    time.sleep(1.1)
    terminal.refused(401, terminal.ask(again))
    assert sessions(guarded) == before + 1


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"aud": None},
        {"azp": "another"},
        {"iss": "http://127.0.0.1:1"},
        {"exp": 1_600_000_000},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"email_verified": False},
        {"email_verified": None},
        {"email": None},
    ],
    ids=str,
)
def test_an_identity_token_that_the_browser_could_not_log_in_with_is_refused(
    guarded: Server, provider: Provider, terminal: Waiting, changed: dict[str, Any]
) -> None:
    provider.changed = changed
    before = sessions(guarded)

    terminal.refused(401, terminal.log_in())

    assert sessions(guarded) == before


def test_an_identity_token_that_the_provider_did_not_sign_is_refused(
    provider: Provider, terminal: Waiting
) -> None:
    stranger = Key()
    provider.sign = lambda claims: stranger.token(claims, kid=KEY.id)

    terminal.refused(401, terminal.log_in())


@pytest.mark.parametrize("email", ["nobody@example.org", "gone@example.org"])
def test_who_has_no_active_account_here_stays_out(
    provider: Provider, terminal: Waiting, email: str
) -> None:
    provider.email = email

    assert "no active account" in terminal.refused(403, terminal.log_in())


# --- the provider


def test_a_provider_that_fails_is_told_of_and_the_log_in_is_not_lost(
    provider: Provider, terminal: Waiting
) -> None:
    terminal.begin()
    provider.answers["/token"] = (500, {}, b'{"error": ["access_denied"]}')
    provider.answers["/device"] = (200, {}, b"{}")

    answer = terminal.ask()
    assert "log in with a password" in terminal.refused(503, answer)
    assert answer.headers["Retry-After"] == "5"
    assert "log in with a password" in terminal.refused(503, terminal.begin())
    provider.answers.clear()
    time.sleep(1.1)  # the interval
    assert terminal.ask().status_code == 200


@pytest.mark.parametrize(
    "device",
    [
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "http://login.example.org/"},
        {"verification_uri": None},
        {"verification_uri_complete": "file:///etc/passwd"},
        {"user_code": "\x1b[2J"},
        {"user_code": "A" * 65},
        {"user_code": 7},
        {"device_code": None},
    ],
    ids=str,
)
def test_nobody_is_sent_to_a_strange_address_or_shown_a_strange_code(
    provider: Provider, terminal: Waiting, device: dict[str, Any]
) -> None:
    provider.device = device

    terminal.refused(503, terminal.begin())


def test_what_a_provider_leaves_out_has_the_values_of_the_standard(
    provider: Provider, terminal: Waiting
) -> None:
    uri = f"{provider.url}/activate"
    provider.device = {
        "verification_uri": None,
        "verification_url": uri,  # as Google calls it
        "verification_uri_complete": None,
        "interval": None,
        "expires_in": 86_400,
    }

    begun = terminal.begin().json()

    assert begun["verification_uri"] == uri
    assert begun["verification_uri_complete"] is None
    assert (begun["interval"], begun["expires_in"]) == (5, 600)


@pytest.mark.parametrize("error", ["unauthorized_client", "invalid_client"])
def test_a_provider_that_does_not_allow_it_to_this_server_is_told_of(
    provider: Provider, terminal: Waiting, error: str
) -> None:
    provider.answers["/device"] = (401, {}, json.dumps({"error": error}).encode())

    answer = terminal.begin()

    assert "does not allow this server its device flow" in terminal.refused(404, answer)
    assert answer.json()["code"] == "no-device-flow"


def test_a_client_without_a_secret_logs_people_in_as_well(tmp_path: Path) -> None:
    more = {"oidc_client_secret": "", "oidc_role": "reader"}
    with (
        Provider() as provider,
        serving(tmp_path, provider, **more) as server,
        Waiting(server) as terminal,
    ):
        provider.is_for_public_clients = True

        assert terminal.log_in().status_code == 200


def test_a_provider_without_the_endpoint_or_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    provider = Provider()
    provider.has_device_flow = False
    more = {"oidc_role": "reader", "workers": 1, "limit_logins": "1 per minute"}
    with serving(tmp_path, provider, **more) as server, Waiting(server) as terminal:
        terminal.refused(503, terminal.begin())
        with provider:
            time.sleep(1.1)  # it rests for a second after a failure
            answer = terminal.begin()
            assert answer.json()["code"] == "no-device-flow"
            assert "POST /auth/token" in terminal.refused(404, answer)

            headers = {"Authorization": f"Bearer {ADMINISTRATOR}"}
            found = terminal.http.get("/api/v1/openapi.json", headers=headers)
            described = found.json()["paths"]
            assert described[BEGIN]["post"]["x-permission"] == "anybody"
            assert {"200", "202", "401"} <= described[ASK]["post"]["responses"].keys()

            # The address has ten attempts, and all of this counts as one.
            statuses = [terminal.begin().status_code for _ in range(9)]
            assert statuses == [404] * 8 + [429]
