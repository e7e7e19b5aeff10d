"""A database for each test, as the tests of services have it."""

from tests.services.conftest import database, empty_instance

__all__ = ["database", "empty_instance"]
