"""The audit log: nothing is written without an entry, and nothing is changed unnoticed."""

import csv
import io
import json
import random
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result
from flask import Response

from distributed_config import wire
from distributed_config.app import create_app
from distributed_config.commands import audit as audit_command
from distributed_config.commands import export
from distributed_config.commands.check import database
from distributed_config.errors import DistconfError
from distributed_config.http import auditing, secret_reads
from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange
from distributed_config.models import AuditRow, ChangeRow
from distributed_config.models import sqlite as engines
from distributed_config.services import changesets, definitions, versions
from distributed_config.services.access import organisations, roles, tokens
from distributed_config.services.access.grants import Grant
from distributed_config.services.documents.series import Series
from distributed_config.services.journal import audit
from distributed_config.services.journal.kinds import AuditKind
from distributed_config.services.journal.transaction import Transaction
from distributed_config.services.journal.verify import verify_chain
from distributed_config.services.policy.actor import LOCAL_OPERATOR
from distributed_config.services.policy.visibility import Scope
from distributed_config.settings import Settings
from distributed_config.store.database import connect, open_writer
from distributed_config.store.writer import Writer
from distributed_config.wire import Document, DocumentLimits, digest_of, make_object
from tests.support.server import Server


def settings_in(folder: Path) -> Settings:
    """The settings of an empty database in ``folder``."""
    server = Server(folder)
    server.prepare()
    return Settings(instance=folder)


def document(value: Any) -> Document:
    text = json.dumps(value)
    return Document(text, digest_of(text))


def put(writer: Writer, name: str, value: Any, actor: Any = LOCAL_OPERATOR) -> None:
    writer.write(
        actor, lambda transaction: versions.put(transaction, Series(name), document(value))
    )


def record_entry(writer: Writer, kind: str = AuditKind.EXPORT, actor: Any = LOCAL_OPERATOR) -> None:
    writer.write(actor, lambda transaction: audit.record(transaction, kind, organisation=1))


def faults(settings: Settings) -> list[str]:
    """Return what `distconf check` says about the audit log."""
    return [line for each in database(settings) if each.what == "audit" for line in each.faults]


def head_of(settings: Settings) -> Any:
    with connect(settings) as connection:
        return audit.head(connection)


def run(settings: Settings, *arguments: str) -> Result:
    """Run `distconf audit`."""
    environ = {"DISTCONF_INSTANCE": str(settings.instance)}
    return CliRunner().invoke(audit_command.command, arguments, env=environ)


def raw(settings: Settings, statement: str, *values: Any) -> list[Any]:
    with engines.raw_connection(settings.database_path) as connection:
        return list(connection.execute(statement, values))


# --- every write leaves an entry


def test_every_unit_that_wrote_is_sealed_whatever_became_of_its_neighbours(tmp_path: Path) -> None:
    """Run a random history in batches: units that write, fail half-way, or only audit."""
    settings = settings_in(tmp_path / "instance")
    chosen = random.Random(7)
    held = threading.Event()

    def failing(transaction: Transaction) -> None:
        versions.put(transaction, Series("web"), document({"n": secrets.token_hex(4)}))
        audit.record(transaction, AuditKind.EXPORT, organisation=1)
        raise DistconfError("It was not meant.")

    def several(transaction: Transaction) -> None:
        value = {"n": secrets.token_hex(4)}
        changesets.import_all(transaction, [("a", document(value)), ("b", document(value))])

    def one(writer: Writer, which: int) -> None:
        if which == 0:
            with pytest.raises(DistconfError, match="not meant"):
                writer.write(LOCAL_OPERATOR, failing)
        elif which == 1:
            record_entry(writer)
        elif which == 2:
            writer.write(LOCAL_OPERATOR, several)
        elif which == 3:
            writer.rehearse(LOCAL_OPERATOR, several)
        else:
            put(writer, "web", {"n": secrets.token_hex(4)})

    with open_writer(settings) as writer, ThreadPoolExecutor(8) as threads:
        for _ in range(12):
            held.clear()
            # What comes while the writer is held waits, and is one batch then.
            threads.submit(writer.write, LOCAL_OPERATOR, lambda _journal: held.wait(5))
            waiting = [threads.submit(one, writer, chosen.randrange(6)) for _ in range(6)]
            time.sleep(0.02)
            held.set()
            for each in waiting:
                each.result()

    assert faults(settings) == []
    sealed = [
        row[0]
        for row in raw(settings, "SELECT revision FROM audit WHERE kind = 'changed' ORDER BY id")
    ]
    written = [row[0] for row in raw(settings, "SELECT DISTINCT revision FROM changes")]
    assert sealed == sorted(written)
    assert len(sealed) > 20
    ids = [row[0] for row in raw(settings, "SELECT id FROM audit ORDER BY id")]
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) > len(sealed)


def test_two_processes_write_one_chain_and_it_survives_kill_9(tmp_path: Path) -> None:
    with Server(tmp_path / "instance", log_requests="false") as server:
        settings = Settings(instance=server.instance)
        done: list[str] = []

        def write(name: str) -> None:
            with httpx2.Client(base_url=server.url, timeout=10, trust_env=False) as http:
                while True:
                    try:
                        http.put(f"/config?service={name}", json={"n": len(done)})
                        http.get("/api/v1/export")
                    except httpx2.HTTPError:
                        return  # it was killed
                    done.append(name)

        with ThreadPoolExecutor(4) as threads:
            for number in range(4):
                threads.submit(write, f"s{number}")
            with open_writer(settings) as writer:  # one more process, beside the two workers
                for number in range(20):
                    put(writer, "beside", {"n": number})
            eventually(lambda: len(done) > 30)
            server.kill()

        run = server.run("check")
        assert run.returncode == 0, run.stdout
        assert "are one chain" in run.stdout
        ids = [row[0] for row in raw(settings, "SELECT id FROM audit ORDER BY id")]
        assert ids == list(range(1, len(ids) + 1))
        server.start()
        server.api.put("after", {})
        assert faults(settings) == []


def test_the_chain_of_a_database_from_before_begins_with_the_next_write(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "instance")
    with open_writer(settings) as writer:
        put(writer, "web", {"n": 1})
    raw(settings, "DELETE FROM audit")
    raw(settings, "UPDATE head SET audit_id = 0, audit_at = 0, audit_hash = ?", "0" * 64)
    assert faults(settings) == []
    with open_writer(settings) as writer:
        put(writer, "web", {"n": 2})

    fine = next(each.fine for each in database(settings) if each.what == "audit")
    assert faults(settings) == []
    assert fine == "entries 1 to 1 are one chain, and revisions 2 to 2 of the journal are sealed"


# --- nothing is changed unnoticed


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A database in which no column of entries and changes is empty everywhere."""
    settings = settings_in(tmp_path_factory.mktemp("filled") / "instance")
    actor = LOCAL_OPERATOR
    with open_writer(settings) as writer:
        for number in range(6):
            put(writer, "web", {"n": number})
        schema = make_object({"type": "object"}, DocumentLimits())
        writer.write(
            actor, lambda transaction: definitions.create(transaction, "any", schema, "none", ())
        )
        writer.write(
            actor, lambda transaction: tokens.create_machine(transaction, "ci", Grant("publisher"))
        )
        writer.write(
            actor,
            lambda transaction: audit.record(
                transaction,
                AuditKind.SECRET_READ,
                organisation=1,
                service="web",
                detail={"key": "x"},
            ),
        )
        put(writer, "web", {"n": "last"})
    assert faults(settings) == []
    return settings


@pytest.fixture
def copy(filled: Settings, tmp_path: Path) -> Settings:
    """A copy of ``filled`` that a test may damage."""
    shutil.copytree(filled.instance, tmp_path / "instance")
    return Settings(instance=tmp_path / "instance")


@contextmanager
def spoiled(settings: Settings) -> Iterator[Settings]:
    """A second copy, for one fault."""
    folder = settings.instance.with_name("spoiled")
    shutil.copytree(settings.instance, folder)
    yield Settings(instance=folder)
    shutil.rmtree(folder)


def flip(settings: Settings, table: str, column: str, key: int, where: str, bit: int) -> None:
    """Flip one bit of the value in ``column``; a null becomes a value."""
    select = f"SELECT typeof({column}), CAST({column} AS BLOB) FROM {table} WHERE {where} LIMIT 1"
    [(kind, value)] = raw(settings, select, key)
    update = f"UPDATE {table} SET {column} = %s WHERE rowid IN (SELECT rowid FROM {table} " + (
        f"WHERE {where} LIMIT 1)"
    )
    if kind == "integer":
        raw(settings, update % "?", int(value) ^ (1 << 20), key)
    elif not value:
        raw(settings, update % "7", key)
    else:
        changed = bytearray(value)
        changed[len(changed) // 2] ^= bit
        raw(settings, update % "CAST(? AS TEXT)", bytes(changed), key)


@pytest.mark.parametrize("column", [column.key for column in AuditRow.__table__.columns])
def test_check_names_the_entry_of_which_one_bit_was_flipped(copy: Settings, column: str) -> None:
    for entry, bit in ((3, 1), (9, 128)):
        with spoiled(copy) as other:
            flip(other, "audit", column, entry, "id = ?", bit)
            found = faults(other)

        assert found
        assert re.match(rf"entry {entry} is (missing|not what was written)", found[0]), found


@pytest.mark.parametrize("column", [column.key for column in ChangeRow.__table__.columns])
def test_check_names_the_entry_of_a_change_of_which_one_bit_was_flipped(
    copy: Settings, column: str
) -> None:
    # A change of a version, of a definition, and of a token.
    for revision, bit in ((3, 1), (7, 128), (8, 1), (3, 128)):
        with spoiled(copy) as other:
            flip(other, "changes", column, revision, "revision = ?", bit)
            found = faults(other)

        assert found
        assert found[0].startswith(f"entry {revision}: the changes of revision {revision} "), found


def test_a_change_that_was_added_or_removed_is_noticed(copy: Settings) -> None:
    # The first revision created the service and its version.
    raw(copy, "DELETE FROM changes WHERE revision = 1 AND position = 1")

    assert faults(copy)[0].startswith("entry 1: the changes of revision 1 are not")


def test_what_is_cut_out_of_the_middle_is_named(copy: Settings) -> None:
    raw(copy, "DELETE FROM audit WHERE id IN (4, 5)")

    assert faults(copy) == ["entries 4 to 5 are missing"]


def test_what_is_cut_off_is_named_by_the_head_or_by_the_journal_or_by_a_pinned_head(
    copy: Settings,
) -> None:
    pinned = head_of(copy)
    raw(copy, "DELETE FROM audit WHERE id > 8")
    assert "entries 9 to 10 are missing at the end" in faults(copy)

    # Whoever knows the tables moves the head back as well: an entry of the journal's is missed.
    hide = (
        "UPDATE head SET (audit_id, audit_at, audit_hash) = (SELECT id, happened_at, hash FROM "
        "audit ORDER BY id DESC LIMIT 1)"
    )
    raw(copy, hide)
    assert faults(copy) == ["revision 9 of the journal has no entry"]

    # And the journal: only a head that was noted elsewhere shows it.
    raw(copy, "DELETE FROM changes WHERE revision > 8")
    raw(copy, "UPDATE head SET revision = 8")
    assert faults(copy) == []
    result = run(copy, "verify", "--pinned", str(pinned))
    assert result.exit_code == 1
    assert "entry 10, which was pinned, is gone: the chain ends at 8" in result.stdout


def test_a_chain_that_was_written_anew_is_known_by_a_pinned_and_signed_head(
    copy: Settings, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    pinned, signature = run(copy, "head", "--key-file", str(key)).stdout.split()
    good = ("verify", "--pinned", pinned, "--key-file", str(key), "--signature")
    assert run(copy, *good, signature).exit_code == 0
    assert run(copy, *good, signature[::-1]).exit_code == 1
    with open_writer(copy) as writer:
        put(writer, "web", {"n": "later"})
    assert run(copy, *good, signature).exit_code == 0

    # Rewrite all of it, as somebody who owns the machine can.
    raw(copy, "DELETE FROM audit")
    raw(copy, "UPDATE head SET audit_id = 0, audit_at = 0, audit_hash = ?", "0" * 64)
    with open_writer(copy) as writer:
        for _ in range(12):
            record_entry(writer)

    assert faults(copy) == []
    result = run(copy, *good, signature)
    assert result.exit_code == 1
    assert "entry 10 is not the one that was pinned" in result.stdout


# --- pruning


def test_what_is_left_after_pruning_is_verified_from_where_it_was_pinned(copy: Settings) -> None:
    early = head_of(copy)
    [(moment,)] = raw(copy, "SELECT happened_at FROM audit WHERE id = 5")

    done = run(copy, "prune", "--before", wire.format_time(moment))

    assert done.stdout == "Entries removed: 4.\n"
    assert faults(copy) == []
    assert [row[0] for row in raw(copy, "SELECT id FROM audit ORDER BY id")] == [*range(5, 12)]
    assert run(copy, "verify", "--pinned", str(early)).exit_code == 0
    with open_writer(copy) as writer:
        put(writer, "web", {"n": "later"})
        # Again, with everything that seals something, and the entry of the first pruning.
        end = wire.now() + 1
        assert writer.write(LOCAL_OPERATOR, lambda transaction: audit.prune(transaction, end)) == 8
        for number in range(2):
            put(writer, "web", {"n": f"after {number}"})
    assert faults(copy) == []
    assert "was pruned" in run(copy, "verify", "--pinned", str(early)).stdout
    # What is taken away besides is missed as before.
    raw(copy, "DELETE FROM audit WHERE id = 14")
    assert faults(copy)[0] == "entry 14 is missing"


def test_the_oldest_entries_cannot_go_without_pruning(copy: Settings) -> None:
    raw(copy, "DELETE FROM audit WHERE id < 3")

    assert faults(copy) == ["entries 1 to 2 are missing"]
    result = run(copy, "prune", "--before", "2999-01-01T00:00:00Z")
    assert result.exit_code == 1
    assert "nothing was pruned" in str(result.exception)


# --- over HTTP


class Clients:
    """A token for each role, on one server that requires tokens."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.settings = Settings(instance=server.instance)
        whole, web = Grant("administrator"), Scope(services=("web", "team/"))
        auditors = Grant("auditor"), Grant("auditor", web)
        self.secrets: dict[str, str] = {}
        with open_writer(self.settings) as writer:

            def make(transaction: Transaction) -> None:
                roles.set_role(transaction, "auditor", ("audit:read", "config:read"))
                for name, rights in {
                    "admin": whole,
                    "auditor": auditors[0],
                    "limited": auditors[1],
                    "publisher": Grant("publisher"),
                }.items():
                    self.secrets[name] = tokens.create_machine(transaction, name, rights).secret

            writer.write(LOCAL_OPERATOR, make)
            other = writer.write(
                LOCAL_OPERATOR,
                lambda transaction: organisations.create_organisation(transaction, "other"),
            )

            def make_other(transaction: Transaction) -> None:
                created = tokens.create_machine(transaction, "theirs", Grant("administrator"))
                self.secrets["theirs"] = created.secret
                versions.put(transaction, Series("theirs"), document({}))

            writer.write(LOCAL_OPERATOR.in_organisation(other.id), make_other)

    def ask(self, name: str, path: str, method: str = "GET", **rest: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.secrets[name]}"} if name else {}
        url = f"{self.server.url}{path}"
        return httpx2.request(method, url, headers=headers, trust_env=False, timeout=30, **rest)

    def entries(self, name: str, query: str = "") -> list[dict[str, Any]]:
        """Return all entries that a client sees, newest first, read in pages of 7."""
        found: list[dict[str, Any]] = []
        path: str | None = f"/api/v1/audit?limit=7{query}"
        while path:
            answer = self.ask(name, path)
            assert answer.status_code == 200, answer.text
            found += answer.json()["entries"]
            path = answer.links.get("next", {}).get("url")
        return found


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    folder = tmp_path_factory.mktemp("tokens") / "instance"
    with Server(folder, auth="token", workers=1, audit_refusals=20) as server:
        running = Clients(server)
        for name, body in (("web", {"n": 1}), ("api", {"n": 1}), ("team/a", {"n": 1})):
            running.ask("publisher", f"/config?service={name}", "PUT", json=body)
        both = {"changes": [{"service": name, "document": {"n": 2}} for name in ("web", "api")]}
        assert running.ask("publisher", "/api/v1/changesets", "POST", json=both).status_code == 200
        yield running


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for what is recorded after the response."""
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nobody_sees_entries_of_other_organisations_or_of_services_beyond_their_rights(
    clients: Clients,
) -> None:
    assert clients.ask("", "/api/v1/audit").status_code == 401
    assert clients.ask("publisher", "/api/v1/audit").status_code == 403
    eventually(lambda: "refused" in {each["kind"] for each in clients.entries("auditor")})

    everything = clients.entries("admin")
    assert {None, 1} == {each["organisation"] for each in everything}
    own = clients.entries("auditor")
    assert {1} == {each["organisation"] for each in own}
    assert "other" not in json.dumps([each for each in own if each["kind"] == "token.address"])
    assert {each["service"] for each in own} >= {"web", "api", "team/a", None}

    limited = clients.entries("limited")
    text = json.dumps(limited)
    assert "api" not in text.replace("/api/", "")
    assert [each["service"] for each in limited if each["kind"] == "changed"] == [
        None,
        "team/a",
        "web",
    ]
    changeset = limited[-3] if limited[-3]["service"] is None else limited[0]
    assert [each["service"] for each in changeset["changes"]] == ["web"]
    assert changeset["detail"] == {}
    assert clients.entries("limited", "&service=api") == []

    theirs = clients.entries("theirs")
    assert "publisher" not in json.dumps(theirs)
    assert clients.ask("theirs", "/api/v1/audit/export").text.count("publisher") == 0
    assert '"service": "theirs"' not in clients.ask("auditor", "/api/v1/audit/export").text


def test_entries_are_found_by_actor_kind_service_time_and_revision(clients: Clients) -> None:
    everything = clients.entries("admin")
    assert [each["id"] for each in everything] == sorted(
        (each["id"] for each in everything), reverse=True
    )
    changed = [each for each in everything if each["kind"] == "changed"]
    assert clients.entries("admin", "&kind=changed") == changed
    by = clients.entries("admin", "&actor=token+publisher")
    assert by
    assert {each["actor"] for each in by} == {"token publisher"}
    web = clients.entries("admin", "&service=web&kind=changed")
    assert [each["service"] for each in web] == [None, "web"]
    assert [each["service"] for each in web[0]["changes"]] == ["web", "api"]
    assert clients.entries("admin", "&service=team/&kind=changed")[0]["service"] == "team/a"
    middle = everything[len(everything) // 2]
    since = clients.entries("admin", f"&since={middle['time']}&until={everything[0]['time']}")
    assert since == [each for each in everything if each["time"] >= middle["time"]]
    until = clients.entries("admin", f"&until={middle['time']}")
    assert until == [each for each in everything if each["time"] <= middle["time"]]
    one = changed[1]["revision"]
    spanned = clients.entries("admin", f"&from_revision={one}&to_revision={one}")
    assert spanned == [changed[1]]
    assert clients.ask("admin", "/api/v1/audit?since=yesterday").status_code == 422
    assert clients.ask("admin", "/api/v1/audit?kind=nonsense").status_code == 422


def test_an_export_has_an_entry_before_it_is_answered_and_a_formula_is_none(
    clients: Clients,
) -> None:
    assert clients.ask("publisher", "/api/v1/export?prefix=web").status_code == 200
    [entry] = clients.entries("auditor", "&kind=export")
    assert entry["actor"] == "token publisher"
    assert entry["address"] == "127.0.0.1"
    assert entry["detail"] == {
        "prefix": "web",
        "environment": "default",
        "format": "json",
        "services": 1,
    }

    note = {"note": "=cmd|' /C calc'!A0"}
    clients.ask("publisher", "/config?service=web", "PUT", json={"n": 5}, params=note)
    with open_writer(clients.settings) as writer:
        record_entry(writer, AuditKind.LOGIN, replace(LOCAL_OPERATOR, name="=1+1"))
    answer = clients.ask("admin", "/api/v1/audit/export?format=csv")
    assert answer.headers["Content-Type"] == "text/csv"
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert "'=1+1" in {row[rows[0].index("actor")] for row in rows}
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    lines = clients.ask("admin", "/api/v1/audit/export").text.splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert ids == sorted(ids)
    filtered = "/api/v1/audit/export?kind=changed&service=team/&since=2026-01-01T00:00:00Z"
    [line] = clients.ask("auditor", filtered).text.splitlines()
    assert json.loads(line)["service"] == "team/a"
    exported = clients.entries("admin", "&kind=audit.export")
    assert [each["detail"]["format"] for each in exported[:3]] == ["jsonl", "jsonl", "csv"]
    assert exported[0]["detail"]["kind"] == ["changed"]
    assert exported[0]["service"] is None

    head = clients.ask("auditor", "/api/v1/audit/head").json()
    assert run(clients.settings, "head").stdout.strip() == f"{head['id']}:{head['hash']}"
    written = run(clients.settings, "export")
    assert json.loads(written.stdout.splitlines()[0])["id"] == 1


def test_an_export_from_the_terminal_is_noted_as_well(clients: Clients) -> None:
    environ = {"DISTCONF_INSTANCE": str(clients.settings.instance)}
    ran = CliRunner().invoke(export.command, ["--reveal"], env=environ)
    assert ran.exit_code == 0, ran.output

    newest = clients.entries("admin", "&kind=export")[0]
    assert (newest["actor"], newest["detail"]["reveal"]) == (LOCAL_OPERATOR.name, True)


def test_a_token_at_an_address_that_is_new_to_it_is_noted_once(clients: Clients) -> None:
    path = "/api/v1/services"
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.2"):
        transport = httpx2.HTTPTransport(local_address=address)
        with httpx2.Client(transport=transport, trust_env=False) as http:
            headers = {
                "Authorization": f"Bearer {clients.secrets['publisher']}",
                "X-Forwarded-For": "203.0.113.9",
            }
            assert http.get(f"{clients.server.url}{path}", headers=headers).status_code == 200

    def moves() -> list[str]:
        query = "&kind=token.address&actor=token+publisher"
        return [each["address"] for each in clients.entries("auditor", query)]

    eventually(lambda: "127.0.0.2" in moves())
    assert moves() == ["127.0.0.2", "127.0.0.1"]


def test_a_flood_of_refusals_does_not_fill_the_disk_and_is_counted(clients: Clients) -> None:
    before = len(clients.entries("admin", "&kind=refused"))
    secret = f"dcf_{'x' * 38}"
    with httpx2.Client(trust_env=False) as http:
        for _ in range(120):
            url = f"{clients.server.url}/api/v1/services?search={secret}"
            headers = {"X-API-Key": secret, "X-Forwarded-For": "203.0.113.9"}
            refused = http.get(url, headers=headers)
            assert refused.status_code == 401
    clients.ask("publisher", "/config?service=flood", "PUT", json={})

    entries = clients.entries("admin", "&kind=refused")
    assert before < len(entries) <= 20
    assert entries[0]["actor"] == "nobody"
    assert entries[0]["organisation"] is None
    assert entries[0]["address"] == "127.0.0.1"
    facts = {"method": "GET", "path": "/api/v1/services", "status": 401, "code": "unauthenticated"}
    assert entries[0]["detail"] == facts
    assert secret not in json.dumps(clients.entries("admin"))
    assert not any(
        each["kind"] == "refused" and each["organisation"] is None
        for each in clients.entries("auditor")
    )


def test_log_ins_and_reads_of_secrets_are_noted_by_whoever_lets_them_happen(
    tmp_path: Path,
) -> None:
    settings = replace(settings_in(tmp_path / "instance"), audit_refusals=2)
    app = create_app(settings)
    environ = {"REMOTE_ADDR": "192.0.2.7", exchange.KEY: Exchange()}
    with app.test_request_context(environ_base=environ):
        auditing.record_login("ann@example.org", 1)
        app.preprocess_request()
        secret_reads.record_secret_read("web")
        assert app.process_response(Response("clear")).status_code == 200
        for _ in range(5):
            auditing.record_refused_login("bob@example.org" + "x" * 500, "no such password", 1)
    app.extensions["distributed_config"].close()

    with connect(settings) as connection:
        found = list(audit.iterate(connection, None, audit.ALL_ENTRIES))
    assert [each.kind for each in found] == [
        AuditKind.LOGIN,
        AuditKind.SECRET_READ,
        AuditKind.LOGIN_REFUSED,
        AuditKind.LOGIN_REFUSED,
    ]
    assert {each.address for each in found} == {"192.0.2.7"}
    assert found[0].actor == "ann@example.org"
    assert len(found[2].actor) == 254
    assert found[2].detail == {"reason": "no such password"}
    assert faults(settings) == []


def test_what_was_left_out_is_told_in_the_next_entry() -> None:
    allowance = auditing.RateWindow(2)

    assert [allowance.take(now) for now in (0, 1, 2, 3, 60, 61, 62, 200)] == [
        0,
        0,
        None,
        None,
        2,
        0,
        None,
        1,
    ]


def test_the_whole_of_it_is_still_one_chain(clients: Clients) -> None:
    assert faults(clients.settings) == []
    with connect(clients.settings) as connection:
        assert verify_chain(connection).last == audit.head(connection).id
