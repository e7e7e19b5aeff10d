"""The address may come from the provider's userinfo; the log names the claim that is missing."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support.identity_provider import Browser, Provider, assert_refused, create_user, serving
from tests.support.server import Server

EMAIL = "ada@example.org"


class Asked(Provider):
    """A provider that tells who it is when it is asked, as several do by default."""

    def begin(self) -> None:
        super().begin()
        self.changed = {"email": None, "email_verified": None}
        self.told: Any = {"sub": "1", "email": EMAIL, "email_verified": True}
        self.userinfo = f"{self.url}/userinfo"
        self.status = 200
        self.shown: list[str] = []

    def right(
        self, path: str, handler: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if path == "/userinfo":
            self.shown.append(handler.headers["Authorization"])
            return self.status, {}, json.dumps(self.told).encode()
        status, headers, sent = super().right(path, handler, body)
        if path == "/.well-known/openid-configuration":
            found = {**json.loads(sent), "userinfo_endpoint": self.userinfo}
            sent = json.dumps(found).encode()
        return status, headers, sent


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Asked]]:
    with Asked() as provider, serving(tmp_path_factory.mktemp("asked"), provider) as server:
        create_user(server, EMAIL)
        create_user(server, "kim@example.org")
        yield server, provider


def name(browser: Browser) -> Any:
    answer = browser.log_in()
    assert answer.status_code == 200, answer.text
    return browser.http.get("/auth/me").json()["name"]


def reason(server: Server) -> str:
    """The last reason that the log has for a refused log-in."""
    lines = server.log.read_text().splitlines()
    return [each for each in lines if "was refused" in each or "provider fails" in each][-1]


@pytest.mark.parametrize(
    "claims",
    [{}, {"email": EMAIL}, {"email": "kim@example.org"}, {"email_verified": True}],
    ids=str,
)
def test_the_address_comes_from_userinfo_where_the_token_does_not_tell(
    provider: Asked, browser: Browser, claims: dict[str, Any]
) -> None:
    provider.changed |= claims

    assert name(browser) == EMAIL
    assert provider.shown == ["Bearer a"]


def test_a_token_that_tells_is_not_asked_about(provider: Asked, browser: Browser) -> None:
    provider.changed = {"email": "kim@example.org"}

    assert name(browser) == "kim@example.org"
    assert provider.shown == []


@pytest.mark.parametrize(
    ("claims", "told", "said"),
    [
        ({}, {"sub": "1"}, "has the claim 'email'"),
        ({}, {"sub": "1", "email_verified": True}, "has the claim 'email'"),
        ({"email_verified": True}, {"sub": "1", "email": EMAIL}, "'email_verified' is missing"),
        ({"email": EMAIL}, {"sub": "1", "email_verified": True}, "'email_verified' is missing"),
        ({}, {"sub": "1", "email": EMAIL, "email_verified": False}, "is not true"),
        ({"email_verified": False}, None, "is not true"),
        ({}, {"sub": "1", "email": ["a"], "email_verified": True}, "is no address"),
        ({}, {"sub": "2", "email": EMAIL, "email_verified": True}, "about somebody else"),
        ({}, {"email": EMAIL, "email_verified": True}, "about somebody else"),
    ],
    ids=str,
)
def test_what_does_not_vouch_lets_nobody_in_and_the_log_says_why(
    guarded: Server,
    provider: Asked,
    browser: Browser,
    claims: dict[str, Any],
    told: Any,
    said: str,
) -> None:
    provider.changed |= claims
    provider.told = provider.told if told is None else told

    assert_refused(guarded, browser, 401, browser.log_in)

    assert said in reason(guarded)


@pytest.mark.parametrize(("status", "told"), [(403, {"sub": "1"}), (200, [1]), (500, "x")])
def test_a_userinfo_that_fails_is_the_provider_that_fails(
    guarded: Server, provider: Asked, browser: Browser, status: int, told: Any
) -> None:
    provider.status, provider.told = status, told

    assert_refused(guarded, browser, 503, browser.log_in)

    assert "userinfo" in reason(guarded)


def test_another_claim_may_come_from_userinfo_as_well(tmp_path: Path) -> None:
    with (
        Asked() as provider,
        serving(tmp_path, provider, oidc_claim="preferred_username", workers=1) as server,
        Browser(server) as browser,
    ):
        create_user(server, EMAIL)
        provider.told = {"sub": "1", "preferred_username": EMAIL}
        assert name(browser) == EMAIL
        provider.told = {"sub": "1", "email": EMAIL}
        assert browser.log_in().status_code == 401
        assert "'preferred_username'" in reason(server)


def test_a_userinfo_at_an_address_that_cannot_be_trusted_is_not_asked(tmp_path: Path) -> None:
    with Asked() as provider, serving(tmp_path, provider, workers=1) as server:
        provider.userinfo = "http://config.example.org/userinfo"
        create_user(server, EMAIL)
        with Browser(server) as browser:
            assert browser.log_in().status_code == 401
        assert "has the claim 'email'" in reason(server)
