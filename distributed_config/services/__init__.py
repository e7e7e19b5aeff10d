"""The verbs: a reader or a transaction in, plain values out.

Nothing here commits, sees a request, or opens a socket. A verb that reads takes a ``Reader``: a
connection, and what may be seen through it. A verb that writes takes a ``Transaction``, which also
has the actor and records what changed.
"""
