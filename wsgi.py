"""For `gunicorn wsgi:front` and `flask run` in a clone; the package's own module does the work."""

from distributed_config.wsgi import app, front

__all__ = ["app", "front"]
