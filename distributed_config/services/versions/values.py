"""What readers and writers of versions get."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Version:
    """One version as readers get it. ``text`` is None where documents were not asked for.

    ``view`` is "" unless the document has secrets; then it tells the masked form of it, by what
    it shows, from the one in the clear.
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
    """The definition and its revision that the version was checked against, if it was."""
    view: str = ""
    life: int = 0
    """The id of its service, which another one of the same name does not have."""
    stamp: str = ""
    """What its entity tag has of it: the same for everybody, whether they see secrets or not."""
    may_have_secrets: bool = False
    """Whether its service has marks, which can change how the version is shown."""
    moved_at: int = 0
    """When the versions of its service changed last; 0: not asked for, see ``version_times``."""

    @property
    def served(self) -> str:
        """The document, of a version that was read with it and not deleted."""
        assert self.text is not None
        return self.text


@dataclass(frozen=True)
class WriteResult:
    """What a write did. ``changed`` is False when the service already was as asked.

    ``number`` is the version that was written or, when nothing changed, the one that was found;
    ``stamp`` is what its entity tag has of it.
    ``current`` is what is served now, None if nothing is.
    """

    service: str
    number: int
    stamp: str
    current: int | None
    changed: bool = True
    service_id: int = 0
    has_secrets: bool = False
    removed: tuple[str, ...] = ()
    """The top-level keys that a new document took away from what was current."""


class ServiceKey(NamedTuple):
    """A service by its id; the number of its last version; whether it conforms to a definition;
    and whether anything may be secret in it."""

    id: int
    last: int
    definition_id: int | None
    secret_marks: str


WRITE, PUBLISH = "config:write", "config:publish"


"""What it takes to add a version, and to change otherwise what is served."""
