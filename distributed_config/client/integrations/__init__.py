"""Configurations in the places where applications already look for settings; all optional."""
