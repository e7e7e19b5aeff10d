"""The commands of ``distconf`` that speak to a server; the standard library is all they need.

python -m distributed_config.client get web
"""

import argparse
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from distributed_config.client.client import Client, token_of
from distributed_config.client.commands import COMMANDS
from distributed_config.client.config import Config
from distributed_config.client.plan import plan_of
from distributed_config.client.profiles import Profile, profile_of, read_file
from distributed_config.client.rendering import as_env, as_json, as_text, environment
from distributed_config.client.sidecar import Sidecar
from distributed_config.client.tokens import good_token
from distributed_config.client.transport import Request
from distributed_config.errors import DistconfError, Invalid, NeverLoaded, Problem, Unreachable

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
_CANNOT_RUN, _NO_SUCH_COMMAND = 126, 127  # as shells have it

_TYPES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
_GRACE = 10
_LAST_SECONDS = 1.0
_STANDARD_ERROR = 2
_OF_TARGET = ("service", "file", "format", "template", "mode", "check", "reload")
_OWN_WORD = 0  # no signal has this number
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
# Those that speak of this process alone: of its own faults, its own children and its own pipes.
# SIGTSTP comes from a terminal, which stops the command itself.
_OWN_SIGNALS = frozenset(
    {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGCHLD, signal.SIGPIPE}
    | {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
    | {signal.SIGTRAP, signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ}
)


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # a line for each end
    """Runs a command. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no server answered."""
    _open_what_is_closed()
    parser = _parser()
    asked, unknown = parser.parse_known_args(arguments)
    if unknown:
        asked.parser.error(f"unrecognized arguments: {' '.join(unknown)}")  # with its own usage
    if asked.command is None:
        parser.print_help()
        return USAGE
    try:
        code: int = asked.run(asked)
        sys.stdout.flush()  # here it can be told that it fails
    except NeverLoaded as error:
        answered = isinstance(error.__cause__, DistconfError)
        refused = answered and not isinstance(error.__cause__, Unreachable)
        return _complain(error, REFUSED if refused else UNREACHABLE)
    except Unreachable as error:
        return _complain(error, UNREACHABLE)
    except DistconfError as error:
        return _complain(error, REFUSED)
    except BrokenPipeError:
        _drop_output()  # who reads has gone
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = error.filename
        if where is None:
            where = "the output"
            _drop_output()
        sys.stderr.write(f"distconf: {error.strerror or error}: {where}\n")
        return REFUSED
    except UnicodeEncodeError as error:
        what = ascii(error.object[error.start : error.end])
        sys.stderr.write(
            f"distconf: {what} cannot be written in {error.encoding}. Set PYTHONIOENCODING=utf-8.\n"
        )
        return REFUSED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


def _open_what_is_closed() -> None:
    """What is written to a closed stream, as with ``>&-``, goes nowhere; and into no other file."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(opened)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  # for good
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  # the same


def _drop_output() -> None:
    """What is left of the output must not be written at the end either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _complain(error: DistconfError, code: int) -> int:
    sys.stderr.write(f"distconf: {error.detail}\n")
    for problem in error.problems:
        where = problem.pointer or problem.parameter
        if len(error.problems) > 1 or problem.message not in error.detail:
            sys.stderr.write(f"  {where + ': ' if where else ''}{problem.message}\n")
    return code


# --- commands


def _get(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        if asked.output == "yaml" and not asked.path:
            text = client.text(
                asked.service,
                format="yaml",
                version=asked.version,
                as_of=asked.as_of,
                defaults=asked.defaults,
            )
            sys.stdout.write(text)
            return DONE
        found = client.get(
            asked.service, version=asked.version, as_of=asked.as_of, defaults=asked.defaults
        )
    value: Any = found.value
    for key in asked.path.split(".") if asked.path else ():
        if not isinstance(value, dict) or key not in value:
            sys.stderr.write(f"distconf: {asked.service!r} has nothing at {asked.path}.\n")
            return REFUSED
        value = value[key]
    if asked.path and asked.output != "json":
        print(as_text(value))
    elif asked.output == "json":
        print(found.text if not asked.path else json.dumps(value, ensure_ascii=False))
    else:
        sys.stdout.write(as_json(value))
    return DONE


def _put(asked: argparse.Namespace) -> int:
    query = {
        "service": asked.service,
        "definition": asked.definition,
        "dry_run": "true" if asked.dry_run else None,
        "note": asked.note or None,
    }
    headers = {"Content-Type": _content_type(asked.file), "Idempotency-Key": os.urandom(16).hex()}
    if asked.if_match:
        headers["If-Match"] = asked.if_match
    body = _body(asked.file)
    with _client(asked) as client:
        answer = client.transport.ask(Request("PUT", "/config", query, headers, body)).json()
    return _wrote(asked, answer["version"], answer["changed"])


def _patch(asked: argparse.Namespace) -> int:
    changes = _changes(asked.changes)
    with _client(asked) as client:
        done = client.patch(
            changes, asked.service, note=asked.note, if_match=asked.if_match, dry_run=asked.dry_run
        )
    return _wrote(asked, done.version, done.changed)


def _changes(given: list[str]) -> Any:
    """A patch: of pairs, or in one file. Raises Invalid for what is neither."""
    pairs = [each for each in given if "=" in each]
    if len(pairs) not in {0, len(given)} or (not pairs and len(given) > 1):
        message = "Give key=value, as many as you like, or one file."
        raise Invalid.of([Problem("", message, "changes", "changes")])
    if not pairs:
        try:
            return json.loads(_body(given[0]))
        except (ValueError, RecursionError) as error:
            raise Invalid.of([Problem("", f"It is no JSON: {error}.", "json", given[0])]) from None
    changes: dict[str, Any] = {}
    for pair in pairs:
        path, _, text = pair.partition("=")
        _set(changes, path, _value(text))
    return changes


def _history(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        found = list(client.history(asked.service))
    columns = ("number", "enabled", "created_at", "author", "note")
    _table(asked, found, columns)
    return DONE


def _diff(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        found = client.diff(asked.old, asked.new, asked.service)
    if asked.output != "table":
        print(json.dumps(found["patch"], ensure_ascii=False))
    else:
        sys.stdout.write(_coloured(found["text"]))
    if found.get("truncated"):
        print("There is more than is shown: the difference is too long.", file=sys.stderr)
    return DONE


def _rollback(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        done = client.rollback(asked.to, asked.service, note=asked.note, dry_run=asked.dry_run)
    return _wrote(asked, done.version, done.changed)


def _watch(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        _check_beginning(client, asked.after)
        for revision in client.changes(asked.after, services=asked.services):
            if revision.reset:
                sys.stderr.write("distconf: the database was restored; read anew\n")
            for change in revision.changes:
                if asked.output != "table":
                    print(json.dumps(change, ensure_ascii=False), flush=True)
                else:
                    what = change["service"] or change["definition"] or ""
                    version = "" if change["version"] is None else f" {change['version']}"
                    line = (
                        f"{change['revision']}  {change['time']}  {change['kind']}  {what}{version}"
                    )
                    print(f"{line}  {change['note']}".rstrip(), flush=True)
    return DONE


def _check_beginning(client: Client, after: int | None) -> None:
    """Raises Unreachable without a server, and Invalid if there is no revision ``after`` yet.

    Following would wait for the one, and take the other for a database that was restored.
    """
    query = {"after": 0, "limit": 1}
    newest = client.transport.ask(Request("GET", "/api/v1/changes", query)).number(
        "config-revision"
    )
    if after is not None and after > newest:
        message = (
            f"There is no revision {after}; the newest is {newest}. Leave it out to begin from now."
        )
        raise Invalid.of([Problem("", message, "revision", "--after")])


def _env(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        value = client.get(asked.service, defaults=asked.defaults).value
    sys.stdout.write(as_env(value, asked.prefix, "export " if asked.export else ""))
    return DONE


def _exec(asked: argparse.Namespace) -> int:
    """Runs the command, and again or with a signal when the configuration changes."""
    command = asked.words[1:] if asked.words[:1] == ["--"] else asked.words
    if not command:
        sys.stderr.write("distconf: name a command behind --\n")
        return USAGE
    profile = _profile(asked)
    with Config(
        asked.service,
        url=profile.url,
        token=profile.token,
        deadline=asked.deadline,
        fill_defaults=asked.defaults,
    ) as config:
        return _Child(command, config, asked.prefix, asked.on_change).run()


class _Heard:
    """The signals that come, and a word of our own, to be waited for.

    They come through a pipe: a handler of Python's runs only when the main thread does, and one
    that comes just before that begins to wait would not be heard.
    """

    def __init__(
        self, numbers: Iterable[int] = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    ) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        for number in numbers:
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def tell(self) -> None:
        """Says a word of our own, from any thread."""
        os.write(self._write, bytes([_OWN_WORD]))

    def next(self) -> list[int]:
        """Waits until something came; all that did, in its order."""
        return list(os.read(self._read, 4096))


class _Child:
    """A command that runs with a configuration in its environment."""

    def __init__(self, command: list[str], config: Config, prefix: str, on_change: str) -> None:
        self._command = command
        self._config = config
        self._prefix = prefix
        self._on_change = on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._again = threading.Event()
        self._ending = False

    def run(self) -> int:
        """Until the command ends by itself; its exit code. All signals are the command's."""
        heard = _Heard(signal.valid_signals() - _OWN_SIGNALS)
        if self._on_change != "none":
            self._config.on_change(lambda _new, _old: self._changed())
        while True:
            self._again.clear()
            value = self._config.value
            variables = {**os.environ, **environment(value, self._prefix)}
            try:
                process = subprocess.Popen(self._command, env=variables)  # noqa: S603  # the user's own
            except (FileNotFoundError, PermissionError) as error:
                sys.stderr.write(f"distconf: {self._command[0]}: {error.strerror}\n")
                absent = isinstance(error, FileNotFoundError)
                return _NO_SUCH_COMMAND if absent else _CANNOT_RUN
            self._process = process
            _spawn(partial(_wait_and_tell, process, heard))
            if self._config.value is not value and self._on_change != "none":
                self._changed()  # it came while there was no process to tell
            code = self._until_ended(process, heard)
            if not self._again.is_set() or self._ending:
                return 128 - code if code < 0 else code

    def _until_ended(self, process: "subprocess.Popen[bytes]", heard: _Heard) -> int:
        """Passes signals on until the process has ended; its exit code."""
        while (code := process.poll()) is None:
            for number in heard.next():
                if number != _OWN_WORD:
                    self._ending = self._ending or number in _ENDING
                    process.send_signal(number)
        return code

    def _changed(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            environment(self._config.value, self._prefix)
        except DistconfError as error:
            # What runs goes on with what it has.
            sys.stderr.write(f"distconf: {error.detail}\n")
            return
        if self._on_change != "restart":
            process.send_signal(getattr(signal, f"SIG{self._on_change}"))
            return
        self._again.set()
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_and_tell(process: "subprocess.Popen[bytes]", heard: _Heard) -> None:
    process.wait()
    heard.tell()


def _sidecar(asked: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT; SIGHUP reads the plan anew."""
    if asked.config and any(getattr(asked, name) for name in _OF_TARGET):
        flags = ", ".join(f"--{name}" for name in _OF_TARGET)
        sys.stderr.write(f"distconf: give a plan, or one target by {flags}; not both\n")
        return USAGE
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    heard = _Heard()
    sidecar = Sidecar(plan_of(_planned(asked)))
    while True:
        good: list[bool] = []
        # In the background: a signal is obeyed whatever it waits for.
        _spawn(partial(_start, sidecar, good, heard if asked.once else None))
        following: Sidecar | None = None
        while following is None:
            numbers = set(heard.next())
            if numbers != {signal.SIGHUP}:
                _spawn(sidecar.end).join(_LAST_SECONDS)
                return DONE if not asked.once or good == [True] else REFUSED
            following = _anew(asked, sidecar)
        _spawn(sidecar.end).join(_LAST_SECONDS)
        sidecar = following


def _anew(asked: argparse.Namespace, sidecar: Sidecar) -> Sidecar | None:
    """What follows ``sidecar``, as the plan is now; None if it cannot, and nothing has changed."""
    try:
        return Sidecar(plan_of(_planned(asked)), sidecar)
    except (DistconfError, OSError) as error:
        logging.getLogger("distconf.sidecar").error("the old plan stays: %s", error)
        return None


def _start(sidecar: Sidecar, good: list[bool], once: _Heard | None) -> None:
    """Starts ``sidecar`` and follows; or says so when that was all."""
    good.append(sidecar.start())
    if once is not None:
        once.tell()
    else:
        sidecar.follow()


def _spawn(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _planned(asked: argparse.Namespace) -> dict[str, Any]:
    """The plan's file, or the flags that stand for one; and the profile's server."""
    if asked.config:
        value = read_file(Path(asked.config))
        if not isinstance(value, dict):
            raise Invalid.of([Problem("", "A plan is one object.", "type", asked.config)])
    else:
        target = {name: given for name in _OF_TARGET if (given := getattr(asked, name))}
        value = {"targets": [target]}
    profile = _profile(asked)
    found: dict[str, Any] = {"url": profile.url, "token": profile.token, **value}
    for name in ("url", "token", "debounce", "splay", "health", "deadline"):
        if getattr(asked, name) is not None:
            found[name] = getattr(asked, name)
    return found


# --- what is given


def _profile(asked: argparse.Namespace) -> Profile:
    found = profile_of(asked.profile, os.environ)
    token = asked.token
    if not token and asked.profile:
        token = found.token  # who names a server means its token as well
    token = token or (found.token if asked.profile else token_of(os.environ) or found.token)
    return Profile(asked.url or found.url, good_token(token))


def _client(asked: argparse.Namespace) -> Client:
    profile = _profile(asked)
    return Client(profile.url, token=profile.token)


def _body(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _content_type(file: str) -> str:
    kind = _TYPES.get(Path(file).suffix.lower(), "json" if file == "-" else "")
    if not kind:
        message = "Its ending tells no format that is read: .json, .yaml or .toml."
        raise Invalid.of([Problem("", message, "format", file)])
    return f"application/{kind}"


def _value(text: str) -> Any:
    """JSON where it is JSON, and text otherwise; ``key=null`` removes."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value


def _set(target: dict[str, Any], path: str, value: Any) -> None:
    """Puts ``value`` at a dotted path. Raises Invalid if that contradicts what was put before."""
    *keys, last = path.split(".")
    for key in keys:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            break
    if not path or not isinstance(target, dict) or last in target:
        message = "It is given more than once, or inside of what is given as a value."
        raise Invalid.of([Problem("", message, "repeated", path or "=")])
    target[last] = value


# --- what is told


def _wrote(asked: argparse.Namespace, version: int, changed: bool) -> int:
    if asked.output != "table":
        print(json.dumps({"service": asked.service, "version": version, "changed": changed}))
    elif not asked.quiet:
        would = "would be " if asked.dry_run else "is "
        state = (
            f"{would}at version {version}" if changed else f"is so already, at version {version}"
        )
        print(f"{asked.service} {state}.")
    return DONE


def _table(asked: argparse.Namespace, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    if asked.output != "table":
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    texts = [[" ".join(as_text(row[column]).split()) for column in columns] for row in rows]
    widths = [max(map(len, [name, *column])) for name, *column in zip(columns, *texts, strict=True)]
    for line in [list(columns), *texts] if not asked.quiet else texts:
        cells = (f"{text:{width}}" for text, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _coloured(text: str) -> str:
    """A diff in red and green, for people who want it."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    colours = {"-": "\x1b[31m", "+": "\x1b[32m", "@": "\x1b[36m"}

    def lines() -> Iterator[str]:
        for line in text.splitlines():
            colour = colours.get(line[:1], "")
            yield f"{colour}{line}\x1b[0m\n" if colour else f"{line}\n"

    return "".join(lines())


# --- the arguments


def _parser() -> argparse.ArgumentParser:  # noqa: PLR0915  # a list, longer than a page
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="The server; DISTCONF_URL, or http://127.0.0.1:5000.")
    common.add_argument("--token", help="A token; DISTCONF_TOKEN or DISTCONF_TOKEN_FILE is safer.")
    common.add_argument("--profile", help="A profile of the profiles' file; DISTCONF_PROFILE.")
    common.add_argument("--output", choices=("table", "json", "yaml"), default="table")
    common.add_argument("-q", "--quiet", action="store_true", help="Say only what is asked for.")
    writing = argparse.ArgumentParser(add_help=False)
    writing.add_argument("--note", default="", help="Why; kept with the version.")
    writing.add_argument("--if-match", default="", help="Only if this entity tag is current.")
    writing.add_argument("--dry-run", action="store_true", help="Only say what would happen.")

    parser = argparse.ArgumentParser("distconf", description=__doc__.partition("\n")[0])
    parser.set_defaults(parser=parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, run: Callable[[Any], int], *parents: Any) -> argparse.ArgumentParser:
        help_text = COMMANDS[name]
        made = commands.add_parser(
            name, parents=[common, *parents], help=help_text, description=help_text
        )
        made.set_defaults(run=run, parser=made)
        return made

    get = command("get", _get)
    get.add_argument("service")
    get.add_argument("path", nargs="?", default="", help="One value, as db.host.")
    get.add_argument("--version", type=int)
    get.add_argument("--as-of", help="A revision or a time: what was current then.")
    put = command("put", _put, writing)
    put.add_argument("service")
    put.add_argument("file", help="JSON, YAML or TOML; - is JSON on standard input.")
    put.add_argument("--definition", help="Conform to this definition from now on.")
    patch = command("patch", _patch, writing)
    patch.add_argument("service")
    patch.add_argument("changes", nargs="+", metavar="key=value | FILE")
    history = command("history", _history)
    history.add_argument("service")
    diff = command("diff", _diff)
    diff.add_argument("service")
    diff.add_argument("old", type=int)
    diff.add_argument("new", type=int)
    rollback = command("rollback", _rollback, writing)
    rollback.add_argument("service")
    rollback.add_argument("to", type=int)
    watch = command("watch", _watch)
    watch.add_argument("services", nargs="*", help="Names; one that ends in / is a prefix.")
    watch.add_argument("--after", type=int, help="Changes behind this revision; from now on.")
    env = command("env", _env)
    env.add_argument("service")
    env.add_argument("--prefix", default="", help="What every name begins with, as APP_.")
    env.add_argument("--export", action="store_true", help='For eval "$(distconf env …)".')
    run = command("exec", _exec)
    reactions = ("none", "restart", "HUP", "USR1", "USR2")
    run.add_argument("--service", required=True)
    run.add_argument("--prefix", default="")
    run.add_argument("--on-change", choices=reactions, default="none")
    run.add_argument("--deadline", type=float, default=10.0, help="Seconds to wait for a server.")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    for each in (get, env, run):
        each.add_argument("--defaults", action="store_true", help="Fill in the definition's.")
    _add_sidecar(command("sidecar", _sidecar))
    return parser


def _add_sidecar(sidecar: argparse.ArgumentParser) -> None:
    sidecar.add_argument("-c", "--config", help="The plan: JSON, TOML or YAML.")
    sidecar.add_argument("--once", action="store_true", help="Write everything and end.")
    for name in _OF_TARGET:
        sidecar.add_argument(f"--{name}", help=f"Without a plan: the one target's {name}.")
    sidecar.add_argument("--debounce", type=float, help="Seconds in which changes gather.")
    sidecar.add_argument("--splay", type=float, help="Wait up to so many seconds before writing.")
    sidecar.add_argument("--deadline", type=float, help="Seconds to wait for a server at first.")
    sidecar.add_argument("--health", help="Address for /healthz, as 127.0.0.1:8099.")
