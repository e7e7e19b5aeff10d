"""The commands of ``distconf`` that are clients of a server."""
