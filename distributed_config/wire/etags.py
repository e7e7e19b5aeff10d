"""Entity tags (RFC 9110): each names one version in one format."""

import re

from distributed_config.wire.documents import digest_of
from distributed_config.wire.hashing import length_prefixed


def stamp_of(life: int, digest: str) -> str:
    """Return the part of an entity tag that stands for a document: a hash of digest and ``life``.

    ``life`` is the id under which a service, or a definition, is stored. If it is deleted and
    created again it has another id, so that no tag of the first one comes back.
    """
    return digest_of(length_prefixed((life, digest)).decode())


def version_etag(epoch: str, number: int, stamp: str, variant: str = "json") -> str:
    """Return the strong entity tag of one version in one format, with its quotes (RFC 9110).

    Two responses with one tag are byte for byte the same, even across a restore: the epoch is
    part of the tag. ``variant`` stands for whatever else changes the bytes.
    """
    suffix = "" if variant == "json" else f".{variant}"
    return f'"{number}.{stamp[:24]}.{epoch}{suffix}"'


def absent_etag(epoch: str, life: int, variant: str = "") -> str:
    """Return the tag of a service of which every version is disabled."""
    return f'"none.{stamp_of(life, "")[:24]}.{epoch}{variant}"'


def etag_matches(tag: str, etag: str | None) -> bool:
    """Whether ``tag`` names the version of ``etag``, in whichever format that was read.

    A weak tag never does; ``*`` names any version; ``etag`` None means that there is none.
    """
    # The fourth part, the format, is left out: a client may read YAML and write JSON.
    if tag == "*" or etag is None:
        return etag is not None
    return tag.strip('"').split(".")[:3] == etag.strip('"').split(".")[:3]


def parse_etags(header: str) -> list[str]:
    """Return the tags in an ``If-Match`` or ``If-None-Match`` header, with their quotes.

    ``*`` is returned as ``["*"]``. The prefix ``W/`` stays, so that a weak tag equals no strong
    one. Text between tags that is no tag is ignored.
    """
    if header.strip() == "*":
        return ["*"]
    return re.findall(r'(?:W/)?"[^"]*"', header)
