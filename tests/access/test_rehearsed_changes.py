"""Who may see what a rehearsed write would change."""

from tests.support.access import As
from tests.support.callers import Caller


def test_a_difference_takes_the_right_to_read(administrator: Caller, acting: As, name: str) -> None:
    administrator.put(name, {"canary": 1})
    administrator.ask("PUT", "/api/v1/roles", {"permissions": ["config:write"]}, name=f"w-{name}")
    writer = acting(f"w-{name}")
    query = {"service": name, "dry_run": "true"}

    plain = writer.ask("PUT", "/config", {"n": 1}, **query)
    refused = writer.ask("PUT", "/config", {"n": 1}, diff="true", **query)

    assert plain.status_code == 200
    assert refused.status_code == 403
    assert "canary" not in refused.text
