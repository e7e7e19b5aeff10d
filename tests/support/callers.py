"""Users and tokens that send requests."""

from typing import Any

import httpx2

from tests.support.server import Server

PASSWORD = "correct horse battery staple"
Answer = httpx2.Response
OPEN_CLIENTS: list[httpx2.Client] = []
"""The clients of all callers, for the test module that closes them at its end."""


class Caller:
    """Requests with one token; closed at the end of all tests."""

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.token = token
        self.http = httpx2.Client(base_url=url, timeout=30, trust_env=False, headers=headers)
        OPEN_CLIENTS.append(self.http)

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Answer:
        headers = query.pop("headers", {})
        return self.http.request(method, path, json=body, params=query, headers=headers)

    def put(self, service: str, document: Any) -> Answer:
        return self.ask("PUT", "/config", document, service=service)

    def get(self, service: str) -> Answer:
        return self.ask("GET", "/config", service=service, version="current")

    def make(self, what: str, body: Any, **rest: Any) -> dict[str, Any]:
        """Creates an account of some kind, which must work."""
        answer = self.ask("POST", f"/api/v1/{what}", body, **rest)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made


def logged_in(guarded: Server, email: str, password: str = PASSWORD) -> Caller:
    form = {"username": email, "password": password}
    answer = httpx2.post(f"{guarded.url}/auth/token", data=form, trust_env=False)
    assert answer.status_code == 200, answer.text
    return Caller(guarded.url, answer.json()["access_token"])
