"""Resolved documents, as an actor may read them."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from distributed_config.errors import NoCurrentVersion, NotResolvable, ServiceNotFound
from distributed_config.models import ChangeRow
from distributed_config.services import secrets
from distributed_config.services.documents.series import Series
from distributed_config.services.journal.head import read_head
from distributed_config.services.layers.environments import require_visible
from distributed_config.services.layers.merging import unwrapped
from distributed_config.services.layers.resolver import Pair, Resolved, Resolver
from distributed_config.services.layers.stored_layers import Layer
from distributed_config.services.reader import Reader
from distributed_config.services.secrets.digests import Digests
from distributed_config.services.versions.read import environments_of, lookup
from distributed_config.services.versions.values import Version
from distributed_config.wire import MASK, digest_of, stamp_of


@dataclass(frozen=True)
class ResolvedVersion:
    """A resolved document as a reader may see it.

    ``version`` has the number of the last layer. ``layers`` are in the order in which they were
    merged, and ``uses`` are the services that references led to, by name. ``basis`` is every
    series that it rests on, or would if there were one.
    """

    version: Version
    layers: tuple[Layer, ...]
    uses: tuple[str, ...]
    basis: frozenset[Pair]


def resolved(reader: Reader, series: Series, at: int | None = None) -> ResolvedVersion:
    """Return the resolved document of a service in an environment.

    ``at`` is the revision whose state is meant; None is the present one. Raises ServiceNotFound,
    EnvironmentNotFound, NoCurrentVersion, VersionDeleted, or NotResolvable where the layers of an
    earlier state cannot be put together.
    """
    found, resolver = resolve(reader, series, at)
    # Also of series that do not exist: the first version of one is another layer.
    basis = resolver.basis(series.service, series.environment)
    moved_at = resolver.moved_at(basis) if at is None else found.changed_at
    # New marks, and revisions of definitions that mark, change how a document is shown.
    if found.hidden:
        moved_at = read_head(reader.connection).changed_at
    text, view = _text_of(reader, found)
    version = Version(
        service=series.service,
        number=found.last.number,
        enabled=True,
        digest=found.last.digest,
        size=len(text.encode()),
        author=found.last.author,
        note=found.last.note,
        created_at=moved_at,
        revision=max(layer.revision for layer in found.layers),
        deleted=False,
        text=text,
        view=view,
        life=found.last.key.service_id,
        stamp=_stamp_of(reader, found, text),
        may_have_secrets=bool(found.hidden),
        moved_at=moved_at,
    )
    return ResolvedVersion(version, found.layers, tuple(sorted(found.uses)), frozenset(basis))


def resolve(reader: Reader, series: Series, at: int | None = None) -> tuple[Resolved, Resolver]:
    """Return a resolved document before it is rendered, and what resolved it.

    Raises what ``resolved`` raises.
    """
    require_visible(reader, series.environment)
    visibility = reader.visibility
    # Only its own name is judged here. What it is made of was judged when it was written.
    if not visibility.allows(series.service):
        raise ServiceNotFound(series.service, series.environment)
    resolver = Resolver(
        reader.connection, visibility.organisation, reveal=visibility.reads_secrets, at=at
    )
    found = resolver.resolve(series.service, series.environment)
    if found is None or not found.layers:
        raise _nothing_there(reader, resolver, series)
    if found.problems:
        raise NotResolvable(series.service, series.environment, found.problems)
    return found, resolver


def revision_at(connection: Connection, moment: int) -> int:
    """Return the journal's revision at ``moment``, in microseconds since 1970."""
    return connection.execute(_REVISION_AT, {"moment": moment}).scalar_one() or 0


def _nothing_there(
    reader: Reader, resolver: Resolver, series: Series
) -> ServiceNotFound | NoCurrentVersion:
    # Another look, but only to say which of the two it is.
    service_id = lookup(reader, series)
    chain = resolver.chains.of(series.environment)
    if service_id is None or not {*environments_of(reader.connection, service_id)} & {*chain}:
        return ServiceNotFound(series.service, series.environment)
    return NoCurrentVersion(series.service)


def _text_of(reader: Reader, found: Resolved) -> tuple[str, str]:
    """Return the text, and what tells the masked form from the one in the clear."""
    if not found.hidden:
        # Byte for byte, where there is nothing to put together.
        text = found.last.text if found.is_plain else secrets.to_json(found.value)
        return text, ""
    if not reader.visibility.reads_secrets:
        places = dict.fromkeys(found.hidden, MASK)
        text = secrets.to_json(secrets.with_replaced(found.value, places))
        return text, f"masked-{digest_of(text)[:16]}"
    text = secrets.to_json(unwrapped(found.value))
    on_reveal: Callable[[str], None] | None
    on_reveal = reader.connection.get_execution_options().get(secrets.ON_REVEAL)
    if on_reveal is not None:
        for service in sorted({here.service for here in found.hidden.values()}):
            on_reveal(service)
    return text, "revealed"


def _stamp_of(reader: Reader, found: Resolved, text: str) -> str:
    """Return the document's part of its entity tag, which confirms no guess at a secret."""
    last = found.last
    digest = last.digest if found.is_plain else digest_of(text)
    marked = last.key.secret_marks if found.is_plain else found.hidden
    if marked and (found.is_plain or reader.visibility.reads_secrets):
        digest = Digests(reader.connection).of_version(last.key.service_id, last.number, digest)
    return stamp_of(last.key.service_id, digest)


_REVISION_AT = select(func.max(ChangeRow.revision)).where(
    ChangeRow.changed_at <= bindparam("moment")
)
