"""The client commands: the group of each, one line about it, and the module that it is in.

This is the one place that lists them. Importing it imports none of them, so that help, completion
and a command that is typed wrong cost nothing. A module lists its commands in a table of its own,
``COMMANDS``, with their arguments and functions: see ``arguments.Command``.
"""

from typing import NamedTuple

# In the order of the help page.
_READ = "Read configurations"
_CHANGE = "Change configurations"
_TOGETHER = "Many services at once"
_RULES = "Environments and definitions"
_ACCESS = "Who may do what"
_PROGRAMS = "Run programs with configurations"
_TERMINAL = "This terminal"


class Line(NamedTuple):
    """What help says about a command. ``module`` is "" for one that is not a client's."""

    group: str
    help: str
    module: str = ""


COMMANDS = {
    "list": Line(_READ, "List the services.", "services"),
    "show": Line(_READ, "Show what a service is: its versions, tags and definition.", "services"),
    "get": Line(_READ, "Read a configuration, or one value of it.", "reading"),
    "explain": Line(_READ, "Show where each value of a configuration comes from.", "environments"),
    "history": Line(_READ, "List the versions of a service.", "history"),
    "log": Line(_READ, "List what was changed in all services, newest first.", "history"),
    "diff": Line(_READ, "Show how two versions, or two environments, differ.", "history"),
    "watch": Line(_READ, "Print every change as it happens.", "history"),
    "open": Line(_READ, "Open a service in the browser.", "opening"),
    "edit": Line(_CHANGE, "Edit a configuration in your editor.", "editing"),
    "set": Line(_CHANGE, "Set values: PATH=VALUE.", "writing"),
    "unset": Line(_CHANGE, "Remove values.", "writing"),
    "put": Line(_CHANGE, "Create or update a service from a file.", "writing"),
    "patch": Line(_CHANGE, "Change some values: key=value, or a patch in a file.", "writing"),
    "rollback": Line(_CHANGE, "Append a copy of an older version.", "switching"),
    "disable": Line(_CHANGE, "Turn a version off; the one before it is served.", "switching"),
    "enable": Line(_CHANGE, "Turn a version on again.", "switching"),
    "delete": Line(_CHANGE, "Delete a service, or one of its versions.", "switching"),
    "tag": Line(_CHANGE, "Show or change the tags of a service.", "services"),
    "extend": Line(_CHANGE, "Show or change the services that a service extends.", "services"),
    "promote": Line(_TOGETHER, "Copy services from one environment to another.", "environments"),
    "export": Line(_TOGETHER, "Write the current documents of all services.", "transfer"),
    "import": Line(_TOGETHER, "Create or update services from files.", "transfer"),
    "environments": Line(_RULES, "Look after the environments.", "environments"),
    "definitions": Line(
        _RULES, "Look after the JSON Schemas that services conform to.", "definitions"
    ),
    "organisations": Line(_ACCESS, "Look after the organisations.", "access"),
    "users": Line(_ACCESS, "Look after the users of an organisation.", "access"),
    "memberships": Line(_ACCESS, "Look after who belongs to which organisation.", "access"),
    "roles": Line(_ACCESS, "Look after the roles, and what each may do.", "access"),
    "tokens": Line(_ACCESS, "Look after the tokens of programs and people.", "tokens"),
    "audit": Line(_ACCESS, "Read the audit log.", "audit"),
    "env": Line(_PROGRAMS, "Write a configuration as environment variables.", "reading"),
    "exec": Line(
        _PROGRAMS, "Run a command with a configuration in its environment.", "child_process"
    ),
    "sidecar": Line(
        _PROGRAMS, "Write services to files, and keep the files up to date.", "sidecar"
    ),
    "smoke": Line(_PROGRAMS, "Check that a server does what the manual says.", "smoke_checks"),
    "login": Line(_TERMINAL, "Log in to a server, and use it from now on.", "login"),
    "logout": Line(_TERMINAL, "Log out, and end the session.", "login"),
    "whoami": Line(_TERMINAL, "Show who you are to the server, and what you may do.", "login"),
    "profile": Line(_TERMINAL, "List, show, use, add or remove profiles of servers.", "profile"),
    "completion": Line(_TERMINAL, "Print the set-up for completion in your shell.", "completion"),
}

SHARED = ("export", "import", "definitions", "audit")
"""The commands that also work on the database file: there where no server is named."""

COMPLETE = "__complete"
"""The hidden command that the shells' completion calls."""
