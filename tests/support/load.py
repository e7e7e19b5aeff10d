"""Writers under which servers are killed and disks fail, and what must be stored afterwards."""

import hashlib
import json
import threading
import time
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

import httpx2

from distributed_config.models.sqlite import raw_connection
from tests.support.server import Api, Server


class Acknowledged(NamedTuple):
    """A version that the server acknowledged, with the digest of what was sent."""

    service: str
    number: int
    digest: str


class Load:
    """Writers that write without a pause, each on a connection of its own; use it in a ``with``.

    ``acknowledged`` are the writes with a 2xx response, ``refused`` all other responses. A write
    without a response is in neither: it may have happened or not.
    """

    def __init__(self, url: str, services: list[str], writers: int = 4) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.refused: list[httpx2.Response] = []
        self._url = url
        self._services = services
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number,), name=f"load-{number}")
            for number in range(writers)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until ``more`` writes have been acknowledged from now on."""
        enough = len(self.acknowledged) + more
        deadline = time.monotonic() + 20
        while len(self.acknowledged) < enough:
            assert time.monotonic() < deadline, f"writes stand still; refused: {self.refused[:3]}"
            time.sleep(0.005)

    def _write(self, writer: int) -> None:
        random = Random()  # never a document twice: PUT would make no version of it
        with closing(Api(self._url)) as api:
            while not self._ended.is_set():
                self._write_once(api, random, writer)

    def _write_once(self, api: Api, random: Random, writer: int) -> None:
        service = random.choice(self._services)
        text = random.choice("aä漢😀") * random.randrange(2_000)
        document = {"writer": writer, "n": random.getrandbits(60), "text": text}
        send = random.choice([api.put, api.patch])
        try:
            response = send(service, document)
        except httpx2.TransportError:
            time.sleep(0.01)  # the worker is gone, or the whole server
            return
        if response.status_code == 200:
            number = response.json()["version"]
            self.acknowledged.append(Acknowledged(service, number, digest_of(document)))
        else:
            self.refused.append(response)


def digest_of(document: Any) -> str:
    """Return the digest that a stored document must have, without the server's code."""
    return hashlib.sha256(json.dumps(document, ensure_ascii=False).encode()).hexdigest()


def audit(database: Path) -> None:
    """Compare every stored version with the journal, in the file itself."""
    with raw_connection(database) as connection:
        connection.execute("BEGIN")
        versions = connection.execute(
            "SELECT name, number, revision, digest, document FROM versions "
            "JOIN services ON services.id = service_id ORDER BY name, number"
        ).fetchall()
        changes = connection.execute(
            "SELECT service, number, revision, digest FROM changes "
            "WHERE kind = 'version.created' ORDER BY service, number"
        ).fetchall()
        revisions = connection.execute(
            "SELECT DISTINCT revision FROM changes ORDER BY 1"
        ).fetchall()
        [(head,)] = connection.execute("SELECT revision FROM head").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert [version[:4] for version in versions] == changes
    assert [revision for (revision,) in revisions] == list(range(1, head + 1))
    numbers: dict[str, list[int]] = {}
    for name, number, _, digest, document in versions:
        numbers.setdefault(name, []).append(number)
        assert hashlib.sha256(document.encode()).hexdigest() == digest, (name, number)
    for name, stored in numbers.items():
        assert stored == list(range(len(stored))), name


def assert_stored(server: Server, acknowledged: list[Acknowledged]) -> None:
    """Check that every acknowledged version is served, with its digest and its change."""
    changed = {
        (change["service"], change["version"], change["digest"])
        for change in server.api.changes()
        if change["kind"] == "version.created"
    }
    assert set(acknowledged) <= changed
    served = {
        (service, version["number"], version["digest"])
        for service in {write.service for write in acknowledged}
        for version in server.api.versions(service)
        if digest_of(version["document"]) == version["digest"]
    }
    assert set(acknowledged) <= served
    numbers = {(write.service, write.number) for write in acknowledged}
    assert len(numbers) == len(acknowledged), "a number was used twice"
    audit(server.database)
