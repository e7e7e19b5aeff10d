"""Words that stand for secrets while documents are compared, so that none has to be opened."""

import re
import secrets as randomness
from typing import Any

from distributed_config.services.secrets.masking import StoredDocument
from distributed_config.services.secrets.values import to_json, with_replaced
from distributed_config.wire import MASK


class StandIns:
    """Words for secrets: the same one where what is stored is the same, and only there."""

    def __init__(self) -> None:
        # Nobody can have written a word that is made up now.
        self._beginning = randomness.token_hex(16)
        # Found within texts too: a unified diff has its values inside of lines.
        self._pattern = re.compile(rf"{self._beginning}-[0-9]+\.")
        self._words: dict[str, str] = {}
        self._brought: dict[str, Any] = {}

    def replace(self, document: StoredDocument) -> dict[str, Any]:
        """Return a stored document with a word in place of every secret."""
        words = {path: self.of_stored(value) for path, value in document.secrets.items()}
        replaced: dict[str, Any] = with_replaced(document.value, words)
        return replaced

    def of_stored(self, value: Any) -> str:
        """Return the word for a secret as it is stored."""
        return self._words.setdefault(to_json(value), self._new_word())

    def of_brought(self, value: Any) -> str:
        """Return a word for a secret that a request brought, which is like no other."""
        # Never equal to a stored one: equality would confirm a guess.
        word = self._new_word()
        self._brought[word] = value
        return word

    def mask(self, value: Any) -> Any:
        """Return ``value`` with the mask in place of every word, also within texts."""
        return self._replaced(value, {})

    def restore(self, value: Any) -> Any:
        """Return ``value`` with what the request brought in its place, and the rest masked."""
        return self._replaced(value, self._brought)

    def _new_word(self) -> str:
        return f"{self._beginning}-{len(self._words) + len(self._brought)}."

    def _replaced(self, value: Any, by: dict[str, Any]) -> Any:
        if isinstance(value, str):
            return by[value] if value in by else self._pattern.sub(MASK, value)
        if isinstance(value, dict):
            return {key: self._replaced(child, by) for key, child in value.items()}
        if isinstance(value, list):
            return [self._replaced(child, by) for child in value]
        return value
