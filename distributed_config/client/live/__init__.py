"""A configuration that follows its service, and its snapshots."""
