"""The command line as users have it: processes with a home folder of their own."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.support.waiting import until

CLIENT = "distributed_config.client"
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
"""Values that shells, properties and templates easily get wrong."""


def text_of(file: Path) -> str:
    """Return the text in ``file``; "" if it is missing."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def lines_of(file: Path) -> list[str]:
    return text_of(file).splitlines()


def holds(file: Path, value: Any) -> bool:
    """Whether ``file`` has ``value`` as JSON."""
    return bool(text := text_of(file)) and json.loads(text) == value


def read_yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@dataclass
class Shell:
    """A user's environment: a home folder, and the address of a server."""

    home: Path
    url: str

    def environment(self, **more: str) -> dict[str, str]:
        ours = ("DISTCONF", "XDG_", "NO_COLOR", "PYTEST", "HTTP_", "http_")
        plain = {name: each for name, each in os.environ.items() if not name.startswith(ours)}
        return {**plain, "HOME": str(self.home), "DISTCONF_URL": self.url, **more}

    def run(
        self, *words: str, door: str = CLIENT, stdin: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        ran = subprocess.run(
            [sys.executable, "-m", door, *words],
            env=self.environment(**variables),
            cwd=self.home,
            input=stdin.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        # Not text=True, which turns every \r into \n.
        outputs = (ran.stdout.decode(), ran.stderr.decode())
        return subprocess.CompletedProcess(ran.args, ran.returncode, *outputs)

    def run_all(self, *commands: Sequence[str]) -> "list[subprocess.CompletedProcess[str]]":
        """Run commands in parallel to their ends."""
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(lambda words: self.run(*words), commands))

    def output(self, *words: str, **options: str) -> str:
        """Return the output of a command, which has to succeed."""
        ran = self.run(*words, **options)
        assert ran.returncode == DONE, ran.stderr
        return ran.stdout

    @contextmanager
    def started(self, *words: str, **variables: str) -> Iterator["Running"]:
        """Run a command in the background, in a session of its own. It is killed at the end."""
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
    def sidecar(
        self, *targets: dict[str, Any], flags: str = "", **plan: Any
    ) -> Iterator["Running"]:
        """Run a sidecar that follows ``targets``."""
        file = self.write_plan(*targets, **plan)
        with self.started("sidecar", "-c", str(file), *flags.split()) as running:
            yield running

    def once(self, *targets: dict[str, Any], **plan: Any) -> "subprocess.CompletedProcess[str]":
        """Run a sidecar that writes ``targets`` once and ends."""
        return self.run("sidecar", "--once", "-c", str(self.write_plan(*targets, **plan)))

    def write_plan(self, *targets: dict[str, Any], **plan: Any) -> Path:
        file = self.home / "plan.json"
        quick = {"debounce": 0.02, "deadline": 5}
        file.write_text(json.dumps({**quick, **plan, "targets": targets}))
        return file


@dataclass
class Running:
    """A command that runs in the background, and its output."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def output(self) -> str:
        return text_of(self.log)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Return the exit code, which has to come in time."""
        return self.process.wait(seconds)

    def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Wait until ``condition`` holds, while the command runs."""
        until(lambda: condition() or not self.is_alive, seconds, f"it, with {self.output[-2000:]}")
        assert condition(), f"it ended with {self.process.poll()}: {self.output[-2000:]}"

    def until_it_handles(self, number: signal.Signals) -> None:
        """Wait until the command handles a signal itself."""

        def is_caught() -> bool:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            caught = int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16)
            return bool(caught >> (number - 1) & 1)

        self.until(is_caught)


def health_status(port: int) -> int:
    """Return the status of the sidecar's /healthz; 0 while nobody listens."""
    return probe(port, "/healthz")[0]


def probe(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except ConnectionError:
        return 0, b""
    finally:
        connection.close()


def health_reports(port: int) -> list[dict[str, Any]]:
    """Return the reports of /healthz on each target."""
    found: list[dict[str, Any]] = json.loads(probe(port, "/healthz")[1])["targets"]
    return found


def error_sentences(ran: "subprocess.CompletedProcess[str]") -> str:
    """Return the messages of a command that failed: sentences, and no traceback."""
    assert "Traceback" not in ran.stderr, ran.stderr[-600:]
    assert "Exception" not in ran.stderr, ran.stderr[-600:]
    assert ran.stderr.startswith("distconf: "), ran.stderr
    return ran.stderr


def as_the_shell_reads(script: str, *words: str) -> dict[str, str]:
    """Return the variables that a real sh has after ``script``."""
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


def as_written(value: Any) -> str:
    """Return JSON as the sidecar writes it."""
    return json.dumps(value, indent=2) + "\n"


@contextmanager
def reading(file: Path) -> Iterator[list[str]]:
    """Read a file over and over. Yields the errors in it, of which there should be none."""
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
    """Return a document that is too large for one write, and shows when two are mixed."""
    return {"n": number, "body": [number] * 1000}
