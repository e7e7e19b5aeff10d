"""What the commands' exit codes mean. Scripts rely on them; they do not change."""

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3

# Of ``exec``, as POSIX shells have them.
CANNOT_EXECUTE, COMMAND_NOT_FOUND = 126, 127

# Added to the number of the signal that ended a process, as shells do.
SIGNALLED = 128
