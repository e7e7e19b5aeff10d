"""Completion: the words that fit, and the scripts in real shells."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest

from distributed_config.client.cli.commands import COMMANDS
from tests.support.needs import need
from tests.support.server import Api
from tests.support.stubs import unresponsive_address
from tests.support.terminals import Terminal


def words(terminal: Terminal, *typed: str, **variables: str) -> list[str]:
    """Return the words that fit in place of the last one."""
    lines = terminal.output("__complete", *typed, **variables).splitlines()
    return [line.partition("\t")[0] for line in lines]


def test_commands_flags_and_actions_are_completed_without_a_server(stranger: Terminal) -> None:
    assert set(COMMANDS) < set(words(stranger, ""))
    assert words(stranger, "roll") == ["rollback"]
    assert {"serve", "settings"} <= set(words(stranger, "se"))
    assert words(stranger, "help", "whoa") == ["whoami"]
    assert words(stranger, "get", "web", "--as") == ["--as-of"]
    assert words(stranger, "users", "c") == ["create", "change"]
    assert words(stranger, "users", "change", "ada", "--act") == ["--active"]
    assert words(stranger, "list", "--output", "") == ["table", "json", "yaml"]
    assert words(stranger, "completion", "") == ["bash", "zsh", "fish"]
    assert words(stranger, "nonsense", "") == []
    assert "\tList the services." in stranger.output("__complete", "lis")


def test_names_come_from_the_server(terminal: Terminal, store: Api, name: str) -> None:
    store.put(f"{name}/a", {"db": {"host": "h", "a.b": 1}, "n": 1}, note="the note")
    store.put(f"{name}/a", {"db": {"host": "h", "a.b": 1}, "n": 2})
    store.define(name, {})

    assert words(terminal, "get", f"{name}/") == [f"{name}/a"]
    assert words(terminal, "exec", "--service", name) == [f"{name}/a"]
    assert words(terminal, "promote", "x", name) == [f"{name}/a"]
    assert words(terminal, "get", f"{name}/a", "d") == ["db", "db.host", "db.a\\.b"]
    assert words(terminal, "set", f"{name}/a", "n=1", "db.h") == ["db.host="]
    assert words(terminal, "unset", f"{name}/a", "n", "db.h") == ["db.host"]
    assert words(terminal, "get", f"{name}/a", "--version", "") == ["1", "0"]
    assert words(terminal, "diff", f"{name}/a", "0", "") == ["1", "0"]
    assert words(terminal, "definitions", "show", name) == [name]
    assert words(terminal, "put", f"{name}/a", "f.json", "--definition", name) == [name]
    assert "0\tthe note" in terminal.output("__complete", "rollback", f"{name}/a", "")


def test_profiles_are_completed(terminal: Terminal, store: Api) -> None:
    terminal.output("profile", "add", "prod", store.url)

    assert words(terminal, "list", "--profile", "") == ["prod"]
    assert words(terminal, "profile", "use", "p") == ["prod"]


def test_what_fails_is_silent(stranger: Terminal, nowhere: str, store: Api) -> None:
    assert words(stranger, "get", "", DISTCONF_URL=nowhere) == []
    assert words(stranger, "get", "", DISTCONF_URL=store.url) == []
    assert words(stranger, "get", "", DISTCONF_PROFILE="absent") == []
    assert words(stranger, "get", "", "x", "y", "z", "") == []
    stranger.write(".config/distconf/credentials.json", "garbage")
    assert words(stranger, "get", "") == []


def test_a_server_that_does_not_answer_is_not_waited_for(stranger: Terminal) -> None:
    with unresponsive_address() as url:
        began = time.monotonic()
        found = words(stranger, "get", "", DISTCONF_URL=url)

    assert found == []
    assert time.monotonic() - began < 5


# --- in real shells


@pytest.fixture
def path(terminal: Terminal) -> str:
    """A PATH on which there is a distconf, of this very source tree."""
    folder = terminal.home / "bin"
    folder.mkdir()
    script = folder / "distconf"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m distributed_config "$@"\n')
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def completed_by_bash(terminal: Terminal, path: str, line: str) -> list[str]:
    """Return what bash would offer for ``line``, as its completion calls the function."""
    script = f"""
        eval "$(distconf completion bash)"
        COMP_LINE={line!r} COMP_POINT=${{#COMP_LINE}}
        # As readline splits: at blanks, and around = and :, which are words of their own.
        read -ra COMP_WORDS <<< "$(sed 's/\\([=:]\\)/ \\1 /g' <<< "$COMP_LINE")"
        [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _distconf_complete 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = terminal.shell.environment(DISTCONF_URL="", PATH=path)
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_bash_completes_commands_services_and_pairs(
    terminal: Terminal, store: Api, name: str, path: str
) -> None:
    need(shutil.which("bash") is not None, "bash")
    store.put(f"{name}/ab", {"db": {"host": "h"}})

    assert completed_by_bash(terminal, path, "distconf whoa") == ["whoami"]
    assert completed_by_bash(terminal, path, f"distconf get {name}") == [f"{name}/ab"]
    assert completed_by_bash(terminal, path, f"distconf set {name}/ab db.h") == ["db.host="]
    assert completed_by_bash(terminal, path, "distconf list --output ") == ["table", "json", "yaml"]


def test_zsh_completes_commands_and_services(
    terminal: Terminal, store: Api, name: str, path: str
) -> None:
    need(shutil.which("zsh") is not None, "zsh")
    store.put(f"{name}/a", {})
    setup = (
        "autoload -Uz compinit; compinit -u; eval \"$(distconf completion zsh)\"; PS1='rea''dy> '"
    )

    line = f"distconf get {name[:-2]}"
    shown = typed_into(terminal, ["zsh", "-f", "-i"], path, setup, line, f"{name[-2:]}/a")

    assert f"{name[-2:]}/a" in shown  # what was not typed yet


def test_fish_completes_commands_and_services(
    terminal: Terminal, store: Api, name: str, path: str
) -> None:
    need(shutil.which("fish") is not None, "fish")
    store.put(f"{name}/a", {})
    script = f"distconf completion fish | source; complete -C 'distconf get {name[:-2]}'"
    environment = terminal.shell.environment(DISTCONF_URL="", PATH=path)

    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split() == [f"{name}/a"]


def typed_into(
    terminal: Terminal, shell: list[str], path: str, setup: str, line: str, wanted: str
) -> str:
    """Type ``line`` and the tab key into a real shell; return what it shows up to ``wanted``."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        shell,
        env=terminal.shell.environment(DISTCONF_URL="", PATH=path, TERM="vt100"),
        cwd=terminal.home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        os.write(ours, f"{setup}\n".encode())
        # The line's editor is ready when it asks for pasted text in brackets.
        read_until(ours, "ready> ")
        read_until(ours, "\x1b[?2004h")
        os.write(ours, f"{line}\t".encode())
        return read_until(ours, wanted)
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


def read_until(descriptor: int, wanted: str) -> str:
    """Read from a terminal until it shows ``wanted``, or nothing more for some seconds."""
    shown = ""
    while wanted not in shown and select.select([descriptor], [], [], 8)[0]:
        shown += os.read(descriptor, 1 << 10).decode(errors="replace")
    return shown
