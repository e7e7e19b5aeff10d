"""The actor of a request: a user, a token, or the local operator."""

from dataclasses import dataclass, field, replace

from distributed_config.errors import Forbidden
from distributed_config.services.policy.permissions import EVERYTHING, READ_SECRET, expand
from distributed_config.services.policy.visibility import Visibility


@dataclass(frozen=True)
class Actor:
    """The one that a request acts for.

    ``name`` is what the journal shows. ``key`` identifies the actor for good: a name may belong to
    somebody else next year. ``permissions`` are single permissions, with ``*`` among them for a
    role that holds everything. ``address`` is the IP address the request came from; two actors
    that differ only there are equal.
    """

    name: str
    key: str
    permissions: frozenset[str]
    visibility: Visibility = field(default_factory=Visibility)
    address: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # Derived here, so that no caller can forget it, nor grant it without the permission.
        visibility = replace(self.visibility, reads_secrets=self.may(READ_SECRET))
        object.__setattr__(self, "visibility", visibility)

    @property
    def organisation(self) -> int:
        """The id of the organisation that the actor acts in."""
        return self.visibility.organisation

    @property
    def is_administrator(self) -> bool:
        """Whether the actor administers the whole server, and so every organisation."""
        return EVERYTHING in self.permissions and self.visibility.is_unrestricted

    def may(self, permission: str) -> bool:
        """Whether the actor holds ``permission``."""
        return permission in self.permissions

    def require(self, permission: str) -> None:
        """Raise Forbidden unless the actor holds ``permission``."""
        if not self.may(permission):
            raise Forbidden(
                f"{self.name} may not do this: it needs the permission {permission}. "
                "Ask the administrator of your organisation."
            )

    def require_unrestricted(self) -> None:
        """Raise Forbidden if the actor sees only a part of the organisation's services."""
        if not self.visibility.is_unrestricted:
            raise Forbidden(
                f"{self.name} may not do this: it concerns all services of the organisation, and "
                "their rights are limited to some. Ask the administrator of your organisation."
            )

    def require_every_environment(self) -> None:
        """Raise Forbidden if the actor's rights are limited to some environments."""
        if not self.visibility.has_every_environment:
            raise Forbidden(
                f"{self.name} may not do this: it holds in all environments, and their rights are "
                "limited to some. Ask the administrator of your organisation."
            )

    def require_administrator(self) -> None:
        """Raise Forbidden unless the actor administers the whole server."""
        if not self.is_administrator:
            raise Forbidden(
                f"{self.name} may not do this: only an administrator of the whole server may."
            )

    def in_organisation(self, organisation: int) -> "Actor":
        """Return this actor as it acts in another organisation, with nothing limited.

        Only for server administrators: the caller checks that.
        """
        return replace(self, visibility=Visibility(organisation))


LOCAL_OPERATOR = Actor("local operator", "local operator", expand({EVERYTHING}))
"""The actor of commands on the server's own machine, and of all requests in the open mode."""
