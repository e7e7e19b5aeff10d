"""Sections of "Unified Config" that are lists or plain values, as its own sample file has them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.unified.client import Unified, faults
from tests.support.server import Api, Server

# Shaped like the sample that the original comes with.
SAMPLE = """
app:
  name: "Bench"
  debug: true
redis:
  nodes:
    - host: "primary.local"
      port: 6379
service_configs:
    - name: "Service A"
      active: true
    - name: "Service B"
      active: false
maintenance_mode: "enabled"
"""
LIST = [{"name": "Service A", "active": True}, {"name": "Service B", "active": False}]


@pytest.fixture
def unified(api: Api) -> Unified:
    return Unified(api)


@pytest.fixture
def section(name: str) -> str:
    return name.replace("/", "-").replace(".", "-").lower()


@pytest.mark.parametrize("value", ["enabled", 5432, 5.5, False, True, "", 0, [], LIST, [[None]]])
def test_a_bulk_update_replaces_a_section_that_is_a_list_or_a_plain_value(
    api: Api, unified: Unified, section: str, value: Any
) -> None:
    other = f"{section}-other"
    for before in ({"a": 1}, ["old"], "old"):
        unified.replace(section, before)

        answer = unified.bulk({section: value, other: {"a": 1}})

        assert answer.status_code == 200, answer.text
        assert answer.json() == {"message": "Configurations updated successfully!"}
        assert unified.get(section).json() == value
        assert unified.get(other).json() == {"a": 1}
    assert api.get(section, version="current").json() == {"$": value}


def test_what_such_a_section_may_not_be_is_told_at_its_place(
    unified: Unified, section: str
) -> None:
    bad = faults(unified.bulk({section: None}))
    assert [place for place, _ in bad] == [["body", section]]

    content = json.dumps({section: [0, ["\ud800"]], f"x-{section}": "\udfff"})
    headers = {"Content-Type": "application/json"}
    answer = unified.http.put("/config/update_bulk", content=content, headers=headers)
    assert [place for place, _ in faults(answer)] == [
        ["body", section, "1", "0"],
        ["body", f"x-{section}"],
    ]


def test_a_delete_without_a_section_is_refused_as_there(unified: Unified, section: str) -> None:
    answer = unified.http.delete("/config/delete", params={"key": "a"})

    assert answer.status_code == 422
    fault = {"loc": ["query", "section"], "msg": "Field required", "type": "missing"}
    assert answer.json() == {"detail": [fault]}
    assert unified.delete(section).status_code == 404


def test_a_server_begins_with_the_sample(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(SAMPLE)
    with Server(tmp_path / "instance", bootstrap=file, workers=1) as server:
        unified = Unified(server.api)
        assert unified.get("maintenance_mode").json() == "enabled"
        assert unified.get("service_configs").json() == LIST
        assert unified.get("app").json() == {"name": "Bench", "debug": True}


def test_without_the_dialect_a_server_begins_with_documents_only(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(SAMPLE)
    server = Server(tmp_path / "instance", bootstrap=file, dialects="tartarus", workers=1)
    assert server.run("db", "upgrade").returncode == 0

    run = server.run("serve")

    assert run.returncode != 0
    assert "maintenance_mode" in run.stderr


def test_a_section_of_nothing_is_no_beginning(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("a: {b: 1}\nc:\n")
    server = Server(tmp_path / "instance", bootstrap=file, workers=1)
    assert server.run("db", "upgrade").returncode == 0

    run = server.run("serve")

    assert run.returncode != 0
    assert "null" in run.stderr
