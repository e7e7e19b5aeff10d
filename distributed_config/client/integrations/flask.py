"""Flask: ``app.config`` follows a configuration.

cfg = init_app(app, "web", url="http://config:5000")
"""

import threading
from typing import Any

from distributed_config.client.live.config import Config
from distributed_config.client.live.frozen import thaw

_ABSENT = object()


def init_app(app: Any, service: str, **options: Any) -> Config:
    """Put the top-level keys of ``service`` into ``app.config``, in capitals, now and later.

    When a key disappears from the service, the application's own value comes back, if it had one.
    ``options`` are those of Config, which is returned and is ``app.extensions["distconf"]``.
    """
    config = Config(service, **options)
    originals: dict[str, Any] = {}
    lock = threading.Lock()

    def update(*_: Any) -> None:
        with lock:
            current = {key.upper(): thaw(value) for key, value in config.items()}
            originals.update(
                {key: app.config.get(key, _ABSENT) for key in current.keys() - originals.keys()}
            )
            app.config.update(current)
            for key in originals.keys() - current.keys():
                _restore(app.config, key, originals.pop(key))

    config.on_change(update)  # first, so that a change in between is not missed
    update()
    app.extensions["distconf"] = config
    return config


def _restore(settings: Any, key: str, value: Any) -> None:
    if value is _ABSENT:
        settings.pop(key, None)
    else:
        settings[key] = value
