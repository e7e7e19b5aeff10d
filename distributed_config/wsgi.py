"""What servers load: ``app`` for any WSGI server, ``front`` for an ASGI server."""

from distributed_config.app import create_app
from distributed_config.edge import limits, observe
from distributed_config.front import Front
from distributed_config.live.feed import Feed
from distributed_config.settings import load

_settings = load()
observe.init_logging(_settings)
app = create_app(_settings)
_database = app.extensions["distributed_config"]
front = Front(
    app.wsgi_app,
    _database.marks,
    Feed(_database.readers),
    _settings,
    log_requests=observe.logs_requests(_settings),
    text_log=observe.writes_text(_settings),
    lender=limits.lender_of(app),
    on_begin=_database.verification.begin,
    on_end=_database.close,
)
