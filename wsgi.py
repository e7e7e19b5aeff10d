"""For `gunicorn wsgi:front` and `flask` in a clone; the package's own module does the work."""

from distributed_config.wsgi import *  # noqa: F403  # for `flask db` there is no `front`
