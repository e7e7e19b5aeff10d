"""The dialects as a whole."""

from distributed_config import settings
from distributed_config.dialects import DIALECTS


def test_the_settings_offer_exactly_the_dialects_that_there_are() -> None:
    assert tuple(dialect.name for dialect in DIALECTS) == settings.DIALECTS
