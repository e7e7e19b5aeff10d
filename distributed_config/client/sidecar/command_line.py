"""The commands in a plan: how they are split into words, and what in them needs a shell.

No shell runs them, so that a file name or a value can never become a command.
"""

import re
import shlex
from collections.abc import Sequence
from typing import Any

from distributed_config.errors import Problem

# What is quoted or escaped; the text between double quotes is its group.
_QUOTED = re.compile(r"""\\.|'[^']*'|"((?:\\.|[^"\\])*)\"""", re.DOTALL)
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_OPERATOR = re.compile(r"&&|\|[|&]?|;+|&?[<>]+[&|]?|&|[()]|\n")
_EXPANSION = re.compile(r"\$\([^\s)]*|\$\{[^}]*\}?|\$\w+|\$[@*#?$!-]|`[^`]*`?")
# In a list each word is literal, as find's ";" is; but these are nearly always a mistake.
_OPERATOR_WORD = re.compile(r"&&|\|[|&]?|&|\d*&?[<>]+(?:[&|]\d*-?)?")


def split_command(command: str | Sequence[str]) -> list[str]:
    """Return a command in its words. Raises ValueError where a quotation has no end."""
    return shlex.split(command) if isinstance(command, str) else list(command)


def shell_syntax(command: str | Sequence[str]) -> list[str]:
    """Return the parts of a command that only a shell would understand."""
    if not isinstance(command, str):
        return [word for word in command if _OPERATOR_WORD.fullmatch(word)]
    text = command.strip()
    # A shell expands variables inside double quotes as well, unless they are escaped.
    inner = [_ESCAPED.sub("", match[1]) for match in _QUOTED.finditer(text) if match[1]]
    # NUL stands for what was quoted: nothing matches it, and the rest does not grow together.
    bare = _QUOTED.sub("\0", text)
    syntax = _OPERATOR.findall(bare)
    for part in (bare, *inner):
        syntax += _EXPANSION.findall(part)
    return [word.replace("\n", "\\n") for word in syntax]


def command_problems(pointer: str, command: Any) -> list[Problem]:
    """Return the problems of a command; none for one of a wrong type, which is a problem already.

    ``pointer`` is its place in the plan.
    """
    words = [command] if isinstance(command, str) else command
    if not command or not isinstance(words, list):
        return []
    if not all(isinstance(word, str) for word in words):
        return []
    try:
        words = split_command(command)
    except ValueError as error:
        message = f"It cannot be split into words: {error}. Or give a list of them."
        return [Problem(pointer, message, "command")]
    if not words or not words[0]:
        return [Problem(pointer, "It names no command, as in nginx -t.", "command")]
    syntax = shell_syntax(command)
    if not syntax:
        return []
    # Passed on as words it would be ignored: the check "true && false" would succeed.
    message = (
        f"No shell runs it, which {' '.join(syntax)} would need. "
        'Quote what is literal, or name a shell: ["sh", "-c", "…"].'
    )
    return [Problem(pointer, message, "shell")]
