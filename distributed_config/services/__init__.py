"""The verbs. A session and an actor in, plain values out.

Nothing here commits, sees a request, or opens a socket. What writes takes a ``Journal``, which
holds the session and the actor; what reads takes a session and an organisation.
"""
