"""Entity tags (RFC 9110): what tells one version from another."""

import re

from distributed_config.wire.documents import digest_of
from distributed_config.wire.hashing import length_prefixed


def stamp_of(life: int, digest: str) -> str:
    """What an entity tag has of a document: its digest, bound to the life of what it belongs to.

    ``life`` is the id under which a service, or a definition, is stored. One that is deleted and
    made again has another id, so that no tag of the first one comes back.
    """
    return digest_of(length_prefixed((life, digest)).decode())


def version_etag(epoch: str, number: int, stamp: str, variant: str = "json") -> str:
    """The strong entity tag of one version in one format, with its quotes (RFC 9110).

    Two answers with one tag are byte for byte the same, also over a restored database: the epoch
    is part of the tag. ``variant`` tells what else shapes the answer.
    """
    suffix = "" if variant == "json" else f".{variant}"
    return f'"{number}.{stamp[:24]}.{epoch}{suffix}"'


def absent_etag(epoch: str, life: int, variant: str = "") -> str:
    """The tag of a service of which every version is disabled."""
    return f'"none.{stamp_of(life, "")[:24]}.{epoch}{variant}"'


def etag_matches(tag: str, etag: str | None) -> bool:
    """Whether ``tag`` names the version of ``etag``, whatever the format it was read in.

    A weak tag never does; ``*`` names any, and None says that there is no service.
    """
    if tag == "*" or etag is None:
        return etag is not None
    return tag.strip('"').split(".")[:3] == etag.strip('"').split(".")[:3]


def parse_etags(header: str) -> list[str]:
    """The tags in an ``If-Match`` or ``If-None-Match`` header, with their quotes.

    ``*`` comes back as itself. A weak mark ``W/`` is kept, so that a weak tag equals no strong
    one. Text between tags that is not a tag is ignored.
    """
    if header.strip() == "*":
        return ["*"]
    return re.findall(r'(?:W/)?"[^"]*"', header)
