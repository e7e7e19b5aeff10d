"""Distributed Config: numbered JSON configurations for services, served fast and never lost.

Nothing is imported here, so that a part of the package can be used without loading the rest.
"""

__version__ = "0.1.0"
