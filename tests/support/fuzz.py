"""How hypothesis tries requests at a real server."""

from hypothesis import HealthCheck, settings

# Without a deadline, because a busy machine is no failure; without a database of examples, because
# the tests of one run share nothing with those of the next.
FUZZ = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
