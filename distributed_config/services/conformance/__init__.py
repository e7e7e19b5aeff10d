"""Services that conform to a definition: the check at every write, and the indexes over them.

This room is below ``versions``, which calls it at every write; it reads documents through
``documents`` only.
"""
