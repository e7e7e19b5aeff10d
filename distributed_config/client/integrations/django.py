"""Django: settings from a configuration. In ``settings.py``, after the defaults:

load(globals(), "web", url="http://config:5000")
"""

from typing import Any

from distributed_config.client.live.config import Config
from distributed_config.client.live.frozen import thaw


def load(settings: dict[str, Any], service: str, **options: Any) -> Config:
    """Put the top-level keys of ``service``, in capitals, over ``settings``.

    Django reads its settings once, so they stay as they are now; the Config that is returned goes
    on. ``options`` are those of Config.
    """
    config = Config(service, **options)
    # Copies, because Django completes some settings in place, such as DATABASES.
    settings.update({key.upper(): thaw(value) for key, value in config.items()})
    return config
