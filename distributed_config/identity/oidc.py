"""An identity provider, spoken to by OpenID Connect: the authorization code flow with PKCE.

What belongs to one log-in is derived from one secret that only its browser holds, so that any
process can go on with it and nobody can write a thing here without having logged in. The device
flow, for terminals, is in ``device_flow``, and ends in the checks of this file.

One file: the order of the flow's steps is its security, and reads as one page.
"""

import hmac
import json
import logging
import re
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet
from joserfc.jws import JWSRegistry

from distributed_config.client.http.connection import SocketConnector
from distributed_config.client.http.messages import Request
from distributed_config.client.http.transport import Transport
from distributed_config.errors import ProviderUnavailable, Unauthenticated, Unreachable
from distributed_config.settings import Settings, is_safe_url

LIFETIME = 600
"""Seconds that a person has to log in at their provider."""

_TIMEOUT = 3.0  # seconds for one whole answer of the provider
_MOST_BYTES = 256 << 10  # of one answer
_KNOWN_FOR = 3600.0  # seconds that what the provider says of itself is believed
_REST = 1.0  # seconds after a failure in which it is not asked again
_LEEWAY = 60  # seconds that clocks may differ by
_ALGORITHMS = ("RS256", "ES256", "EdDSA")
_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
_ACCESS = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")  # the characters of RFC 6750
_SECRET = re.compile(r"(\d{1,12})\.[A-Za-z0-9_-]{43}")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoginAttempt:
    """A log-in that began in one browser, which alone holds its ``secret``.

    The secret begins with the time at which it was made. Whoever changes that changes all that is
    derived from it, and the provider has tied the code and the identity token to that already.
    """

    secret: str

    @property
    def state(self) -> str:
        """What the provider hands back, and the browser's cookie must fit."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the identity token must hold."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What the code is exchanged with (RFC 7636)."""
        return self._derived("verifier")

    @property
    def key(self) -> str:
        """What is remembered of it, so that it is good for one log-in only."""
        return self._derived("key")

    def _derived(self, what: str) -> str:
        made = hmac.digest(self.secret.encode(), what.encode(), "sha256")
        return urlsafe_b64encode(made).rstrip(b"=").decode()


def begin() -> LoginAttempt:
    """A log-in that nobody began before."""
    return LoginAttempt(f"{int(time.time())}.{secrets.token_urlsafe(32)}")


def begun(secret: str, state: str) -> LoginAttempt:
    """The log-in that a browser with ``secret`` began. Raises Unauthenticated unless it did."""
    found = _SECRET.fullmatch(secret)
    age = time.time() - int(found[1]) if found else None
    if age is None:
        raise refused("the browser shows no log-in that it began")
    if not -_LEEWAY <= age <= LIFETIME:
        raise refused("it took too long")
    attempt = LoginAttempt(secret)
    if not hmac.compare_digest(state.encode("utf-8", "replace"), attempt.state.encode()):
        raise refused("the state is not the browser's own")
    return attempt


@dataclass(frozen=True)
class Metadata:
    """What the provider says of itself, until ``until`` on the process's own clock.

    ``device`` and ``userinfo`` are "" where it has none, or none that can be trusted.
    """

    issuer: str
    authorization: str
    device: str
    token: str
    userinfo: str
    jwks: str
    shows_secret: str
    keys: KeySet
    until: float


@dataclass(frozen=True)
class _Given:
    """What the provider gave for a code. ``access``: what its userinfo is asked with, if any."""

    identity: str
    access: str


class Provider:
    """The identity provider of ``settings``, as one process knows it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: Metadata | None = None
        self._reading = threading.Lock()
        self._rests_until = 0.0
        # Whoever waits for the provider holds a thread; most of them stay for other requests.
        self._talks = threading.BoundedSemaphore(max(1, settings.threads // 4))

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self._settings.public_url.rstrip('/')}/auth/oidc/callback"

    @property
    def scope(self) -> str:
        """What the provider is asked to tell."""
        return "openid email" if self._settings.oidc_claim == "email" else "openid email profile"

    def address(self, attempt: LoginAttempt) -> str:
        """Where to send the browser. Raises ProviderUnavailable."""
        made: str = prepare_grant_uri(
            self._fresh().authorization,
            self._settings.oidc_client_id,
            "code",
            redirect_uri=self.redirect_uri,
            scope=self.scope,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return made

    def email_of(self, attempt: LoginAttempt, code: str) -> str:
        """The address of who logged in there.

        Raises Unauthenticated if the provider does not vouch for anybody, ProviderUnavailable if
        it fails.
        """
        form = prepare_token_request(
            "authorization_code",
            redirect_uri=self.redirect_uri,
            code=code,
            code_verifier=attempt.verifier,
        )
        with self.conversation() as known:
            status, answer = self.post(known, known.token, form)
            if status == HTTPStatus.BAD_REQUEST and answer.get("error") == "invalid_grant":
                raise refused("the provider does not take the code")
            return self.vouched_email(known, status, answer, attempt.nonce)

    @contextmanager
    def conversation(self) -> Iterator[Metadata]:
        """What the provider says of itself, for as long as it is spoken to.

        Raises ProviderUnavailable if it fails, or if too many log-ins wait for it already.
        """
        known = self._fresh()
        with self._talk():
            yield known

    def post(self, known: Metadata, url: str, form: str) -> tuple[int, dict[str, Any]]:
        """Status and object of the provider's answer to a form that this server signs as its own.

        Raises ProviderUnavailable.
        """
        settings = self._settings
        shown = ClientAuth(settings.oidc_client_id, settings.oidc_client_secret, known.shows_secret)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url, headers, body = shown.prepare("POST", url, headers, form)
        return _asked("POST", url, headers, body.encode())

    def vouched_email(
        self, known: Metadata, status: int, answer: dict[str, Any], nonce: str | None
    ) -> str:
        """The address that the provider vouches for, in the answer of its token endpoint.

        ``nonce`` must be in the identity token; None where nothing was to be repeated in it. Raises
        Unauthenticated if the provider does not vouch for anybody, ProviderUnavailable if it fails.
        """
        given = _given(status, answer)
        claims = self._verified(known, given.identity, nonce)
        _refuse_unverified(claims)
        if not self._tell_address(claims):
            found = self._userinfo(known, given, claims.get("sub"))
            # The address and its verification are of one source, never one from each.
            claims = found if self._settings.oidc_claim in found else claims
        return self._email(claims)

    def _fresh(self) -> Metadata:
        """What the provider says of itself, read again when that is an hour ago."""
        known = self._known
        if known is not None and time.monotonic() < known.until:
            return known
        with self._talk(), self._reading:
            known = self._known  # another thread may have read it meanwhile
            if known is None or time.monotonic() >= known.until:
                known = self._known = self._read()
            return known

    @contextmanager
    def _talk(self) -> Iterator[None]:
        """For what waits for the provider. Raises ProviderUnavailable if too many do already."""
        if not self._talks.acquire(blocking=False):
            raise failed("too many log-ins wait for it")
        try:
            yield
        finally:
            self._talks.release()

    def _read(self) -> Metadata:
        if time.monotonic() < self._rests_until:
            raise failed("it failed a moment ago")
        try:
            return self._discovered()
        except ProviderUnavailable:
            self._rests_until = time.monotonic() + _REST
            raise

    def _discovered(self) -> Metadata:
        base = self._settings.oidc_issuer.rstrip("/")
        found = self._got(f"{base}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != base:
            raise failed("its configuration names another issuer")
        addresses = [
            found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        ]
        if not all(isinstance(each, str) and self.may_be_visited(each) for each in addresses):
            raise failed("its configuration lacks an address that can be trusted")
        methods = found.get("token_endpoint_auth_methods_supported")
        return Metadata(
            issuer=found["issuer"],
            authorization=found["authorization_endpoint"],
            device=self._optional(found.get("device_authorization_endpoint")),
            token=found["token_endpoint"],
            userinfo=self._optional(found.get("userinfo_endpoint")),
            jwks=found["jwks_uri"],
            shows_secret=self._way_to_show(methods),
            keys=self._keys(found["jwks_uri"]),
            until=time.monotonic() + _KNOWN_FOR,
        )

    def _optional(self, url: Any) -> str:
        return url if isinstance(url, str) and self.may_be_visited(url) else ""

    def may_be_visited(self, url: str) -> bool:
        """Whether the provider may send us, or a browser, to ``url``; never from TLS to none."""
        scheme = urlsplit(self._settings.oidc_issuer).scheme
        return is_safe_url(url) and "#" not in url and urlsplit(url).scheme in {"https", scheme}

    def _way_to_show(self, methods: Any) -> str:
        if not self._settings.oidc_client_secret:
            return "none"
        by_body = isinstance(methods, list) and "client_secret_basic" not in methods
        return "client_secret_post" if by_body else "client_secret_basic"

    def _keys(self, url: str) -> KeySet:
        """The provider's public keys; those that are for something else are left out."""
        found = self._got(url).get("keys")
        keys = [_key(each) for each in found] if isinstance(found, list) else []
        usable = [key for key in keys if key is not None]
        if not usable:
            raise failed("it shows no key that can be used")
        return KeySet(usable)

    def _verified(self, known: Metadata, token: str, nonce: str | None) -> dict[str, Any]:
        """What the identity token says, if the provider says it, to us, now, of this log-in."""
        try:
            try:
                decoded = _decoded(token, known.keys)
            except InvalidKeyIdError:
                # The provider may have new keys since they were read. Once for each log-in.
                keys = self._keys(known.jwks)
                self._known = replace(known, keys=keys)
                decoded = _decoded(token, keys)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": known.issuer},
                    "aud": {"essential": True, "value": self._settings.oidc_client_id},
                },
                {"nonce": nonce, "client_id": self._settings.oidc_client_id},
            )
            claims.validate(leeway=_LEEWAY)
        except ProviderUnavailable:
            raise
        except JoseError as error:
            raise refused(f"the identity token: {type(error).__name__}") from None
        except Exception as error:  # whatever a strange token does to the library: nobody logs in
            raise refused(f"the identity token is garbled: {type(error).__name__}") from None
        return dict(claims)

    def _tell_address(self, claims: dict[str, Any]) -> bool:
        """Whether ``claims`` hold the address, and whether it is verified where that is asked."""
        name = self._settings.oidc_claim
        # Where another claim is the address, its provider may well say nothing of the mail.
        return name in claims and (name != "email" or "email_verified" in claims)

    def _userinfo(self, known: Metadata, given: _Given, subject: Any) -> dict[str, Any]:
        """What the provider tells only when it is asked, as many do by default.

        Nothing, where it cannot be asked. Raises Unauthenticated if it is not about ``subject``.
        """
        if not known.userinfo or not given.access:
            return {}
        headers = {"Authorization": f"Bearer {given.access}", "Accept": "application/json"}
        status, found = _asked("GET", known.userinfo, headers, None)
        if status != HTTPStatus.OK:
            raise failed(f"its userinfo has the status {status}")
        if found.get("sub") != subject:
            raise refused("the provider's userinfo is about somebody else")
        return found

    def _email(self, claims: dict[str, Any]) -> str:
        name = self._settings.oidc_claim
        if name not in claims:
            raise refused(
                f"neither the identity token nor userinfo has the claim {name!r}; let the provider "
                "add it, or name another in DISTCONF_OIDC_CLAIM"
            )
        if not self._tell_address(claims):
            raise refused(
                "the claim 'email_verified' is missing beside 'email'; let the provider add it, or "
                "name a claim that can be trusted in DISTCONF_OIDC_CLAIM"
            )
        _refuse_unverified(claims)
        email = claims[name]
        if not isinstance(email, str) or not email:
            raise refused(f"the claim {name!r} is no address")
        return email

    def _got(self, url: str) -> dict[str, Any]:
        status, found = _asked("GET", url, {}, None)
        if status != HTTPStatus.OK:
            raise failed(f"{urlsplit(url).path} has the status {status}")
        return found


def _asked(
    method: str, url: str, headers: dict[str, str], body: bytes | None
) -> tuple[int, dict[str, Any]]:
    """Status and object of one answer, in bounded time and size; nobody is followed elsewhere."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # One connection for each question: log-ins are rare, and providers close idle ones.
    headers = {"Connection": "close", **headers}
    connector = SocketConnector(f"{parts.scheme}://{parts.netloc}")
    transport = Transport(connector, timeout=_TIMEOUT, retries=0)
    try:
        response = transport.send_once(
            Request(method, target, headers=headers, body=body, most=_MOST_BYTES)
        )
        found = json.loads(response.body)
    except Unreachable as error:
        raise failed(error.detail) from None
    except (ValueError, RecursionError):
        raise failed(f"{parts.path} is not JSON, with the status {response.status}") from None
    finally:
        transport.close()
    if not isinstance(found, dict):
        raise failed(f"{parts.path} is not an object")
    return response.status, found


def _given(status: int, answer: dict[str, Any]) -> _Given:
    token = answer.get("id_token")
    if status != HTTPStatus.OK or not isinstance(token, str):
        raise failed(f"it gave no identity token, and the status {status}")
    access = answer.get("access_token")
    # It is shown in a header: nothing of it may begin another one.
    fits = isinstance(access, str) and _ACCESS.fullmatch(access)
    return _Given(token, str(access) if fits else "")


def _refuse_unverified(claims: dict[str, Any]) -> None:
    if claims.get("email_verified", True) not in (True, "true"):
        raise refused("the provider has not verified the address: 'email_verified' is not true")


def _decoded(token: str, keys: KeySet) -> jwt.Token:
    # The registry is what counts: beside one, decode() does not look at its own `algorithms`.
    registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
    return jwt.decode(token, keys, registry=registry)


def _key(data: Any) -> Key | None:
    """A key that can verify a signature; None for any other."""
    if not isinstance(data, dict) or data.get("kty") not in _KEY_TYPES:
        return None
    try:
        return JWKRegistry.import_key(data)
    except Exception:  # a key that cannot be read is one that is not there, whatever is wrong
        return None


def refused(reason: str) -> Unauthenticated:
    """Told in the same words whatever was wrong; the log has ``reason``, in ours."""
    _logger.warning("a log-in with the identity provider was refused: %s", reason)
    return Unauthenticated(
        "This log-in cannot be completed. Begin again: at /auth/oidc/login in this browser, or "
        "with `distconf login` at a terminal."
    )


def failed(reason: str) -> ProviderUnavailable:
    """What is wrong with the provider; the log has ``reason``, and the client a next step."""
    _logger.warning("the identity provider fails: %s", reason)
    return ProviderUnavailable()
