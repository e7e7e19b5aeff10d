"""What servers load: ``app`` for any WSGI server, ``front`` for an ASGI server."""

from distributed_config.app import create_app
from distributed_config.asgi import Gateway
from distributed_config.http import rate_limits, request_log
from distributed_config.live.feed import Feed
from distributed_config.settings import load

_settings = load()
request_log.init_logging(_settings)
app = create_app(_settings)
_database = app.extensions["distributed_config"]
front = Gateway(
    app.wsgi_app,
    _database.marks,
    Feed(_database.readers),
    _settings,
    log_requests=request_log.logs_requests(_settings),
    text_log=request_log.writes_text(_settings),
    quota_source=rate_limits.quota_source_of(app),
    on_begin=_database.verification.begin,
    on_end=_database.close,
)
