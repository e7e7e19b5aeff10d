"""The files that pages load: style, scripts, icons. All of them come from this package.

Each address has a hash of the file in it, so that a browser may keep the file for good.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path

from distributed_config.errors import NotFound
from distributed_config.http.response import ResponseData

FOLDER = Path(__file__).parent / "static"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_GOOD = "public, max-age=31536000, immutable"


@cache
def address(name: str) -> str:
    """Return the address of a file, as ``/ui/static/0123456789ab/style.css``."""
    return f"/ui/static/{_digest(name)[:12]}/{name}"


def response(digest: str, name: str, accepts_gzip: bool) -> ResponseData:
    """Return the response with a file. Raises NotFound for another digest than the file's."""
    # An address with an old hash must not get the new file: a browser keeps it for good.
    if not _is_asset(name) or address(name) != f"/ui/static/{digest}/{name}":
        raise NotFound("There is no such file. Load the page again: it names the newest ones.")
    plain, packed = _contents(name)
    headers = {
        "Cache-Control": _FOR_GOOD,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if accepts_gzip:
        headers["Content-Encoding"] = "gzip"
    kind = _TYPES[Path(name).suffix]
    return ResponseData(packed if accepts_gzip else plain, media_type=kind, headers=headers)


def _digest(name: str) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


def _is_asset(name: str) -> bool:
    path = FOLDER / name
    # Only what lies here and is meant for browsers: licences and sources are not.
    return path.parent == FOLDER and path.suffix in _TYPES and path.is_file()


# Packed once in a process, when somebody asks: a server whose interface nobody opens is spared it.
@cache
def _contents(name: str) -> tuple[bytes, bytes]:
    plain = (FOLDER / name).read_bytes()
    return plain, gzip.compress(plain, mtime=0)
