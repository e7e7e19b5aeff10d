"""Django: in ``settings.py``, behind the defaults,

load(globals(), "web", url="http://config:5000")
"""

from typing import Any

from distributed_config.client.live.config import Config
from distributed_config.client.live.frozen import plain


def load(settings: dict[str, Any], service: str, **options: Any) -> Config:
    """Puts the top-level keys of ``service``, in capitals, over ``settings``.

    Django reads its settings once, so they stay as they are now, and it may complete them; the
    Config that is returned goes on. ``options`` are those of Config.
    """
    config = Config(service, **options)
    settings.update({key.upper(): plain(value) for key, value in config.items()})
    return config
