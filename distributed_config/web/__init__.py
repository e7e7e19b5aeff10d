"""The interface for people: pages at ``/ui/``, over the verbs that the API calls too."""

from flask import Flask

from distributed_config.web import (
    comparing,
    editing,
    home,
    records,
    refusals,
    service,
    session,
    switching,
)
from distributed_config.web.pages import blueprint
from distributed_config.web.texts import FILTERS

__all__ = ["comparing", "editing", "home", "init_web", "records", "service", "session", "switching"]

for _name, _filter in FILTERS.items():
    blueprint.add_app_template_filter(_filter, _name)


def init_web(app: Flask) -> None:
    """Add the interface to ``app``."""
    app.register_blueprint(blueprint)
    refusals.init_refusals(app)
