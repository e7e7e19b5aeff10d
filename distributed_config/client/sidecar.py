"""The sidecar: follows services and keeps files as they say, beside an application.

What changes is gathered for a moment, written to a file beside the target, checked by a command of
yours, put in place in one step, and then the application is told. What fails is told in the log
and by ``/healthz``, and leaves the last good file where it is.
"""

import json
import logging
import os
import random
import re
import shlex
import shutil
import signal
import stat
import subprocess
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from distributed_config.client.config import Config
from distributed_config.client.files import draft_of, sync_folder
from distributed_config.client.rendering import (
    BY_SERVER,
    FORMATS,
    as_env,
    as_json,
    as_properties,
    filled_in,
)
from distributed_config.client.transport import Request, address_of
from distributed_config.errors import (
    ClientError,
    Invalid,
    Problem,
    Rejected,
)

_COMMAND_SECONDS = 60
_LINKED = "..data"
_LOADING = "It is being loaded."
_MODE = stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH
_LINKS = threading.Lock()  # several targets may share a folder, and its link
_LOOK_EVERY = 1.0
_AGAIN_AFTER = 30.0

_logger = logging.getLogger("distconf.sidecar")


@dataclass(frozen=True)
class Target:
    """A file that is kept as a service says.

    ``check`` is a command that is run on the new file before it is put in place; ``{file}`` in it
    is that file. Afterwards ``reload`` is run, ``signal`` is sent to the process in ``pidfile``,
    and ``notify`` is called with POST; those that are given.
    """

    service: str
    file: str
    format: str = ""
    template: str = ""
    mode: str = ""
    defaults: bool = False
    symlink: bool = False
    check: str | Sequence[str] = ""
    reload: str | Sequence[str] = ""
    signal: str = ""
    pidfile: str = ""
    notify: str = ""

    @property
    def path(self) -> Path:
        return Path(self.file).absolute()

    @property
    def kind(self) -> str:
        """The format: as given, or as the file's ending says, or JSON."""
        ending = self.path.suffix.lstrip(".").replace("yml", "yaml")
        return self.format or (ending if ending in FORMATS else "json")


@dataclass(frozen=True)
class Plan:
    """Everything that one sidecar does. ``debounce`` and ``splay`` are seconds."""

    targets: tuple[Target, ...]
    url: str | None = None
    token: str | None = None
    debounce: float = 0.2
    splay: float = 0.0
    health: str = ""
    snapshots: str | bool = True
    deadline: float = 10.0


def plan_of(value: Any) -> Plan:
    """The plan in a configuration file. Raises Invalid with everything that is wrong in it."""
    problems: list[Problem] = []
    given = dict(value) if isinstance(value, dict) else {}
    entries = given.pop("targets", [])
    problems += _wrong_kinds("", given, _PLAN_KINDS)
    if not isinstance(entries, list) or not entries:
        message = 'It needs "targets": [{"service": "web", "file": "/etc/web.json"}].'
        problems.append(Problem("/targets", message, "required"))
        entries = []
    problems += _unknown("", given, Plan)
    targets = []
    for position, entry in enumerate(entries):
        pointer = f"/targets/{position}"
        if not isinstance(entry, dict):
            problems.append(Problem(pointer, "It must be an object.", "type"))
            continue
        wrong = [*_unknown(pointer, entry, Target), *_wrong_kinds(pointer, entry, _TARGET_KINDS)]
        texts = {name: value for name, value in entry.items() if isinstance(value, str)}
        wrong += _faults(
            pointer, {**dict.fromkeys(entry.keys() & {"service", "file"}, "?"), **texts}
        )
        problems += wrong
        if not wrong:
            targets.append(Target(**entry))
    if problems:
        raise Invalid.of(problems)
    return Plan(targets=tuple(targets), **given)


_TEXT, _NUMBER, _SWITCH = (str,), (int, float), (bool,)
_PLAN_KINDS: dict[str, tuple[type, ...]] = {
    "url": (str, type(None)),
    "token": (str, type(None)),
    "debounce": _NUMBER,
    "splay": _NUMBER,
    "deadline": _NUMBER,
    "health": _TEXT,
    "snapshots": (str, bool),
}
_TARGET_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("service", "file", "format", "template", "mode"), _TEXT),
    **dict.fromkeys(("signal", "pidfile", "notify"), _TEXT),
    **dict.fromkeys(("defaults", "symlink"), _SWITCH),
    **dict.fromkeys(("check", "reload"), (str, list)),
}


def _wrong_kinds(
    pointer: str, entry: dict[str, Any], kinds: dict[str, tuple[type, ...]]
) -> list[Problem]:
    """What is of another type than it has to be; numbers are not negative."""
    wrong = []
    for name, value in entry.items():
        kind = kinds.get(name, (object,))
        fits = isinstance(value, kind) and (bool in kind or not isinstance(value, bool))
        if isinstance(value, list):
            fits = fits and bool(value) and all(isinstance(word, str) for word in value)
        if kind == _NUMBER and fits:
            fits = 0 <= value < float("inf")
        if not fits:
            message = "It is of another type, or a value that makes no sense."
            wrong.append(Problem(f"{pointer}/{name}", message, "type"))
    health = entry.get("health")
    if isinstance(health, str) and health and not re.fullmatch(r".*:\d{1,5}", health):
        message = "It must be an address and a port, as 127.0.0.1:8099."
        wrong.append(Problem(f"{pointer}/health", message, "address"))
    url = entry.get("url")
    if isinstance(url, str) and url:
        try:
            address_of(url)
        except Invalid as error:
            wrong += [
                replace(each, pointer=f"{pointer}/url", parameter="") for each in error.problems
            ]
    return wrong


def _unknown(pointer: str, entry: dict[str, Any], kind: Any) -> list[Problem]:
    known = [field.name for field in fields(kind)]
    return [
        Problem(f"{pointer}/{name}", f"It is not known; there are: {', '.join(known)}.", "unknown")
        for name in entry
        if name not in known
    ]


def _faults(pointer: str, entry: dict[str, Any]) -> list[Problem]:
    found = [
        Problem(f"{pointer}/{name}", "It is missing.", "required")
        for name in ("service", "file")
        if not entry.get(name)
    ]
    if not re.fullmatch(r"[0-7]{0,4}", entry.get("mode", "")):
        message = 'It must be octal digits in quotes, as "0640".'
        found.append(Problem(f"{pointer}/mode", message, "mode"))
    if (entry.get("format") or "json") not in FORMATS:
        message = f"It must be one of: {', '.join(FORMATS)}."
        found.append(Problem(f"{pointer}/format", message, "format"))
    if entry.get("signal") and not hasattr(signal, _signal_name(entry["signal"])):
        found.append(Problem(f"{pointer}/signal", "There is no such signal.", "signal"))
    if entry.get("signal") and not entry.get("pidfile"):
        message = "A signal needs the pidfile of the process."
        found.append(Problem(f"{pointer}/pidfile", message, "required"))
    return found


def _signal_name(name: str) -> str:
    return name if name.startswith("SIG") else f"SIG{name}"


class Keeper:
    """Keeps one target."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self.target = target
        self.problem = _LOADING
        self.written: int | None = None
        """The version that the file holds; None: nothing was written yet."""
        self._untold = False
        self._plan = plan
        self._ended = threading.Event()
        self.config = Config(
            target.service,
            url=plan.url,
            token=plan.token,
            defaults={},  # it goes on looking for the server, instead of giving up
            deadline=plan.deadline,
            snapshots=plan.snapshots,
            fill_defaults=target.defaults,
        )
        self._news = threading.Event()
        self.config.on_change(lambda _new, _old: self._news.set())

    def attempt(self) -> bool:
        """Makes the file what is current; whether it is as it should be.

        What fails is told, and the file stays. When neither a server nor a snapshot has told
        anything yet, a file that is there is good.
        """
        try:
            if self.config.version is None:
                self.problem = self.config.problem.detail if self.config.problem else "no answer"
                return self.target.path.exists()
            self._write()
        except Exception as error:  # whatever it is: it is told, and the following goes on
            self.problem = str(error) or type(error).__name__
            _logger.error("%s is not written: %s", self.target.file, error)
            return False
        return True

    def run(self) -> None:
        """Writes whenever there is news, until the end. What failed is tried again now and then."""
        tried = time.monotonic()
        while not self._ended.is_set():
            self._news.wait(_LOOK_EVERY)
            again = bool(self.problem) and time.monotonic() - tried > _AGAIN_AFTER
            there = self.config.version is None or self.target.path.exists()
            if self.config.version == self.written and there and not again:
                self._news.clear()
                continue
            # Everything that comes until this is over is written as one.
            if self._ended.wait(self._plan.debounce + self._pause()):
                return
            self._news.clear()
            tried = time.monotonic()
            if not self.attempt():
                self._ended.wait(1)

    def end(self) -> None:
        """Ends the following and the thread."""
        self._ended.set()
        self._news.set()
        self.config.close()

    @property
    def is_good(self) -> bool:
        """Whether there is a file to live with, though it may be old."""
        return self.target.path.exists() and self.config.version in {None, self.written}

    def _write(self) -> None:
        state = self.config.state
        data = self._rendered(state.value, state.version).encode()
        if not _is(self.target.path, data):
            self._place(data)
            name = self.target.service
            _logger.info("%s is %s version %s", self.target.file, name, state.version)
            self._untold = True
        if self._untold:
            self._tell()
            self._untold = False
        self.written = state.version
        self.problem = ""

    def _pause(self) -> float:
        splay = self._plan.splay if self.written is not None else 0.0
        return random.uniform(0, splay)  # noqa: S311  # it only has to differ

    def _rendered(self, value: Any, version: int | None) -> str:
        if self.target.template:
            # Bytes, so that the ends of its lines stay as they are.
            return filled_in(Path(self.target.template).read_bytes().decode(), value)
        if self.target.kind in BY_SERVER:
            return self._by_server(value, version)
        write = {"env": as_env, "properties": as_properties}.get(self.target.kind, as_json)
        return write(value)

    def _by_server(self, value: Any, version: int | None) -> str:
        """The format as the server writes it. Without a server YAML is JSON, which it may be."""
        query = {
            "service": self.target.service,
            "version": version,
            "format": self.target.kind,
            "defaults": "true" if self.target.defaults else None,
        }
        try:
            request = Request("GET", "/config", query, {"Accept": "*/*"})
            return self.config.transport.ask(request).body.decode()
        except ClientError:
            if self.target.path.exists():
                return self.target.path.read_bytes().decode()  # it is good until it is known better
            if self.target.kind == "yaml":
                return as_json(value)
            raise

    def _place(self, data: bytes) -> None:
        path = self.target.path
        path.parent.mkdir(parents=True, exist_ok=True)
        mode, owner = self._rights(path)
        for left in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 12}"):
            left.unlink(missing_ok=True)  # by one that was killed
        draft = draft_of(path, data, mode, owner)
        try:
            if self.target.check:
                _run(self.target.check, draft)
            if self.target.symlink:
                _swap_link(path, draft)
            else:
                draft.replace(path)
                sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)

    def _rights(self, path: Path) -> tuple[int, tuple[int, int] | None]:
        """Mode and owner: as given, or as those of the file that is there."""
        mode, owner = _MODE, None
        with suppress(OSError):
            found = path.stat()
            mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
        return int(self.target.mode, 8) if self.target.mode else mode, owner

    def _tell(self) -> None:
        if self.target.reload:
            _run(self.target.reload, self.target.path)
        if self.target.signal:
            text = Path(self.target.pidfile).read_text(encoding="ascii").strip()
            pid = int(text) if text.isdigit() else 0
            if not 1 < pid < 1 << 31:  # 0 would be all of us, and 1 everything
                raise Rejected(f"{self.target.pidfile} names no process.")
            os.kill(pid, getattr(signal, _signal_name(self.target.signal)))
        if self.target.notify:
            request = urllib.request.Request(self.target.notify, data=b"", method="POST")  # noqa: S310  # the operator's own
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  # the same


def _is(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _run(command: str | Sequence[str], file: Path) -> None:
    """Runs a command on ``file``. Raises Rejected, with what it said, if it does not like it."""
    words = shlex.split(command) if isinstance(command, str) else list(command)
    done = subprocess.run(  # noqa: S603  # the operator's own command; no shell
        [word.replace("{file}", str(file)) for word in words],
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise Rejected(f"{words[0]} ended with {done.returncode}: {said}")


def _swap_link(path: Path, draft: Path) -> None:
    """Puts the file in place as Kubernetes does: in a new folder, behind a link that is swapped.

    ``path`` is a link into ``..data``, and ``..data`` one to the folder; so all files of a folder
    that are kept this way change in one step, and programs that watch for that see it.
    """
    with _LINKS:
        _swap_link_alone(path, draft)


def _swap_link_alone(path: Path, draft: Path) -> None:
    folder = path.parent
    link = folder / _LINKED
    before = link.resolve() if link.is_symlink() else None
    fresh = folder / f"..{os.urandom(6).hex()}"
    fresh.mkdir()
    if before is not None and before.is_dir():
        for other in before.iterdir():
            if other.name != path.name:
                (fresh / other.name).hardlink_to(other)  # the same file, with all its rights
    draft.replace(fresh / path.name)
    sync_folder(fresh)
    draft_link = folder / f"{_LINKED}.{os.urandom(6).hex()}"
    draft_link.symlink_to(fresh.name)
    draft_link.replace(link)
    if not path.is_symlink():
        first = folder / f".{path.name}.{os.urandom(6).hex()}"
        first.symlink_to(f"{_LINKED}/{path.name}")
        first.replace(path)
    sync_folder(folder)
    for left in folder.glob(f"..{'[0-9a-f]' * 12}"):
        if left != fresh:  # what was before, and what one that was killed left behind
            shutil.rmtree(left, ignore_errors=True)


class Sidecar:
    """All targets of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.keepers: list[Keeper] = []
        self._threads: list[threading.Thread] = []
        self._server = _listening(self, plan.health) if plan.health else None

    def start(self) -> bool:
        """Loads and writes every target once, and answers ``/healthz`` from then on.

        Whether all of them are as they should be.
        """
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, daemon=True).start()
        # One after the other they would wait for a server that is away one deadline each.
        beginning = [
            threading.Thread(target=self._add, args=(each,), daemon=True)
            for each in self.plan.targets
        ]
        for thread in beginning:
            thread.start()
        for thread in beginning:
            thread.join()
        attempts = [keeper.attempt() for keeper in self.keepers]
        return all(attempts) and len(attempts) == len(self.plan.targets)

    def _add(self, target: Target) -> None:
        self.keepers.append(Keeper(target, self.plan))

    def follow(self) -> None:
        """Keeps the targets in the background."""
        for keeper in self.keepers:
            thread = threading.Thread(target=keeper.run, name=keeper.target.service, daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Ends everything; files stay as they are."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        for keeper in self.keepers:
            keeper.end()
        for thread in self._threads:
            thread.join(5)

    def health(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether every file is good, and what there is to say of each, in the plan's order."""
        keepers = {id(keeper.target): keeper for keeper in list(self.keepers)}
        told = [_told_of(target, keepers.get(id(target))) for target in self.plan.targets]
        good = all(not keeper.problem or keeper.is_good for keeper in keepers.values())
        return good and len(keepers) == len(self.plan.targets), told


def _told_of(target: Target, keeper: Keeper | None) -> dict[str, Any]:
    told: dict[str, Any] = {"service": target.service, "file": target.file}
    if keeper is None:
        return told | {"version": None, "problem": _LOADING}
    return told | {
        "version": keeper.written,
        "current": keeper.config.version,
        "stale": keeper.config.stale,
        "age": keeper.config.age,
        "problem": keeper.problem,
    }


def _listening(sidecar: Sidecar, address: str) -> ThreadingHTTPServer:
    """What will answer ``/healthz``. Raises Invalid if nothing can listen at ``address``."""
    host, _, port = address.rpartition(":")
    try:
        return ThreadingHTTPServer((host, int(port)), _handler(sidecar))
    except (OSError, OverflowError) as error:
        message = f"Nothing can listen at {address}: {error}. Give another address."
        raise Invalid.of([Problem("/health", message, "address")]) from None


def _handler(sidecar: Sidecar) -> type[BaseHTTPRequestHandler]:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            good, targets = sidecar.health()
            body = json.dumps({"status": "good" if good else "bad", "targets": targets}).encode()
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            if self.path.partition("?")[0] != "/healthz":
                status, body = HTTPStatus.NOT_FOUND, b'{"detail": "There is only /healthz."}'
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            """Probes come every few seconds; nobody wants a line for each."""

    return Health
