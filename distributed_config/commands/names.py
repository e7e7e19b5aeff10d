"""The commands of the server's own machine, each in one line. Importing this imports no other.

Help and completion list them beside the client commands, without loading any.
"""

from distributed_config.client.cli.commands import Line

_SERVER = "On the server's own machine"
_ACCOUNTS = "Accounts, on the server's own machine"

ACCOUNTS = {
    "create-organisation": Line(_ACCOUNTS, "Create an organisation."),
    "list-organisations": Line(_ACCOUNTS, "List the organisations."),
    "create-user": Line(_ACCOUNTS, "Create a user."),
    "list-users": Line(_ACCOUNTS, "List the users of an organisation."),
    "change-user": Line(_ACCOUNTS, "Change a user's role, limits, or whether they may log in."),
    "list-memberships": Line(_ACCOUNTS, "List the organisations that a user belongs to."),
    "add-member": Line(_ACCOUNTS, "Make a user of another organisation a member of one."),
    "set-password": Line(_ACCOUNTS, "Give a user another password."),
    "remove-user": Line(_ACCOUNTS, "Remove a user from an organisation."),
    "create-role": Line(_ACCOUNTS, "Create a role of an organisation's own."),
    "list-roles": Line(_ACCOUNTS, "List the roles, and what each may do."),
}
TOKENS = {
    "create-token": Line(_ACCOUNTS, "Create a token for a program."),
    "list-tokens": Line(_ACCOUNTS, "List the tokens of an organisation."),
    "change-token": Line(_ACCOUNTS, "Change a token's name, rights or expiry."),
    "revoke-token": Line(_ACCOUNTS, "Revoke a token."),
    "rotate-token": Line(_ACCOUNTS, "Replace a token by a new one."),
    "generate-token": Line(_ACCOUNTS, "Print a new token, and store nothing."),
}
OWN = {
    "serve": Line(_SERVER, "Start the server."),
    "db": Line(_SERVER, "Look after the database's schema."),
    "check": Line(_SERVER, "Check the database and the settings."),
    "backup": Line(_SERVER, "Write a consistent copy of the database."),
    "restore": Line(_SERVER, "Put a backup in place of the database."),
    "secrets": Line(_SERVER, "Look after the keys that secrets are encrypted under."),
    "settings": Line(_SERVER, "Show every setting, its value and its source."),
    **ACCOUNTS,
    **TOKENS,
}
"""The commands that only this machine has; ``client.cli.commands.SHARED`` are those of both."""
