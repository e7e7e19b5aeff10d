"""Services are the verbs of the product: a Reader or a Transaction goes in, plain values come out.

Nothing here commits, sees a request, or opens a socket, so a test or a command calls the same verbs
as the API. A verb that writes takes a ``Transaction``, which has the connection and the actor; one
that reads takes a ``Reader``, which has a connection and what its actor may see.
"""
