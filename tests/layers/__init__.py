"""Tests of environments, layers and references."""
