"""For `gunicorn wsgi:front` in a clone: the production settings of the package."""

from distributed_config.gunicorn_conf import *  # noqa: F403  # gunicorn reads every name
