"""The verbs. A connection and an actor in, plain values out.

Nothing here commits, sees a request, or opens a socket. What writes takes a ``Journal``, which
holds the connection and the actor; what reads takes a connection and a realm, which is what the
actor can see.
"""
