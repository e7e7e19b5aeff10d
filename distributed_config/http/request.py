"""The current request, read strictly: body, note, idempotency key, format, and wait.

Nothing here guesses. What cannot be understood in one way only is an error that says what to send
instead, because a configuration that is read wrongly is published wrongly.
"""

from collections.abc import Mapping
from typing import Any

from flask import current_app, g, request

from distributed_config import formats, wire
from distributed_config.errors import (
    Invalid,
    InvalidDocument,
    NotRepresentable,
    PartialBody,
    Problem,
    TooLarge,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from distributed_config.formats import Format
from distributed_config.json_schema import SchemaLimits
from distributed_config.live import exchange
from distributed_config.live.exchange import Exchange, Validity, Wait
from distributed_config.settings import Settings
from distributed_config.wire import DocumentLimits

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"


def exchange_of_request() -> Exchange:
    """Return what the server side and the application exchange about this request."""
    current: Exchange = request.environ[exchange.KEY]
    return current


def wait_for_change(validity: Validity, seconds: float) -> None:
    """Ask the server side to hold this request, up to ``seconds``, while ``validity`` holds.

    The application then answers it a second time, and that response is sent.
    """
    # The last time a request is answered it has to be an answer: waiting is over.
    if seconds > 0 and not exchange_of_request().is_final:
        exchange_of_request().wait = Wait(validity, seconds)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["distributed_config"].settings
    return settings


def document_limits() -> DocumentLimits:
    """Return the limits of a document, from the settings."""
    settings = _settings()
    return DocumentLimits(settings.document_bytes, settings.document_depth, settings.document_keys)


def schema_limits() -> SchemaLimits:
    """Return the limits of a definition's schema, from the settings."""
    return SchemaLimits(_settings().schema_bytes)


def media_type() -> str:
    """Return the body's Content-Type without its parameters; "" if there is none."""
    return request.mimetype


def body_bytes() -> bytes:
    """Return the whole body.

    Raises PartialBody, UnsupportedEncoding for a compressed one, UnsupportedMediaType for a
    ``charset`` other than UTF-8, and TooLarge.
    """
    # A stream can be read once, and several checks need it.
    if "body" not in g:
        _refuse_part()
        # Not unpacked here: a few kilobytes can unpack to gigabytes.
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise UnsupportedEncoding(encoding[:40])
        charset = request.mimetype_params.get("charset", "utf-8")
        if charset.lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("Only UTF-8 is read here; leave charset out.")
        most = _settings().body_bytes
        # A client that announces too much is answered before it sends it; one that announces
        # nothing is stopped by werkzeug at the same number.
        if (request.content_length or 0) > most:
            raise TooLarge("DISTCONF_BODY_BYTES", most)
        request.max_content_length = most
        g.body = request.get_data(cache=False)
    body: bytes = g.body
    return body


def _refuse_part() -> None:
    """Raise PartialBody for a range of a body, as RFC 9110, section 14.5, demands.

    Stored as it is, a part would replace the whole document.
    """
    if "Content-Range" in request.headers:
        raise PartialBody()


def body_value() -> Any:
    """Return the body's value, parsed by its Content-Type: JSON, YAML or TOML.

    Raises UnsupportedMediaType for any other type, and InvalidDocument. A form is refused too:
    curl sends ``-d`` as a form unless it is given a type, and a page of another site can send
    forms without a preflight request.
    """
    body = body_bytes()
    # These end in +json as well, but they are operations, and no document.
    is_patch = request.mimetype in {MERGE_PATCH, JSON_PATCH}
    format_ = None if is_patch else formats.by_media_type(request.mimetype)
    if format_ is None or format_.read is None:
        type_ = f"{request.mimetype!r} is not read here." if request.mimetype else "There is none."
        raise UnsupportedMediaType(
            f"Content-Type: {type_[:100]} "
            "Say what the body is, as in -H 'Content-Type: application/json' (or yaml, or toml)."
        )
    return formats.read(format_, body, _settings().text_bytes)


def encode(format_: Format, value: Mapping[str, Any], size: int) -> str:
    """Return ``value``, of about ``size`` bytes, in the format of the response.

    Raises NotRepresentable if the format cannot hold it, or if the text would be too long.
    """
    return formats.write(format_, value, size, _settings().text_bytes)


def refuse_body() -> None:
    """Raise InvalidDocument if there is a body where none belongs."""
    if body_bytes():
        raise InvalidDocument("This request takes no body. Leave it out.")


def note(from_query: str | None) -> str:
    """Return the note: ``note=`` of the query, or the header ``Config-Note``; "" without either.

    Raises Invalid if both are there, or if the note is too long or has control characters.
    """
    text, header = from_query, request.headers.get("Config-Note", "")
    if text is not None and header:
        raise Invalid.from_problems(
            [Problem("", "Say it here or in the header Config-Note.", "note", "note")]
        )
    if text is None:
        try:
            # WSGI hands on the bytes of a header as Latin-1; people write UTF-8.
            text = header.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            text = header
    return wire.check_note(text, _settings().note_length)


def idempotency_key() -> str:
    """Return the ``Idempotency-Key``; "" if there is none. Raises Invalid if it is malformed."""
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return ""
    key = header.strip()
    # The key is stored with each response, so it has to be short.
    if not 0 < len(key) <= 255 or not key.isprintable():
        message = "A key has 1 to 255 printable characters; leave it out to do without."
        raise Invalid.from_problems([Problem("", message, "key", "Idempotency-Key")])
    return key


def negotiate_format(from_query: str | None) -> Format:
    """Return the format of the response: ``format=``, or the best of ``Accept``, or JSON.

    Raises NotRepresentable if ``Accept`` names no format that is written here.
    """
    if from_query is not None:
        return formats.FORMATS[from_query]
    if not request.accept_mimetypes.provided:
        return formats.FORMATS["json"]
    # Werkzeug has sorted them by quality; a quality of 0 excludes a type.
    for choice, quality in request.accept_mimetypes:
        if quality <= 0:
            continue
        # curl sends */* unless it is told otherwise, and means JSON.
        if choice in {"*/*", "application/*"}:
            return formats.FORMATS["json"]
        format_ = formats.by_media_type(choice)
        if format_ is not None:
            return format_
    raise NotRepresentable(
        "Nothing that Accept names is written here. "
        f"Ask for one of: {', '.join(known.media_type for known in formats.FORMATS.values())}."
    )


def preferred_wait() -> float:
    """Return the seconds that the client would wait for a change; 0 if it would not.

    That is ``Prefer: wait=`` (RFC 7240, section 4.3). A preference that cannot be understood is
    ignored, as the RFC demands; one that is longer than the settings allow is cut.
    """
    most = _settings().wait_seconds
    for preference in request.headers.get("Prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        # Six digits are eleven days; more would not be a number of seconds that anybody means.
        if name.strip().lower() == "wait" and value.strip().strip('"').isdecimal():
            return min(float(value.strip().strip('"')[:6]), most)
    return 0
