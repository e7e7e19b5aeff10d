"""An OpenID provider, and browsers that log in with it."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from distributed_config.models.sqlite import raw_connection
from distributed_config.services.access.token_format import new_token
from tests.support.server import Server, free_port

ADMINISTRATOR = new_token()
CLIENT, CLIENT_SECRET = "distconf", "client-" + secrets.token_hex(16)
WORDS = "words-of-the-provider"
FLOW_COOKIE, SESSION_COOKIE = "distconf_oidc", "distconf_session"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def joined(header: Any, claims: Any) -> str:
    return ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))


class Key:
    """An RSA key; signs by itself, so that a fault of the server's library is not met by itself."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.id = secrets.token_hex(4)

    def jwk(self) -> dict[str, str]:
        numbers = self.private.public_key().public_numbers()
        n, e = (
            base64url(each.to_bytes((each.bit_length() + 7) // 8))
            for each in (numbers.n, numbers.e)
        )
        return {"kty": "RSA", "kid": self.id, "use": "sig", "n": n, "e": e}

    def pem(self) -> bytes:
        public = self.private.public_key()
        return public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def token(self, claims: Any, **header: str) -> str:
        text = joined({"alg": "RS256", "kid": self.id, **header}, claims)
        made = self.private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{base64url(made)}"


KEY = Key()


class Provider:
    """An identity provider on the loopback. What it does wrong is set by the test."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.begin()
        self.seen: list[str] = []
        self.asked: list[str] = []

    def begin(self) -> None:
        """As a good provider is."""
        self.email = "ada@example.org"
        self.keys = [KEY]
        self.changed: dict[str, Any] = {}
        self.sign: Callable[[Any], str] = self.keys[0].token
        self.codes: dict[str, dict[str, str]] = {}
        self.forgetful = False
        self.filler = 0
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.slow: set[str] = set()
        self.has_device_flow = True
        self.is_for_public_clients = False
        self.device: dict[str, Any] = {}
        self.device_errors: list[str] = []
        self.device_codes: dict[str, str] = {}

    def __enter__(self) -> "Provider":
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, b"")

            def do_POST(self) -> None:
                provider.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        path = urlsplit(handler.path).path
        self.asked.append(path)
        status, headers, sent = self.answers.get(path) or self.right(path, handler, body)
        with suppress(OSError):
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(sent)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            if path in self.slow:
                for each in sent:  # it trickles: every byte comes in time, and all of it does not
                    time.sleep(0.2)
                    handler.wfile.write(bytes([each]))
            else:
                handler.wfile.write(sent)

    def right(
        self, path: str, handler: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if path == "/.well-known/openid-configuration":
            found = {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize?tenant=a%26b",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
            }
            if self.has_device_flow:
                found["device_authorization_endpoint"] = f"{self.url}/device"
            return 200, {}, json.dumps(found).encode()
        if path == "/jwks":
            other = {"kty": "oct", "kid": "x", "k": "eA"}
            return 200, {}, json.dumps({"keys": [other, *(k.jwk() for k in self.keys)]}).encode()
        if path == "/authorize":
            asked = {n: v[0] for n, v in parse_qs(urlsplit(handler.path).query).items()}
            assert asked["tenant"] == "a&b"
            assert asked["response_type"] == "code"
            assert asked["code_challenge_method"] == "S256"
            assert "openid" in asked["scope"].split()
            code = secrets.token_urlsafe(20)
            self.codes[code] = asked
            # Real providers add parameters of their own.
            back = {"code": code, "state": asked["state"], "session_state": "s", "hd": "x"}
            return 302, {"Location": f"{asked['redirect_uri']}?{urlencode(back)}"}, b""
        form = {n: v[0] for n, v in parse_qs(body.decode()).items()}
        if self.is_for_public_clients:
            assert "Authorization" not in handler.headers
            assert parse_qs(body.decode())["client_id"] == [CLIENT]
        else:
            basic = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
            assert handler.headers["Authorization"] == f"Basic {basic}"
        if path == "/device":
            assert parse_qs(body.decode())["client_id"] == [CLIENT]
            assert "openid" in form["scope"].split()
            return 200, {}, json.dumps(self.begin_device(CLIENT)).encode()
        assert path == "/token", path
        if form["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code":
            return self.exchange_device(form["device_code"])
        return self.exchange(form)

    def begin_device(self, client: str) -> dict[str, Any]:
        """What a client gets that begins the device flow (RFC 8628, section 3.2)."""
        code = secrets.token_urlsafe(30)
        self.device_codes[code] = client
        self.seen.append(code)
        made = {
            "device_code": code,
            "user_code": "WDJB-MJHT",
            "verification_uri": f"{self.url}/activate",
            "verification_uri_complete": f"{self.url}/activate?user_code=WDJB-MJHT",
            "expires_in": 300,
            "interval": 1,
            **self.device,
        }
        return {name: value for name, value in made.items() if value is not None}

    def exchange_device(self, code: str) -> tuple[int, dict[str, str], bytes]:
        """Grant a code, once each of ``device_errors`` was answered."""
        if self.device_codes.get(code) != CLIENT:
            return 400, {}, json.dumps({"error": "invalid_grant"}).encode()
        if self.device_errors:
            refusal = {"error": self.device_errors.pop(0), "error_description": WORDS}
            return 400, {}, json.dumps(refusal).encode()
        if not self.forgetful:
            del self.device_codes[code]
        return self.granted(None)

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        assert form["grant_type"] == "authorization_code"
        asked = self.codes.get(form["code"])
        challenge = base64url(hashlib.sha256(form["code_verifier"].encode()).digest())
        self.seen += [form["code"], form["code_verifier"]]
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            refusal = {"error": "invalid_grant", "error_description": WORDS}
            return 400, {}, json.dumps(refusal).encode()
        if not self.forgetful:
            del self.codes[form["code"]]
        return self.granted(asked["nonce"])

    def granted(self, nonce: str | None) -> tuple[int, dict[str, str], bytes]:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "1",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": nonce,
            "email": self.email,
            "email_verified": True,
            **self.changed,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        token = self.sign(claims)
        if len(token) > 20:  # what is garbled on purpose may be anything
            self.seen.append(token)
        made = {
            "access_token": "a",
            "token_type": "Bearer",
            "id_token": token,
            "x": "a" * self.filler,
        }
        return 200, {}, json.dumps(made).encode()


class Browser:
    """Keeps cookies, and follows nobody by itself."""

    def __init__(self, server: Server) -> None:
        self.http = httpx2.Client(base_url=server.url, timeout=30, trust_env=False, verify=False)
        self.http.headers.update({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"})

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def begin(self) -> str:
        """Goes to the provider, logs in there, and tells where that sends it back to."""
        answer = self.http.get("/auth/oidc/login")
        assert answer.status_code == 302, answer.text
        there = httpx2.get(answer.headers["Location"], trust_env=False, verify=False)
        assert there.status_code == 302
        return there.headers["Location"]

    def log_in(self) -> httpx2.Response:
        return self.http.get(self.begin())


def create_user(server: Server, email: str, **changed: Any) -> None:
    with httpx2.Client(base_url=server.url, trust_env=False, verify=False) as http:
        http.headers["Authorization"] = f"Bearer {ADMINISTRATOR}"
        made = http.post("/api/v1/users", json={"email": email, "role": "editor"})
        assert made.status_code == 200, made.text
        if changed:
            user = {"id": made.json()["id"]}
            answer = http.patch("/api/v1/users", params=user, json=changed)
            assert answer.status_code == 200, answer.text


def sessions(server: Server) -> int:
    with raw_connection(server.database) as connection:
        row = connection.execute("SELECT count(*) FROM tokens WHERE kind = 'session'").fetchone()
    return int(row[0])


def serving(folder: Path, provider: Provider, **more: Any) -> Server:
    port = free_port()
    return Server(
        folder / "instance",
        port,
        auth="token",
        admin_token=ADMINISTRATOR,
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT,
        public_url=f"http://127.0.0.1:{port}",
        **{"oidc_client_secret": CLIENT_SECRET, **more},
    )


def assert_refused(
    server: Server, browser: Browser, status: int, ask: Callable[[], httpx2.Response]
) -> httpx2.Response:
    """The status, in our words, and that no session was opened."""
    before = sessions(server)
    answer = ask()
    assert answer.status_code == status, answer.text
    assert sessions(server) == before
    assert SESSION_COOKIE not in answer.headers.get("Set-Cookie", "")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert WORDS not in answer.text
    assert browser.http.get("/auth/me").status_code == 401
    return answer
