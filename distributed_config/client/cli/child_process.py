"""The command exec: a child process with a configuration in its environment."""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from distributed_config.client.cli.arguments import (
    Command,
    add_allow_env,
    add_defaults,
    add_environment,
)
from distributed_config.client.cli.connect import profile_from
from distributed_config.client.cli.exit_codes import (
    CANNOT_EXECUTE,
    COMMAND_NOT_FOUND,
    SIGNALLED,
    USAGE,
)
from distributed_config.client.cli.signals import WAKE_UP, SignalPipe, start_daemon
from distributed_config.client.live.config import Config
from distributed_config.client.sidecar.protected import environment
from distributed_config.errors import DistconfError

# Seconds between SIGTERM and SIGKILL, as container runtimes have it by default.
_GRACE = 10
_REACTIONS = ("none", "restart", "HUP", "USR1", "USR2")
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
# Signals about this process alone: its own faults, children and pipes. SIGTSTP comes from a
# terminal, which stops the child by itself.
_OWN_SIGNALS = frozenset(
    {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGCHLD, signal.SIGPIPE}
    | {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
    | {signal.SIGTRAP, signal.SIGSYS, signal.SIGXCPU, signal.SIGXFSZ}
)


def _add_exec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--service", required=True)
    add_environment(parser)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--on-change", choices=_REACTIONS, default="none")
    parser.add_argument(
        "--deadline", type=float, default=10.0, help="Seconds to wait for a server."
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    add_allow_env(parser)
    add_defaults(parser)


def run_command(options: argparse.Namespace) -> int:
    """Run a command, and restart or signal it when the configuration changes.

    Returns the command's exit code.
    """
    command = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not command:
        sys.stderr.write("distconf: name a command after --\n")
        return USAGE
    profile = profile_from(options)
    with Config(
        options.service,
        url=profile.url,
        token=profile.token,
        environment=options.environment,
        deadline=options.deadline,
        fill_defaults=options.defaults,
    ) as config:
        variables = partial(environment, prefix=options.prefix, allowed=options.allow_env)
        return ChildProcess(command, config, variables, options.on_change).run()


class ChildProcess:
    """A command that runs with a configuration in its environment.

    ``variables`` makes the environment of a document. ``on_change`` is ``none``, ``restart``, or
    the signal to send, without SIG.
    """

    def __init__(
        self,
        command: list[str],
        config: Config,
        variables: Callable[[Mapping[str, Any]], dict[str, str]],
        on_change: str,
    ) -> None:
        self._command = command
        self._config = config
        self._variables = variables
        self._on_change = on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._restart = threading.Event()
        self._is_ending = False

    def run(self) -> int:
        """Run the command until it ends by itself. Return its exit code.

        Every signal that can be caught is passed on to it.
        """
        signals = SignalPipe(signal.valid_signals() - _OWN_SIGNALS)
        if self._on_change != "none":
            self._config.on_change(lambda _new, _old: self._react())
        while True:
            self._restart.clear()
            document = self._config.value
            environ = {**os.environ, **self._variables(document)}
            try:
                process = subprocess.Popen(self._command, env=environ)  # noqa: S603  # the user's own
            except (FileNotFoundError, PermissionError) as error:
                sys.stderr.write(f"distconf: {self._command[0]}: {error.strerror}\n")
                is_missing = isinstance(error, FileNotFoundError)
                return COMMAND_NOT_FOUND if is_missing else CANNOT_EXECUTE
            self._process = process
            start_daemon(partial(_wake_at_end, process, signals))
            # A change that came before there was a process had nobody to react to it.
            if self._config.value is not document and self._on_change != "none":
                self._react()
            code = self._pass_signals_on(process, signals)
            if not self._restart.is_set() or self._is_ending:
                return SIGNALLED - code if code < 0 else code

    def _pass_signals_on(self, process: "subprocess.Popen[bytes]", signals: SignalPipe) -> int:
        """Pass signals on until the process has ended. Return its exit code."""
        while (code := process.poll()) is None:
            for number in signals.wait():
                if number != WAKE_UP:
                    # A signal to end also cancels a restart that is under way.
                    self._is_ending = self._is_ending or number in _ENDING
                    process.send_signal(number)
        return code

    def _react(self) -> None:
        """Restart or signal the process, if there is one."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            self._variables(self._config.value)
        except DistconfError as error:
            # The running process keeps its good environment: a restart would end it for good.
            sys.stderr.write(f"distconf: {error.detail}\n")
            return
        if self._on_change != "restart":
            process.send_signal(getattr(signal, f"SIG{self._on_change}"))
            return
        self._restart.set()
        process.terminate()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()


def _wake_at_end(process: "subprocess.Popen[bytes]", signals: SignalPipe) -> None:
    process.wait()
    signals.wake()


COMMANDS = {"exec": Command(run_command, _add_exec)}
