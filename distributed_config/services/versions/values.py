"""The values that readers and writers of versions return."""

from dataclasses import dataclass
from typing import NamedTuple

from distributed_config.services.documents.series import Series

WRITE = "config:write"
"""The permission to add a version."""

PUBLISH = "config:publish"
"""The permission to change in any other way what is served."""


@dataclass(frozen=True)
class Version:
    """One version, as a reader may see it.

    ``text`` is None where the document was not read, or is deleted. Times are microseconds since
    1970.
    """

    service: str
    number: int
    enabled: bool
    digest: str
    size: int
    author: str
    note: str
    created_at: int
    revision: int
    deleted: bool
    text: str | None
    checked: tuple[str, int] | None = None
    """The definition, and its revision, that the version was last checked against, if any."""
    rolled_back_to: int | None = None
    """The version that it is a copy of, if it is a roll-back. Only histories have it."""
    view: str = ""
    """Tells the masked form of a document from the one in the clear; "" without secrets."""
    life: int = 0
    """The id of its service. Another service of the same name, created later, has another one."""
    stamp: str = ""
    """The version's part of its entity tag: the same whether or not a reader sees secrets."""
    may_have_secrets: bool = False
    """Whether its service has marks. If so, how the version is shown can change."""
    moved_at: int = 0
    """When the versions of its service changed last; 0: not read, see ``version_times``."""

    @property
    def served(self) -> str:
        """The document. Only for a version that was read with it and is not deleted."""
        assert self.text is not None
        return self.text


# The verbs return this and not the new version: a response that shows the document reads it, see
# ``masked_text``, and the others are spared that.
@dataclass(frozen=True)
class WriteResult:
    """The outcome of a write.

    ``number`` is the version that was written or, where nothing ``changed``, the one that already
    was as requested; ``stamp`` is its part of its entity tag. ``current`` is the number of what is
    served now, or None.
    """

    series: Series
    number: int
    stamp: str
    current: int | None
    changed: bool = True
    service_id: int = 0
    has_secrets: bool = False
    removed: tuple[str, ...] = ()
    """The top-level keys of the version before that the new document does not have."""

    @property
    def service(self) -> str:
        """The name of the service."""
        return self.series.service


class ServiceKey(NamedTuple):
    """A service, as verbs look it up once.

    ``last`` is the number of its last version, -1 if there is none in the environment. ``marks``
    is "" where nothing can be secret. ``has_layers`` says that its organisation has anything that
    layers come from or are watched for: another environment, a protected one, an extension or a
    reference.
    """

    id: int
    last: int
    definition_id: int | None
    secret_marks: str
    has_layers: bool

    @property
    def has_versions(self) -> bool:
        """Whether there is a version in the environment; it may be deleted."""
        return self.last >= 0
