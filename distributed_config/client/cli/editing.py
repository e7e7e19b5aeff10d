"""The command edit: a document in the user's editor, until the server takes it."""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distributed_config.client.cli.arguments import Command, add_note, add_service
from distributed_config.client.cli.documents import read_document, read_text, service_query
from distributed_config.client.cli.exit_codes import DONE, REFUSED, USAGE
from distributed_config.client.cli.output import complain, name_of, print_write
from distributed_config.client.cli.problem_lines import Draft, with_problems, without_problems
from distributed_config.client.cli.server import Server
from distributed_config.client.client import Written, written
from distributed_config.client.sidecar.rendering import as_json
from distributed_config.errors import Invalid, PreconditionFailed, Problem, ServiceNotFound

_DEFAULT_EDITOR = "vi"


@dataclass(frozen=True)
class _Stored:
    """The document that is edited; ``etag`` is "" where the series has none yet."""

    text: str
    etag: str
    format: str


def _add_edit(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("--format", choices=("json", "yaml"), default="json")
    add_note(parser)


def edit(options: argparse.Namespace) -> int:
    """Edit the stored document of a service, and publish it. What is unchanged is not published."""
    if not _named_editor() and not sys.stdin.isatty():
        complain("there is no terminal for an editor, and none is named in VISUAL or EDITOR.")
        return USAGE
    with Server(options) as server, tempfile.TemporaryDirectory(prefix="distconf-") as folder:
        stored = _read(server, options)
        name = options.service.rpartition("/")[2]
        file = Path(folder, f"{name}.{stored.format}")
        return _Editing(server, options, stored, file).run()


def _read(server: Server, options: argparse.Namespace) -> _Stored:
    try:
        if options.format == "yaml":
            return _Stored(*read_text(server, options, "yaml"), "yaml")
        current = read_document(server, options)
    except ServiceNotFound:
        # In an environment that has no document of its own yet, or of a service that is new.
        return _Stored("{}\n", "", options.format)
    return _Stored(as_json(current.value), current.etag, "json")


# --- one document


class _Editing:
    """One document in one editor, through as many attempts as it takes."""

    def __init__(
        self, server: Server, options: argparse.Namespace, stored: _Stored, file: Path
    ) -> None:
        self._server, self._options, self._stored, self._file = server, options, stored, file
        self._editor = _editor()

    def run(self) -> int:
        """Edit until the server takes the document or the person gives up; return the exit code."""
        draft = Draft(self._stored.text)
        while True:
            text = self._edited(draft)
            if text is None:
                return self._give_up(draft.text)
            # Without the block of problems, which is none of the person's work.
            if text == draft.text:
                return self._end_unchanged(draft)
            try:
                result = self._publish(text)
            except PreconditionFailed:
                complain(f"somebody changed {name_of(self._options)} meanwhile. Edit it again.")
                return self._give_up(text)
            except Invalid as error:
                draft = with_problems(text, error, self._stored.format)
                continue
            except BaseException:  # whatever it is, also Ctrl-C: the person's work is kept
                self._give_up(text)
                raise
            print_write(self._options, result.version, result.changed)
            return DONE

    def _edited(self, draft: Draft) -> str | None:
        """Return what the person made of ``draft``; None if the editor failed."""
        self._file.write_text(draft.whole, encoding="utf-8")
        if subprocess.run([*self._editor, str(self._file)], check=False).returncode != 0:  # noqa: S603  # the user's own
            return None
        return without_problems(self._file.read_text(encoding="utf-8"))

    def _publish(self, text: str) -> Written:
        # Also of what did not exist: somebody else may have begun it meanwhile.
        headers = {} if self._stored.etag else {"If-None-Match": "*"}
        response = self._server.write(
            "PUT",
            "/config",
            service_query(self._options),
            text.encode(),
            content_type=f"application/{self._stored.format}",
            if_match=self._stored.etag,
            headers=headers,
        )
        return written(response)

    def _end_unchanged(self, draft: Draft) -> int:
        if not draft.problems:
            complain("nothing was changed.")
            return DONE
        for line in draft.problems[1:]:
            complain(line)
        return self._give_up(draft.text)

    def _give_up(self, text: str) -> int:
        """Keep what the person wrote, say where, and return the exit code."""
        if text != self._stored.text:
            # With mode 0600, under a name that nobody can foresee; the other folder goes away.
            descriptor, name = tempfile.mkstemp(f".{self._stored.format}", "distconf-")
            with open(descriptor, "w", encoding="utf-8") as copy:
                copy.write(text)
            complain(f"it is not published. What you wrote is in {name}.")
        else:
            complain("nothing was changed.")
        return REFUSED


# --- the editor


def _named_editor() -> str:
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""


def _editor() -> Sequence[str]:
    """Return the command of the user's editor. Raises Invalid if it cannot be understood."""
    try:
        return shlex.split(_named_editor() or _DEFAULT_EDITOR)
    except ValueError as error:
        message = f"It is no command: {error}. Correct it, as in EDITOR='code --wait'."
        raise Invalid.from_problems([Problem("", message, "editor", "EDITOR")]) from None


COMMANDS = {"edit": Command(edit, _add_edit)}
