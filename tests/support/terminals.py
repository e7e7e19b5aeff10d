"""The command line of somebody at a server that asks for tokens, also at a real terminal."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.shells import DONE, REFUSED, USAGE, Shell

DOOR = "distributed_config"


@dataclass
class Terminal:
    """A person with a home folder, and ``distconf`` as they type it.

    No variable names a server: what they are logged in to does.
    """

    shell: Shell

    @property
    def home(self) -> Path:
        return self.shell.home

    def run(
        self, *words: str, stdin: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        return self.shell.run(
            *words, door=DOOR, stdin=stdin, **{"DISTCONF_URL": "", "COLUMNS": "100", **variables}
        )

    def output(self, *words: str, stdin: str = "", **variables: str) -> str:
        """Return the output of a command, which has to succeed and to complain of nothing."""
        done = self.run(*words, stdin=stdin, **variables)
        assert (done.returncode, done.stderr) == (DONE, ""), done
        return done.stdout

    def value(self, *words: str) -> Any:
        """Return what a command prints for programs."""
        return json.loads(self.output(*words, "--output", "json"))

    def rows(self, *words: str) -> list[list[str]]:
        """Return the cells of a table, its header first. No cell may hold two blanks."""
        lines = self.output(*words).splitlines()
        starts = [0, *(i + 2 for i, _ in enumerate(lines[0]) if lines[0][i : i + 2] == "  ")]
        starts = [start for start in starts if lines[0][start : start + 1].strip()]
        ends = [*starts[1:], None]
        return [
            [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
            for line in lines
        ]

    def refused(self, *words: str, code: int = REFUSED, stdin: str = "") -> str:
        """Return what a command that must fail says; its output must be empty."""
        done = self.run(*words, stdin=stdin)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert "Traceback" not in done.stderr
        return done.stderr

    def misused(self, *words: str) -> str:
        """Return what a command says that was typed wrong."""
        return self.refused(*words, code=USAGE)

    def write(self, name: str, text: str) -> str:
        """Write a file in the home folder, where commands run, and return its name."""
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return name

    def typed(
        self, *words: str, answers: Sequence[tuple[str, str]] = (), **variables: str
    ) -> tuple[int, str]:
        """Run a command at a terminal; return its exit code and all that the terminal shows.

        Each of ``answers`` is a prompt to wait for, and what is typed then.
        """
        ours, theirs = pty.openpty()
        environment = self.shell.environment(
            **{"DISTCONF_URL": "", "TERM": "xterm", "COLUMNS": "100", "LINES": "50", **variables}
        )
        process = subprocess.Popen(
            [sys.executable, "-m", DOOR, *words],
            env=environment,
            cwd=self.home,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown = ""
        for prompt, answer in answers:
            before = len(shown)
            while prompt not in shown[before:]:
                shown += os.read(ours, 1 << 16).decode()
            os.write(ours, f"{answer}\n".encode())
        with suppress(OSError):  # so a terminal ends
            while data := os.read(ours, 1 << 16):
                shown += data.decode()
        os.close(ours)
        return process.wait(30), shown.replace("\r\n", "\n")
