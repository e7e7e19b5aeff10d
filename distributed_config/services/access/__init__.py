"""Access is who has an account and what it is granted: organisations, users, roles and tokens.

Nobody can grant, or take away, what they do not hold themselves, and no change over the network
leaves the server without an administrator. Every change of rights is recorded in the journal, so
that no process goes on answering from its cache.
"""
