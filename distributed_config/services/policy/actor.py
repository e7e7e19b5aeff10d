"""Who is asking: a user, a token, or the local operator."""

from dataclasses import dataclass, field, replace

from distributed_config.errors import Forbidden
from distributed_config.services.policy.permissions import EVERYTHING, READ_SECRET, expand
from distributed_config.services.policy.visibility import Visibility


@dataclass(frozen=True)
class Actor:
    """Who is asking. ``name`` is what the journal shows.

    ``key`` is theirs alone: a name may be another's next year. ``permissions`` are single ones,
    and ``*`` of who holds everything everywhere. ``address`` is where they ask from.
    """

    name: str
    key: str
    permissions: frozenset[str]
    visibility: Visibility = field(default_factory=Visibility)
    address: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # Whoever makes an actor cannot forget it, nor give it to one who may not.
        seen = replace(self.visibility, secrets=self.may(READ_SECRET))
        object.__setattr__(self, "visibility", seen)

    @property
    def organisation(self) -> int:
        return self.visibility.organisation

    @property
    def is_administrator(self) -> bool:
        """Whether they hold everything, and so hold it in every organisation."""
        return EVERYTHING in self.permissions and self.visibility.is_unrestricted

    def may(self, permission: str) -> bool:
        """Whether they hold a permission."""
        return permission in self.permissions

    def require(self, permission: str) -> None:
        """Raises Forbidden unless they hold a permission."""
        if not self.may(permission):
            raise Forbidden(
                f"{self.name} may not do this: it takes {permission}. "
                "Ask who administers your organisation."
            )

    def require_unrestricted(self) -> None:
        """Raises Forbidden if they see only a part of the organisation's services."""
        if not self.visibility.is_unrestricted:
            raise Forbidden(
                f"{self.name} may not do this: it concerns all services of the organisation, and "
                "their rights are limited to some."
            )

    def require_administrator(self) -> None:
        """Raises Forbidden unless they hold everything, everywhere."""
        if not self.is_administrator:
            raise Forbidden(
                f"{self.name} may not do this: only an administrator of the whole server may."
            )

    def in_organisation(self, organisation: int) -> "Actor":
        """The same in another organisation; for those who hold everything everywhere."""
        return replace(self, visibility=Visibility(organisation))


LOCAL_OPERATOR = Actor("local operator", "local operator", expand({EVERYTHING}))


"""Who asks in the open mode, and on the terminal of the server's own machine."""
