"""Configurations that follow their service."""
