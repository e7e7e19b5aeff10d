"""The routes of the server, and requests to those that name a service."""

import tempfile
from pathlib import Path
from typing import Any

from distributed_config.app import create_app
from distributed_config.settings import Settings
from tests.support.server import Server

ABOUT_A_SERVICE: list[tuple[str, str, Any, dict[str, Any]]] = [
    ("GET", "/config", None, {}),
    ("GET", "/config", None, {"version": "current"}),
    ("GET", "/config", None, {"version": "0"}),
    ("GET", "/config", None, {"as_of": "2100-01-01T00:00:00Z"}),
    ("GET", "/config", None, {"defaults": "true"}),
    ("PATCH", "/config", {"n": 1}, {}),
    ("PATCH", "/config", None, {"version": 0, "enabled": "false"}),
    ("DELETE", "/config", None, {}),
    ("DELETE", "/config", None, {"version": 0}),
    ("DELETE", "/config", None, {"with_versions": "true", "note": "why"}),
    ("GET", "/api/v1/services/one", None, {}),
    ("PUT", "/api/v1/services/tags", {"tags": ["a"]}, {}),
    ("DELETE", "/api/v1/services/definition", None, {}),
    ("GET", "/api/v1/services/secrets", None, {}),
    ("PUT", "/api/v1/services/secrets", {"pointers": ["/n"]}, {}),
    ("GET", "/api/v1/versions", None, {}),
    ("GET", "/api/v1/diff", None, {"from": 0, "to": 0}),
    ("GET", "/api/v1/explain", None, {}),
    ("PATCH", "/api/v1/services", {"extends": []}, {}),
    ("POST", "/api/v1/rollback", None, {"to": 0}),
    ("POST", "/api/v1/merge", {"n": 1}, {"base": 0}),
    ("GET", "/api/v1/access", None, {}),
]


def routes() -> list[tuple[str, str, str]]:
    """Method, path and permission of every route."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder, "instance"))
        server.prepare()
        app = create_app(Settings(instance=server.instance))
        found = [
            (method, rule.rule, app.view_functions[rule.endpoint].permission)  # type: ignore[attr-defined]
            for rule in app.url_map.iter_rules()
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
        app.extensions["distributed_config"].close()
    return found


def path_of(rule: str) -> str:
    probe = "<any(health, 'readiness-probe'):_probe>"
    return (
        rule.replace(probe, "health").replace("<key>", "absent").replace("<config_key>", "absent")
    )
