"""Configurations that follow their service in the background, and their snapshots on disk."""
