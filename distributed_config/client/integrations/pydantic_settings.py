"""pydantic-settings: a source for ``settings_customise_sources``.

return init_settings, DistconfSource(settings_cls, Config("web")), env_settings
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from distributed_config.client.live.config import Config
from distributed_config.client.live.frozen import thaw


class DistconfSource(PydanticBaseSettingsSource):  # type: ignore[misc]  # it is not installed here
    """The values of a configuration: a Config, or any mapping.

    A field is looked up as pydantic does it: by its alias, or by the first of its alias choices
    that exists; and by its name, if it has no alias or the model sets ``populate_by_name``.
    """

    def __init__(self, settings_cls: type[BaseSettings], config: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._config = config

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of a field or None, its key, and whether it still has to be parsed."""
        value, key = self._look_up(self._document(), field, field_name) or (None, field_name)
        return value, key, False

    def __call__(self) -> dict[str, Any]:
        document = self._document()
        fields = self.settings_cls.model_fields.items()
        values = [self._look_up(document, field, name) for name, field in fields]
        return {key: value for value, key in filter(None, values)}

    def _document(self) -> Mapping[str, Any]:
        """Return the current configuration, so that all fields come from one document."""
        return self._config.value if isinstance(self._config, Config) else self._config

    def _look_up(
        self, document: Mapping[str, Any], field: Any, name: str
    ) -> tuple[Any, str] | None:
        """Return the value of a field, and the key that pydantic expects; None if it is missing."""
        paths = self._paths(field, name)
        names = [path[0] for path in paths if len(path) == 1]
        for path in paths:
            if _exists(document, path):
                # Of several names, pydantic's own sources all return the first one.
                key = names[0] if len(path) == 1 else path[0]
                return thaw(document[path[0]]), key
        return None

    def _paths(self, field: Any, name: str) -> list[Sequence[Any]]:
        """Return the paths where pydantic looks for a field, in its order; most have one name."""
        alias = field.validation_alias if field.validation_alias is not None else field.alias
        model = self.settings_cls.model_config
        paths: list[Sequence[Any]] = []
        if alias is not None and model.get("validate_by_alias") is not False:
            choices = getattr(alias, "choices", [alias])
            paths = [[choice] if isinstance(choice, str) else choice.path for choice in choices]
        if not paths or model.get("populate_by_name") or model.get("validate_by_name"):
            paths.append([name])
        return paths


def _exists(value: Any, path: Sequence[Any]) -> bool:
    for key in path:
        if not isinstance(value, Mapping | list):
            return False
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True
