"""The client commands, each in one line. Importing this imports nothing else.

``distconf --help`` lists them beside the server's commands, without loading either.
"""

COMMANDS = {
    "get": "Read a configuration, or one value of it.",
    "put": "Create or update a service from a file.",
    "patch": "Change some values: key=value, or a patch in a file.",
    "history": "List the versions of a service.",
    "diff": "Show how two versions differ.",
    "rollback": "Append a copy of an older version.",
    "watch": "Print every change as it happens.",
    "env": "Write a configuration as environment variables.",
    "exec": "Run a command with a configuration in its environment.",
    "smoke": "Check that a server does what the manual says.",
    "sidecar": "Write services to files, and keep the files up to date.",
}
