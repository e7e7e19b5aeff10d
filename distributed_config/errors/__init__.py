"""Everything that can go wrong, as one tree of exceptions.

    DistconfError                  a fault of the server itself
    ├── Invalid                    the request cannot be understood, or breaks a rule
    │   ├── InvalidDocument        the body is not a document that can be stored
    │   │   ├── NotConforming      the document does not conform to the service's definition
    │   │   └── BreaksOthers       what rests on the document would not be sound any more
    │   ├── UnsupportedMediaType   the body is in a format that this server does not read
    │   ├── ServiceExists          a service of that name exists already
    │   ├── AccountExists          a user, role or organisation of that name exists already
    │   ├── DefinitionExists       a definition of that name exists already
    │   ├── EnvironmentExists      an environment of that name exists already
    │   ├── BreakingRevision       the new schema would break what its compatibility policy protects
    │   ├── KeyReused              the idempotency key was used before, for a different request
    │   └── TooMuchWork            the write would hold the write lock for too long
    ├── HostMissing                the HTTP/1.1 request has no Host header
    ├── UnsupportedEncoding        the body is compressed
    ├── PartialBody                the body is only a part of something
    ├── TooLarge                   the body has more bytes than the limit
    ├── TooSlow                    the body did not arrive whole and in time
    ├── NotFound                   nothing of that name exists, or the actor may not know of it
    │   ├── ServiceNotFound        there is no such service
    │   ├── EnvironmentNotFound    there is no such environment
    │   ├── VersionNotFound        the service has no such version
    │   ├── VersionDisabled        the version exists, but is disabled and not served
    │   ├── NoCurrentVersion       every version of the service is disabled
    │   ├── DefinitionNotFound     there is no such definition
    │   ├── AccountNotFound        there is no such organisation, user, membership, role or token
    │   ├── RevisionNotFound       the definition has no such revision
    │   └── NoDeviceFlow           the identity provider logs nobody in at a terminal
    ├── Gone                       it existed, and will not come back
    │   ├── VersionDeleted         the version's document was deleted; its number stays taken
    │   └── EpochChanged           the cursor is from before the database was restored
    ├── StillEnabled               an enabled version is served, and cannot be deleted
    ├── DefinitionInUse            services conform to the definition that should be deleted
    ├── EnvironmentInUse           services or environments rest on it, so it cannot be deleted
    ├── ServiceInUse               other services rest on it, so it cannot be deleted
    ├── LastAdministrator          the server would have no administrator left
    ├── NotResolvable              what a document refers to is not there, so nothing is served
    ├── PreconditionFailed         the resource has changed since the request's precondition
    ├── NotRepresentable           the requested format cannot hold this document
    ├── Unauthenticated            the request has no valid credentials
    ├── Refused                    the actor may not do this, or not from where it comes
    │   ├── ForeignHost            the request names a host that this server does not answer to
    │   ├── CrossSite              a browser sent the request for a page of another site
    │   ├── Forbidden              the actor lacks the permission that this needs
    │   └── OutOfScope             the actor's rights are limited to other services
    ├── MethodNotAllowed           the path exists, but does not support the method
    ├── Unavailable                the request cannot be served now
    │   ├── DatabaseBusy           another program holds the database
    │   ├── StorageFull            there is no space left; reads go on
    │   ├── StorageFailed          the disk failed; nothing is written until a restart
    │   ├── DocumentDamaged        the stored document is not what was written, and is not served
    │   ├── DatabaseUnverified     the database has not been verified yet since the server started
    │   ├── DatabaseDamaged        the database is damaged, and nothing of it is served
    │   ├── DatabaseMoved          the database file was moved or replaced while the server ran
    │   ├── SecretUnreadable       a secret needs a key that this server does not have
    │   ├── Overloaded             too many requests are waiting already
    │   ├── TooManyRequests        the caller has sent more requests than its rate limit allows
    │   ├── TooManyWatchers        too many streams are open already
    │   ├── ProviderUnavailable    the identity provider does not answer as it should
    │   └── RevisionNotReached     this server does not have the requested revision yet
    ├── CannotStart                the server or a command refuses to start, and says why
    └── ClientError                something failed on the client's side alone
        ├── Unreachable            no server answered, or none in time
        ├── NeverLoaded            there is no server, no snapshot and no defaults to return
        └── Rejected               the application refused the configuration that arrived

``code`` is stable and documented. ``detail`` says what happened and what to do next. ``problems``
lists every fault, never only the first. The HTTP status of each class is chosen in
``http/problems.py``: a command or the client raises the same classes without any HTTP.

The room imports the standard library alone, and runs on Python 3.10, because the client needs it.
"""

from distributed_config.errors.base import DistconfError, Problem
from distributed_config.errors.client import (
    CannotStart,
    ClientError,
    NeverLoaded,
    Rejected,
    Unreachable,
)
from distributed_config.errors.conflicts import (
    DefinitionInUse,
    EnvironmentInUse,
    LastAdministrator,
    NotRepresentable,
    NotResolvable,
    PreconditionFailed,
    ServiceInUse,
    StillEnabled,
)
from distributed_config.errors.invalid import (
    AccountExists,
    BreakingRevision,
    BreaksOthers,
    DefinitionExists,
    EnvironmentExists,
    Invalid,
    InvalidDocument,
    KeyReused,
    NotConforming,
    ServiceExists,
    TooMuchWork,
    UnsupportedMediaType,
)
from distributed_config.errors.missing import (
    AccountNotFound,
    DefinitionNotFound,
    EnvironmentNotFound,
    EpochChanged,
    Gone,
    NoCurrentVersion,
    NoDeviceFlow,
    NotFound,
    RevisionNotFound,
    ServiceNotFound,
    VersionDeleted,
    VersionDisabled,
    VersionNotFound,
)
from distributed_config.errors.refused import (
    CrossSite,
    Forbidden,
    ForeignHost,
    MethodNotAllowed,
    OutOfScope,
    Refused,
    Unauthenticated,
)
from distributed_config.errors.transfer import (
    HostMissing,
    PartialBody,
    TooLarge,
    TooSlow,
    UnsupportedEncoding,
)
from distributed_config.errors.unavailable import (
    DatabaseBusy,
    DatabaseDamaged,
    DatabaseMoved,
    DatabaseUnverified,
    DocumentDamaged,
    Overloaded,
    ProviderUnavailable,
    RevisionNotReached,
    SecretUnreadable,
    StorageFailed,
    StorageFull,
    TooManyRequests,
    TooManyWatchers,
    Unavailable,
)

__all__ = [
    "AccountExists",
    "AccountNotFound",
    "BreakingRevision",
    "BreaksOthers",
    "CannotStart",
    "ClientError",
    "CrossSite",
    "DatabaseBusy",
    "DatabaseDamaged",
    "DatabaseMoved",
    "DatabaseUnverified",
    "DefinitionExists",
    "DefinitionInUse",
    "DefinitionNotFound",
    "DistconfError",
    "DocumentDamaged",
    "EnvironmentExists",
    "EnvironmentInUse",
    "EnvironmentNotFound",
    "EpochChanged",
    "Forbidden",
    "ForeignHost",
    "Gone",
    "HostMissing",
    "Invalid",
    "InvalidDocument",
    "KeyReused",
    "LastAdministrator",
    "MethodNotAllowed",
    "NeverLoaded",
    "NoCurrentVersion",
    "NoDeviceFlow",
    "NotConforming",
    "NotFound",
    "NotRepresentable",
    "NotResolvable",
    "OutOfScope",
    "Overloaded",
    "PartialBody",
    "PreconditionFailed",
    "Problem",
    "ProviderUnavailable",
    "Refused",
    "Rejected",
    "RevisionNotFound",
    "RevisionNotReached",
    "SecretUnreadable",
    "ServiceExists",
    "ServiceInUse",
    "ServiceNotFound",
    "StillEnabled",
    "StorageFailed",
    "StorageFull",
    "TooLarge",
    "TooManyRequests",
    "TooManyWatchers",
    "TooMuchWork",
    "TooSlow",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "UnsupportedEncoding",
    "UnsupportedMediaType",
    "VersionDeleted",
    "VersionDisabled",
    "VersionNotFound",
]
