"""The series that a request is about."""

from typing import Any

from distributed_config.http import auth
from distributed_config.services.documents.series import Series
from distributed_config.store.watermarks import word_of


def series_of(query: dict[str, Any]) -> Series:
    """Return the series that a query names by ``service`` and ``environment``."""
    return Series(query["service"], query["environment"])


def word_of_series(series: Series) -> int:
    """Return the watermark of a series in the actor's organisation."""
    return word_of(auth.actor().organisation, series.service, series.environment)
