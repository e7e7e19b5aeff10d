"""Schemas that load requests and render responses."""
