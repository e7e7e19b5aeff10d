"""Process memory and threads: the writer, the marks that tell of commits, and waiting for them.

No Flask here and no request. What lives here is made after the server has forked.
"""
