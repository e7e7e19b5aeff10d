"""The commands of ``distconf`` that speak to a server; the standard library is all they need.

python -m distributed_config.client get web
"""

import argparse
import getpass
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from distributed_config import wire
from distributed_config.client import smoke
from distributed_config.client.cli.complaints import lines_of
from distributed_config.client.cli.outputs import (
    drop_output,
    open_what_is_closed,
    told_of,
    told_of_encoding,
)
from distributed_config.client.cli.table import COMMANDS
from distributed_config.client.cli.tables import history_rows, local_time, table_lines
from distributed_config.client.client import Client, Written, token_of
from distributed_config.client.http.profiles import Profile, profile_of, read_file
from distributed_config.client.http.token_file import check_token
from distributed_config.client.http.transport import Request
from distributed_config.client.live.config import Config
from distributed_config.client.sidecar.plan import load_plan
from distributed_config.client.sidecar.protected import environment
from distributed_config.client.sidecar.rendering import as_json, as_text
from distributed_config.client.sidecar.sidecar import Sidecar
from distributed_config.errors import (
    DistconfError,
    Invalid,
    InvalidDocument,
    NeverLoaded,
    PreconditionFailed,
    Problem,
    Unreachable,
)
from distributed_config.formats.env import as_lines
from distributed_config.wire import parse_position
from distributed_config.wire.paths import MISSING, find, locate, parts_of

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
_CANNOT_RUN, _NO_SUCH_COMMAND = 126, 127  # as shells have it

_TYPES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
_GRACE = 10
_ATTEMPTS = 20  # of those that patch at once, one is done each time
_LONGEST_USER = 100
_LAST_SECONDS = 1.0
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
    open_what_is_closed()
    parser = _parser()
    try:
        asked, unknown = parser.parse_known_args(arguments)
        if unknown:
            asked.parser.error(f"unrecognized arguments: {' '.join(unknown)}")  # its own usage
        if asked.command is None:
            parser.print_help()
            return USAGE
        code: int = asked.run(asked)
        sys.stdout.flush()  # here it can be told that it fails
    except NeverLoaded as error:
        refused = error.reason is not None and not isinstance(error.reason, Unreachable)
        return _complain(asked, error, REFUSED if refused else UNREACHABLE)
    except Unreachable as error:
        return _complain(asked, error, UNREACHABLE)
    except DistconfError as error:
        return _complain(asked, error, REFUSED)
    except BrokenPipeError:
        drop_output()  # nobody reads it any more
        return 128 + signal.SIGPIPE
    except OSError as error:
        sys.stderr.write(f"distconf: {told_of(error)}\n")
        return REFUSED
    except UnicodeEncodeError as error:
        sys.stderr.write(f"distconf: {told_of_encoding(error)}\n")
        return REFUSED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


def print_help() -> None:
    """Prints what the client's commands are."""
    _parser().print_help()


class _Parser(argparse.ArgumentParser):
    """A parser that does not keep it to itself when its help could not be written."""

    def print_help(self, file: Any = None) -> None:
        file = file or sys.stdout
        file.write(self.format_help())
        file.flush()


def _complain(asked: argparse.Namespace, error: DistconfError, code: int) -> int:
    for line in lines_of(error, _body_file(asked)):
        sys.stderr.write(f"{line}\n")
    return code


def _body_file(asked: argparse.Namespace) -> str:
    """The file that a command sends; "" for a command that sends none."""
    file = ""
    if asked.command == "put":
        file = asked.file
    elif asked.command == "patch" and "=" not in asked.changes[0]:
        file = asked.changes[0]
    return "standard input" if file == "-" else file


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
    value: Any = find(found.value, asked.path) if asked.path else found.value
    if value is MISSING:
        sys.stderr.write(f"distconf: {asked.service!r} has nothing at {asked.path}.\n")
        return REFUSED
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
    code = _print_write(asked, answer["version"], answer["changed"])
    _tell_removed(asked, answer.get("removed", []), answer.get("removed_more", 0))
    return code


def _patch(asked: argparse.Namespace) -> int:
    pairs = _pairs(asked.changes)
    options: dict[str, Any] = {"note": asked.note, "dry_run": asked.dry_run}
    with _client(asked) as client:
        if not pairs:
            changes = _patch_in(asked.changes[0])
            done = client.patch(changes, asked.service, if_match=asked.if_match, **options)
        elif all(_is_one_key(path) for path, _ in pairs):
            changes = _merge_patch(pairs, {})
            done = client.patch(changes, asked.service, if_match=asked.if_match, **options)
        else:
            done = _patch_by_paths(client, asked, pairs, options)
    return _print_write(asked, done.version, done.changed)


def _patch_by_paths(
    client: Client, asked: argparse.Namespace, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> Written:
    """Patches what the paths mean in the current version, and only that version.

    Which keys have dots is known from it alone; where somebody else writes meanwhile, it is read
    again.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        found = client.get(asked.service)
        changes = _merge_patch(pairs, found.value)
        try:
            return client.patch(
                changes, asked.service, if_match=asked.if_match or found.etag, **options
            )
        except PreconditionFailed:
            if asked.if_match or attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _pairs(given: list[str]) -> list[tuple[str, str]]:
    """Paths and texts of ``key=value``; none where one file is given. Raises Invalid for a mix."""
    pairs = [each.partition("=")[::2] for each in given if "=" in each]
    if len(pairs) not in {0, len(given)} or (not pairs and len(given) > 1):
        message = "Give key=value, as many as you like, or one file."
        raise Invalid.from_problems([Problem("", message, "changes", "changes")])
    return pairs


def _patch_in(file: str) -> Any:
    return _strictly(_body(file), file)


def _is_one_key(path: str) -> bool:
    """Whether a path names the same key in every document."""
    return not path.startswith("/") and len(parts_of(path)) == 1


def _merge_patch(pairs: list[tuple[str, str]], document: dict[str, Any]) -> dict[str, Any]:
    """The pairs as a merge patch of ``document``. Raises Invalid with all that cannot be done."""
    changes: dict[str, Any] = {}
    problems: list[Problem] = []
    for path, text in pairs:
        try:
            _set(changes, path, locate(document, path), _value(text, path))
        except Invalid as error:
            problems += error.problems
    if problems:
        raise Invalid.from_problems(problems)
    return changes


def _strictly(data: bytes, where: str) -> Any:
    """The JSON value in ``data``, read as the server reads; ``where`` is what it is called.

    Raises Invalid for what would be read as another value, as a number with too many digits.
    """
    try:
        value = wire.parse_json(data)
        wire.require_unambiguous(value)
    except InvalidDocument as error:
        problems = [
            replace(each, parameter=f"{where} {each.pointer}".strip()) for each in error.problems
        ]
        raise Invalid.from_problems(problems) from None
    return value


def _history(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        found = list(client.history(asked.service))
    if asked.output == "table":
        rows = history_rows(found)
        sys.stdout.writelines(table_lines(rows, with_header=not asked.quiet))
    else:
        print(json.dumps(found, indent=2, ensure_ascii=False))
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
    return _print_write(asked, done.version, done.changed)


def _watch(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        _check_beginning(client, asked.after)
        for revision in client.changes(asked.after, services=asked.services):
            if revision.reset:
                sys.stderr.write(
                    "distconf: the database was restored; read anew. "
                    f"To go on from here later: --after {revision.position}\n"
                )
            for change in revision.changes:
                if asked.output != "table":
                    print(json.dumps(change, ensure_ascii=False), flush=True)
                else:
                    what = change["service"] or change["definition"] or ""
                    when = local_time(change["time"])
                    version = "" if change["version"] is None else f" {change['version']}"
                    line = f"{change['revision']}  {when}  {change['kind']}  {what}{version}"
                    print(f"{line}  {change['note']}".rstrip(), flush=True)
    return DONE


def _check_beginning(client: Client, after: str | None) -> None:
    """Raises Unreachable without a server, and Invalid if there is no revision ``after`` yet.

    Following would wait for the one, and take the other for a database that was restored.
    """
    query = {"after": 0, "limit": 1}
    newest = client.transport.ask(Request("GET", "/api/v1/changes", query)).number(
        "config-revision"
    )
    position = parse_position(after or "0")
    # One that names its epoch may be from before a restore, and the server says so.
    if position.epoch is None and position.revision > newest:
        message = (
            f"There is no revision {after}; the newest is {newest}. Leave it out to begin from now."
        )
        raise Invalid.from_problems([Problem("", message, "revision", "--after")])


def _position(text: str) -> str:
    """``text`` if it is a position in the journal. Raises ArgumentTypeError."""
    try:
        return str(parse_position(text))
    except ValueError:
        message = f"{text!r} is neither a revision, as 41, nor one with its epoch, as 41.2b4e3723"
        raise argparse.ArgumentTypeError(message) from None


def _env(asked: argparse.Namespace) -> int:
    with _client(asked) as client:
        value = client.get(asked.service, defaults=asked.defaults).value
    found = environment(value, asked.prefix, asked.allow_env)
    sys.stdout.write(as_lines(found, "export " if asked.export else ""))
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
        read = partial(environment, prefix=asked.prefix, allowed=asked.allow_env)
        return _ChildProcess(command, config, read, asked.on_change).run()


def _smoke(asked: argparse.Namespace) -> int:
    """Runs the smoke checks; they write services of their own, and delete them."""
    profile = _profile(asked)
    with _client(asked) as client:
        client.transport.ask(Request("GET", "/healthz", {}))  # without a server there is one error
    return DONE if smoke.run(profile.url, profile.token) else REFUSED


class _SignalPipe:
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


class _ChildProcess:
    """A command that runs with a configuration in its environment, as ``environment`` reads it."""

    def __init__(
        self,
        command: list[str],
        config: Config,
        environment: Callable[[Mapping[str, Any]], dict[str, str]],
        on_change: str,
    ) -> None:
        self._command = command
        self._config = config
        self._environment = environment
        self._on_change = on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._again = threading.Event()
        self._ending = False

    def run(self) -> int:
        """Until the command ends by itself; its exit code. All signals are the command's."""
        heard = _SignalPipe(signal.valid_signals() - _OWN_SIGNALS)
        if self._on_change != "none":
            self._config.on_change(lambda _new, _old: self._changed())
        while True:
            self._again.clear()
            value = self._config.value
            environ = {**os.environ, **self._environment(value)}
            try:
                process = subprocess.Popen(self._command, env=environ)  # noqa: S603  # the user's own
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

    def _until_ended(self, process: "subprocess.Popen[bytes]", heard: _SignalPipe) -> int:
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
            self._environment(self._config.value)
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


def _wait_and_tell(process: "subprocess.Popen[bytes]", heard: _SignalPipe) -> None:
    process.wait()
    heard.tell()


def _sidecar(asked: argparse.Namespace) -> int:
    """Until SIGTERM or SIGINT; SIGHUP reads the plan anew."""
    of_target = (*_OF_TARGET, "allow_env")
    if asked.config and any(getattr(asked, name) for name in of_target):
        flags = ", ".join(f"--{name}".replace("_", "-") for name in of_target)
        sys.stderr.write(f"distconf: give a plan, or one target by {flags}; not both\n")
        return USAGE
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    heard = _SignalPipe()
    sidecar = Sidecar(load_plan(_plan_arguments(asked)))
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
        return Sidecar(load_plan(_plan_arguments(asked)), sidecar)
    except (DistconfError, OSError) as error:
        logging.getLogger("distconf.sidecar").error("the old plan stays: %s", error)
        return None


def _start(sidecar: Sidecar, good: list[bool], once: _SignalPipe | None) -> None:
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


def _plan_arguments(asked: argparse.Namespace) -> dict[str, Any]:
    """The plan's file, or the flags that stand for one; and the profile's server."""
    if asked.config:
        value = read_file(Path(asked.config))
        if not isinstance(value, dict):
            raise Invalid.from_problems(
                [Problem("", "A plan is one object.", "type", asked.config)]
            )
    else:
        target = {name: given for name in _OF_TARGET if (given := getattr(asked, name))}
        if asked.allow_env:
            target["allow_env"] = asked.allow_env
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
    return Profile(asked.url or found.url, check_token(token))


def _client(asked: argparse.Namespace) -> Client:
    profile = _profile(asked)
    # Who shows a token is known by it.
    return Client(profile.url, token=profile.token, actor="" if profile.token else _user())


def _user() -> str:
    """The name of who uses the terminal; "" if it is not known, or not fit to be shown."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user often has no name
        return ""
    return name if name.isprintable() and len(name) <= _LONGEST_USER else ""


def _body(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _content_type(file: str) -> str:
    kind = _TYPES.get(Path(file).suffix.lower(), "json" if file == "-" else "")
    if not kind:
        message = "Its ending tells no format that is read: .json, .yaml or .toml."
        raise Invalid.from_problems([Problem("", message, "format", file)])
    return f"application/{kind}"


def _value(text: str, path: str) -> Any:
    """JSON where it is JSON, and text otherwise; ``key=null`` removes."""
    try:
        value, data = json.loads(text), text.encode()
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return _strictly(data, path)


def _set(target: dict[str, Any], path: str, keys: Sequence[str], value: Any) -> None:
    """Puts ``value`` along ``keys``. Raises Invalid if that contradicts what was put before."""
    *outer, last = keys
    for key in outer:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            break
    if not path or not isinstance(target, dict) or last in target:
        message = "It is given more than once, or inside of what is given as a value."
        raise Invalid.from_problems([Problem("", message, "repeated", path or "=")])
    target[last] = value


# --- what is told


def _print_write(asked: argparse.Namespace, version: int, changed: bool) -> int:
    if asked.output != "table":
        print(json.dumps({"service": asked.service, "version": version, "changed": changed}))
    elif not asked.quiet:
        would = "would be " if asked.dry_run else "is "
        state = (
            f"{would}at version {version}" if changed else f"is so already, at version {version}"
        )
        print(f"{asked.service} {state}.")
    return DONE


def _tell_removed(asked: argparse.Namespace, removed: list[str], more: int) -> None:
    """Says which keys a new document took away, for a slip is easily made there."""
    if removed and asked.output == "table" and not asked.quiet:
        rest = f" and {more} more" if more else ""
        print(f"Keys that it does not have any more: {', '.join(removed)}{rest}.")


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


def _parser() -> _Parser:  # noqa: PLR0915  # a list, longer than a page
    common = _Parser(add_help=False)
    common.add_argument("--url", help="The server; DISTCONF_URL, or http://127.0.0.1:5000.")
    common.add_argument("--token", help="A token; DISTCONF_TOKEN or DISTCONF_TOKEN_FILE is safer.")
    common.add_argument("--profile", help="A profile of the profiles' file; DISTCONF_PROFILE.")
    common.add_argument("--output", choices=("table", "json", "yaml"), default="table")
    common.add_argument("-q", "--quiet", action="store_true", help="Say only what is asked for.")
    writing = _Parser(add_help=False)
    writing.add_argument("--note", default="", help="Why; kept with the version.")
    writing.add_argument("--if-match", default="", help="Only if this entity tag is current.")
    writing.add_argument("--dry-run", action="store_true", help="Only say what would happen.")

    parser = _Parser("distconf", description=__doc__.partition("\n")[0])
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
    get.add_argument("path", nargs="?", default="", help="One value: db.host or /hosts/0.")
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
    rollback.add_argument("to", type=int, nargs="?", help="The version to copy; the one before.")
    watch = command("watch", _watch)
    watch.add_argument("services", nargs="*", help="Names; one that ends in / is a prefix.")
    watch.add_argument(
        "--after",
        type=_position,
        metavar="REVISION[.EPOCH]",
        help="Changes after this position in the journal; from now on.",
    )
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
    for each in (env, run):
        _add_allow_env(each)
    for each in (get, env, run):
        each.add_argument("--defaults", action="store_true", help="Fill in the definition's.")
    command("smoke", _smoke)
    _add_sidecar(command("sidecar", _sidecar))
    return parser


def _add_allow_env(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--allow-env",
        action="append",
        default=[],
        metavar="NAME",
        help="Let this variable in, though it chooses what programs run or trust. Repeatable.",
    )


def _add_sidecar(sidecar: argparse.ArgumentParser) -> None:
    sidecar.add_argument("-c", "--config", help="The plan: JSON, TOML or YAML.")
    sidecar.add_argument("--once", action="store_true", help="Write everything and end.")
    for name in _OF_TARGET:
        sidecar.add_argument(f"--{name}", help=f"Without a plan: the one target's {name}.")
    _add_allow_env(sidecar)
    sidecar.add_argument("--debounce", type=float, help="Seconds in which changes gather.")
    sidecar.add_argument("--splay", type=float, help="Wait up to so many seconds before writing.")
    sidecar.add_argument("--deadline", type=float, help="Seconds to wait for a server at first.")
    sidecar.add_argument("--health", help="Address for /healthz, as 127.0.0.1:8099.")
