"""How a live configuration starts while its server is away."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from distributed_config import errors
from distributed_config.client import Client, Config
from distributed_config.client.http.address import normalise_address
from tests.support.proxies import Gate
from tests.support.server import Api, Server, free_port
from tests.support.stubs import unresponsive_address

LONG = 60.0
"""A deadline that nobody waits for."""


@contextmanager
def at_once() -> Iterator[None]:
    """What is done in it may not wait for the deadline."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LONG / 2


def test_where_nobody_listens_it_starts_from_the_snapshot_at_once(
    api: Api, gate: Gate, name: str, tmp_path: Path
) -> None:
    api.put(name, {"n": 1})
    Config(name, url=gate.url, snapshots=tmp_path).close()
    gate.shut()

    for _ in range(3):
        with at_once(), Config(name, url=gate.url, snapshots=tmp_path, deadline=LONG) as cfg:
            assert (cfg["n"], cfg.source) == (1, "snapshot")
            assert isinstance(cfg.problem, errors.Unreachable)


def test_a_name_that_is_not_known_is_no_reason_to_wait_either(
    api: Api, server: Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(name, {"n": 1})
    Config(name, url=server.url, snapshots=tmp_path).close()

    def unknown(*_: Any, **__: Any) -> Any:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("socket.create_connection", unknown)

    with at_once(), Config(name, url=server.url, snapshots=tmp_path, deadline=LONG) as cfg:
        assert (cfg["n"], cfg.source) == (1, "snapshot")
        assert "Name or service not known" in str(cfg.problem)


def test_a_server_that_answers_goes_before_the_snapshot(
    api: Api, server: Server, name: str, tmp_path: Path
) -> None:
    api.put(name, {"n": 1})
    Config(name, url=server.url, snapshots=tmp_path).close()
    api.put(name, {"n": 2})

    with Config(name, url=server.url, snapshots=tmp_path, deadline=LONG) as cfg:
        assert (cfg["n"], cfg.source) == (2, "server")


def test_without_a_snapshot_a_server_that_is_starting_is_waited_for(
    api: Api, gate: Gate, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(name, {"n": 1})
    gate.shut()
    failed = Config._record_failure

    def failing(self: Config, error: errors.DistconfError) -> None:
        failed(self, error)
        monkeypatch.setattr(Config, "_record_failure", failed)
        gate.open()  # after the first refusal

    monkeypatch.setattr(Config, "_record_failure", failing)

    cfg = Config(name, url=gate.url, snapshots=tmp_path, deadline=LONG, defaults={"n": -1})

    with closing(cfg):
        assert (cfg["n"], cfg.source) == (1, "server")


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://config:5000/", "http://config:5000"),
        ("HTTP://Config:5000//", "http://config:5000"),
        ("http://config:80", "http://config"),
        ("https://config:443/base/", "https://config/base"),
        ("http://me:secret@config/?q#f", "http://config"),
        ("http://[::1]:5000/", "http://[::1]:5000"),
    ],
)
def test_an_address_has_one_spelling(url: str, same: str) -> None:
    assert normalise_address(url) == normalise_address(same) == same


@pytest.mark.parametrize(
    "other", ["http://config:443", "https://config", "http://config/Base", "http://127.0.0.1"]
)
def test_another_server_has_another_spelling(other: str) -> None:
    known = {normalise_address(each) for each in ("http://config", "http://config/base", other)}

    assert len(known) == 3


def test_a_snapshot_is_found_under_any_spelling_of_its_server(
    api: Api, name: str, gate: Gate, tmp_path: Path
) -> None:
    api.put(name, {"n": 1})
    Config(name, url=gate.url, snapshots=tmp_path).close()
    gate.shut()

    for url in (f"{gate.url}/", gate.url.replace("http", "HTTP")):
        with (
            at_once(),
            Config(name, url=url, snapshots=tmp_path, deadline=LONG, defaults={}) as cfg,
        ):
            assert cfg.source == "snapshot"
    other = gate.url.replace("127.0.0.1", "localhost")
    with pytest.raises(errors.NeverLoaded):
        Config(name, url=other, snapshots=tmp_path, deadline=0.2)


def uncaught(statement: str, *arguments: str) -> str:
    """What Python says of an error that a program does not catch."""
    text = f"import sys; from distributed_config.client import *; {statement}"
    ran = subprocess.run(
        [sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    return ran.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "Config('web', url=sys.argv[1], snapshots=False, deadline=0.2)",
        "Client(sys.argv[1], retries=0).get('web')",
    ],
)
def test_an_error_that_nobody_catches_is_one_traceback_with_one_sentence(statement: str) -> None:
    said = uncaught(statement, f"http://127.0.0.1:{free_port()}")

    assert said.count("Traceback") == 1, said
    assert "Errno" not in said
    assert said.rstrip().endswith("cannot be reached: Connection refused.")


def test_a_silent_server_is_told_in_one_sentence_too() -> None:
    with unresponsive_address() as url:
        said = uncaught("Client(sys.argv[1], timeout=0.2, retries=0).get('web')", url)

    assert said.count("Traceback") == 1, said
    assert said.rstrip().endswith("did not answer in time.")


def test_what_hindered_the_start_is_told_by_the_error() -> None:
    with pytest.raises(errors.NeverLoaded) as told:
        Config("web", url=f"http://127.0.0.1:{free_port()}", snapshots=False, deadline=0.2)

    assert isinstance(told.value.reason, errors.Unreachable)
    assert told.value.reason.at_once
    assert json.dumps(told.value.detail).count("refused") == 1


def test_a_call_that_is_closed_is_not_taken_for_a_server_that_is_away(server: Server) -> None:
    client = Client(server.url)
    client.close()

    with pytest.raises(errors.Unreachable) as told:
        client.get("web")
    assert not told.value.at_once
