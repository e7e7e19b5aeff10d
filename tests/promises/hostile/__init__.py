"""What a hostile or broken client may send.

Every request gets its documented response, nothing of a refused one is stored, and the server
goes on.
"""
