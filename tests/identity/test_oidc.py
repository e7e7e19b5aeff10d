"""Log-in by OpenID Connect: a real provider, a real server, and a browser between them."""

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from distributed_config.errors import CannotStart
from distributed_config.identity.oidc import LoginAttempt
from distributed_config.settings import load
from tests.support.identity_provider import (
    CLIENT,
    CLIENT_SECRET,
    FLOW_COOKIE,
    KEY,
    SESSION_COOKIE,
    WORDS,
    Browser,
    Key,
    Provider,
    assert_refused,
    base64url,
    create_user,
    joined,
    serving,
    sessions,
)
from tests.support.server import Server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Provider]]:
    """A server that knows its users; two processes, so that a log-in goes through both."""
    with Provider() as provider:
        with serving(tmp_path_factory.mktemp("oidc"), provider) as server:
            create_user(server, provider.email)
            create_user(server, "kim@example.org")
            create_user(server, "gone@example.org", active=False)
            yield server, provider
        log = server.log.read_text()
    told = [each for each in (CLIENT_SECRET, WORDS, *provider.seen) if each in log]
    assert not told, "secrets are in the log"


def test_who_logs_in_with_the_provider_is_logged_in_here(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    provider.email = "Ada@Example.org"
    begun = browser.http.get("/auth/oidc/login", headers={"Host": "evil.example:1"})
    flow = begun.headers["Set-Cookie"]
    assert "HttpOnly; SameSite=Lax" in flow
    assert "Path=/auth/oidc/callback" in flow
    asked = parse_qs(urlsplit(begun.headers["Location"]).query)
    assert asked["redirect_uri"] == [f"{guarded.url}/auth/oidc/callback"]
    secret = flow.partition("=")[2].partition(";")[0]
    assert not any(secret in value for values in asked.values() for value in values)

    answer = browser.log_in()

    assert answer.status_code == 200, answer.text
    cookie = answer.headers["Set-Cookie"]
    assert re.fullmatch(
        rf"{SESSION_COOKIE}=dcf_\w+; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict", cookie
    )
    assert answer.headers["Cache-Control"] == "no-store"
    # A page of our own leads on, so that a browser sends the strict cookie along.
    target = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
    assert target is not None
    assert target[1] == f"{guarded.url}/auth/me"
    me = browser.http.get(target[1])
    assert me.json()["name"] == "ada@example.org"
    again = browser.log_in().headers["Set-Cookie"]
    assert again != cookie, "every log-in is a session of its own"
    provider.seen += [secret, cookie.partition("=")[2].partition(";")[0]]


def test_no_parameter_chooses_where_a_log_in_ends(provider: Provider, browser: Browser) -> None:
    away = "https://evil.example/"
    more = urlencode({"next": away, "redirect_uri": away, "url": away, "iss": away})
    begun = browser.http.get(f"/auth/oidc/login?{more}")
    there = httpx2.get(begun.headers["Location"], trust_env=False, verify=False).headers["Location"]

    answer = browser.http.get(f"{there}&{more}")

    assert answer.status_code == 200
    assert "evil" not in begun.headers["Location"] + there + answer.text + str(answer.headers)


def test_a_callback_is_good_for_one_log_in_whatever_the_provider_allows(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    url = browser.begin()
    provider.forgetful = True
    assert browser.http.get(url).status_code == 200
    browser.http.cookies.delete(SESSION_COOKIE)

    assert_refused(guarded, browser, 401, lambda: browser.http.get(url))
    provider.forgetful = False
    del provider.codes[parse_qs(urlsplit(url).query)["code"][0]]
    assert_refused(guarded, browser, 401, lambda: browser.http.get(url))
    assert "was refused" in guarded.log.read_text(), "the log tells it"


def test_of_many_callbacks_at_once_one_opens_a_session(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    url = browser.begin()
    provider.forgetful = True
    before = sessions(guarded)
    cookies = {FLOW_COOKIE: browser.http.cookies[FLOW_COOKIE]}
    statuses: list[int] = []

    def come_back() -> None:
        with httpx2.Client(trust_env=False, verify=False, timeout=30, cookies=cookies) as http:
            statuses.append(http.get(url).status_code)

    threads = [threading.Thread(target=come_back) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200, 401, 401, 401]
    assert sessions(guarded) == before + 1


def test_a_log_in_ends_in_the_browser_in_which_it_began(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    url = browser.begin()
    code = parse_qs(urlsplit(url).query)["code"][0]
    here = browser.http
    asked = len(provider.asked)
    wrong_state = f"/auth/oidc/callback?{urlencode({'code': code, 'state': 'é' * 43})}"
    assert_refused(guarded, browser, 401, lambda: here.get(wrong_state))
    assert_refused(guarded, browser, 401, lambda: here.get(f"/auth/oidc/callback?code={code}"))
    with Browser(guarded) as other:
        assert_refused(guarded, other, 401, lambda: other.http.get(url))
        other.begin()
        assert_refused(guarded, other, 401, lambda: other.http.get(url))
    for forged in (
        "",
        "x",
        f"{10**11}.{'a' * 43}",
        f"{int(time.time())}.{'a' * 43}",
        "٣." + "a" * 43,
    ):
        headers = {"Cookie": f"{FLOW_COOKIE}={forged}".encode()}
        with httpx2.Client(trust_env=False, verify=False) as http:
            assert http.get(url, headers=headers).status_code == 401
    assert provider.asked[asked:].count("/token") == 0, "the code is not shown to anybody"
    assert here.get(url).status_code == 200


def test_a_log_in_that_took_too_long_is_over(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    begun = urlsplit(browser.http.get("/auth/oidc/login").headers["Location"])

    def come_back(seconds_ago: int) -> httpx2.Response:
        attempt = LoginAttempt(f"{int(time.time()) - seconds_ago}.{secrets.token_urlsafe(32)}")
        asked = {name: values[0] for name, values in parse_qs(begun.query).items()}
        asked |= {"state": attempt.state, "nonce": attempt.nonce}
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        asked["code_challenge"] = base64url(digest)
        there = httpx2.get(
            f"{provider.url}/authorize?{urlencode(asked)}", trust_env=False, verify=False
        )
        headers = {"Cookie": f"{FLOW_COOKIE}={attempt.secret}"}
        with httpx2.Client(trust_env=False, verify=False) as http:
            return http.get(there.headers["Location"], headers=headers)

    assert_refused(guarded, browser, 401, lambda: come_back(605))
    assert_refused(guarded, browser, 401, lambda: come_back(-100))
    assert come_back(500).status_code == 200


def test_a_stolen_code_is_of_no_use_in_another_log_in(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    with Browser(guarded) as other:
        stolen = parse_qs(urlsplit(other.begin()).query)["code"][0]
    state = parse_qs(urlsplit(browser.begin()).query)["state"][0]
    query = urlencode({"code": stolen, "state": state})

    assert_refused(guarded, browser, 401, lambda: browser.http.get(f"/auth/oidc/callback?{query}"))


def test_who_the_provider_turns_away_is_not_logged_in(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    state = parse_qs(urlsplit(browser.begin()).query)["state"][0]
    query = urlencode({"error": "access_denied", "error_description": WORDS, "state": state})

    assert_refused(guarded, browser, 401, lambda: browser.http.get(f"/auth/oidc/callback?{query}"))


LONG_AGO, LATER = 1_600_000_000, 4_000_000_000


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": "another", "azp": CLIENT},
        {"aud": [CLIENT, "another"]},
        {"aud": None},
        {"azp": "another"},
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"exp": LONG_AGO},
        {"exp": None},
        {"exp": True},
        {"iat": LATER},
        {"iat": None},
        {"nbf": LATER},
        {"sub": None},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": None},
        {"email": None},
        {"email": ["ada@example.org"]},
    ],
    ids=str,
)
def test_an_identity_token_that_is_not_for_this_log_in_is_refused(
    guarded: Server, provider: Provider, browser: Browser, changed: dict[str, Any]
) -> None:
    provider.changed = changed

    assert_refused(guarded, browser, 401, browser.log_in)


def test_a_token_for_several_with_us_as_the_authorised_party_is_taken(
    provider: Provider, browser: Browser
) -> None:
    provider.changed = {"aud": ["another", CLIENT], "azp": CLIENT}

    assert browser.log_in().status_code == 200


def unsigned(claims: Any) -> str:
    return joined({"alg": "none"}, claims) + "."


def signed_with_the_public_key(claims: Any) -> str:
    text = joined({"alg": "HS256", "kid": KEY.id}, claims)
    return f"{text}.{base64url(hmac.digest(KEY.pem(), text.encode(), 'sha256'))}"


def signed_with_the_symmetric_key(claims: Any) -> str:
    text = joined({"alg": "HS256", "kid": "x"}, claims)
    return f"{text}.{base64url(hmac.digest(b'x', text.encode(), 'sha256'))}"


def with_a_key_of_its_own(claims: Any) -> str:
    other = Key()
    return other.token(claims, kid=KEY.id, jwk=other.jwk())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        lambda claims: unsigned(claims).replace(".", f".{'A' * 3}", 1),
        signed_with_the_public_key,
        signed_with_the_symmetric_key,
        with_a_key_of_its_own,
        lambda claims: KEY.token(claims, alg="RS512"),
        lambda claims: KEY.token(claims, alg="ES256"),
        lambda claims: KEY.token(claims)[:-8] + "AAAAAAAA",
        lambda claims: KEY.token(["no", "object"]),
        lambda claims: joined(["alg"], claims) + ".AAAA",
        lambda claims: "nothing of the kind",
        lambda claims: "....",
    ],
    ids=[
        "none",
        "garbled",
        "the public key as a secret",
        "a symmetric key",
        "its own key",
        "another hash",
        "another kind of key",
        "a wrong signature",
        "no claims",
        "no header",
        "no token",
        "dots",
    ],
)
def test_an_identity_token_that_the_provider_did_not_sign_is_refused(
    guarded: Server, provider: Provider, browser: Browser, sign: Callable[[Any], str]
) -> None:
    provider.sign = sign

    assert_refused(guarded, browser, 401, browser.log_in)


def test_the_keys_are_read_once_more_when_one_is_unknown(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    stranger, successor = Key(), Key()
    provider.sign = stranger.token
    asked = len(provider.asked)
    assert_refused(guarded, browser, 401, browser.log_in)
    # Once for this log-in, and at most once by a process that knew nothing yet.
    assert 1 <= provider.asked[asked:].count("/jwks") <= 2

    provider.keys, provider.sign = [KEY, successor], successor.token
    assert browser.log_in().status_code == 200


@pytest.mark.parametrize(
    "email", ["nobody@example.org", "gone@example.org", "\u212aim@example.org"]
)
def test_who_has_no_active_account_here_stays_out(
    guarded: Server, provider: Provider, browser: Browser, email: str
) -> None:
    provider.email = email

    answer = assert_refused(guarded, browser, 403, browser.log_in)

    assert "no active account" in answer.json()["detail"]


GARBAGE = {
    "no JSON": (200, {}, f"<html>{WORDS}".encode()),
    "no object": (200, {}, b"[1]"),
    "deep": (200, {}, b"[" * 100_000),
    "no token": (200, {}, b"{}"),
    "elsewhere": (302, {"Location": "/elsewhere"}, b"{}"),
    "a failure": (500, {}, json.dumps({"error": WORDS}).encode()),
    "a client that it does not know": (401, {}, b'{"error": "invalid_client"}'),
    "half": (200, {"Content-Length": "100"}, b"{"),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_provider_that_answers_garbage_for_a_code_is_told_of(
    guarded: Server, provider: Provider, browser: Browser, garbage: str
) -> None:
    url = browser.begin()
    provider.answers["/token"] = GARBAGE[garbage]

    answer = assert_refused(guarded, browser, 503, lambda: browser.http.get(url))

    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["code"] == "provider-unavailable"
    assert "/elsewhere" not in provider.asked
    # The log-in is not lost: the same page can be loaded again.
    provider.answers.clear()
    assert browser.http.get(url).status_code == 200


def test_no_answer_of_the_provider_is_read_without_end(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    provider.filler = 300 << 10

    assert_refused(guarded, browser, 503, browser.log_in)


def test_a_provider_that_trickles_holds_nobody_for_long(
    guarded: Server, provider: Provider, browser: Browser
) -> None:
    url = browser.begin()
    provider.slow = {"/token"}
    began = time.monotonic()

    answer = assert_refused(guarded, browser, 503, lambda: browser.http.get(url))

    assert answer.headers["Retry-After"] == "5"
    assert time.monotonic() - began < 8


def test_a_provider_that_is_not_there_or_strange_is_told_of_and_others_are_served(
    tmp_path: Path,
) -> None:
    discovery = "/.well-known/openid-configuration"
    provider = Provider()
    other = json.dumps({"issuer": "http://127.0.0.1:1"}).encode()
    addresses = {"authorization_endpoint": "http://login.example.org/", "token_endpoint": "/t"}
    strange = json.dumps({"issuer": provider.url, "jwks_uri": provider.url, **addresses}).encode()
    more = {"oidc_role": "reader", "workers": 1}
    with serving(tmp_path, provider, **more) as server, Browser(server) as browser:

        def ask() -> httpx2.Response:
            time.sleep(1.1)  # it rests for a second after a failure
            return browser.http.get("/auth/oidc/login")

        assert assert_refused(server, browser, 503, ask).headers["Retry-After"] == "5"
        with provider:
            for answer in (GARBAGE["no JSON"], GARBAGE["elsewhere"], (200, {}, other)):
                provider.answers[discovery] = answer
                assert_refused(server, browser, 503, ask)
            provider.answers[discovery] = (200, {}, strange)
            assert_refused(server, browser, 503, ask)
            asked = len(provider.asked)
            assert browser.http.get("/auth/oidc/login").status_code == 503
            assert len(provider.asked) == asked, "it rests"
            provider.answers = {"/jwks": (200, {}, b'{"keys": [{"kty": "RSA"}]}')}
            assert_refused(server, browser, 503, ask)
            provider.answers = {}
            provider.slow = {"/jwks"}
            waiting = threading.Thread(target=ask)
            waiting.start()
            time.sleep(1.5)
            began = time.monotonic()
            assert (
                httpx2.get(f"{server.url}/readyz", trust_env=False, verify=False).status_code == 200
            )
            assert time.monotonic() - began < 3
            waiting.join()
            provider.begin()
            time.sleep(1.1)

            # And who is not known yet gets the role that is set for them.
            provider.email = "new@example.org"
            assert browser.log_in().status_code == 200
            me = browser.http.get("/auth/me").json()
            assert me["name"] == "new@example.org"
            assert me["organisation"] == "default"
            assert "config:read" in me["permissions"]
            assert "config:write" not in me["permissions"]
            assert browser.log_in().status_code == 200, "the second time they are there"
            provider.email = "not an address"
            browser.http.cookies.clear()
            assert_refused(server, browser, 403, browser.log_in)
    log = server.log.read_text()
    assert WORDS not in log
    assert CLIENT_SECRET not in log


def test_without_a_provider_there_is_nothing(server: Server) -> None:
    for path in ("login", "callback", "callback?code=x&state=y"):
        assert server.api.http.get(f"/auth/oidc/{path}").status_code == 404


GOOD = {
    "DISTCONF_OIDC_ISSUER": "https://login.example.org/realm/",
    "DISTCONF_OIDC_CLIENT_ID": CLIENT,
    "DISTCONF_PUBLIC_URL": "https://config.example.org/base",
}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"DISTCONF_OIDC_ISSUER": "http://login.example.org"}, "DISTCONF_OIDC_ISSUER"),
        ({"DISTCONF_OIDC_ISSUER": "http://127.0.0.1.example.org"}, "DISTCONF_OIDC_ISSUER"),
        ({"DISTCONF_OIDC_ISSUER": "https://a@login.example.org"}, "DISTCONF_OIDC_ISSUER"),
        ({"DISTCONF_OIDC_ISSUER": "https://login.example.org:x"}, "DISTCONF_OIDC_ISSUER"),
        ({"DISTCONF_OIDC_ISSUER": "login.example.org"}, "DISTCONF_OIDC_ISSUER"),
        ({"DISTCONF_OIDC_ISSUER": "https://login.example.org/?a"}, "DISTCONF_OIDC_ISSUER"),
        ({"DISTCONF_PUBLIC_URL": ""}, "DISTCONF_PUBLIC_URL"),
        ({"DISTCONF_PUBLIC_URL": "http://config.example.org"}, "DISTCONF_PUBLIC_URL"),
        ({"DISTCONF_OIDC_CLIENT_ID": ""}, "DISTCONF_OIDC_CLIENT_ID"),
        ({"DISTCONF_OIDC_CLIENT_SECRET": "é"}, "DISTCONF_OIDC_CLIENT_SECRET"),
        ({"DISTCONF_OIDC_CLAIM": ""}, "DISTCONF_OIDC_CLAIM"),
    ],
)
def test_settings_with_which_nobody_could_log_in_safely_keep_the_server_from_starting(
    changed: dict[str, str], named: str
) -> None:
    load(GOOD)
    load({**GOOD, "DISTCONF_OIDC_ISSUER": "http://[::1]:8080/a"})
    with pytest.raises(CannotStart, match=named) as refused:
        load({**GOOD, **changed})
    assert len(refused.value.problems) == 1
