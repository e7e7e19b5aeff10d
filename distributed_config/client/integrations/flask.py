"""Flask: ``app.config`` has what the service has.

cfg = init_app(app, "web", url="http://config:5000")
"""

from typing import Any

from distributed_config.client.config import Config


def init_app(app: Any, service: str, **options: Any) -> Config:
    """Puts the top-level keys of ``service`` into ``app.config``, in capitals, now and later.

    ``options`` are those of Config, which is returned and is ``app.extensions["distconf"]``.
    """
    config = Config(service, **options)

    def put(new: Any, _old: Any = None) -> None:
        app.config.update({key.upper(): value for key, value in new.items()})

    put(config.value)
    config.on_change(put)
    app.extensions["distconf"] = config
    return config
