"""What happened: the transaction that records it, changes, the audit log."""
