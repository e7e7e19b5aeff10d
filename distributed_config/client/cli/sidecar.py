"""The command sidecar: a plan from a file or from flags, and what signals do to it."""

import argparse
import logging
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from distributed_config.client.cli.arguments import Command, add_allow_env
from distributed_config.client.cli.connect import profile_from
from distributed_config.client.cli.exit_codes import DONE, REFUSED, USAGE
from distributed_config.client.cli.profiles import read_settings_file
from distributed_config.client.cli.signals import SignalPipe, start_daemon
from distributed_config.client.sidecar.plan import load_plan
from distributed_config.client.sidecar.sidecar import Sidecar
from distributed_config.errors import DistconfError, Invalid, Problem

TARGET_FLAGS = ("service", "file", "format", "template", "mode", "check", "reload")
_ALL_TARGET_FLAGS = (*TARGET_FLAGS, "allow_env")
_PLAN_FLAGS = ("url", "token", "environment", "debounce", "splay", "health", "deadline")
# SIGTERM is to end the command soon, whatever a check or a notification is waiting for.
_LAST_SECONDS = 1.0


def _add_sidecar(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", help="The plan: JSON, TOML or YAML.")
    parser.add_argument("--once", action="store_true", help="Write everything and end.")
    for name in TARGET_FLAGS:
        parser.add_argument(f"--{name}", help=f"Without a plan: the one target's {name}.")
    # Without a default of its own: the plan comes before DISTCONF_ENVIRONMENT.
    parser.add_argument("-e", "--environment", help="That of targets that name none.")
    add_allow_env(parser)
    parser.add_argument("--debounce", type=float, help="Seconds in which changes gather.")
    parser.add_argument("--splay", type=float, help="Wait up to so many seconds before writing.")
    parser.add_argument("--deadline", type=float, help="Seconds to wait for a server at first.")
    parser.add_argument("--health", help="Address for /healthz, as 127.0.0.1:8099.")


def run_sidecar(options: argparse.Namespace) -> int:
    """Follow a plan until SIGTERM or SIGINT. SIGHUP reads it again."""
    if options.config and any(getattr(options, name) for name in _ALL_TARGET_FLAGS):
        flags = ", ".join(f"--{name}".replace("_", "-") for name in _ALL_TARGET_FLAGS)
        sys.stderr.write(f"distconf: give a plan, or one target by {flags}; not both\n")
        return USAGE
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signals = SignalPipe()
    sidecar = Sidecar(load_plan(_plan_value(options)))
    while True:
        results: list[bool] = []
        # In the background: a signal is obeyed whatever the start waits for.
        start_daemon(partial(_start, sidecar, results, signals if options.once else None))
        successor: Sidecar | None = None
        while successor is None:
            # Several signals may have come at once: any of them but SIGHUP is the end.
            if set(signals.wait()) != {signal.SIGHUP}:
                start_daemon(sidecar.end).join(_LAST_SECONDS)
                return DONE if not options.once or results == [True] else REFUSED
            successor = _reload(options, sidecar)
        start_daemon(sidecar.end).join(_LAST_SECONDS)
        sidecar = successor


def _reload(options: argparse.Namespace, sidecar: Sidecar) -> Sidecar | None:
    """Return the successor of ``sidecar`` by the plan as it is now; None if that is no good.

    The old one goes on then: a typing error in a plan is no reason to stop.
    """
    try:
        return Sidecar(load_plan(_plan_value(options)), sidecar)
    except (DistconfError, OSError) as error:
        logging.getLogger("distconf.sidecar").error("the old plan stays: %s", error)
        return None


def _start(sidecar: Sidecar, results: list[bool], once: SignalPipe | None) -> None:
    """Start ``sidecar``, and follow; with ``once``, wake that up instead."""
    results.append(sidecar.start())
    if once is not None:
        once.wake()
    else:
        sidecar.follow()


def _plan_value(options: argparse.Namespace) -> dict[str, Any]:
    """Return the plan's file, or the flags in its place, together with the server to use."""
    if options.config:
        value = read_settings_file(Path(options.config))
        if not isinstance(value, dict):
            raise Invalid.from_problems(
                [Problem("", "A plan is one object.", "type", options.config)]
            )
    else:
        target = {name: text for name in TARGET_FLAGS if (text := getattr(options, name))}
        if options.allow_env:
            target["allow_env"] = options.allow_env
        value = {"targets": [target]}
    profile = profile_from(options)
    # The profile is a default, the plan comes before it, and flags come before both.
    plan: dict[str, Any] = {"url": profile.url, "token": profile.token, **value}
    for name in _PLAN_FLAGS:
        if getattr(options, name) is not None:
            plan[name] = getattr(options, name)
    return plan


COMMANDS = {"sidecar": Command(run_sidecar, _add_sidecar)}
