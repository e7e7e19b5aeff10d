"""The commands that speak to a server, the sidecar, and the first set-up from a file.

Every command runs as its users run it: a process of its own against a real server. Where a server
has to go away and come back, a gate stands between that is shut and opened.
"""

import http.client
import json
import os
import pty
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest
from ruamel.yaml import YAML

from tests.support.needs import need
from tests.support.server import Api, Server, free_port

CLIENT = "distributed_config.client"
COMMANDS = (
    "get",
    "put",
    "patch",
    "history",
    "diff",
    "rollback",
    "watch",
    "env",
    "exec",
    "smoke",
    "sidecar",
)
DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3

AWKWARD = {
    "quotes": 'it\'s "so" `id` $(id)',
    "lines": "one\ntwo\n\nthree\n",
    "dollars": "$HOME ${HOME} $$ \\$ \\",
    "unicode": "žluťoučký кот 🐎",
    "separators": "a\u2028b\x85c\x0bd\x0ce\x1cf",
    "blanks": "  x\t ",
    "carriage": "a\rb\r\n",
    "stars": "~ * ? [a] {b,c} # !x &|;<>",
    "empty": "",
    "option": "-n",
    "number": 1.5,
    "large": 123456789012345678901234567890,
    "yes": True,
    "list": [1, "a b"],
    "db": {"host": "h", "port": 5432},
}
"""What shells, properties and templates like to get wrong."""


# --- what the tests stand on


def until(condition: Callable[[], object], seconds: float = 15.0, what: str = "it") -> None:
    """Waits until ``condition`` holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.01)


def text_of(file: Path) -> str:
    """What is in ``file``; nothing, if it is not there."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def lines_of(file: Path) -> list[str]:
    return text_of(file).splitlines()


def holds(file: Path, value: Any) -> bool:
    """Whether ``file`` holds ``value`` as JSON."""
    return bool(text := text_of(file)) and json.loads(text) == value


def read_yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@dataclass
class Shell:
    """Where a user works: a home of one's own, and the address of a server."""

    home: Path
    url: str

    def environment(self, **more: str) -> dict[str, str]:
        ours = ("DISTCONF", "XDG_", "NO_COLOR", "PYTEST", "HTTP_", "http_")
        plain = {name: each for name, each in os.environ.items() if not name.startswith(ours)}
        return {**plain, "HOME": str(self.home), "DISTCONF_URL": self.url, **more}

    def run(
        self, *words: str, door: str = CLIENT, stdin: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end."""
        ran = subprocess.run(
            [sys.executable, "-m", door, *words],
            env=self.environment(**variables),
            cwd=self.home,
            input=stdin.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        # As it came: text=True would make \n of every \r.
        said = (ran.stdout.decode(), ran.stderr.decode())
        return subprocess.CompletedProcess(ran.args, ran.returncode, *said)

    def each(self, *commands: Sequence[str]) -> "list[subprocess.CompletedProcess[str]]":
        """Runs commands side by side to their ends."""
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(lambda words: self.run(*words), commands))

    def done(self, *words: str, **options: str) -> str:
        """What a command says that does what it is asked."""
        ran = self.run(*words, **options)
        assert ran.returncode == DONE, ran.stderr
        return ran.stdout

    @contextmanager
    def started(self, *words: str, **variables: str) -> Iterator["Running"]:
        """Runs a command in the background, in a session of its own; killed at the end."""
        with (self.home / f"log-{time.monotonic_ns()}").open("w+b") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", CLIENT, *words],
                env=self.environment(**variables),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield Running(process, Path(log.name))
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    @contextmanager
    def beside(self, *targets: dict[str, Any], flags: str = "", **plan: Any) -> Iterator["Running"]:
        """A sidecar that follows ``targets``."""
        file = self.planned(*targets, **plan)
        with self.started("sidecar", "-c", str(file), *flags.split()) as running:
            yield running

    def once(self, *targets: dict[str, Any], **plan: Any) -> "subprocess.CompletedProcess[str]":
        """A sidecar that writes ``targets`` and ends."""
        return self.run("sidecar", "--once", "-c", str(self.planned(*targets, **plan)))

    def planned(self, *targets: dict[str, Any], **plan: Any) -> Path:
        file = self.home / "plan.json"
        quick = {"debounce": 0.02, "deadline": 5}
        file.write_text(json.dumps({**quick, **plan, "targets": targets}))
        return file


@dataclass
class Running:
    """A command that runs in the background, and what it said."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def said(self) -> str:
        return text_of(self.log)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, seconds: float) -> int:
        """The exit code, which must come in time."""
        return self.process.wait(seconds)

    def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Waits until ``condition`` holds, as long as the command runs."""
        until(lambda: condition() or not self.is_alive, seconds, f"it, with {self.said[-2000:]}")
        assert condition(), f"it ended with {self.process.poll()}: {self.said[-2000:]}"

    def until_it_handles(self, number: signal.Signals) -> None:
        """Waits until the command has a way of its own with a signal."""

        def is_caught() -> bool:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            caught = int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16)
            return bool(caught >> (number - 1) & 1)

        self.until(is_caught)


class Gate:
    """A way to a server that can be shut, as if the server had died, and opened again."""

    def __init__(self, server: Server) -> None:
        self._to = server.port
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        self._begin(self._let_in, socket.create_server(("127.0.0.1", self.port)))

    def shut(self) -> None:
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    def _begin(self, run: Callable[..., None], *sockets: socket.socket) -> None:
        self._sockets |= set(sockets)
        thread = threading.Thread(target=run, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _let_in(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", self._to))
                self._begin(self._pass_on, here, there)
                self._begin(self._pass_on, there, here)

    @staticmethod
    def _pass_on(giver: socket.socket, taker: socket.socket) -> None:
        with suppress(OSError):
            while data := giver.recv(1 << 16):
                taker.sendall(data)
        for each in (giver, taker):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Recorder:
    """A server of HTTP that writes down what it is asked, and answers everything the same way."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                seen.append((self.command, self.path, self.headers.get("Authorization", "")))
                self.send_response(200)
                for name, value in (("Config-Version", "0"), ("Config-Revision", "1")):
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = answer  # noqa: N815  # the library's names

            def log_message(self, *_: Any) -> None:
                """Quiet: the tests look at what was seen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def knowing(tokens: dict[str, int]) -> Iterator[str]:
    """The address of a server that knows ``tokens``, and has a version of its own for each."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            version = tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
            if self.headers.get("If-None-Match") == f'"{version}"':
                time.sleep(0.1)
                self.send_response(304)
            else:
                self.send_response(401 if version is None else 200)
            body = json.dumps({"n": version}).encode()
            headers = {"Config-Version": f"{version}", "ETag": f'"{version}"'}
            for each in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(*each)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def mute() -> Iterator[str]:
    """The address of a server that lets nobody in and turns nobody away."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def garbling() -> Iterator[str]:
    """The address of something that answers, but not in HTTP."""

    def run() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                with caller:
                    caller.recv(1 << 16)
                    caller.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/reload"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def health(port: int) -> int:
    """What the sidecar's /healthz answers; 0 while nobody listens."""
    return asked(port, "/healthz")[0]


def asked(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except ConnectionError:
        return 0, b""
    finally:
        connection.close()


def told_by(port: int) -> list[dict[str, Any]]:
    """What /healthz tells of each target."""
    found: list[dict[str, Any]] = json.loads(asked(port, "/healthz")[1])["targets"]
    return found


def told_plainly(ran: "subprocess.CompletedProcess[str]") -> str:
    """What was said of a failure: in sentences, not with a stack."""
    assert "Traceback" not in ran.stderr, ran.stderr[-600:]
    assert "Exception" not in ran.stderr, ran.stderr[-600:]
    assert ran.stderr.startswith("distconf: "), ran.stderr
    return ran.stderr


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server.url)


@pytest.fixture
def gate(server: Server) -> Iterator[Gate]:
    """A gate before the shared server, open."""
    gate = Gate(server)
    gate.open()
    yield gate
    gate.shut()


@pytest.fixture
def dead() -> str:
    """An address where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


# --- what every command has in common


def test_both_doors_lead_to_the_same_commands(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})

    told = shell.done("--help", door="distributed_config")

    assert all(re.search(rf"^  {each}\b", told, re.MULTILINE) for each in COMMANDS)
    assert shell.done("get", name, "n", door="distributed_config") == "1\n"
    assert shell.done("get", name, "n") == "1\n"
    assert shell.run("nonsense").returncode == USAGE
    assert shell.run("get").returncode == USAGE
    unknown = shell.run("history", "--service", "web")
    assert unknown.returncode == USAGE
    assert unknown.stderr.startswith("usage: distconf history [-h]")
    assert shell.run("--nonsense").returncode == USAGE
    assert shell.run().returncode == USAGE


def test_what_the_server_refuses_is_exit_code_1_and_a_sentence(shell: Shell, name: str) -> None:
    shell.home.joinpath("wrong.json").write_text('{"a": 1e999, "service": "other"}')
    missing = [("get", name), ("diff", name, "0", "1"), ("rollback", name, "0")]
    missing += [("patch", name, "a=1")]

    ran = shell.each(*missing)

    assert [each.returncode for each in ran] == [REFUSED] * len(missing)
    assert all(name in told_plainly(each) for each in ran)
    wrong = shell.run("put", name, "wrong.json")
    assert wrong.returncode == REFUSED
    assert "/a" in told_plainly(wrong)
    assert "/service" in wrong.stderr
    absent = shell.run("put", name, "absent.json")
    assert absent.returncode == REFUSED
    assert "absent.json" in told_plainly(absent)


def test_no_server_is_exit_code_3(shell: Shell, dead: str, name: str) -> None:
    shell.url = dead
    shell.home.joinpath("a.json").write_text("{}")
    commands = [("get", name), ("put", name, "a.json"), ("history", name), ("env", name)]

    ran = shell.each(*commands)

    assert [each.returncode for each in ran] == [UNREACHABLE] * len(commands)
    assert all(dead in told_plainly(each) for each in ran)


def test_exec_without_a_server_is_exit_code_3(shell: Shell, dead: str, name: str) -> None:
    shell.url = dead

    ran = shell.run("exec", "--service", name, "--deadline", "0.3", "--", "true")

    assert (ran.returncode, name in told_plainly(ran)) == (UNREACHABLE, True)


@pytest.mark.parametrize("url", ["localhost", "http://localhost:port", "http://[::1"])
def test_an_address_that_is_none_is_told_in_a_sentence(shell: Shell, url: str) -> None:
    ran = shell.run("get", "web", "--url", url)

    assert ran.returncode in {REFUSED, USAGE}
    told_plainly(ran)


def test_something_else_that_answers_is_told_in_a_sentence(shell: Shell) -> None:
    with Recorder() as other:
        history = shell.run("history", "web", "--url", other.url)
        put = shell.run("put", "web", "-", "--url", other.url, stdin="{}")

    assert history.returncode in {REFUSED, UNREACHABLE}
    assert put.returncode in {REFUSED, UNREACHABLE}
    told_plainly(history)
    told_plainly(put)


def test_a_token_comes_from_the_flag_or_the_variable_or_the_file(shell: Shell) -> None:
    shell.home.joinpath("token").write_text("filed\n")
    file = str(shell.home / "token")
    with Recorder() as other:
        shell.url = other.url
        shell.done("get", "web")
        shell.done("get", "web", DISTCONF_TOKEN_FILE=file)
        shell.done("get", "web", DISTCONF_TOKEN="named", DISTCONF_TOKEN_FILE=file)
        shell.done("get", "web", "--token", "flagged", DISTCONF_TOKEN="named")

    tokens = [token for _, _, token in other.seen]
    assert tokens == ["", "Bearer filed", "Bearer named", "Bearer flagged"]


def test_a_profile_names_a_server_and_a_token(shell: Shell, dead: str) -> None:
    folder = shell.home / ".config" / "distconf"
    folder.mkdir(parents=True)
    (shell.home / "secret").write_text("ours\n")
    with Recorder() as other:
        profile = f'[prod]\nurl = "{other.url}"\ntoken_file = "~/secret"\n'
        (folder / "profiles.toml").write_text(profile)
        shell.url = dead
        shell.done("get", "web", "--profile", "prod")
        shell.done("get", "web", DISTCONF_PROFILE="prod")
        unknown = shell.run("get", "web", "--profile", "test")

    assert [token for _, _, token in other.seen] == ["Bearer ours"] * 2
    assert unknown.returncode == REFUSED
    assert "prod" in told_plainly(unknown)


def test_a_profile_that_is_asked_for_brings_its_own_token(shell: Shell) -> None:
    profiles = shell.home / "profiles.json"
    with Recorder() as other:
        profiles.write_text(json.dumps({"prod": {"url": other.url, "token": "of-prod"}}))
        variables = {"DISTCONF_PROFILES": str(profiles), "DISTCONF_TOKEN": "of-another-server"}
        shell.done("get", "web", "--profile", "prod", **variables)

    assert [token for _, _, token in other.seen] == ["Bearer of-prod"]


def test_settings_that_make_no_sense_are_told_in_a_sentence(shell: Shell) -> None:
    shell.home.joinpath("binary").write_bytes(b"\x80\xff")
    shell.home.joinpath("profiles.json").write_text('{"p": {"url": "http://a", "token_file": 5}}')
    profiles = str(shell.home / "profiles.json")
    wrong = {
        "a binary token": {"DISTCONF_TOKEN_FILE": str(shell.home / "binary")},
        "no token's file": {"DISTCONF_TOKEN_FILE": str(shell.home / "absent")},
        "two tokens": {"DISTCONF_TOKEN": "dcf_secretA\ndcf_second"},
        "not ASCII": {"DISTCONF_TOKEN": "dcf_€"},
        "a number": {"DISTCONF_PROFILES": profiles, "DISTCONF_PROFILE": "p"},
    }
    with ThreadPoolExecutor(3) as pool:
        ran = list(pool.map(lambda each: shell.run("get", "web", **each), wrong.values()))

    assert [each.returncode for each in ran] == [REFUSED] * len(wrong)
    assert all("token" in told_plainly(each) for each in ran)
    assert not any("dcf_" in each.stderr for each in ran)


def test_what_runs_takes_up_a_token_that_is_exchanged_in_its_file(shell: Shell) -> None:
    file, target = shell.home / "token", shell.home / "app.json"
    file.write_text("first")
    tokens = {"first": 1}
    command = ("--", "sh", "-c", "echo =$N; exec sleep 60")
    with knowing(tokens) as shell.url:
        profiles = {"p": {"url": shell.url, "token_file": str(file)}}
        (shell.home / "profiles.json").write_text(json.dumps(profiles))
        variables = {"DISTCONF_PROFILES": str(shell.home / "profiles.json")}
        words = ("exec", "--service", "web", "--profile", "p", "--on-change", "restart", *command)
        sidecar = ("sidecar", "--service", "web", "--file", str(target), "--debounce", "0")
        with (
            shell.started(*words, **variables) as running,
            shell.started(*sidecar, DISTCONF_TOKEN_FILE=str(file)) as keeping,
        ):
            running.until(lambda: "=1" in running.said)
            keeping.until(lambda: holds(target, {"n": 1}))
            file.write_text("second\n")
            tokens.clear()
            tokens["second"] = 2

            running.until(lambda: "=2" in running.said)
            keeping.until(lambda: holds(target, {"n": 2}))


# --- get, put, patch, history, diff, rollback


def test_get_shows_a_configuration_in_every_output(shell: Shell, api: Api, name: str) -> None:
    document = {"z": 1.0, "a": {"ö": ["x", None]}, "large": AWKWARD["large"]}
    api.put(name, document)

    outputs = ("json", "table", "yaml")
    as_json, as_table, as_yaml = (
        ran.stdout for ran in shell.each(*(("get", name, "--output", each) for each in outputs))
    )

    assert as_json == api.get(name).text + "\n"
    assert json.loads(as_table) == document
    assert as_table.startswith('{\n  "z": 1.0,')
    assert read_yaml(as_yaml) == document


def test_get_shows_one_value_as_a_script_wants_it(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"db": {"host": "h", "on": False, "none": None, "n": [1, "ö"]}, "t": "a\nb"})
    shown = {"db.host": "h", "db.on": "false", "db.none": "", "db.n": '[1, "ö"]', "t": "a\nb"}

    ran = shell.each(*(("get", name, path) for path in (*shown, "db.absent")))

    assert [each.stdout for each in ran] == [*(f"{text}\n" for text in shown.values()), ""]
    assert ran[-1].returncode == REFUSED
    assert "db.absent" in told_plainly(ran[-1])
    assert shell.done("get", name, "t", "--output", "json") == '"a\\nb"\n'


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_get_shows_what_it_is_asked_for_in_every_output(
    shell: Shell, api: Api, name: str, output: str
) -> None:
    schema = {"type": "object", "properties": {"extra": {"type": "integer", "default": 7}}}
    api.define(name, schema)
    first = api.put(name, {"n": "first"}, definition=name).headers["config-revision"]
    api.put(name, {"n": "second"})

    asked = (("--version", "0"), ("--as-of", first), ("--defaults",))
    ran = shell.each(*(("get", name, "--output", output, *flags) for flags in asked))

    shown = [read_yaml(each.stdout) for each in ran]
    assert shown == [{"n": "first"}, {"n": "first"}, {"n": "second", "extra": 7}]


def test_put_takes_json_yaml_toml_and_standard_input(shell: Shell, api: Api, name: str) -> None:
    shell.home.joinpath("a.json").write_text('{"n": 1, "t": "ö"}')
    shell.home.joinpath("a.YML").write_text("n: 2\nt: ö\n")
    shell.home.joinpath("a.toml").write_text('n = 3\nt = "ö"\n')

    told = [shell.done("put", name, file) for file in ("a.json", "a.YML", "a.toml")]
    told.append(shell.done("put", name, "-", stdin='{"n": 4, "t": "ö"}', door="distributed_config"))
    told.append(shell.done("put", name, "-", stdin='{"n": 4, "t": "ö"}'))

    assert [each["document"] for each in api.versions(name)] == [
        {"n": number, "t": "ö"} for number in (1, 2, 3, 4)
    ]
    assert "version 3" in told[3]
    assert "already" in told[4]


def test_writes_keep_a_note_hold_a_condition_and_can_be_rehearsed(
    shell: Shell, api: Api, name: str
) -> None:
    stale = api.put(name, {"n": 0}).headers["etag"]
    etag = api.put(name, {"n": 1}).headers["etag"]

    shell.done("put", name, "-", "--dry-run", stdin='{"n": 5}')
    shell.done("patch", name, "n=5", "--dry-run")
    shell.done("rollback", name, "0", "--dry-run")
    late = shell.run("patch", name, "n=9", "--if-match", stale)
    shell.done("put", name, "-", "--if-match", etag, "--note", "ä note", stdin='{"n": 2}')
    shell.done("patch", name, "n=3", "--note", "ö note")
    shell.done("rollback", name, "0", "--note", "ü note")

    assert late.returncode == REFUSED
    told_plainly(late)
    versions = api.versions(name)
    assert [each["document"]["n"] for each in versions] == [0, 1, 2, 3, 0]
    assert [each["note"] for each in versions][2:] == ["ä note", "ö note", "ü note"]


@pytest.mark.parametrize("words", ["put NAME -", "patch NAME a=2", "rollback NAME 0"])
def test_a_note_of_two_lines_is_kept_by_every_write(
    shell: Shell, api: Api, name: str, words: str
) -> None:
    api.put(name, {"a": 0})
    api.put(name, {"a": 1})

    ran = shell.run(*words.replace("NAME", name).split(), "--note", "two\nlines", stdin='{"a": 2}')

    assert ran.returncode == DONE, ran.stderr
    assert api.versions(name)[2]["note"] == "two\nlines"


def test_patch_takes_json_where_it_is_json_and_text_otherwise(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"gone": 1, "kept": {"a": 1, "b": 2}})
    pairs = {
        "n=1": 1,
        "f=1.5": 1.5,
        "yes=true": True,
        "text=hello world": "hello world",
        'quoted="1"': "1",
        'list=[1, "a"]': [1, "a"],
        'object={"x": {"y": 1}}': {"x": {"y": 1}},
        "empty=": "",
        "equals=a=b==": "a=b==",
        "zeros=007": "007",
        "python=True": "True",
        "nan=NaN": "NaN",
        "endless=-Infinity": "-Infinity",
        "unicode=žluť": "žluť",
        "large=123456789012345678901234567890": 123456789012345678901234567890,
    }

    shell.done("patch", name, *pairs, "gone=null", "kept.b=3", "new.deep.er=4")

    found = api.get(name, version="current").json()
    assert found.pop("kept") == {"a": 1, "b": 3}
    assert found.pop("new") == {"deep": {"er": 4}}
    assert found == {pair.partition("=")[0]: value for pair, value in pairs.items()}


def test_patch_takes_a_patch_of_either_kind_from_a_file_and_from_standard_input(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"a": 1, "b": 2})
    shell.home.joinpath("merge.json").write_text('{"a": null, "c": 3}')

    shell.done("patch", name, "merge.json")
    shell.done("patch", name, "-", stdin='[{"op": "replace", "path": "/b", "value": "ö"}]')

    assert api.get(name, version="current").json() == {"b": "ö", "c": 3}


@pytest.mark.parametrize(
    "changes",
    [
        ["a=1", "a.b=2"],
        ["a=1", "forgotten"],
        ["notes.txt"],
    ],
    ids=" ".join,
)
def test_a_patch_that_makes_no_sense_changes_nothing_and_is_told_in_a_sentence(
    shell: Shell, api: Api, name: str, changes: list[str]
) -> None:
    api.put(name, {"kept": 1})
    shell.home.joinpath("notes.txt").write_text("not JSON")

    ran = shell.run("patch", name, *changes)

    assert api.get(name, version="current").json() == {"kept": 1}
    assert ran.returncode in {REFUSED, USAGE}
    told_plainly(ran)


def test_history_is_a_table_and_json_and_yaml(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 0}, note="the first")
    api.put(name, {"n": 1})
    api.enable(name, 1, False)

    table = shell.done("history", name).splitlines()
    rows = json.loads(shell.done("history", name, "--output", "json"))

    assert table[0].split() == ["VERSION", "STATE", "TIME", "AUTHOR", "NOTE"]
    assert [line.split()[:3] for line in table[1:]] == [
        ["1", "disabled", table[1].split()[2]],
        ["0", "*", "current"],
    ]
    assert table[2].endswith("the first")
    assert [row["number"] for row in rows] == [1, 0]
    assert read_yaml(shell.done("history", name, "--output", "yaml")) == rows
    assert shell.done("history", name, "--quiet").splitlines() == table[1:]


def test_a_long_history_is_told_whole_and_in_a_line_for_each_version(
    shell: Shell, api: Api, name: str
) -> None:
    for number in range(120):
        api.put(name, {"n": number}, note="two\nlines" if number % 50 == 0 else "")

    rows = json.loads(shell.done("history", name, "--output", "json"))
    lines = shell.done("history", name, "--quiet").splitlines()

    assert [row["number"] for row in rows] == list(range(120))[::-1]
    assert [line.split()[0] for line in lines] == [f"{row['number']}" for row in rows]


def test_diff_is_for_people_and_for_programs(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 1, "b": 1})
    api.put(name, {"a": 2, "b": 1})

    text = shell.done("diff", name, "0", "1")
    assert '-  "a": 1' in text
    assert '+  "a": 2' in text
    assert "\x1b" not in text
    assert json.loads(shell.done("diff", name, "0", "1", "--output", "json")) == [
        {"op": "replace", "path": "/a", "value": 2}
    ]


def on_a_terminal(shell: Shell, *words: str, **variables: str) -> str:
    """What a command shows to somebody who sits before it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", CLIENT, *words]
    subprocess.run(command, env=shell.environment(**variables), stdout=theirs, check=True)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # so a terminal ends
        while data := os.read(ours, 1 << 16):
            shown += data
    os.close(ours)
    return shown.decode()


def test_colours_are_for_terminals_whose_users_want_them(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 1})
    api.put(name, {"a": 2})

    assert "\x1b[31m" in on_a_terminal(shell, "diff", name, "0", "1")
    assert "\x1b" not in on_a_terminal(shell, "diff", name, "0", "1", NO_COLOR="1")


def test_writes_tell_what_they_did_in_every_output(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 0})

    assert json.loads(shell.done("patch", name, "a=1", "--output", "json")) == {
        "service": name,
        "version": 1,
        "changed": True,
    }
    assert json.loads(shell.done("rollback", name, "0", "--output", "json"))["version"] == 2
    again = shell.done("put", name, "-", "--output", "json", stdin='{"a": 0}')
    assert json.loads(again) == {"service": name, "version": 2, "changed": False}
    assert "version 3" in shell.done("patch", name, "a=3")


@pytest.mark.parametrize(
    "words", ["put NAME -", "patch NAME a=2", "rollback NAME 0", "diff NAME 0 1"]
)
def test_yaml_is_yaml(shell: Shell, api: Api, name: str, words: str) -> None:
    api.put(name, {"a": 1})
    api.put(name, {"a": 0})

    told = shell.done(*words.replace("NAME", name).split(), "--output", "yaml", stdin='{"a": 0}')

    version = {"put": 1, "patch": 2, "rollback": 2}
    if words.startswith("diff"):
        assert read_yaml(told) == [{"op": "replace", "path": "/a", "value": 0}]
    else:
        assert read_yaml(told)["version"] == version[words.split(maxsplit=1)[0]]


def test_quiet_writes_say_nothing(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 0})

    told = shell.done("put", name, "-", "-q", stdin='{"a": 1}')
    told += shell.done("patch", name, "a=2", "--quiet")

    assert told == ""
    assert len(api.versions(name)) == 3
    assert told_plainly(shell.run("get", "absent", "--quiet"))


def test_a_reader_that_goes_away_is_no_fault(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"text": "x" * 200_000})
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", CLIENT, "get", name]

    ran = subprocess.run(
        command, env=shell.environment(), stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)

    assert ran.stderr == b""


def test_an_output_that_cannot_be_written_is_told_in_a_sentence(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    command = [sys.executable, "-m", CLIENT, "get", name]

    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            command,
            env=shell.environment(PYTHONUNBUFFERED=""),  # so it fails at the end alone
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert ran.returncode == REFUSED
    assert "space left on device: the output" in told_plainly(ran)


def test_an_output_that_is_closed_or_cannot_hold_what_is_said_is_no_stack(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": "é"})
    command = f"exec {sys.executable} -m {CLIENT} get {name} n"

    def ran(how: str) -> "subprocess.CompletedProcess[str]":
        words = ["sh", "-c", f"{how} {command}" if "=" in how else f"{command} {how}"]
        environment = shell.environment()
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, cwd=shell.home
        )

    closed = ran(">&-")
    assert (closed.returncode, closed.stderr) == (DONE, "")
    assert ran(">&- 2>&-").returncode == DONE
    narrow = ran("PYTHONIOENCODING=ascii")
    assert narrow.returncode == REFUSED
    assert "PYTHONIOENCODING" in told_plainly(narrow)


# --- watch


def test_watch_without_a_server_is_exit_code_3(shell: Shell, dead: str) -> None:
    ran = shell.run("watch", "--url", dead)

    assert ran.returncode == UNREACHABLE
    assert dead in told_plainly(ran)


def test_watch_behind_a_revision_that_is_not_there_yet_is_refused(shell: Shell, api: Api) -> None:
    ran = shell.run("watch", "--after", "999999999")

    assert ran.returncode == REFUSED
    assert "There is no revision 999999999" in told_plainly(ran)


def test_watch_says_when_its_server_is_away(shell: Shell, api: Api, name: str, gate: Gate) -> None:
    shell.url = gate.url
    with shell.started("watch", name) as watching:

        def is_following() -> bool:
            api.put(name, {"n": time.monotonic()})
            return name in watching.said

        watching.until(is_following)
        gate.shut()
        watching.until(lambda: "cannot be reached" in watching.said)


def test_watch_tells_of_every_change_in_order_also_across_a_restart(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path / "instance", workers=1))
        shell = Shell(tmp_path, server.url)
        server.api.put("web", {"n": 0})
        words = ("watch", "--after", "1", "--output", "json")
        watching = stack.enter_context(shell.started(*words))

        def numbers() -> list[int]:
            lines = [line for line in lines_of(watching.log) if line.startswith("{")]
            return [json.loads(line)["version"] for line in lines]

        for number in range(1, 5):
            server.api.put("web", {"n": number})
        watching.until(lambda: len(numbers()) == 4)
        server.kill()
        server.start()
        for number in range(5, 10):
            server.api.put("web", {"n": number})
        watching.until(lambda: len(numbers()) >= 9, 30)

        assert numbers() == list(range(1, 10))
        watching.send(signal.SIGINT)
        assert watching.ends(5) == 128 + signal.SIGINT


def test_watch_tells_of_the_services_asked_for_in_lines(shell: Shell, api: Api, name: str) -> None:
    after = api.put(f"{name}/before", {}).headers["config-revision"]
    with shell.started("watch", f"{name}/", f"{name}-one", "--after", after) as watching:
        for service in (f"{name}/a", f"{name}-other", f"{name}-one", f"{name}/b"):
            api.put(service, {"n": 1}, note=f"for {service}")
        watching.until(lambda: f"{name}/b" in watching.said)

        lines = [line for line in lines_of(watching.log) if "version.created" in line]
    assert [line.split()[4:6] for line in lines] == [
        [service, "0"] for service in (f"{name}/a", f"{name}-one", f"{name}/b")
    ]
    assert lines[0].endswith(f"for {name}/a")


def test_watch_begins_with_now(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": -1})
    written = 0  # and as many versions behind the first
    with shell.started("watch", name, "--output", "json") as watching:

        def one_more() -> bool:
            nonlocal written
            api.put(name, {"n": written})
            written += 1
            return bool(watching.said)

        watching.until(one_more)
        watching.until(lambda: f'"version": {written},' in watching.said)

        found = [json.loads(line)["version"] for line in lines_of(watching.log)]
    assert found == list(range(found[0], written + 1))
    assert found[0] > 0


# --- env


def as_the_shell_reads(script: str, *words: str) -> dict[str, str]:
    """The variables that a real sh has after ``script``."""
    ran = subprocess.run(
        ["sh", "-euc", f"set -a\n{script}\nexec env -0", "sh", *words],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    pairs = (each.partition("=") for each in ran.stdout.decode().split("\0") if each)
    return {name: value for name, _, value in pairs}


def expected_variables(prefix: str = "") -> dict[str, str]:
    flat = {**AWKWARD, "db_host": "h", "db_port": 5432}
    del flat["db"]
    return {
        f"{prefix}{key}".upper(): value if isinstance(value, str) else json.dumps(value)
        for key, value in flat.items()
    }


def test_a_shell_reads_env_back_exactly(shell: Shell, api: Api, name: str) -> None:
    api.put(name, AWKWARD)

    shell.home.joinpath("app.env").write_text(shell.done("env", name))
    sourced = as_the_shell_reads('. "$1"', str(shell.home / "app.env"))
    evaluated = as_the_shell_reads('eval "$1"', shell.done("env", name, "--prefix", "APP_"))

    assert expected_variables().items() <= sourced.items()
    assert expected_variables("APP_").items() <= evaluated.items()


def test_a_shell_reads_exported_variables_back_exactly(shell: Shell, api: Api, name: str) -> None:
    api.put(name, AWKWARD)

    told = shell.done("env", name, "--export")

    found = as_the_shell_reads('set +a; eval "$1"', told)
    assert expected_variables().items() <= found.items()


@pytest.mark.parametrize(("key", "prefix"), [("1st", ""), ("", ""), ("ключ", ""), ("n", "MY APP_")])
def test_a_name_that_is_none_for_a_variable_is_refused_or_made_one_that_a_shell_takes(
    shell: Shell, api: Api, name: str, key: str, prefix: str
) -> None:
    api.put(name, {key: "x"})

    ran = shell.run("env", name, "--prefix", prefix)

    if ran.returncode == DONE:
        assert "x" in as_the_shell_reads('eval "$1"', ran.stdout).values()
    else:
        assert ran.returncode == REFUSED
        told_plainly(ran)


def test_values_that_would_have_one_name_are_refused_with_all_of_them(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"a": {"b": 1}, "a_b": 2, "c": "nul\0", "d-e": 1, "D.E": 2})

    ran = shell.run("env", name)

    assert ran.returncode == REFUSED
    assert ran.stdout == ""
    assert all(each in told_plainly(ran) for each in ("A_B", "NUL", "D_E"))


# --- exec


def test_exec_gives_the_configuration_as_variables(shell: Shell, api: Api, name: str) -> None:
    api.put(name, AWKWARD)

    told = shell.done(
        "exec", "--service", name, "--prefix", "APP_", "--", "env", "-0", OTHER="kept"
    )

    found = dict(each.split("=", 1) for each in told.split("\0") if each)
    assert found["OTHER"] == "kept"
    assert expected_variables("APP_") == {
        key: value for key, value in found.items() if key.startswith("APP_")
    }


def test_exec_ends_as_its_command_ends(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    scripts = {"true": 0, "exit 42": 42, "kill -KILL $$": 128 + 9, "kill -TERM $$": 128 + 15}

    ran = shell.each(*(("exec", "--service", name, "--", "sh", "-c", each) for each in scripts))

    assert [each.returncode for each in ran] == list(scripts.values())


def test_exec_hands_its_commands_words_on_as_they_are(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})

    told = shell.done("exec", "--service", name, "--", "printf", "[%s]", "a", "--", "-q", "b c", "")

    assert told == "[a][--][-q][b c][]"


def test_exec_without_a_command_is_wrong_usage(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})

    assert shell.run("exec", "--service", name).returncode == USAGE
    assert shell.run("exec", "--service", name, "--").returncode == USAGE


def test_exec_tells_of_a_command_that_is_not_there(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})

    ran = shell.run("exec", "--service", name, "--", "no-such-command")

    assert ran.returncode == 127
    assert "no-such-command" in told_plainly(ran)
    forbidden = shell.run("exec", "--service", name, "--", str(shell.home))
    assert forbidden.returncode == 126
    assert str(shell.home) in told_plainly(forbidden)


def test_exec_of_a_service_that_is_not_there_is_refused(shell: Shell, name: str) -> None:
    ran = shell.run("exec", "--service", name, "--", "echo", "ran")

    assert (ran.returncode, ran.stdout) == (REFUSED, "")
    assert name in told_plainly(ran)


def test_exec_refuses_what_no_variable_can_hold(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"": "x", "large": "x" * 200_000})

    ran = shell.run("exec", "--service", name, "--", "true")

    assert ran.returncode == REFUSED
    told_plainly(ran)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_exec_passes_signals_on(shell: Shell, api: Api, name: str, number: signal.Signals) -> None:
    api.put(name, {"n": 1})
    script = f'trap "echo told; exit 7" {number.name[3:]}; sleep 0.1; echo ready'
    script += "; while :; do sleep 0.05; done"

    with shell.started("exec", "--service", name, "--", "sh", "-c", script) as running:
        running.until(lambda: "ready" in running.said)
        running.send(number)

        assert running.ends(5) == 7
        assert "told" in running.said


def test_exec_passes_on_every_signal_that_can_be_caught(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    numbers = [getattr(signal, f"SIG{each}") for each in PASSED_ON.split()]
    script = "".join(f'trap "echo {each}" {each}; ' for each in PASSED_ON.split())
    script += "echo ready; while :; do sleep 0.05; done"
    words = ("--service", name, "--on-change", "restart")

    with shell.started("exec", *words, "--", "sh", "-c", script) as running:
        running.until(lambda: "ready" in running.said)
        for number in numbers:
            running.send(number)
            running.until(lambda number=number: number.name[3:] in lines_of(running.log))
        # None of them was an end: the command is run again when something changes.
        api.put(name, {"n": 2})
        running.until(lambda: lines_of(running.log).count("ready") == 2)


PASSED_ON = "HUP USR1 USR2 ALRM TTIN TTOU WINCH CONT"


def test_exec_passes_a_signal_on_however_early_it_comes(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    script = 'trap "exit 7" TERM; kill -TERM $PPID; for i in 1 2 3 4; do sleep 0.5; done; exit 99'
    words = ("exec", "--service", name, "--", "sh", "-c", script)

    with ThreadPoolExecutor(8) as pool:
        ran = list(pool.map(lambda _: shell.run(*words), range(8)))

    assert [each.returncode for each in ran] == [7] * 8


def test_exec_runs_the_command_again_when_the_configuration_changes(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 0})
    words = ("--service", name, "--on-change", "restart")

    with shell.started("exec", *words, "--", "sh", "-c", "echo $N; exec sleep 60") as running:
        for number in range(1, 4):
            running.until(lambda n=number: lines_of(running.log)[-1:] == [f"{n - 1}"])
            api.put(name, {"n": number})
        running.until(lambda: lines_of(running.log)[-1:] == ["3"])
        running.send(signal.SIGTERM)

        assert running.ends(5) == 128 + signal.SIGTERM
        assert lines_of(running.log) == ["0", "1", "2", "3"]


def test_exec_that_restarts_ends_up_with_the_last_of_quick_changes(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 0})
    script = 'trap "sleep 0.05; exit 0" TERM; echo $N; while :; do sleep 0.01; done'
    words = ("--service", name, "--on-change", "restart", "--", "sh", "-c", script)

    with shell.started("exec", *words) as running:
        running.until(lambda: running.said)
        for number in range(1, 25):
            api.put(name, {"n": number})
            if number % 3:
                time.sleep(0.02)
            else:
                running.until(lambda n=number: lines_of(running.log)[-1] == f"{n}", 5)


def test_exec_sends_a_signal_when_the_configuration_changes(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    script = 'trap "echo told" USR1; echo ready; while :; do sleep 0.05; done'
    words = ("--service", name, "--on-change", "USR1", "--", "sh", "-c", script)

    with shell.started("exec", *words) as running:
        running.until(lambda: "ready" in running.said)
        api.put(name, {"n": 2})
        running.until(lambda: lines_of(running.log) == ["ready", "told"])
        api.put(name, {"n": 3})
        running.until(lambda: lines_of(running.log) == ["ready", "told", "told"])


def test_exec_keeps_its_command_when_a_configuration_comes_that_is_no_environment(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    words = ("--service", name, "--on-change", "restart")

    with shell.started("exec", *words, "--", "sh", "-c", "echo =$N; exec sleep 60") as running:
        running.until(lambda: "=1" in running.said)
        api.put(name, {"a": {"b": 1}, "a_b": 2})
        running.until(lambda: "A_B" in running.said)
        api.put(name, {"n": 3})
        running.until(lambda: "=3" in running.said)


def test_exec_starts_from_the_snapshot_when_the_server_is_down(
    shell: Shell, api: Api, name: str, gate: Gate
) -> None:
    api.put(name, {"n": "kept"})
    shell.url = gate.url
    words = ("exec", "--service", name, "--deadline", "0.3", "--", "sh", "-c", "echo $N")
    assert shell.done(*words) == "kept\n"

    gate.shut()

    assert shell.done(*words) == "kept\n"


def test_exec_without_a_server_and_a_snapshot_ends_with_3_and_runs_nothing(
    shell: Shell, name: str, dead: str
) -> None:
    shell.url = dead

    ran = shell.run("exec", "--service", name, "--deadline", "0.3", "--", "echo", "ran")

    assert (ran.returncode, ran.stdout) == (UNREACHABLE, "")
    assert name in ran.stderr


# --- the sidecar's plan


@pytest.mark.parametrize("kind", ["json", "toml", "yaml", "flags"])
def test_a_plan_is_json_toml_yaml_or_flags(shell: Shell, api: Api, name: str, kind: str) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "new" / "folder" / "app.env"
    plans = {
        "json": json.dumps({"targets": [{"service": name, "file": str(file), "mode": "600"}]}),
        "toml": f'[[targets]]\nservice = "{name}"\nfile = "{file}"\nmode = "600"\n',
        "yaml": f"targets:\n- service: {name}\n  file: {file}\n  mode: '600'\n",
    }
    if kind == "flags":
        flags = ["--service", name, "--file", str(file), "--mode", "600"]
    else:
        shell.home.joinpath(f"plan.{kind}").write_text(plans[kind])
        flags = ["-c", f"plan.{kind}"]

    shell.done("sidecar", "--once", *flags)

    assert file.read_text() == "N=1\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_everything_that_is_wrong_in_a_plan_is_told_at_once(shell: Shell) -> None:
    targets = [{"service": "a"}, {"file": "b", "format": "xml", "colour": 1}, "c"]
    targets.append({"service": "a", "file": "f", "signal": "NONE"})

    ran = shell.once(*targets, speed=2)

    assert ran.returncode == REFUSED
    for pointer in ("/targets/0/file", "/targets/1/service", "/targets/1/format", "/speed"):
        assert pointer in told_plainly(ran)
    for pointer in ("/targets/1/colour", "/targets/2", "/targets/3/signal", "/targets/3/pidfile"):
        assert pointer in ran.stderr


@pytest.mark.parametrize("command", [" ", "sh -c 'oops", [""]], ids=str)
def test_a_command_that_is_none_is_refused_before_anything_begins(
    shell: Shell, name: str, command: Any
) -> None:
    target = {"service": name, "file": str(shell.home / "app.json")}

    ran = shell.once({**target, "check": command, "reload": command})

    assert ran.returncode == REFUSED
    told = told_plainly(ran)
    assert "/targets/0/check" in told
    assert "/targets/0/reload" in told


def test_two_targets_for_one_file_are_refused(shell: Shell) -> None:
    shell.home.joinpath("folder").mkdir()
    files = ["folder/app.json", "other.json", f"{shell.home}/folder/../folder/app.json"]

    ran = shell.once(*({"service": "web", "file": file} for file in files))

    assert ran.returncode == REFUSED
    assert "/targets/2/file" in told_plainly(ran)
    assert "/targets/0" not in ran.stderr


def test_a_plan_and_a_target_by_flags_are_wrong_usage(shell: Shell, name: str) -> None:
    plan = shell.planned({"service": name, "file": "app.json"})

    ran = shell.run("sidecar", "--once", "-c", str(plan), "--file", "other.json")

    assert ran.returncode == USAGE
    assert "--file" in told_plainly(ran)


def test_a_plan_with_values_of_wrong_kinds_is_refused_with_all_of_them(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    good = {"service": name, "file": str(shell.home / "app.json")}
    wrong: list[dict[str, Any]] = [
        {"mode": "rw-r--r--"},
        {"mode": "999"},
        {"service": 5},
        {"file": ["f"]},
        {"check": {"a": 1}},
        {"reload": [1]},
        {"signal": 15, "pidfile": "p"},
        {"defaults": "no"},
        {"template": False},
        {"notify": 1},
    ]
    of_plan = {"debounce": "soon", "splay": -1, "deadline": None, "health": "nonsense", "url": 5}

    ran = shell.once(*({**good, **each} for each in wrong), **of_plan)

    assert ran.returncode == REFUSED
    told = told_plainly(ran)
    pointers = [f"/{each}" for each in of_plan]
    pointers += [f"/targets/{number}/{next(iter(each))}" for number, each in enumerate(wrong)]
    assert [each for each in pointers if each not in told] == []
    assert not (shell.home / "app.json").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"debounce": "soon"},
        {"url": "localhost:5000"},
        {"health": "127.0.0.1:99999"},
        {"health": "127.0.0.1:{taken}"},
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_followed_ends_the_sidecar_with_a_sentence(
    shell: Shell, server: Server, name: str, wrong: dict[str, Any]
) -> None:
    server.api.put(name, {"n": 1})
    target = {"service": name, "file": str(shell.home / "app.json")}
    [(key, value)] = wrong.items()

    with shell.beside(target, **{key: value.format(taken=server.port)}) as running:
        assert running.ends(5) == REFUSED
        assert "Traceback" not in running.said
        assert "distconf: " in running.said


@pytest.mark.parametrize("plan", ["", "[]", "{"])
def test_a_plan_that_is_none_is_refused_in_a_sentence(shell: Shell, plan: str) -> None:
    shell.home.joinpath("plan.yaml").write_text(plan)

    ran = shell.run("sidecar", "--once", "-c", "plan.yaml")

    assert ran.returncode == REFUSED
    told_plainly(ran)


def test_a_mode_that_yaml_takes_for_a_number_is_kept_or_refused(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    plan = f"targets:\n- {{service: {name}, file: app.json, mode: 0640}}\n"
    shell.home.joinpath("plan.yaml").write_text(plan)

    ran = shell.run("sidecar", "--once", "-c", "plan.yaml")

    if ran.returncode == DONE:
        assert (shell.home / "app.json").stat().st_mode & 0o777 == 0o640
    else:
        assert "mode" in told_plainly(ran)


def test_a_server_on_the_command_line_goes_before_the_plans(
    shell: Shell, api: Api, name: str, dead: str
) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "app.json"
    plan = shell.planned({"service": name, "file": str(file)}, url=dead, deadline=0.3)

    assert shell.run("sidecar", "--once", "-c", str(plan)).returncode == REFUSED
    assert shell.run("sidecar", "--once", "-c", str(plan), "--url", shell.url).returncode == DONE
    assert holds(file, {"n": 1})


# --- what a sidecar writes


def properties_in(text: str) -> dict[str, str]:
    """What Java makes of properties, by the rules of its load()."""
    found = {}
    for line in re.findall(r"(?:[^\\\n]|\\.)+", text):
        pair = re.fullmatch(r"\s*((?:[^\\ :=]|\\.)*)[ \t\f]*[:=]?[ \t\f]*(.*)", line, re.DOTALL)
        assert pair is not None, line
        key, value = (_unescaped(each) for each in pair.groups())
        assert key not in found
        found[key] = value
    return found


def _unescaped(text: str) -> str:
    named = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}

    def plain(found: "re.Match[str]") -> str:
        word = found[1]
        return chr(int(word[1:], 16)) if len(word) > 1 else named.get(word, word)

    text = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", plain, text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def test_every_format_holds_the_configuration(shell: Shell, api: Api, name: str) -> None:
    document = {key: value for key, value in AWKWARD.items() if key != "large"}
    document["a key"] = "with: colon = and # more"
    api.put(name, document)
    files = {
        kind: shell.home / f"app.{kind}" for kind in ("json", "yaml", "toml", "env", "properties")
    }
    targets = [{"service": name, "file": str(file)} for file in files.values()]
    targets.append({"service": name, "file": str(shell.home / "app.conf"), "format": "yaml"})

    ran = shell.once(*targets)

    assert ran.returncode == DONE, ran.stderr
    text = {kind: file.read_bytes().decode() for kind, file in files.items()}
    assert json.loads(text["json"]) == document
    assert read_yaml(text["yaml"]) == document
    assert (shell.home / "app.conf").read_text() == text["yaml"]
    assert tomllib.loads(text["toml"]) == document
    variables = as_the_shell_reads('. "$1"', str(files["env"]))
    assert variables["LINES"] == document["lines"]
    assert variables["DOLLARS"] == document["dollars"]
    assert variables["A_KEY"] == document["a key"]
    found = properties_in(text["properties"])
    assert found["db.host"] == "h"
    assert found["a key"] == document["a key"]
    for key in ("quotes", "lines", "dollars", "unicode", "separators", "carriage", "stars"):
        assert found[key] == document[key]


def test_properties_keep_the_blanks_that_a_value_begins_with(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"secret": "  x ", "tab": "\tx", "feed": "\fx"})
    file = shell.home / "app.properties"

    assert shell.once({"service": name, "file": str(file)}).returncode == DONE

    assert properties_in(file.read_text()) == {"secret": "  x ", "tab": "\tx", "feed": "\fx"}


def test_defaults_are_filled_in_where_they_are_asked_for(shell: Shell, api: Api, name: str) -> None:
    api.define(name, {"type": "object", "properties": {"extra": {"type": "integer", "default": 7}}})
    api.put(name, {"n": 1}, definition=name)
    bare, full, yaml = (shell.home / each for each in ("bare.json", "full.json", "full.yaml"))

    ran = shell.once(
        {"service": name, "file": str(bare)},
        {"service": name, "file": str(full), "defaults": True},
        {"service": name, "file": str(yaml), "defaults": True},
    )

    assert ran.returncode == DONE
    assert holds(bare, {"n": 1})
    assert holds(full, {"n": 1, "extra": 7})
    assert read_yaml(yaml.read_text()) == {"n": 1, "extra": 7}


def templated(shell: Shell, service: str, template: str, **more: Any) -> tuple[int, str, str]:
    """Exit code, file and log of a sidecar that fills in a template once."""
    source, file = shell.home / "app.template", shell.home / "app.conf"
    source.write_bytes(template.encode())
    target = {"service": service, "file": str(file), "template": str(source), **more}
    ran = shell.once(target)
    return ran.returncode, file.read_bytes().decode() if file.exists() else "", ran.stderr


def test_a_template_is_filled_in_and_values_are_data(shell: Shell, api: Api, name: str) -> None:
    hostile = "${db.host} $$ ${absent} $(id) `id` {file} %s {0} \\1 \\n"
    document = {"db": {"host": "h", "port": 5432}, "evil": hostile, "off": False, "none": None}
    api.put(name, {**document, "list": [1, "ö"], "${db.host}": "key"})
    cases = {
        "${db.host}:${db.port}": "h:5432",
        "${evil}": hostile,
        "$${db.host} $$$$ $5 $host $": "${db.host} $$ $5 $host $",
        "$$${db.host}": "$h",
        "${absent:-plain ${x}": "plain ${x",
        "${absent:-} ${off:-x} ${none:-x} ${db.absent:-$$}": " false  $$",
        "${db.host.deeper:-d} ${list}": 'd [1, "ö"]',
    }

    code, text, log = templated(shell, name, "\n".join(cases))

    assert code == DONE, log
    assert text.split("\n") == list(cases.values())


def test_a_template_tells_every_name_that_is_missing_and_the_file_stays(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"here": 1})
    (shell.home / "app.conf").write_text("old")

    code, text, log = templated(shell, name, "${here} ${a.b} ${c:-} ${d} ${here.e}")

    assert (code, text) == (REFUSED, "old")
    assert all(each in log for each in ("a.b", "d", "here.e"))
    assert "Traceback" not in log


def test_a_template_keeps_its_line_ends(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"a": 1})

    assert templated(shell, name, "[x]\r\na=${a}\r\n")[1] == "[x]\r\na=1\r\n"


def test_a_template_with_a_place_that_cannot_be_read_is_refused(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"a": 1})
    targets = []
    for number, template in enumerate(("${}", "${a:b}", "${a")):
        (shell.home / f"{number}.template").write_text(template)
        file = {"file": str(shell.home / f"{number}.conf")}
        targets.append({"service": name, "template": f"{number}.template", **file})

    assert shell.once(*targets).returncode == REFUSED

    assert [each.name for each in shell.home.glob("*.conf")] == []


# --- check, reload, signal, notify


def as_written(value: Any) -> str:
    """JSON as the sidecar writes it."""
    return json.dumps(value, indent=2) + "\n"


def test_healthz_is_good_only_once_the_file_is_there(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    file, checking, port = shell.home / "app.json", shell.home / "checking", free_port()
    slow = ["sh", "-c", 'touch "$0"; while [ -e "$0" ]; do sleep 0.01; done', str(checking)]

    with shell.beside(
        {"service": name, "file": str(file), "check": slow}, health=f"127.0.0.1:{port}"
    ) as running:
        running.until(checking.exists)
        assert health(port) == 503
        assert b"being loaded" in asked(port, "/healthz")[1]
        checking.unlink()
        running.until(lambda: health(port) == 200)
        assert holds(file, {"n": 1})


def test_a_file_that_its_check_refuses_is_not_put_in_place(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": "good 1"})
    file, seen, port = shell.home / "app.json", shell.home / "seen", free_port()
    script = 'cat "$1" "$2" >>"$3" 2>/dev/null; grep -q good "$1" || { echo no good >&2; exit 9; }'
    check = ["sh", "-c", script, "sh", "{file}", str(file), str(seen)]
    target = {"service": name, "file": str(file), "check": check}

    with shell.beside(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200)
        api.put(name, {"n": "bad 2"})
        running.until(lambda: health(port) == 503)

        assert holds(file, {"n": "good 1"})
        assert "no good" in running.said
        assert "no good" in asked(port, "/healthz")[1].decode()
        assert [each.name for each in shell.home.glob(".app*")] == []
        api.put(name, {"n": "good 3"})
        running.until(lambda: holds(file, {"n": "good 3"}))
        running.until(lambda: health(port) == 200)
    # The check saw the new file while the old one was still in place.
    last = seen.read_text().replace("\n", "").split("{")[-2:]
    assert [re.findall("good [0-9]", each) for each in last] == [["good 3"], ["good 1"]]


def test_quoted_words_of_a_command_stay_together(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    file, told = shell.home / "a file.json", shell.home / "told"

    ran = shell.run(
        *("sidecar", "--once", "--service", name, "--file", str(file)),
        *("--check", "sh -c 'test -s \"$1\"' sh {file}"),
        *("--reload", f"sh -c 'echo \"$1\" >> {told}' sh {{file}}"),
    )

    assert ran.returncode == DONE, ran.stderr
    assert lines_of(told) == [str(file)]


def test_the_application_is_told_in_every_way_that_is_asked_for(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, log, pidfile = (shell.home / each for each in ("app.json", "log", "pid"))
    script = f'trap "echo signal >>{log}" USR1; echo $$ >{pidfile}; while :; do sleep 0.02; done'
    application = subprocess.Popen(["sh", "-c", script])
    try:
        until(lambda: text_of(pidfile).endswith("\n"))
        with Recorder() as other:
            target = {"service": name, "file": str(file), "notify": f"{other.url}/reload"}
            target |= {"signal": "USR1", "pidfile": str(pidfile)}
            target["reload"] = ["sh", "-c", f'cat "$1" | tr -d " \\n" >>{log}; echo >>{log}']
            target["reload"] += ["sh", "{file}"]
            with shell.beside(target) as running:
                running.until(lambda: len(lines_of(log)) == 2 and other.seen)
                api.put(name, {"n": 2})
                running.until(lambda: len(lines_of(log)) == 4 and len(other.seen) == 2)
    finally:
        application.kill()
        application.wait(10)

    assert lines_of(log) == ['{"n":1}', "signal", '{"n":2}', "signal"]
    assert [each[:2] for each in other.seen] == [("POST", "/reload")] * 2


def test_who_could_not_be_told_is_told_again_alone_and_the_file_is_good(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, tries, others, port = (
        *(shell.home / each for each in ("app.json", "tries", "others")),
        free_port(),
    )
    file.write_text("old")
    script = f'echo x >>{tries}; test "$(wc -l <{tries})" -ne 2'
    with garbling() as url:
        targets = [
            {"service": name, "file": str(file), "reload": ["sh", "-c", script]},
            {"service": name, "file": f"{file}.other", "notify": url},
        ]
        targets[1]["reload"] = ["sh", "-c", f"echo x >>{others}"]
        with shell.beside(*targets, health=f"127.0.0.1:{port}") as running:
            running.until(lambda: (len(lines_of(tries)), len(lines_of(others))) == (1, 1))
            api.put(name, {"n": 2})
            running.until(lambda: b"was told" in asked(port, "/healthz")[1])
            assert health(port) == 200
            written = file.stat().st_mtime_ns
            running.until(lambda: len(lines_of(tries)) == 3)
            running.until(lambda: told_by(port)[0]["problem"] == "")

            assert holds(file, {"n": 2})
            assert file.stat().st_mtime_ns == written
            running.until(lambda: running.said.count(".other: It is written") >= 2)
            assert "was told" in told_by(port)[1]["problem"]
            assert "not written" not in running.said
            assert len(lines_of(others)) == 2


def test_that_nobody_runs_yet_when_a_file_is_first_written_is_normal(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    fresh, old, port = shell.home / "fresh.json", shell.home / "old.json", free_port()
    old.write_text("{}")
    absent = {"signal": "HUP", "pidfile": str(shell.home / "absent")}
    targets = [
        {"service": name, "file": str(fresh), "reload": "pkill -HUP -x no-such-process"},
        {"service": name, "file": str(old), **absent},
    ]

    with shell.beside(*targets, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200)
        assert [each["problem"] for each in told_by(port)] == ["", ""]
        assert "ERROR" not in running.said
    fresh.unlink()
    old.write_text("{}")
    assert shell.once(*targets).returncode == DONE


def test_a_command_is_over_when_it_ends_whatever_it_leaves_running_or_says(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "app.json"
    check = ["sh", "-c", r"printf 'caf\351\n'"]
    target = {"service": name, "file": str(file), "check": check}
    began = time.monotonic()

    ran = shell.once({**target, "reload": ["sh", "-c", "sleep 50 & echo $! >pid"]})

    os.kill(int(text_of(shell.home / "pid")), signal.SIGKILL)
    assert ran.returncode == DONE, ran.stderr
    assert time.monotonic() - began < 20
    api.put(name, {"n": 2})
    ran = shell.once({**target, "check": ["sh", "-c", r"printf 'caf\351\n'; exit 4"]})
    assert "ended with 4: caf" in ran.stderr


def test_something_strange_that_is_notified_does_not_end_the_following(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, port = shell.home / "app.json", free_port()
    file.write_text(as_written({"n": 1}))

    with garbling() as url:
        target = {"service": name, "file": str(file), "notify": url}
        with shell.beside(target, health=f"127.0.0.1:{port}") as running:
            running.until(lambda: health(port) == 200)
            for number in (2, 3):
                api.put(name, {"n": number})
                running.until(lambda n=number: holds(file, {"n": n}), 6)


@pytest.mark.parametrize("content", ["", "0", "99999999999999999999"])
def test_a_pidfile_that_names_no_process_is_told_and_harms_nothing(
    shell: Shell, api: Api, name: str, content: str
) -> None:
    api.put(name, {"n": 1})
    file, pidfile, port = shell.home / "app.json", shell.home / "pid", free_port()
    file.write_text(as_written({"n": 1}))
    pidfile.write_text(content)
    target = {"service": name, "file": str(file), "signal": "USR1", "pidfile": str(pidfile)}

    with shell.beside(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200)
        for number in (2, 3):
            api.put(name, {"n": number})
            running.until(lambda n=number: holds(file, {"n": n}), 6)


# --- how a file is replaced


def test_mode_and_owner_of_a_file_are_kept(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    file = shell.home / "app.json"
    file.write_text("old")
    file.chmod(0o604)
    owner = (12345, 23456) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(file, *owner)
    before = file.stat()

    assert shell.once({"service": name, "file": str(file)}).returncode == DONE

    after = file.stat()
    assert holds(file, {"n": 1})
    assert (after.st_uid, after.st_gid) == owner
    assert after.st_mode == before.st_mode
    assert after.st_ino != before.st_ino


def test_a_file_that_is_as_it_should_be_is_not_touched(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    files = [shell.home / f"app.{ending}" for ending in ("json", "yaml", "toml", "env")]
    told = shell.home / "told"
    reload = ["sh", "-c", f"echo x >>{told}"]
    targets = [{"service": name, "file": str(file), "reload": reload} for file in files]
    targets[3]["symlink"] = True
    assert shell.once(*targets).returncode == DONE
    before = [(each.stat().st_ino, each.stat().st_mtime_ns) for each in files]

    api.put(name, {"n": 2})
    api.http.post("/api/v1/rollback", params={"service": name, "to": 0})
    assert shell.once(*targets).returncode == DONE

    assert [(each.stat().st_ino, each.stat().st_mtime_ns) for each in files] == before
    assert len(lines_of(told)) == 4


def test_another_document_under_the_same_number_is_written(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"a": 1})
    file, filled = shell.home / "app.json", shell.home / "filled.json"
    targets = [{"service": name, "file": str(each)} for each in (file, filled)]
    targets[1] |= {"defaults": True}

    with shell.beside(*targets) as running:
        running.until(lambda: holds(file, {"a": 1}) and holds(filled, {"a": 1}))
        api.enable(name, 0, False)
        assert api.delete(name).status_code == 200
        assert api.put(name, {"a": 2}).json()["version"] == 0
        running.until(lambda: holds(file, {"a": 2}) and holds(filled, {"a": 2}))
        schema = {"properties": {"p": {"type": "integer", "default": 5}}}
        assert api.define(name, schema).status_code < 300
        assert api.put(name, {"a": 2}, definition=name).json()["version"] == 0

        running.until(lambda: holds(filled, {"a": 2, "p": 5}))
        assert holds(file, {"a": 2})


def test_what_the_server_could_not_render_is_not_lost(
    shell: Shell, api: Api, name: str, gate: Gate
) -> None:
    api.put(name, {"a": 1})
    shell.url = gate.url
    file, port = shell.home / "app.toml", free_port()
    plan = {"debounce": 1, "health": f"127.0.0.1:{port}"}

    with shell.beside({"service": name, "file": str(file)}, **plan) as running:
        running.until(lambda: text_of(file) == "a = 1\n" and health(port) == 200)
        api.put(name, {"a": 2})
        running.until(lambda: told_by(port)[0]["current"] == 1)
        gate.shut()
        running.until(lambda: "Only the server writes toml" in told_by(port)[0]["problem"])
        assert (health(port), told_by(port)[0]["version"]) == (200, 0)
        assert text_of(file) == "a = 1\n"
        gate.open()

        running.until(lambda: text_of(file) == "a = 2\n")
        running.until(lambda: told_by(port)[0]["version"] == 1)


@pytest.mark.parametrize("ending", ["yaml", "toml"])
def test_a_start_without_the_server_leaves_a_good_file_alone(
    shell: Shell, api: Api, name: str, gate: Gate, ending: str
) -> None:
    api.put(name, {"n": 1})
    shell.url = gate.url
    file, told, port = shell.home / f"app.{ending}", shell.home / "told", free_port()
    reload = ["sh", "-c", f"echo x >>{told}"]
    target = {"service": name, "file": str(file), "reload": reload}
    assert shell.once(target).returncode == DONE
    before = file.stat()
    gate.shut()

    with shell.beside(target, deadline=0.2, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200, 6)

    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(lines_of(told)) == 1


@contextmanager
def reading(file: Path) -> Iterator[list[str]]:
    """Reads a file over and over; yields what was wrong with it, which should be nothing."""
    wrong: list[str] = []
    ended = threading.Event()
    reads = 0

    def run() -> None:
        nonlocal reads
        while not ended.is_set():
            reads += 1
            time.sleep(0.001)
            try:
                found = json.loads(file.read_bytes())
                assert found["body"] == [found["n"]] * len(found["body"])
            except Exception as error:  # whatever it is, it is what the test looks for
                wrong.append(repr(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield wrong
    finally:
        ended.set()
        thread.join(10)
    assert reads > 100


def large(number: int) -> dict[str, Any]:
    """A document that cannot be written in one go, and tells when it is mixed."""
    return {"n": number, "body": [number] * 1000}


def test_a_storm_is_written_as_its_last_state_and_in_few_steps(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    files, told = [shell.home / each / "app.json" for each in ("a", "b")], shell.home / "told"
    reload = ["sh", "-c", f"echo {{file}} >>{told}"]
    targets = [
        {"service": name, "file": str(file), "reload": reload, "symlink": file == files[1]}
        for file in files
    ]

    def number_of_writes(file: Path) -> int:
        return lines_of(told).count(str(file))

    with shell.beside(*targets, debounce=0.3) as running:
        running.until(lambda: [number_of_writes(file) for file in files] == [1, 1])
        began = time.monotonic()
        for number in range(1, 101):
            api.put(name, large(number))
        took = time.monotonic() - began
        running.until(lambda: all(holds(file, large(100)) for file in files))

        for file in files:
            assert number_of_writes(file) <= min(3 + took / 0.3, 50)


def test_readers_see_whole_files_however_often_they_change(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    plain, linked = shell.home / "plain" / "app.json", shell.home / "linked" / "app.json"
    targets = [{"service": name, "file": str(each)} for each in (plain, linked)]
    targets[1]["symlink"] = True

    with shell.beside(*targets, debounce=0) as running:
        running.until(lambda: holds(plain, large(0)) and holds(linked, large(0)))
        with reading(plain) as wrong, reading(linked) as wrong_linked:
            for number in range(1, 31):
                api.put(name, large(number))
                running.until(lambda n=number: json.loads(plain.read_bytes())["n"] >= n)
            running.until(lambda: holds(linked, large(30)))
        assert (wrong, wrong_linked) == ([], [])


def test_links_of_one_folder_change_as_in_kubernetes(shell: Shell, api: Api, name: str) -> None:
    first, second = f"{name}/first", f"{name}/second"
    api.put(first, {"n": 1})
    api.put(second, {"n": 1})
    folder = shell.home / "config"
    one, two = folder / "one.json", folder / "two.json"
    targets = [{"service": first, "file": str(one)}, {"service": second, "file": str(two)}]
    targets = [{**each, "symlink": True} for each in targets]

    with shell.beside(*targets) as running:
        running.until(lambda: holds(one, {"n": 1}) and holds(two, {"n": 1}))
        assert one.readlink() == Path("..data/one.json")
        assert two.readlink() == Path("..data/two.json")
        before = (folder / "..data").readlink()
        for number in range(2, 12):
            api.put(first, {"n": number})
            api.put(second, {"n": number})
        running.until(lambda: holds(one, {"n": 11}) and holds(two, {"n": 11}))
        running.send(signal.SIGTERM)
        assert running.ends(3) == 0

    after = (folder / "..data").readlink()
    assert after != before
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        ["..data", str(after), "one.json", "two.json"]
    )


def test_a_file_that_was_none_becomes_a_link_and_what_hinders_that_leaves_nothing_behind(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    plain, hindered = shell.home / "plain" / "app.json", shell.home / "hindered" / "app.json"
    plain.parent.mkdir()
    plain.write_text(as_written({"n": 1}))
    (hindered.parent / "..data").mkdir(parents=True)
    targets = [{"service": name, "file": str(each), "symlink": True} for each in (plain, hindered)]

    assert [shell.once(each).returncode for each in targets] == [DONE, REFUSED]

    assert plain.readlink() == Path("..data/app.json")
    assert holds(plain, {"n": 1})
    assert [each.name for each in hindered.parent.iterdir()] == ["..data"]


def test_a_link_keeps_its_neighbours_mode_and_owner(shell: Shell, api: Api, name: str) -> None:
    need(os.geteuid() == 0, "root, to give files away")
    first, second = f"{name}/first", f"{name}/second"
    api.put(first, {"n": 1})
    api.put(second, {"n": 1})
    one, two = shell.home / "config" / "one.json", shell.home / "config" / "two.json"
    targets: list[dict[str, Any]] = [
        {"service": first, "file": str(one), "symlink": True},
        {"service": second, "file": str(two), "symlink": True, "mode": "640"},
    ]
    assert shell.once(*targets).returncode == DONE
    os.chown(two, 12345, 23456)

    api.put(first, {"n": 2})
    assert shell.once(*targets).returncode == DONE

    assert holds(one, {"n": 2})
    assert two.stat().st_mode & 0o777 == 0o640
    assert (two.stat().st_uid, two.stat().st_gid) == (12345, 23456)


def test_a_file_that_somebody_deletes_comes_back_or_is_missed(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, port = shell.home / "app.json", free_port()

    with shell.beside({"service": name, "file": str(file)}, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200)
        file.unlink()

        running.until(lambda: file.exists() or health(port) == 503, 4)


def test_what_somebody_writes_into_a_file_is_put_right_or_missed(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    file, told, port = shell.home / "app.json", shell.home / "told", free_port()
    target = {"service": name, "file": str(file), "reload": ["sh", "-c", f"echo x >>{told}"]}

    with shell.beside(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200)
        file.write_text('{"n": 2}\n')
        assert health(port) == 503 or holds(file, {"n": 1})
        running.until(lambda: holds(file, {"n": 1}) and health(port) == 200, 4)
        running.until(lambda: len(lines_of(told)) == 2)
        file.touch()  # what is touched only stays
        touched = file.stat().st_ino
        time.sleep(2.2)

        assert (file.stat().st_ino, len(lines_of(told))) == (touched, 2)


def test_splay_spreads_the_writes_after_the_first(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    files = [shell.home / f"{number}.json" for number in range(8)]
    targets = [{"service": name, "file": str(file)} for file in files]

    with shell.beside(*targets, splay=2) as running:
        running.until(lambda: all(holds(file, {"n": 1}) for file in files))
        api.put(name, {"n": 2})
        running.until(lambda: all(holds(file, {"n": 2}) for file in files))

    times = sorted(file.stat().st_mtime for file in files)
    assert times[-1] - times[0] > 0.2


# --- what goes wrong around a sidecar


def test_a_sidecar_waits_for_its_server_and_outlives_its_loss(
    shell: Shell, api: Api, name: str, gate: Gate
) -> None:
    api.put(name, {"n": 1})
    gate.shut()
    shell.url = gate.url
    file, port = shell.home / "app.json", free_port()
    plan = {"deadline": 0.2, "health": f"127.0.0.1:{port}"}

    with shell.beside({"service": name, "file": str(file)}, **plan) as running:
        running.until(lambda: health(port) == 503)
        gate.open()
        running.until(lambda: holds(file, {"n": 1}), 30)
        running.until(lambda: health(port) == 200)
        for number in (2, 3):
            gate.shut()
            api.put(name, {"n": number})
            running.until(lambda: "cannot be reached" in told_by(port)[0]["problem"])
            assert health(port) == 200
            assert holds(file, {"n": number - 1})
            gate.open()
            running.until(lambda n=number: holds(file, {"n": n}), 30)
            running.until(lambda: told_by(port)[0]["problem"] == "")


def test_a_sidecar_that_starts_without_its_server_leaves_the_file_that_is_there(
    shell: Shell, name: str, dead: str
) -> None:
    file, port = shell.home / "app.json", free_port()
    file.write_text('{"n": "of an earlier run"}')
    shell.url = dead

    with shell.beside(
        {"service": name, "file": str(file)}, deadline=0.2, health=f"127.0.0.1:{port}"
    ) as running:
        running.until(lambda: health(port) == 200)

        assert holds(file, {"n": "of an earlier run"})
        assert json.loads(asked(port, "/healthz")[1])["targets"][0]["stale"]


def test_once_is_0_when_all_is_written_and_1_when_not(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    good = {"service": name, "file": str(shell.home / "good.json")}
    absent = {"service": f"{name}-absent", "file": str(shell.home / "absent.json")}
    refused = {**good, "file": str(shell.home / "refused.json"), "check": "false"}

    assert shell.once(good).returncode == DONE
    assert shell.once(good, absent).returncode == REFUSED
    assert shell.once(good, refused).returncode == REFUSED
    assert not (shell.home / "refused.json").exists()
    assert "Traceback" not in shell.once(absent, refused).stderr


def test_once_that_is_ended_before_all_is_written_does_not_say_that_it_is(
    shell: Shell, name: str
) -> None:
    with mute() as shell.url:
        plan = shell.planned({"service": name, "file": str(shell.home / "app.json")})
        with shell.started("sidecar", "--once", "-c", str(plan)) as running:
            running.until_it_handles(signal.SIGTERM)
            running.send(signal.SIGTERM)

            assert running.ends(3) != DONE


@pytest.mark.parametrize("way", ["nobody there", "no answer"])
def test_once_gives_up_at_its_deadline(shell: Shell, name: str, dead: str, way: str) -> None:
    targets = [
        {"service": f"{name}-{number}", "file": str(shell.home / f"{number}.yaml")}
        for number in range(5)
    ]
    old = shell.home / "0.yaml"
    old.touch()
    with ExitStack() as stack:
        shell.url = dead if way == "nobody there" else stack.enter_context(mute())
        began = time.monotonic()
        ran = shell.once(*targets, deadline=1)
        alone = shell.once(targets[0], deadline=0.1)

    assert ran.returncode == REFUSED
    assert 1 <= time.monotonic() - began < 10
    assert all(f"{each['file']} is not written" in ran.stderr for each in targets)
    # A file that is there is not yet the one that was asked for.
    assert (alone.returncode, text_of(old)) == (REFUSED, "")


def test_healthz_tells_of_every_target_and_of_nothing_else(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    port = free_port()
    targets = [
        {"service": name, "file": str(shell.home / "good.json")},
        {"service": f"{name}-absent", "file": str(shell.home / "absent.json")},
    ]

    with shell.beside(*targets, health=f"127.0.0.1:{port}", deadline=0.3) as running:
        running.until(lambda: health(port) != 0)

        def versions() -> list[int | None]:
            return [each["version"] for each in json.loads(asked(port, "/healthz")[1])["targets"]]

        running.until(lambda: versions() == [0, None])
        assert health(port) == 503
        told = json.loads(asked(port, "/healthz")[1])
        assert told["targets"][1]["problem"]
        assert asked(port, "/healthz?verbose=1")[0] == 503
        assert asked(port, "/other")[0] == 404
        api.put(f"{name}-absent", {})
        running.until(lambda: health(port) == 200, 30)


def test_probes_may_be_strange(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    port = free_port()
    target = {"service": name, "file": str(shell.home / "app.json")}

    with shell.beside(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200)
        silent = socket.create_connection(("127.0.0.1", port), timeout=10)
        for _ in range(3):
            probe = socket.create_connection(("127.0.0.1", port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.sendall(b"GET /hea")
            time.sleep(0.05)  # it is being read
            probe.close()
        head = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        head.request("HEAD", "/healthz")
        answer = head.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        head.close()
        assert silent.recv(1) == b""
        silent.close()

        assert "Traceback" not in running.said
        assert health(port) == 200


@pytest.mark.parametrize("state", ["idle", "looking", "mute", "first check", "later reload"])
def test_sigterm_ends_a_sidecar_within_3_seconds_with_code_0(
    shell: Shell, api: Api, name: str, dead: str, state: str
) -> None:
    api.put(name, {"n": 1})
    file, begun = shell.home / "app.json", shell.home / "begun"
    slow = ["sh", "-c", f'echo x >>{begun}; test "$(wc -l <{begun})" -lt $1 || exec sleep 20', "sh"]
    target: dict[str, Any] = {"service": name, "file": str(file)}
    other = {"service": name, "file": str(shell.home / "other.json")}
    if state == "first check":
        target["check"] = [*slow, "1"]
    if state == "later reload":
        target["reload"] = [*slow, "2"]
    with ExitStack() as stack:
        if state in {"looking", "mute"}:
            shell.url = dead if state == "looking" else stack.enter_context(mute())
        plan = {"deadline": 10, "health": f"127.0.0.1:{free_port()}"}
        running = stack.enter_context(shell.beside(target, other, **plan))
        running.until_it_handles(signal.SIGTERM)
        if state in {"idle", "later reload"}:
            running.until(lambda: holds(file, {"n": 1}))
        if state == "later reload":
            api.put(name, {"n": 2})
        commands = {"first check": 1, "later reload": 2}.get(state, 0)
        running.until(lambda: len(lines_of(begun)) >= commands)
        running.send(signal.SIGTERM)

        assert running.ends(3) == 0


def test_sighup_reads_the_plan_anew(shell: Shell, api: Api, name: str) -> None:
    api.put(name, {"n": 1})
    first, second = shell.home / "first.json", shell.home / "second.json"

    with shell.beside({"service": name, "file": str(first)}) as running:
        running.until(lambda: holds(first, {"n": 1}))
        shell.planned({"service": name, "file": str(second)})
        running.send(signal.SIGHUP)
        running.until(lambda: holds(second, {"n": 1}))
        api.put(name, {"n": 2})
        running.until(lambda: holds(second, {"n": 2}))

        assert holds(first, {"n": 1})
        running.send(signal.SIGTERM)
        assert running.ends(3) == 0


def test_a_plan_that_was_left_while_it_began_is_not_followed(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    first, second, checks = (shell.home / each for each in ("first.json", "second.json", "checks"))
    slow = ["sh", "-c", f"echo x >>{checks}; sleep 0.5"]

    with shell.beside({"service": name, "file": str(first), "check": slow}) as running:
        running.until(checks.exists)
        shell.planned({"service": name, "file": str(second)})
        running.send(signal.SIGHUP)
        running.until(lambda: holds(second, {"n": 1}))
        began = time.monotonic()
        running.until(lambda: time.monotonic() - began > 0.8)  # the check is over
        api.put(name, {"n": 2})
        running.until(lambda: holds(second, {"n": 2}))
        running.until(lambda: time.monotonic() - began > 2)  # so would be another

        assert len(lines_of(checks)) == 1
        assert not first.exists()


def test_every_sighup_is_heard_also_while_the_last_one_is_being_obeyed(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    files = [shell.home / "config" / f"{number}.json" for number in range(50)]

    with shell.beside({"service": name, "file": str(files[0])}) as running:
        running.until(files[0].exists)
        for file in files[1:]:
            shell.planned({"service": name, "file": str(file)})
            running.send(signal.SIGHUP)
            running.until(file.exists, 4)
        running.send(signal.SIGTERM)
        assert running.ends(3) == 0


def test_sighup_with_a_wrong_plan_goes_on_with_the_old_one(
    shell: Shell, server: Server, name: str
) -> None:
    server.api.put(name, {"n": 1})
    file, port = shell.home / "app.json", free_port()
    target = {"service": name, "file": str(file)}
    taken = json.dumps({"targets": [target], "health": f"127.0.0.1:{server.port}"})
    plans = [b"{", b"[]", b"\xff\xfe\x00", taken.encode()]

    with shell.beside(target, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: holds(file, {"n": 1}))
        for number, plan in enumerate(plans, 1):
            (shell.home / "plan.json").write_bytes(plan)
            running.send(signal.SIGHUP)
            running.until(lambda n=number: running.said.count("the old plan stays") == n)
            server.api.put(name, {"n": number + 1})
            running.until(lambda n=number: holds(file, {"n": n + 1}))
            assert health(port) == 200
        shell.planned({**target, "file": f"{file}.new"}, health=f"127.0.0.1:{port}")
        running.send(signal.SIGHUP)
        running.until(lambda: told_by(port)[0]["file"] == f"{file}.new")
        running.until(lambda: health(port) == 200)


def test_a_plan_that_was_left_while_it_looked_for_its_server_writes_nothing(
    shell: Shell, api: Api, name: str, gate: Gate
) -> None:
    api.put(f"{name}-old", {"n": "old"})
    api.put(name, {"n": "new"})
    gate.shut()
    file = shell.home / "app.json"
    target = {"service": name, "file": str(file)}
    old = [{"service": f"{name}-old", "file": str(file)}]
    old += [{**old[0], "file": f"{file}.{number}"} for number in range(3)]

    with shell.beside(*old, url=gate.url, deadline=3) as running:
        running.until_it_handles(signal.SIGHUP)
        for _ in range(3):
            time.sleep(0.2)
            running.send(signal.SIGHUP)
        time.sleep(0.2)
        shell.planned(target, url=shell.url)
        running.send(signal.SIGHUP)
        running.until(lambda: holds(file, {"n": "new"}))
        gate.open()
        running.until(lambda: threads_of(running) < 6)
        time.sleep(1)

        assert holds(file, {"n": "new"})
        assert [each.name for each in shell.home.glob("app*")] == ["app.json"]


def threads_of(running: Running) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/task").iterdir()))


@contextmanager
def storm(url: str, service: str) -> Iterator[list[int]]:
    """Commits one after the other; yields the numbers of those that were acknowledged."""
    written: list[int] = []
    ended = threading.Event()

    def run() -> None:
        api = Api(url)
        number = 0
        while not ended.is_set():
            number += 1
            api.put(service, large(number))
            written.append(number)
            time.sleep(0.008)
        api.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield written
    finally:
        ended.set()
        thread.join(10)


def test_a_sidecar_that_is_ended_in_a_storm_leaves_no_draft(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    file = shell.home / "kept" / "app.json"
    target = {"service": name, "file": str(file), "check": ["sleep", "0.05"]}
    assert shell.once(target).returncode == DONE
    random = Random(7)

    def number() -> int:
        return int(json.loads(file.read_bytes())["n"])

    with storm(shell.url, name):
        for _ in range(6):
            before = number()
            with shell.beside(target, debounce=0) as running:
                running.until(lambda before=before: number() > before)
                time.sleep(random.uniform(0, 0.06))
                running.send(signal.SIGTERM)
                assert running.ends(3) == 0
            assert [each.name for each in file.parent.iterdir()] == ["app.json"]


def test_a_sidecar_killed_in_a_storm_leaves_whole_files_and_nothing_else(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    plain, linked = shell.home / "plain" / "app.json", shell.home / "linked" / "app.json"
    targets = [{"service": name, "file": str(each)} for each in (plain, linked)]
    targets[1]["symlink"] = True
    assert shell.once(*targets).returncode == DONE
    random = Random(7)

    def numbers() -> list[int]:
        return [json.loads(each.read_bytes())["n"] for each in (plain, linked)]

    def all_went_on(before: list[int]) -> bool:
        return all(now > then for now, then in zip(numbers(), before, strict=True))

    with ExitStack() as stack:
        written = stack.enter_context(storm(shell.url, name))
        wrong = [stack.enter_context(reading(each)) for each in (plain, linked)]
        for _ in range(10):
            before = numbers()
            with shell.beside(*targets, debounce=0) as running:
                running.until(lambda n=before: all_went_on(n))
                time.sleep(random.uniform(0, 0.06))
                running.send(signal.SIGKILL)
                running.ends(5)
            for file, number in zip((plain, linked), numbers(), strict=True):
                assert json.loads(file.read_bytes()) == large(number)
        # One that is left in peace tidies up with its next write.
        before = numbers()
        with shell.beside(*targets, debounce=0) as running:
            running.until(lambda: all_went_on(before))
            running.send(signal.SIGTERM)
            assert running.ends(3) == 0

    assert wrong == [[], []]
    assert len(written) > 20
    assert [each.name for each in plain.parent.iterdir()] == ["app.json"]
    kept = {"..data", "app.json", str((linked.parent / "..data").readlink())}
    assert {each.name for each in linked.parent.iterdir()} == kept


def test_two_sidecars_on_one_file_end_with_the_last_state(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, large(0))
    file = shell.home / "config" / "app.json"
    target = {"service": name, "file": str(file)}

    with shell.beside(target) as one, shell.beside(target) as other:
        one.until(lambda: holds(file, large(0)))
        with storm(shell.url, name) as written, reading(file) as wrong:
            until(lambda: len(written) > 60, 30)
        one.until(lambda: holds(file, large(written[-1])))
        assert other.is_alive
        for running in (one, other):
            running.send(signal.SIGTERM)
            assert running.ends(3) == 0

    assert wrong == []
    assert holds(file, large(written[-1]))
    assert [each.name for each in file.parent.iterdir()] == ["app.json"]


def test_a_folder_that_cannot_be_is_told_and_the_rest_goes_on(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    shell.home.joinpath("taken").write_text("a file")
    shell.home.joinpath("busy").mkdir()
    bad, worse, good = (shell.home / each for each in ("taken/app.json", "busy", "good.json"))
    targets = [{"service": name, "file": str(each)} for each in (bad, worse, good)]

    with shell.beside(*targets) as running:
        running.until(lambda: holds(good, {"n": 1}))
        api.put(name, {"n": 2})
        running.until(lambda: holds(good, {"n": 2}))
        assert str(bad) in running.said
        assert str(worse) in running.said
        (shell.home / "taken").unlink()
        running.until(lambda: holds(bad, {"n": 2}))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write in ``folder``, as long as this lasts; root is kept out by a mount."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    bound = subprocess.run(["mount", "--bind", str(folder), str(folder)], check=False)
    need(bound.returncode == 0, "the right to mount a folder")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_folder_that_is_read_only_for_a_while_is_told_and_written_afterwards(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    folder, port = shell.home / "config", free_port()
    file = folder / "app.json"
    folder.mkdir()

    with shell.beside({"service": name, "file": str(file)}, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200)
        with read_only(folder):
            api.put(name, {"n": 2})
            running.until(lambda: health(port) == 503)
            assert holds(file, {"n": 1})
            assert str(file) in running.said
        running.until(lambda: holds(file, {"n": 2}))
        running.until(lambda: health(port) == 200)


def test_a_disk_that_is_full_for_a_while_leaves_the_old_file(
    shell: Shell, api: Api, name: str
) -> None:
    api.put(name, {"n": 1})
    folder, port = shell.home / "config", free_port()
    file = folder / "app.json"
    no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    with shell.beside({"service": name, "file": str(file)}, health=f"127.0.0.1:{port}") as running:
        running.until(lambda: health(port) == 200)
        # Every file of the process ends here, as if the disk did.
        most = (8_192, resource.RLIM_INFINITY)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, most)
        document = {"n": 2, "text": "x" * 20_000}
        api.put(name, document)
        running.until(lambda: health(port) == 503)
        assert holds(file, {"n": 1})
        running.until(lambda: [each.name for each in folder.iterdir()] == ["app.json"])
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, no_limit)
        running.until(lambda: holds(file, document))
        running.until(lambda: health(port) == 200)


# --- the first set-up from a file


def documents_of(server: Server) -> dict[str, Any]:
    """What a running server holds."""
    found: dict[str, Any] = server.api.http.get("/api/v1/export").json()
    return found


def test_a_new_database_begins_with_a_file_and_never_does_so_again(tmp_path: Path) -> None:
    file = tmp_path / "first.yaml"
    file.write_text("web: {port: 1}\nteam/db:\n  host: ö\n")

    with Server(tmp_path / "instance", bootstrap=file, workers=1) as server:
        assert documents_of(server) == {"web": {"port": 1}, "team/db": {"host": "ö"}}
        changes = server.api.changes()
        assert {change["revision"] for change in changes} == {1}
        assert {change["service"] for change in changes} == {"web", "team/db"}
        for name in ("web", "team/db"):
            assert len(server.api.versions(name)) == 1
            server.api.enable(name, 0, False)
            assert server.api.delete(name).status_code < 300
        server.stop()
        file.write_text("web: {port: 2}\n")
        server.start()

        assert documents_of(server) == {}


def as_kubernetes_mounts(folder: Path, files: dict[str, str]) -> Path:
    """A folder of links into ..data, with other files that are no part of it."""
    real = folder / "..2026_11_21"
    real.mkdir(parents=True)
    (folder / "..data").symlink_to(real.name)
    for file, text in files.items():
        (real / file).write_text(text)
        (folder / file).symlink_to(f"..data/{file}")
    (folder / ".hidden.json").write_text("not JSON")
    return folder


def test_of_several_servers_that_start_at_once_one_loads_the_first_set_up(
    tmp_path: Path,
) -> None:
    files = {f"service-{number}.json": f'{{"n": {number}}}' for number in range(100)}
    files |= {"db.yml": "n: 2\n", "cache.toml": "n = 3\n"}
    folder = as_kubernetes_mounts(tmp_path / "first", files)
    (folder / "team").mkdir()
    (folder / "team" / "web.yaml").write_text("n: 4\n")
    servers = [Server(tmp_path / "instance", bootstrap=folder, workers=1) for _ in range(3)]
    assert servers[0].run("db", "upgrade").returncode == 0
    for number, server in enumerate(servers):
        server.log = tmp_path / f"{number}.log"

    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        list(pool.map(stack.enter_context, servers))

        documents = documents_of(servers[2])
        assert len(documents) == 103
        some = ("service-7", "db", "cache", "team/web")
        assert [documents[each]["n"] for each in some] == [7, 2, 3, 4]
        assert {change["revision"] for change in servers[0].api.changes()} == {1}
        began = [server.log.read_text().count("distconf: began with") for server in servers]
        assert sorted(began) == [0, 0, 1]


WRONG = {
    "broken.json": ('{"n": ', "Expecting value"),
    "twice.json": ('{"n": 1, "n": 2}', "given more than once"),
    "wrong name.json": ("{}", "a name is made of"),
    "list.yaml": ("- 1\n", "object"),
    "alias.yaml": ("a: &x 1\nb: *x\n", "Anchor"),
    "date.toml": ("d = 2026-11-21\n", "a date has no place"),
    "notes.txt": ("hello", "Its ending tells no format"),
    "other.json": ('{"service": "another", "n": 1e999}', "1e999"),
    "another.json": ('{"service": "third"}', "It must be 'another'"),
    "good.toml": ("n = 2\n", "'good'"),
}
"""Files that none can begin with, and what there is to say of each."""


@pytest.fixture(scope="module")
def wrongly_begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, Path, str]:
    """A server that did not start, the folder it should have begun with, and what it said."""
    home = tmp_path_factory.mktemp("wrong")
    folder = home / "first"
    folder.mkdir()
    (folder / "good.json").write_text('{"n": 1}')
    for file, (text, _) in WRONG.items():
        (folder / file).write_text(text)
    server = Server(home / "instance", bootstrap=folder, workers=1)
    ran = server.run("serve", "--upgrade")
    assert ran.returncode == REFUSED
    return server, folder, told_plainly(ran)


def test_a_wrong_first_set_up_is_refused_with_all_its_problems(
    wrongly_begun: tuple[Server, Path, str],
) -> None:
    _, _, told = wrongly_begun

    assert [each for each, (_, words) in WRONG.items() if words not in told] == []


def test_each_problem_of_a_first_set_up_is_told_with_its_file(
    wrongly_begun: tuple[Server, Path, str],
) -> None:
    _, folder, told = wrongly_begun

    assert [each for each in WRONG if str(folder / each) not in told] == []


def test_a_wrong_first_set_up_loads_nothing_and_does_not_matter_to_a_database_in_use(
    wrongly_begun: tuple[Server, Path, str], tmp_path: Path
) -> None:
    server, _, _ = wrongly_begun
    (tmp_path / "mine.json").write_text('{"mine": {"n": 1}}')
    assert server.run("import", str(tmp_path / "mine.json")).returncode == 0

    with server:
        assert documents_of(server) == {"mine": {"n": 1}}
        assert {change["revision"] for change in server.api.changes()} == {1}


def test_a_first_set_up_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path / "instance", bootstrap=tmp_path / "absent.yaml", workers=1)

    ran = server.run("serve", "--upgrade")

    assert ran.returncode == REFUSED
    assert "absent.yaml" in told_plainly(ran)
