"""The application: the only module that knows every room."""

import importlib

from flask import Flask

from distributed_config.api import config, docs, health, login, v1
from distributed_config.dialects import DIALECTS
from distributed_config.http import (
    auditing,
    auth,
    csrf,
    database,
    problems,
    rate_limits,
    request_log,
    targets,
)
from distributed_config.http.long_poll import LongPollMiddleware
from distributed_config.http.request import exchange_of_request
from distributed_config.http.response import PlainResponse
from distributed_config.settings import Settings, load
from distributed_config.web import init_web


def create_app(settings: Settings | None = None) -> Flask:
    """Create the whole application; None: with the settings of the environment.

    Raises CannotStart with one sentence when it should not serve.
    """
    settings = settings or load()
    app = Flask("distributed_config", static_folder=None)
    app.response_class = PlainResponse
    app.ensure_sync = lambda view: view  # type: ignore[assignment,method-assign]  # nothing here is async
    # A path is itself or a 404: a redirect would turn a client's POST into a GET.
    app.url_map.merge_slashes = False
    request_log.init_request_log(app, settings)
    csrf.init_csrf(app, settings)
    problems.init_problems(app)
    store = database.init_database(app, settings, request_log.measure_commit)
    auditing.init_auditing(app, settings)

    @app.before_request
    def _raise_gateway_refusal() -> None:
        # The gateway refuses without knowing how: here the error gets its body and its log line.
        refusal = exchange_of_request().refusal
        if refusal is not None:
            raise refusal

    rate_limits.init_rate_limits(app, settings)
    auth.init_auth(app, settings)
    targets.init_targets(app)
    app.register_blueprint(config.blueprint)
    app.register_blueprint(v1.blueprint)
    app.register_blueprint(login.blueprint)
    if settings.oidc_issuer:
        # Loaded only where it is used: it would be an eighth of the time to start.
        importlib.import_module("distributed_config.api.oidc").init_oidc(app, settings)
    app.register_blueprint(docs.blueprint)
    init_web(app)
    app.register_blueprint(health.blueprint)
    for dialect in DIALECTS:
        if dialect.name in settings.dialects:
            app.register_blueprint(dialect.blueprint)
    auth.refuse_unstated_routes(app)
    app.wsgi_app = LongPollMiddleware(app.wsgi_app, store.watermarks)  # type: ignore[method-assign]  # Flask's way
    return app
