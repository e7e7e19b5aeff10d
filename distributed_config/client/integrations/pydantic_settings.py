"""Pydantic's settings: a source, for ``settings_customise_sources``.

return init_settings, DistconfSource(settings_cls, Config("web")), env_settings
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from distributed_config.client.live.config import Config
from distributed_config.client.live.frozen import plain


class DistconfSource(PydanticBaseSettingsSource):  # type: ignore[misc]  # it is not installed here
    """The values of a configuration: of a Config, or any mapping.

    A field is found where pydantic looks for it: by its alias, or whichever of its choices is
    there first; and by its name, if it has no alias or the model says ``populate_by_name``.
    """

    def __init__(self, settings_cls: type[BaseSettings], config: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._config = config

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """The value of one field or None, its key, and that it needs no further parsing."""
        value, key = self._found(self._whole(), field, field_name) or (None, field_name)
        return value, key, False

    def __call__(self) -> dict[str, Any]:
        whole = self._whole()
        fields = self.settings_cls.model_fields.items()
        found = [self._found(whole, field, name) for name, field in fields]
        return {key: value for value, key in filter(None, found)}

    def _whole(self) -> Mapping[str, Any]:
        """The configuration as it is now: one document for all fields."""
        return self._config.value if isinstance(self._config, Config) else self._config

    def _found(self, whole: Mapping[str, Any], field: Any, name: str) -> tuple[Any, str] | None:
        """The value of a field, and the key that pydantic wants it under; None if not there."""
        paths = self._paths(field, name)
        names = [path[0] for path in paths if len(path) == 1]
        for path in paths:
            if _is_there(whole, path):
                # Of several names pydantic's sources all give the first one.
                key = names[0] if len(path) == 1 else path[0]
                return plain(whole[path[0]]), key
        return None

    def _paths(self, field: Any, name: str) -> list[Sequence[Any]]:
        """Where pydantic looks for a field, in its order; most are paths of one name."""
        alias = field.validation_alias if field.validation_alias is not None else field.alias
        model = self.settings_cls.model_config
        paths: list[Sequence[Any]] = []
        if alias is not None and model.get("validate_by_alias") is not False:
            choices = getattr(alias, "choices", [alias])
            paths = [[each] if isinstance(each, str) else each.path for each in choices]
        if not paths or model.get("populate_by_name") or model.get("validate_by_name"):
            paths.append([name])
        return paths


def _is_there(value: Any, path: Sequence[Any]) -> bool:
    for key in path:
        if not isinstance(value, Mapping | list):
            return False
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True
