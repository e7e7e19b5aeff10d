"""Long output, shown page by page on a terminal."""

import os
import shlex
import shutil
import subprocess
import sys

# F: end at once if it fits; R: show colours; X: leave the text on the screen.
_PAGER = "less -FRX"


def page(text: str) -> None:
    """Write ``text``, through the pager where a terminal has less room than it needs.

    PAGER names another pager than less; one that is empty, or ``cat``, means none.
    """
    rows = shutil.get_terminal_size().lines
    if not sys.stdout.isatty() or text.count("\n") < rows or not _show(text):
        sys.stdout.write(text)


def _show(text: str) -> bool:
    """Show ``text`` in the pager, and return whether there is one."""
    command = shlex.split(os.environ.get("PAGER", _PAGER))
    if not command or command[0] == "cat":
        return False
    sys.stdout.flush()
    try:
        # The user's own program. What it was shown in is no reason to fail when it is quit early.
        subprocess.run(command, input=text.encode(), check=False)  # noqa: S603
    except OSError:
        return False
    return True
