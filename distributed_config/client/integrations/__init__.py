"""Configurations where applications already look for them; a few lines each, all optional."""
