"""Flask: ``app.config`` has what the service has.

cfg = init_app(app, "web", url="http://config:5000")
"""

import threading
from typing import Any

from distributed_config.client.live.config import Config
from distributed_config.client.live.frozen import plain

_ABSENT = object()


def init_app(app: Any, service: str, **options: Any) -> Config:
    """Puts the top-level keys of ``service`` into ``app.config``, in capitals, now and later.

    A key that goes from the service has then what the application itself had there, if anything.
    ``options`` are those of Config, which is returned and is ``app.extensions["distconf"]``.
    """
    config = Config(service, **options)
    before: dict[str, Any] = {}
    guard = threading.Lock()

    def put(*_: Any) -> None:
        with guard:
            wanted = {key.upper(): plain(value) for key, value in config.items()}
            before.update(
                {key: app.config.get(key, _ABSENT) for key in wanted.keys() - before.keys()}
            )
            app.config.update(wanted)
            for key in before.keys() - wanted.keys():
                _give_back(app.config, key, before.pop(key))

    config.on_change(put)  # first: what comes in between is put in as well
    put()
    app.extensions["distconf"] = config
    return config


def _give_back(settings: Any, key: str, value: Any) -> None:
    if value is _ABSENT:
        settings.pop(key, None)
    else:
        settings[key] = value
