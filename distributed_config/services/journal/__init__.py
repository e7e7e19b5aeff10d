"""The journal is the one append-only record of what happened: changes, and the audit log over them.

Everything that writes goes through a Transaction, which records its changes as one revision and
seals them with one audit entry. After a commit nobody is called: readers follow by their cursors.
"""
