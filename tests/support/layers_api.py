"""Requests about environments and layers, in few words."""

from typing import Any

import httpx2

from tests.support.layered import text_of
from tests.support.server import Api


class LayersApi:
    """What is asked and written about services in environments."""

    def __init__(self, api: Api) -> None:
        self.http = api.http

    def put(self, service: str, document: Any, environment: str = "default") -> httpx2.Response:
        query = {"service": service, "environment": environment}
        return self.http.put("/config", params=query, json=document)

    def resolved(self, service: str, environment: str = "default", **query: Any) -> httpx2.Response:
        headers = query.pop("headers", None)
        query = {"service": service, "environment": environment, "resolved": "true", **query}
        if "as_of" not in query:
            query["version"] = "current"
        return self.http.get("/config", params=query, headers=headers)

    def value(self, service: str, environment: str = "default", **query: Any) -> Any:
        response = self.resolved(service, environment, **query)
        assert response.status_code == 200, response.text
        assert response.text == text_of(response.json())
        return response.json()

    def layers(self, service: str, environment: str = "default") -> str:
        return str(self.resolved(service, environment).headers["Config-Layers"])

    def extend(self, service: str, *targets: str) -> httpx2.Response:
        return self.http.patch(
            "/api/v1/services", params={"service": service}, json={"extends": targets}
        )

    def environment(self, name: str, inherits: str | None = "default") -> httpx2.Response:
        body = {"name": name, "inherits": inherits}
        return self.http.post("/api/v1/environments", json=body)

    def inherit(self, name: str, parent: str | None) -> httpx2.Response:
        query = {"name": name}
        return self.http.patch("/api/v1/environments", params=query, json={"inherits": parent})

    def delete(self, service: str, environment: str = "default") -> httpx2.Response:
        """Disable all of a series and delete it."""
        query = {"service": service, "environment": environment}
        listed = self.http.get("/api/v1/versions", params={**query, "limit": 500})
        if listed.status_code != 200:
            return listed
        for version in listed.json()["versions"]:
            off = {**query, "version": version["number"], "enabled": "false"}
            done = self.http.patch("/config", params=off)
            if done.status_code != 200:
                return done
        return self.http.delete("/config", params=query)

    def changeset(self, *changes: dict[str, Any]) -> httpx2.Response:
        return self.http.post("/api/v1/changesets", json={"changes": changes})

    def promote(
        self, services: list[str], source: str, target: str, pointers: list[str] | None = None
    ) -> httpx2.Response:
        body = {"services": services, "from": source, "to": target, "pointers": pointers}
        return self.http.post("/api/v1/promotions", json=body)

    def explain(self, service: str, environment: str = "default") -> list[dict[str, Any]]:
        query = {"service": service, "environment": environment}
        response = self.http.get("/api/v1/explain", params=query)
        assert response.status_code == 200, response.text
        values: list[dict[str, Any]] = response.json()["values"]
        return values

    def diff(self, service: str, old: str, new: str, **query: str) -> Any:
        query = {"service": service, "from": old, "to": new, **query}
        response = self.http.get("/api/v1/diff", params=query)
        assert response.status_code == 200, response.text
        return response.json()


def revision_of(response: httpx2.Response) -> int:
    """Return the revision of a write that was done."""
    assert response.status_code == 200, response.text
    return int(response.headers["Config-Revision"])
