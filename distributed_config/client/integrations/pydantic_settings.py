"""Pydantic's settings: a source, for ``settings_customise_sources``.

return init_settings, DistconfSource(settings_cls, Config("web")), env_settings
"""

from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource


class DistconfSource(PydanticBaseSettingsSource):  # type: ignore[misc]  # it is not installed here
    """The values of a configuration: of a Config, or any mapping."""

    def __init__(self, settings_cls: type[BaseSettings], config: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._config = config

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """The value of one field, its key, and that it needs no further parsing."""
        return self._config.get(field.alias or field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return {
            name: self._config[field.alias or name]
            for name, field in self.settings_cls.model_fields.items()
            if (field.alias or name) in self._config
        }
